/** What the readings store asks InfluxDB, in InfluxQL: bounded questions for some instruments at a time, pages of rows. */
import { QUANTITIES } from '../fleet/quantity.ts';
import type { Reading } from '../fleet/reading.ts';
import { type InfluxConnection, REQUEST_TIMEOUT_MS, type Series } from './influxdb-connection.ts';
import {
  INSTRUMENT_TAG,
  MAX_TIME_MS,
  MEASUREMENT,
  MIN_TIME_MS,
  quotedName,
  quotedTag,
  RECEIVED_FIELD,
  tagOf,
} from './influxdb-lines.ts';

/** Instruments one statement names: some tens of kilobytes of it. */
export const KEYS_PER_QUERY = 500;
/** Rows of a page: a few megabytes of JSON. */
export const PAGE_ROWS = 10_000;
/** Readings looked up by one statement, and the time they may span: whoever reports every 15 minutes has 96 rows a day. */
const LOOKED_UP_PER_QUERY = 2_000;
const LOOK_UP_SPAN_MS = 86_400_000;
/** Statements of one question under way at once. */
const QUERIES_AT_ONCE = 4;

const FROM = `FROM ${quotedName(MEASUREMENT)}`;
const TAG = quotedName(INSTRUMENT_TAG);
const RECEIVED = quotedName(RECEIVED_FIELD);
const FIELDS = [...QUANTITIES, RECEIVED_FIELD].map(quotedName).join(', ');

export interface ReceivedReading extends Reading {
  /** Epoch microseconds. */
  readonly receivedAtUs: number;
}

/** By instrument key; undefined = the ledger knows no such instrument. */
export type IdOf = (key: number) => string | undefined;

export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

export class InfluxQueries {
  readonly #connection: InfluxConnection;
  readonly #idOf: IdOf;

  constructor(connection: InfluxConnection, idOf: IdOf) {
    this.#connection = connection;
    this.#idOf = idOf;
  }

  /** Measurement time of the newest reading of each of these instruments that has one. */
  async newestMs(keys: readonly number[], deadlineMs: number): Promise<Map<number, number>> {
    const newest = new Map<number, number>();
    await this.#ask(keys, async (chunk) => {
      const statement = `SELECT last(${RECEIVED}) ${FROM} WHERE ${chunk.where} GROUP BY ${TAG}`;
      for (const { key, row } of chunk.rows(await this.#connection.query(statement, deadlineMs)))
        newest.set(key, row('time') as number);
    });
    return newest;
  }

  /** Rejects when InfluxDB does not answer, or does not know the token or the database. */
  async check(): Promise<void> {
    await this.#connection.query(`SELECT last(${RECEIVED}) ${FROM} WHERE ${TAG} = ${quotedTag('')}`, soon());
  }

  /** In the order of the keys. */
  async latest(keys: readonly number[]): Promise<ReceivedReading[]> {
    const latest = new Map<number, ReceivedReading>();
    await this.#ask(keys, async (chunk) => {
      const statement = `SELECT ${FIELDS} ${FROM} WHERE ${chunk.where} GROUP BY ${TAG} ORDER BY time DESC LIMIT 1`;
      for (const reading of chunk.readings(await this.#connection.query(statement, soon())))
        latest.set(reading.key, reading);
    });
    return [...new Set(keys)].flatMap((key) => latest.get(key) ?? []);
  }

  /** What is stored for the moments of these readings, by identity. */
  async storedFor(readings: readonly Reading[], deadlineMs: number): Promise<Map<string, Reading>> {
    const stored = new Map<string, Reading>();
    const wanted = new Set(readings.map(identity));
    await inParallel(QUERIES_AT_ONCE, lookUps(readings), async (part) => {
      const span = { fromMs: part[0]!.tsMs, toMs: part.at(-1)!.tsMs + 1 };
      for (const chunk of this.#chunks([...new Set(part.map(({ key }) => key))]))
        for await (const page of this.#pages(chunk, span, PAGE_ROWS, deadlineMs))
          for (const reading of page) if (wanted.has(identity(reading))) stored.set(identity(reading), reading);
    });
    return stored;
  }

  /** Readings of one instrument in order of time, at most `limit`. */
  async range(key: number, span: Span, limit: number): Promise<ReceivedReading[]> {
    const found: ReceivedReading[] = [];
    for (const chunk of this.#chunks([key]))
      for await (const page of this.#pages(chunk, span, Math.min(limit, PAGE_ROWS))) {
        found.push(...page);
        if (found.length >= limit) break;
      }
    return found.slice(0, limit);
  }

  /**
   * Readings of many instruments ordered by (ts, key). Every group of instruments has a page in memory: together
   * PAGE_ROWS, or two readings per instrument where that is more.
   */
  async *window(keys: readonly number[], span: Span): AsyncGenerator<ReceivedReading> {
    const chunks = this.#chunks([...new Set(keys)]);
    const rows = Math.ceil(PAGE_ROWS / Math.max(1, chunks.length));
    const sources = chunks.map((chunk) => ({
      pages: this.#pages(chunk, span, Math.max(rows, 2 * chunk.size)),
      page: [] as ReceivedReading[],
      done: false,
    }));
    for (;;) {
      await inParallel(
        QUERIES_AT_ONCE,
        sources.filter(({ page, done }) => page.length === 0 && !done),
        async (source) => {
          const next = await source.pages.next();
          source.page = next.value ?? [];
          source.done = next.done === true;
        },
      );
      const filled = sources.filter(({ page }) => page.length > 0);
      if (filled.length === 0) return;
      // A page holds all readings up to its last moment, so up to the earliest of these nothing is missing.
      const untilMs = Math.min(...filled.map(({ page }) => page.at(-1)!.tsMs));
      const ready = filled.flatMap((source) => {
        const behind = source.page.findIndex(({ tsMs }) => tsMs > untilMs);
        return source.page.splice(0, behind < 0 ? source.page.length : behind);
      });
      yield* ready.sort((a, b) => a.tsMs - b.tsMs || a.key - b.key);
    }
  }

  /** Readings of these instruments received after `sinceUs` and until `untilUs`, in no order. */
  async *received(
    keys: Iterable<number>,
    span: Span,
    sinceUs: number,
    untilUs: () => number,
  ): AsyncGenerator<ReceivedReading[]> {
    for (const chunk of this.#chunks([...keys])) {
      const { where } = chunk;
      const recent = () => `${where} AND ${RECEIVED} > ${sinceUs} AND ${RECEIVED} <= ${untilUs()}`;
      yield* this.#pages(chunk, span, PAGE_ROWS, Number.POSITIVE_INFINITY, recent);
    }
  }

  /** Whole moments in order of time: what a full page may have cut off is read with the next one. */
  async *#pages(
    chunk: Chunk,
    span: Span,
    rows: number,
    deadlineMs = Number.POSITIVE_INFINITY,
    where = () => chunk.where,
  ): AsyncGenerator<ReceivedReading[], undefined> {
    const toMs = Math.min(Math.ceil(span.toMs), MAX_TIME_MS + 1);
    let fromMs = Math.max(Math.ceil(span.fromMs), MIN_TIME_MS);
    const limit = Math.max(rows, chunk.size + 1);
    while (fromMs < toMs) {
      const time = `time >= ${fromMs}ms AND time <= ${toMs - 1}ms`;
      const statement = `SELECT ${FIELDS}, ${TAG} ${FROM} WHERE ${where()} AND ${time} ORDER BY time LIMIT ${limit}`;
      const series = await this.#connection.query(statement, Math.min(deadlineMs, soon()));
      const page = chunk.readings(series);
      if (page.length < limit) {
        if (page.length > 0) yield page;
        return;
      }
      const lastMs = page.at(-1)!.tsMs;
      const whole = page.findIndex(({ tsMs }) => tsMs === lastMs);
      // One instrument has one reading per moment, so this needs series that are not ours.
      if (whole === 0) throw new Error(`more series than instruments in ${MEASUREMENT}`);
      fromMs = lastMs;
      yield page.slice(0, whole);
    }
  }

  async #ask(keys: readonly number[], ask: (chunk: Chunk) => Promise<void>): Promise<void> {
    await inParallel(QUERIES_AT_ONCE, this.#chunks(keys), ask);
  }

  #chunks(keys: readonly number[]): Chunk[] {
    const named = keys.flatMap((key): [string, number][] => {
      const id = this.#idOf(key);
      return id === undefined ? [] : [[tagOf(id), key]];
    });
    const chunks: Chunk[] = [];
    for (let i = 0; i < named.length; i += KEYS_PER_QUERY) chunks.push(new Chunk(named.slice(i, i + KEYS_PER_QUERY)));
    return chunks;
  }
}

/** Instruments that one statement asks for. */
class Chunk {
  readonly #keyOfTag: ReadonlyMap<string, number>;

  constructor(named: readonly (readonly [string, number])[]) {
    this.#keyOfTag = new Map(named);
  }

  get size(): number {
    return this.#keyOfTag.size;
  }

  get where(): string {
    return anyOf([...this.#keyOfTag.keys()].map((tag) => `${TAG} = ${quotedTag(tag)}`));
  }

  /** Rows of an answer with their instrument, which stands in a column or above the series. */
  *rows(series: readonly Series[]): Generator<{ key: number; row: (column: string) => unknown }> {
    for (const { tags, columns, values } of series) {
      const columnAt = new Map(columns.map((name, i) => [name, i]));
      for (const cells of values) {
        const row = (column: string) => cells[columnAt.get(column) ?? -1];
        const key = this.#keyOfTag.get((row(INSTRUMENT_TAG) ?? tags?.[INSTRUMENT_TAG]) as string);
        if (key !== undefined) yield { key, row };
      }
    }
  }

  readings(series: readonly Series[]): ReceivedReading[] {
    const readings: ReceivedReading[] = [];
    for (const { key, row } of this.rows(series)) {
      const values = QUANTITIES.map((name) => {
        const value = row(name);
        return typeof value === 'number' ? value : Number.NaN;
      });
      readings.push({
        key,
        tsMs: row('time') as number,
        receivedAtUs: (row(RECEIVED_FIELD) ?? 0) as number,
        values,
      });
    }
    return readings;
  }
}

/** Nested by halves: InfluxDB 1.x takes quadratic time for a OR b OR c OR …, and a regular expression is tried on every tag. */
function anyOf(conditions: readonly string[]): string {
  if (conditions.length === 1) return conditions[0]!;
  const middle = conditions.length >> 1;
  return `(${anyOf(conditions.slice(0, middle))} OR ${anyOf(conditions.slice(middle))})`;
}

export function identity({ key, tsMs }: { readonly key: number; readonly tsMs: number }): string {
  return `${key}@${tsMs}`;
}

/** Work on all items, some at once. When one fails no further ones begin, and those under way come to their end first. */
export async function inParallel<T>(
  atOnce: number,
  items: Iterable<T>,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const queue = items[Symbol.iterator]();
  let failed = false;
  const workers = Array.from({ length: atOnce }, async (_, i) => {
    // What has been asked for leaves before the next item is made.
    if (i > 0) await new Promise((done) => setImmediate(done));
    while (!failed) {
      const next = queue.next();
      if (next.done) return;
      try {
        await work(next.value);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  });
  for (const result of await Promise.allSettled(workers)) if (result.status === 'rejected') throw result.reason;
}

/** In order of time, in parts that one statement can ask for without reading much that nobody wants. */
function lookUps(readings: readonly Reading[]): Reading[][] {
  const parts: Reading[][] = [];
  for (const reading of [...readings].sort((a, b) => a.tsMs - b.tsMs)) {
    const part = parts.at(-1);
    const fits = part && part.length < LOOKED_UP_PER_QUERY && reading.tsMs - part[0]!.tsMs < LOOK_UP_SPAN_MS;
    if (fits) part.push(reading);
    else parts.push([reading]);
  }
  return parts;
}

function soon(): number {
  return performance.now() + REQUEST_TIMEOUT_MS;
}
