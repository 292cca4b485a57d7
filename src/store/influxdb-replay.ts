/**
 * Readings again as they were received, for the rules after a restart. InfluxDB finds readings by measurement time only, so
 * an append that holds older ones than usual leaves a mark of how far back it reaches before it is written.
 */
import { randomBytes } from 'node:crypto';
import type { Reading } from '../fleet/reading.ts';
import { type InfluxConnection, REQUEST_TIMEOUT_MS } from './influxdb-connection.ts';
import { quotedName } from './influxdb-lines.ts';
import type { InfluxQueries, ReceivedReading } from './influxdb-queries.ts';

/** One append's readings: the unit in which rule state is replayed. */
export interface ReceivedBatch {
  readonly receivedAtUs: number;
  readonly readings: readonly Reading[];
}

const MARKS = 'backfills';
/** Readings received no later than that after their measurement are found without a mark. */
const LOOK_BACK_MS = 3_600_000;
/** A mark holds for what is received within that time after it, so that a backfill does not wait for one per append. */
const MARK_HOLDS_US = 10_000_000;
/** Readings sorted at once; when there are more, those received first are replayed and the others read again. */
const REPLAYED_AT_ONCE = 400_000;

export class BackfillMarks {
  readonly #connection: InfluxConnection;
  /** Two processes may mark the same microsecond: a point of the same series would take the other's place. */
  readonly #writer = randomBytes(6).toString('hex');
  #oldestMs = Number.POSITIVE_INFINITY;
  #markedAtUs = Number.NEGATIVE_INFINITY;

  constructor(connection: InfluxConnection) {
    this.#connection = connection;
  }

  /** To be called before these readings are written. */
  async before(readings: readonly Reading[], receivedAtUs: number, deadlineMs: number): Promise<void> {
    let oldestMs = Number.POSITIVE_INFINITY;
    for (const { tsMs } of readings) oldestMs = Math.min(oldestMs, tsMs);
    if (oldestMs >= receivedAtUs / 1000 - LOOK_BACK_MS) return;
    if (oldestMs >= this.#oldestMs && receivedAtUs - this.#markedAtUs < MARK_HOLDS_US) return;
    // A day more, so that a backfill in any order needs few of them.
    const reachesMs = Math.floor(oldestMs) - 86_400_000;
    // Refused, it costs the rules a backfill after a crash; the readings themselves must not wait for it.
    await this.#connection.write(
      `${MARKS},writer=${this.#writer} oldest_ms=${reachesMs}i ${receivedAtUs}`,
      'us',
      deadlineMs,
    );
    this.#oldestMs = reachesMs;
    this.#markedAtUs = receivedAtUs;
  }

  /** No reading received after `sinceUs` was measured before that. */
  async oldestMs(sinceUs: number): Promise<number> {
    const from = Math.max(0, sinceUs - MARK_HOLDS_US);
    const [series] = await this.#connection.query(
      `SELECT min("oldest_ms") FROM ${quotedName(MARKS)} WHERE time >= ${from}u`,
      performance.now() + REQUEST_TIMEOUT_MS,
    );
    const marked = series?.values[0]?.[series.columns.indexOf('min')];
    const usualMs = sinceUs / 1000 - LOOK_BACK_MS;
    return typeof marked === 'number' ? Math.min(marked, usualMs) : usualMs;
  }
}

export async function* replay(
  queries: InfluxQueries,
  marks: BackfillMarks,
  sinceUs: number,
  keys: readonly number[],
  atOnce = REPLAYED_AT_ONCE,
): AsyncGenerator<ReceivedBatch> {
  const span = { fromMs: await marks.oldestMs(sinceUs), toMs: Number.POSITIVE_INFINITY };
  for (let doneUs = sinceUs; ; ) {
    let untilUs = Number.MAX_SAFE_INTEGER;
    let found: ReceivedReading[] = [];
    for await (const page of queries.received(keys, span, doneUs, () => untilUs)) {
      for (const reading of page) if (reading.receivedAtUs <= untilUs) found.push(reading);
      if (found.length < 2 * atOnce) continue;
      found.sort(inOrder);
      untilUs = found[atOnce]!.receivedAtUs;
      found = found.filter(({ receivedAtUs }) => receivedAtUs <= untilUs);
    }
    for (const [receivedAtUs, batch] of Map.groupBy(found.sort(inOrder), (reading) => reading.receivedAtUs))
      yield { receivedAtUs, readings: batch.map(({ key, tsMs, values }) => ({ key, tsMs, values })) };
    if (untilUs === Number.MAX_SAFE_INTEGER) return;
    doneUs = untilUs;
  }
}

function inOrder(a: ReceivedReading, b: ReceivedReading): number {
  return a.receivedAtUs - b.receivedAtUs || a.tsMs - b.tsMs || a.key - b.key;
}
