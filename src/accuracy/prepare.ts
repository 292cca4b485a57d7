/** What of a window can enter the balance, and why the rest cannot. */
import type { AccuracyPolicy, DistrictNote, DistrictWindow, MeterSeries, Reason, VerdictReason } from './district.ts';
import { ratioOf } from './ratios.ts';
import { type Energy, energyOf } from './registers.ts';
import { round, sum } from './sums.ts';

/** A register that counts nothing at the end of the window for so long, and for so many times as long as ever before, may be stuck. */
const STUCK_HOURS = 48;
const STUCK_TIMES = 3;

export interface Prepared {
  readonly window: DistrictWindow;
  readonly policy: AccuracyPolicy;
  readonly solvable: boolean;
  /** Why nothing can be said of any meter. */
  readonly reason: Reason<VerdictReason> | undefined;
  /** Indexes of the users that enter the balance. */
  readonly used: readonly number[];
  readonly energies: readonly (Energy | undefined)[];
  readonly master: Energy | undefined;
  /** By user: why its verdict is no more than undetermined, or less. */
  readonly reasons: readonly (Reason<VerdictReason> | undefined)[];
  /** By user: the row from which it counts nothing; undefined = it counts to the end. */
  readonly stillFrom: readonly (number | undefined)[];
  /** V/V0 by place in `used`. */
  readonly ratios: readonly (Float64Array | undefined)[];
  readonly notes: readonly DistrictNote[];
}

export function prepare(window: DistrictWindow, policy: AccuracyPolicy): Prepared {
  const { master, users, moments } = window;
  const notes: DistrictNote[] = [];
  const energies = users.map(energyOfMeter);
  const masterEnergy = master && energyOfMeter(master);
  const used = users.flatMap((_, i) => (energies[i] ? [i] : []));
  const reasons = users.map((_, i) => reasonOf(energies[i], policy));
  const stillFrom: (number | undefined)[] = users.map(() => undefined);
  users.forEach((user, i) => {
    const energy = energies[i];
    if (!energy) return;
    for (const k of energy.resets) {
      const atText = new Date(window.fromMs + k * window.periodMs).toISOString();
      notes.push({ code: 'register_reset', params: { at: atText }, instrument: user.id });
    }
    const still = stillRows(energy);
    const hours = (still.last * window.periodMs) / 3_600_000;
    if (hours < STUCK_HOURS || still.last < STUCK_TIMES * still.before) return;
    stillFrom[i] = energy.kwh.length - still.last;
  });
  const ratios = used.map((i) => {
    const found = master && ratioOf(users[i]!, master, moments);
    if (found?.wrong) {
      const params = { ledger: users[i]!.phase ?? '', measured: found.wrong };
      notes.push({ code: 'wrong_phase', params, instrument: users[i]!.id });
    }
    return found?.ratio;
  });
  const few = { rows: masterEnergy?.rowsRead ?? 0, needed: policy.minRows };
  const reason: Reason<VerdictReason> | undefined = !master
    ? { code: 'no_master', params: {} }
    : !masterEnergy || few.rows < policy.minRows || used.length === 0
      ? { code: 'too_few_rows', params: few }
      : undefined;
  return {
    window,
    policy,
    solvable: reason === undefined,
    reason,
    used,
    energies,
    master: masterEnergy,
    reasons,
    stillFrom,
    ratios,
    notes,
  };
}

/** With registers that were passed on unchanged taken for not read since. */
export function withStuck(prepared: Prepared, stuck: ReadonlySet<number>): Prepared {
  const energies = prepared.energies.map((energy, i) => {
    const from = stuck.has(i) ? prepared.stillFrom[i] : undefined;
    return from === undefined ? energy : (energyOfMeter(readUntil(prepared.window.users[i]!, from)) ?? energy);
  });
  return { ...prepared, energies, stillFrom: prepared.stillFrom.map((from, i) => (stuck.has(i) ? undefined : from)) };
}

function readUntil(meter: MeterSeries, last: number): MeterSeries {
  const until = (register: Float64Array) => register.map((kwh, k) => (k > last ? Number.NaN : kwh));
  return { ...meter, importKwh: until(meter.importKwh), exportKwh: meter.exportKwh && until(meter.exportKwh) };
}

/** undefined = fewer than two readings. */
function energyOfMeter({ importKwh, exportKwh }: MeterSeries): Energy | undefined {
  let count = 0;
  for (let k = 0; k < importKwh.length && count < 2; k++) {
    if (!Number.isNaN(importKwh[k]! + (exportKwh?.[k] ?? 0))) count++;
  }
  return count === 2 ? energyOf(importKwh, exportKwh) : undefined;
}

function reasonOf(energy: Energy | undefined, policy: AccuracyPolicy): Reason<VerdictReason> | undefined {
  if (!energy?.rowsRead) return { code: 'no_readings', params: {} };
  const { rowsRead, collection } = energy;
  if (rowsRead < policy.minRows) return { code: 'too_few_rows', params: { rows: rowsRead, needed: policy.minRows } };
  if (isLittle(energy.kwh, policy)) {
    const energyKwh = round(sum(energy.kwh), 3);
    return { code: 'too_little_energy', params: { energyKwh, neededKwh: policy.minEnergyKwh } };
  }
  if (collection < policy.minCollection) {
    return {
      code: 'low_collection',
      params: { collectionPct: round(100 * collection, 2), neededPct: 100 * policy.minCollection },
    };
  }
  return undefined;
}

/** Of so little energy, counted or fed back, anything can be said. */
export function isLittle(kwh: Float64Array, { minEnergyKwh }: Pick<AccuracyPolicy, 'minEnergyKwh'>): boolean {
  return Math.abs(sum(kwh)) < minEnergyKwh;
}

/** Rows in which nothing was counted: at the end, and the longest run before; none at a meter that never counts. */
function stillRows({ kwh }: Energy): { last: number; before: number } {
  let [last, before] = [0, 0];
  for (let t = 0; t < kwh.length; t++) {
    if (kwh[t] === 0) {
      last++;
      continue;
    }
    before = Math.max(before, last);
    last = 0;
  }
  return last === kwh.length ? { last: 0, before: 0 } : { last, before };
}
