/** Where the rows of each dataset come from. */
import { createHash } from 'node:crypto';
import type { Instrument } from '../fleet/instrument.ts';
import type { Kinds } from '../fleet/kind.ts';
import type { Reading } from '../fleet/reading.ts';
import type { PostgresHandover } from '../store/postgres-handover.ts';
import { ESTIMATES_TO_HAND_OVER, FINDINGS_TO_HAND_OVER, TASKS_TO_HAND_OVER } from '../store/postgres-handover.ts';
import type { ReadingStore } from '../store/readings.ts';
import { type Day, dayAt } from './calendar.ts';
import {
  type Dataset,
  estimatesDataset,
  findingsDataset,
  type Row,
  readingsDataset,
  tasksDataset,
} from './datasets.ts';
import type { LedgerMark } from './manifest.ts';
import type { Change, LedgerRegions } from './plan.ts';
import type { Source } from './run.ts';

/** Whose readings of a day are held in memory, twice: 6 000 at 96 a day, 92 000 at one a minute. More is no faster. */
const INSTRUMENTS_AT_ONCE = 64;

export interface ReadingsSourceOptions {
  readonly kinds: Kinds;
  readonly window: ReadingStore['window'];
  /** Infinity = there are none, undefined = unknown. */
  readonly firstMs: () => Promise<number | undefined>;
  readonly changes: (days: readonly Day[], sinceMs: number) => Promise<Change[]>;
  /** The ledger as it is now; the same object as long as nothing in it has changed. */
  readonly instruments: () => Promise<readonly Instrument[]>;
}

export class ReadingsSource implements Source {
  readonly dataset: Dataset;
  readonly #options: ReadingsSourceOptions;
  #known: readonly Instrument[] | undefined;
  #ledger: LedgerByRegion = new LedgerByRegion([]);

  constructor(options: ReadingsSourceOptions) {
    this.dataset = readingsDataset(options.kinds);
    this.#options = options;
  }

  firstMs(): Promise<number | undefined> {
    return this.#options.firstMs();
  }

  async changes(days: readonly Day[], sinceMs: number): Promise<Change[]> {
    if (Number.isFinite(sinceMs)) return this.#options.changes(days, sinceMs);
    return days.flatMap(({ name: day }) => this.#ledger.all.map((region) => ({ day, region, changedAtMs: sinceMs })));
  }

  async ledger(): Promise<LedgerRegions> {
    const instruments = await this.#options.instruments();
    if (instruments !== this.#known) this.#ledger = new LedgerByRegion(instruments);
    this.#known = instruments;
    return this.#ledger;
  }

  async *rows(day: Day, region: string): AsyncIterable<Row[]> {
    const instruments = this.#ledger.of(region);
    let next = this.#page(instruments.slice(0, INSTRUMENTS_AT_ONCE), day);
    for (let at = INSTRUMENTS_AT_ONCE; at < instruments.length; at += INSTRUMENTS_AT_ONCE) {
      const page = await next;
      // The store works while the page is written; nobody may be left to hear of its failure.
      next = this.#page(instruments.slice(at, at + INSTRUMENTS_AT_ONCE), day);
      next.catch(() => {});
      yield page;
    }
    yield await next;
  }

  /** By instrument and time. */
  async #page(instruments: readonly Instrument[], { fromMs, toMs }: Day): Promise<Row[]> {
    const readings = new Map<number, Reading[]>(instruments.map(({ key }) => [key, []]));
    for await (const reading of this.#options.window([...readings.keys()], fromMs, toMs))
      readings.get(reading.key)!.push(reading);
    return instruments.flatMap((instrument) =>
      readings.get(instrument.key)!.map((reading) => rowOf(instrument, reading)),
    );
  }
}

function rowOf({ id, kind, role, district }: Instrument, { tsMs, values }: Reading): Row {
  return [id, kind, role, district, tsMs, ...values];
}

/** The ledger at one moment. */
class LedgerByRegion implements LedgerRegions {
  readonly all: readonly string[];
  readonly #instruments: readonly Instrument[];
  readonly #byRegion: ReadonlyMap<string, Instrument[]>;
  readonly #marks = new Map<number, LedgerMark>();

  constructor(instruments: readonly Instrument[]) {
    this.#instruments = instruments.toSorted((a, b) => a.key - b.key);
    this.#byRegion = Map.groupBy(instruments, ({ region }) => region);
    this.all = [...this.#byRegion.keys()].sort();
    for (const some of this.#byRegion.values())
      some.sort((a, b) => compare(a.district, b.district) || compare(a.id, b.id));
  }

  of(region: string): readonly Instrument[] {
    return this.#byRegion.get(region) ?? [];
  }

  /** Keys are dense and given in order: later instruments do not change the mark of earlier ones. */
  mark(count: number): LedgerMark {
    const instruments = Math.min(count, this.#instruments.length);
    let mark = this.#marks.get(instruments);
    if (!mark) {
      const hash = createHash('sha256');
      for (let i = 0; i < instruments; i++) hash.update(`${this.#instruments[i]!.region}\n`);
      mark = { instruments, digest: hash.digest('hex').slice(0, 32) };
      this.#marks.set(instruments, mark);
    }
    return mark;
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

export function findingsSource(kept: PostgresHandover): Source {
  return keptSource(findingsDataset(), kept, FINDINGS_TO_HAND_OVER);
}

export function tasksSource(kept: PostgresHandover): Source {
  return keptSource(tasksDataset(), kept, TASKS_TO_HAND_OVER);
}

export function estimatesSource(kept: PostgresHandover): Source {
  return {
    ...keptSource(estimatesDataset(), kept, ESTIMATES_TO_HAND_OVER),
    rows: ({ fromMs, toMs }, region) => kept.estimateRows(fromMs, toMs, region),
  };
}

function keptSource(dataset: Dataset, kept: PostgresHandover, what: typeof FINDINGS_TO_HAND_OVER): Source {
  return {
    dataset,
    firstMs: () => kept.firstMs(what),
    changes: async (days, sinceMs) => changesOf(days, await kept.changedRows(what, boundsOf(days), sinceMs)),
    ledger: async () => undefined,
    rows: ({ fromMs, toMs }, region) => kept.rows(what, fromMs, toMs, region),
  };
}

/** For a store that tells of every reading when it was received, but not which days that concerns. */
export async function lateReadings(
  received: AsyncIterable<readonly (Pick<Reading, 'key' | 'tsMs'> & { readonly receivedAtUs: number })[]>,
  regionOf: (key: number) => string | undefined,
  days: readonly Day[],
): Promise<Change[]> {
  const newest = new Map<string, Change>();
  for await (const page of received) {
    for (const { key, tsMs, receivedAtUs } of page) {
      const day = dayAt(days, tsMs)?.name;
      const region = regionOf(key);
      if (day === undefined || region === undefined) continue;
      const [place, changedAtMs] = [`${day} ${region}`, receivedAtUs / 1000];
      if (changedAtMs > (newest.get(place)?.changedAtMs ?? 0)) newest.set(place, { day, region, changedAtMs });
    }
  }
  return [...newest.values()];
}

/** Days follow on each other. */
export function boundsOf(days: readonly Day[]): number[] {
  return [...days.map(({ fromMs }) => fromMs), days.at(-1)!.toMs];
}

export function changesOf(
  days: readonly Day[],
  rows: readonly { readonly index: number; readonly region: string; readonly changedAtMs: number }[],
): Change[] {
  return rows.map(({ index, region, changedAtMs }) => ({ day: days[index]!.name, region, changedAtMs }));
}
