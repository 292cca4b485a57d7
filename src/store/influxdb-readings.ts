/**
 * Readings in InfluxDB 1.8, 2.x or 3.x. InfluxDB replaces a point silently, so what may be stored already is read back and
 * compared before anything is written; what is newer than all that is known of its instrument is written at once.
 */
import { namedValues, type Reading, sameValues } from '../fleet/reading.ts';
import { InfluxConnection, type InfluxOptions, REQUEST_TIMEOUT_MS } from './influxdb-connection.ts';
import { type IdOf, InfluxQueries, identity, type ReceivedReading, type Span } from './influxdb-queries.ts';
import { BackfillMarks, type ReceivedBatch, replay } from './influxdb-replay.ts';
import { OtherWriters, type WritersLog } from './influxdb-writers.ts';
import { InfluxWriter } from './influxdb-writing.ts';
import type { AppendResult, Conflict, ReadingStore, RefusedReading, StoredReading } from './readings.ts';

/** From the call of append, waiting for earlier ones included; messages wait 20 s in the pipeline. */
export const APPEND_TIMEOUT_MS = 15_000;

export interface InfluxReadingsOptions extends InfluxOptions {
  /** From the ledger; the id becomes the tag, so it must never change. */
  readonly idOf: IdOf;
  /** Every instrument of the ledger: those that are asked what was received of them. */
  readonly keys: () => Iterable<number>;
  /** Of all processes that write readings, this one included; absent = it is alone. */
  readonly log?: WritersLog;
  readonly nowMs: () => number;
}

export class InfluxReadings implements ReadingStore {
  readonly #connection: InfluxConnection;
  readonly #queries: InfluxQueries;
  readonly #writer: InfluxWriter;
  readonly #marks: BackfillMarks;
  readonly #keys: () => Iterable<number>;
  readonly #others: OtherWriters | undefined;
  readonly #nowMs: () => number;
  /**
   * Newest measurement time per instrument key, -Infinity = nothing stored. An instrument that is not in it is asked for
   * first. Readings beyond it are new, unless another process is writing them right now.
   */
  readonly #newestMs = new Map<number, number>();
  #receivedAtUs = 0;
  #closed = false;
  #tail: Promise<unknown> = Promise.resolve();

  constructor({ idOf, keys, log, nowMs, ...options }: InfluxReadingsOptions) {
    this.#connection = new InfluxConnection(options);
    this.#queries = new InfluxQueries(this.#connection, idOf);
    this.#writer = new InfluxWriter(this.#connection, this.#queries, idOf);
    this.#marks = new BackfillMarks(this.#connection);
    this.#keys = keys;
    this.#others =
      log &&
      new OtherWriters(
        log,
        (reading) => this.#learn(reading),
        () => this.#newestMs.clear(),
      );
    this.#nowMs = nowMs;
  }

  /** Rejects when InfluxDB does not answer, or does not know the token or the bucket. */
  async check(): Promise<void> {
    await this.#queries.check();
  }

  /** For who writes: questions need no organization, and a token may allow nothing else. */
  async checkWriting(): Promise<void> {
    await this.#connection.write('', 'ms', performance.now() + REQUEST_TIMEOUT_MS);
  }

  /** With a log an empty batch looks at what others logged: to be called now and then, since the log is not kept for long. */
  append(batch: readonly Reading[]): Promise<AppendResult> {
    if (this.#closed) return Promise.reject(this.#connection.unavailable('the store is closed'));
    const deadlineMs = performance.now() + APPEND_TIMEOUT_MS;
    const appended = this.#tail.then(() => this.#append(batch, deadlineMs));
    this.#tail = appended.catch(() => {});
    return appended;
  }

  /** Receipt time of the newest batch, epoch microseconds. */
  get receivedAtUs(): number {
    return this.#receivedAtUs;
  }

  async #append(batch: readonly Reading[], deadlineMs: number): Promise<AppendResult> {
    if (batch.length === 0 && !this.#others) return { stored: 0, duplicates: 0, conflicts: [] };
    if (performance.now() > deadlineMs) throw this.#connection.unavailable('earlier readings are still waiting');
    this.#receivedAtUs = Math.max(Math.floor(this.#nowMs() * 1000), this.#receivedAtUs + 1);
    try {
      return await this.#store(batch, deadlineMs);
    } catch (error) {
      // Some of it may have been stored, or be on its way: whoever comes next looks before it writes.
      for (const { key } of batch) this.#newestMs.delete(key);
      throw error;
    }
  }

  async #store(batch: readonly Reading[], deadlineMs: number): Promise<AppendResult> {
    const others = this.#others;
    await others?.follow();
    await this.#restore(deadlineMs);
    await this.#learnNewest(batch, deadlineMs);
    const { fresh, doubtful, repeated } = this.#sort(batch);
    const there =
      doubtful.length > 0 ? await this.#queries.storedFor(doubtful, deadlineMs) : new Map<string, Reading>();
    const known = doubtful.filter((reading) => there.has(identity(reading)));
    const writing = [...fresh, ...doubtful.filter((reading) => !there.has(identity(reading)))];
    others?.writing(writing);
    await this.#marks.before(writing, this.#receivedAtUs, deadlineMs);
    const refusals = await this.#writer.write(writing, this.#receivedAtUs, deadlineMs);

    const refused = writing
      .filter((reading) => refusals.has(reading))
      .map((reading) => refusedReading(reading, refusals.get(reading)!));
    const written = writing.filter((reading) => !refusals.has(reading));
    for (const { key, tsMs } of written) if (tsMs > this.#newestMs.get(key)!) this.#newestMs.set(key, tsMs);
    if (others) {
      const found = known.filter((reading) => sameValues(there.get(identity(reading))!.values, reading.values));
      await others.log(written, found);
      await this.#restore(deadlineMs);
    }
    const second = others ? written.filter((reading) => others.first(reading)) : [];
    if (repeated.length > 0) for (const reading of written) there.set(identity(reading), reading);
    for (const reading of [...known, ...second]) {
      const first = others?.first(reading);
      if (first) there.set(identity(reading), first);
    }
    let duplicates = 0;
    const conflicts: Conflict[] = [];
    for (const reading of [...known, ...second, ...repeated]) {
      const kept = there.get(identity(reading));
      if (!kept) refused.push(refusedReading(reading, 'another reading of the same moment was refused'));
      else if (sameValues(kept.values, reading.values)) duplicates++;
      else conflicts.push(conflict(kept, reading));
    }
    others?.settled(batch);
    const stored = written.length - second.length;
    return { stored, duplicates, conflicts, ...(refused.length > 0 && { refused }) };
  }

  /** Writes again what was first and has been overwritten from here. */
  async #restore(deadlineMs: number): Promise<void> {
    const overwritten = this.#others?.overwritten ?? [];
    if (overwritten.length === 0) return;
    await this.#writer.write(overwritten, this.#receivedAtUs, deadlineMs);
    this.#others!.restored();
  }

  #learn({ key, tsMs }: Reading): void {
    const newestMs = this.#newestMs.get(key);
    if (newestMs !== undefined && tsMs > newestMs) this.#newestMs.set(key, tsMs);
  }

  /** The first time an instrument is seen in this process, or after a failure, its newest stored time is asked first. */
  async #learnNewest(batch: readonly Reading[], deadlineMs: number): Promise<void> {
    const unknown = new Set<number>();
    for (const { key } of batch) if (!this.#newestMs.has(key)) unknown.add(key);
    if (unknown.size === 0) return;
    const newest = await this.#queries.newestMs([...unknown], deadlineMs);
    for (const key of unknown) this.#newestMs.set(key, newest.get(key) ?? Number.NEGATIVE_INFINITY);
  }

  /** `repeated`: the same moment of an instrument once more in this batch. */
  #sort(batch: readonly Reading[]): { fresh: Reading[]; doubtful: Reading[]; repeated: Reading[] } {
    const fresh: Reading[] = [];
    const doubtful: Reading[] = [];
    const repeated: Reading[] = [];
    const newest = new Map<number, number>();
    let inOrder = true;
    for (const { key, tsMs } of batch) {
      if (tsMs <= (newest.get(key) ?? Number.NEGATIVE_INFINITY)) inOrder = false;
      newest.set(key, tsMs);
    }
    const seen = new Set<string>();
    for (const reading of batch) {
      if (!inOrder) {
        if (seen.has(identity(reading))) {
          repeated.push(reading);
          continue;
        }
        seen.add(identity(reading));
      }
      (reading.tsMs > this.#newestMs.get(reading.key)! ? fresh : doubtful).push(reading);
    }
    return { fresh, doubtful, repeated };
  }

  async range(key: number, fromMs: number, toMs: number, limit: number): Promise<StoredReading[]> {
    return (await this.#queries.range(key, { fromMs, toMs }, limit)).map(storedReading);
  }

  async latest(keys: readonly number[]): Promise<Map<number, StoredReading>> {
    const latest = await this.#queries.latest(keys);
    return new Map(latest.map((reading) => [reading.key, storedReading(reading)]));
  }

  async *window(keys: readonly number[], fromMs: number, toMs: number): AsyncIterable<Reading> {
    for await (const { key, tsMs, values } of this.#queries.window(keys, { fromMs, toMs })) yield { key, tsMs, values };
  }

  /**
   * Batches received after `sinceUs`, in the order and composition in which they were stored; leaves the receipt clock
   * behind the newest of them, so that time going backwards over a restart cannot hide a batch.
   */
  async *receivedSince(sinceUs: number): AsyncIterable<ReceivedBatch> {
    this.#receivedAtUs = Math.max(this.#receivedAtUs, sinceUs);
    for await (const batch of replay(this.#queries, this.#marks, sinceUs, [...this.#keys()])) {
      this.#receivedAtUs = Math.max(this.#receivedAtUs, batch.receivedAtUs);
      yield batch;
    }
  }

  /** Readings of a span received at or after `sinceUs`, page by page, in no order. */
  async *receivedIn({ fromMs, toMs }: Span, sinceUs: number): AsyncIterable<ReceivedReading[]> {
    const span = { fromMs: Math.max(fromMs, await this.#marks.oldestMs(sinceUs)), toMs };
    yield* this.#queries.received(this.#keys(), span, sinceUs - 1, () => Number.MAX_SAFE_INTEGER);
  }

  /** No reading received at or after `sinceMs` was measured before that. */
  async firstMs(sinceMs: number): Promise<number> {
    return await this.#marks.oldestMs(sinceMs * 1000);
  }

  /** Refuses what still comes and waits for what is under way. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#tail;
    this.#connection.close();
  }
}

function storedReading({ tsMs, receivedAtUs, values }: ReceivedReading): StoredReading {
  return { tsMs, receivedAtMs: receivedAtUs / 1000, values: namedValues(values) };
}

function refusedReading({ key, tsMs }: Reading, reason: string): RefusedReading {
  return { key, tsMs, reason };
}

function conflict(kept: Reading, { key, tsMs, values }: Reading): Conflict {
  return { key, tsMs, kept: namedValues(kept.values), refused: namedValues(values) };
}
