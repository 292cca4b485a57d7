/** Readings of a district, as they come, into what an estimate is made from. */
import type { Instrument } from '../fleet/instrument.ts';
import type { Kinds } from '../fleet/kind.ts';
import { type Quantity, quantityIndex } from '../fleet/quantity.ts';
import type { Reading } from '../fleet/reading.ts';
import type { DistrictWindow, MeterSeries, SiteResult } from './district.ts';
import { findGrid, type Grid, toleranceMs } from './grid.ts';
import { ESTIMATED_KIND, type EstimationPolicy, mpePctOf } from './policy.ts';

export interface WindowOptions {
  readonly kinds: Kinds;
  readonly policy: Pick<EstimationPolicy, 'defaultMpePct'>;
  /** Only the newest days; undefined = all readings there are. */
  readonly days?: number | undefined;
  readonly siteResults?: readonly SiteResult[];
}

/** Readings that did not enter. */
export interface LeftOut {
  /** Between two moments of the grid. */
  readonly offGrid: number;
  /** Before or after the window. */
  readonly outside: number;
  /** The same again. */
  readonly repeated: number;
  /** Of a moment that was read already, with other values: the first stays. */
  readonly contradicting: number;
}

export interface CollectedDistrict {
  readonly window: DistrictWindow;
  /** Ids of its master meters; an estimate needs exactly one. */
  readonly masters: readonly string[];
  readonly leftOut: LeftOut;
}

/** What is kept of a reading; the time first. */
const COLUMNS = [
  'active_import_kwh',
  'active_export_kwh',
  'voltage_v',
  'voltage_l1_v',
  'voltage_l2_v',
  'voltage_l3_v',
] as const satisfies readonly Quantity[];
type Column = (typeof COLUMNS)[number];
const INDEXES = COLUMNS.map(quantityIndex);
const PHASE_COLUMNS = ['voltage_l1_v', 'voltage_l2_v', 'voltage_l3_v'] as const;

/** Is it a meter that estimates are made of? */
export function isEstimated({ kind, state }: Pick<Instrument, 'kind' | 'state'>): boolean {
  return kind === ESTIMATED_KIND && state === 'in-service';
}

/** Collects the readings of one district, in any order; sorted ones are the quickest. */
export class DistrictCollector {
  readonly district: string;
  readonly #masters: readonly Instrument[];
  readonly #users: readonly Instrument[];
  readonly #logs: ReadonlyMap<number, ReadingLog>;
  #readings = 0;

  /** `instruments`: those of the district; what cannot be estimated is passed over. */
  constructor(district: string, instruments: readonly Instrument[]) {
    this.district = district;
    const estimated = instruments.filter(isEstimated);
    this.#masters = estimated.filter(({ role }) => role === 'master');
    this.#users = estimated.filter(({ role }) => role === 'user');
    this.#logs = new Map(estimated.map(({ key }) => [key, new ReadingLog()]));
  }

  /** How many readings are held. */
  get readings(): number {
    return this.#readings;
  }

  /** Readings of other instruments are passed over. */
  add({ key, tsMs, values }: Reading): void {
    const log = this.#logs.get(key);
    if (!log) return;
    log.add(tsMs, values);
    this.#readings++;
  }

  collect({ kinds, policy, days, siteResults = [] }: WindowOptions): CollectedDistrict {
    const logOf = ({ key }: Instrument) => this.#logs.get(key)!;
    for (const log of this.#logs.values()) log.sort();
    const [only, ...others] = this.#masters;
    const master = others.length === 0 ? only : undefined;
    const usualMs = kinds.get(ESTIMATED_KIND)?.reportPeriodMs ?? 900_000;
    const masterTimes = master ? logOf(master).times() : new Float64Array();
    const userTimes = this.#users.map((user) => logOf(user).times());
    const grid = findGrid(masterTimes, userTimes, usualMs, days) ?? { fromMs: 0, periodMs: usualMs, moments: 1 };
    const leftOut = { offGrid: 0, outside: 0, repeated: 0, contradicting: 0 };
    const series = (instrument: Instrument) => seriesOf(instrument, logOf(instrument), grid, leftOut);
    const window: DistrictWindow = {
      district: this.district,
      ...grid,
      master: master && series(master),
      users: this.#users.map(series),
      mpePct: this.#users.map((user) => mpePctOf(user, kinds, policy)),
      siteResults,
    };
    return { window, masters: this.#masters.map(({ id }) => id), leftOut };
  }
}

type Counts = { -readonly [K in keyof LeftOut]: LeftOut[K] };

function seriesOf({ id, phase }: Instrument, log: ReadingLog, grid: Grid, leftOut: Counts): MeterSeries {
  const chosen = chooseReadings(log, grid, leftOut);
  const onGrid = (column: Column) => {
    const series = new Float64Array(grid.moments).fill(Number.NaN);
    const values = log.column(column);
    if (values) for (let k = 0; k < series.length; k++) if (chosen[k]! >= 0) series[k] = values[chosen[k]!]!;
    return series;
  };
  return {
    id,
    phase: phase === '' ? undefined : phase,
    importKwh: onGrid('active_import_kwh'),
    exportKwh: log.column('active_export_kwh') && onGrid('active_export_kwh'),
    voltagesV: voltageColumns(log).map((column) => onGrid(column).map((volts) => (volts > 0 ? volts : Number.NaN))),
  };
}

/** By moment, which reading is its own; −1 = none. */
function chooseReadings(log: ReadingLog, { fromMs, periodMs, moments }: Grid, leftOut: Counts): Int32Array {
  const chosen = new Int32Array(moments).fill(-1);
  const limitMs = toleranceMs(periodMs);
  const times = log.times();
  const missMs = (at: number, moment: number) => Math.abs(times[at]! - fromMs - moment * periodMs);
  for (let at = 0; at < times.length; at++) {
    const moment = Math.round((times[at]! - fromMs) / periodMs);
    if (moment < 0 || moment >= moments) {
      leftOut.outside++;
    } else if (missMs(at, moment) > limitMs) {
      leftOut.offGrid++;
    } else {
      const other = chosen[moment]!;
      if (other >= 0 && times[other] === times[at]) {
        leftOut[log.isSame(other, at) ? 'repeated' : 'contradicting']++;
      } else if (other < 0 || missMs(at, moment) < missMs(other, moment)) {
        if (other >= 0) leftOut.offGrid++;
        chosen[moment] = at;
      } else {
        leftOut.offGrid++;
      }
    }
  }
  return chosen;
}

/** Of each phase where it has several, else the one voltage there is. */
function voltageColumns(log: ReadingLog): readonly Column[] {
  const phases = PHASE_COLUMNS.filter((column) => log.isReported(column));
  if (phases.length > 1) return PHASE_COLUMNS;
  return log.isReported('voltage_v') ? ['voltage_v'] : phases;
}

const FIRST_ROOM = 256;
const GROWTH = 1.5;

/** The readings of one meter, column by column; columns nobody reports take no room. */
class ReadingLog {
  #times = new Float64Array();
  readonly #columns: (Float64Array | undefined)[] = COLUMNS.map(() => undefined);
  #length = 0;
  #isSorted = true;

  add(tsMs: number, values: readonly number[]): void {
    const at = this.#length++;
    if (at === this.#times.length) this.#grow();
    if (at > 0 && tsMs < this.#times[at - 1]!) this.#isSorted = false;
    this.#times[at] = tsMs;
    for (let c = 0; c < COLUMNS.length; c++) {
      const value = values[INDEXES[c]!]!;
      const column = this.#columns[c];
      if (column) column[at] = value;
      else if (!Number.isNaN(value)) {
        this.#columns[c] = new Float64Array(this.#times.length).fill(Number.NaN);
        this.#columns[c]![at] = value;
      }
    }
  }

  times(): Float64Array {
    return this.#times.subarray(0, this.#length);
  }

  column(name: Column): Float64Array | undefined {
    return this.#columns[COLUMNS.indexOf(name)];
  }

  /** Some put a nought where there is no voltage. */
  isReported(name: Column): boolean {
    return (
      this.column(name)
        ?.subarray(0, this.#length)
        .some((value) => value > 0) ?? false
    );
  }

  isSame(a: number, b: number): boolean {
    return this.#columns.every((column) => column === undefined || Object.is(column[a], column[b]));
  }

  /** By time; readings of one moment stay in order of arrival. */
  sort(): void {
    if (this.#isSorted) return;
    const times = this.#times;
    const order = Int32Array.from({ length: this.#length }, (_, at) => at);
    order.sort((a, b) => times[a]! - times[b]! || a - b);
    this.#times = Float64Array.from(order, (at) => times[at]!);
    this.#columns.forEach((column, c) => {
      if (column) this.#columns[c] = Float64Array.from(order, (at) => column[at]!);
    });
    this.#isSorted = true;
  }

  #grow(): void {
    const room = Math.max(FIRST_ROOM, Math.ceil(this.#times.length * GROWTH));
    this.#times = larger(this.#times, room);
    this.#columns.forEach((column, c) => {
      if (column) this.#columns[c] = larger(column, room);
    });
  }
}

function larger(values: Float64Array, room: number): Float64Array<ArrayBuffer> {
  const copy = new Float64Array(room).fill(Number.NaN, values.length);
  copy.set(values);
  return copy;
}
