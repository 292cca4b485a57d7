/** Readings in PostgreSQL: COPY for what is new by all we know, an upsert for the rest, daily partitions. */

import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { QUANTITIES } from '../fleet/quantity.ts';
import { namedValues, type Reading, sameValues } from '../fleet/reading.ts';
import { encodeCopyRows } from './copy-rows.ts';
import { inTransaction, patient } from './postgres.ts';
import { Commits } from './postgres-commits.ts';
import { Days } from './postgres-days.ts';
import type { AppendResult, Conflict, ReadingStore, StoredReading } from './readings.ts';

const DAY_MS = 86_400_000;
/** Over which whoever prepares days may be away. */
const DAYS_AHEAD = 2;
/** unique_violation, deadlock_detected: another writer had the same readings. */
const RACES: ReadonlySet<string> = new Set(['23505', '40P01']);
/** check_violation: no partition for the row. */
const NO_DAY = '23514';
const ATTEMPTS = 4;
/** Rows fetched at once from a cursor: a few megabytes. */
const FETCH_ROWS = 10_000;
const VALUE_COLUMNS = QUANTITIES.join(', ');
const EPOCH_MS = (column: string) => `(extract(epoch FROM ${column}) * 1000)::float8`;

/** One commit's readings as they were received: the unit in which rule state is replayed. */
export interface ReceivedBatch {
  readonly receivedAtUs: number;
  readonly readings: readonly Reading[];
}

export class PostgresReadings implements ReadingStore {
  readonly #pool: pg.Pool;
  readonly #commits: Commits;
  readonly #days: Days;
  readonly #nowMs: () => number;
  /** Newest measurement time known per instrument key. A hint: the primary key is what keeps readings unique. */
  readonly #newestMs = new Map<number, number>();
  #receivedAtUs = 0;
  #tail: Promise<unknown> = Promise.resolve();

  constructor(pool: pg.Pool, nowMs: () => number, commits = new Commits(pool)) {
    this.#pool = pool;
    this.#commits = commits;
    this.#days = new Days(pool, commits);
    this.#nowMs = nowMs;
  }

  append(batch: readonly Reading[]): Promise<AppendResult> {
    const appended = this.#tail.then(() => this.#append(batch));
    this.#tail = appended.catch(() => {});
    return appended;
  }

  /** Receipt time of the newest batch, epoch microseconds. */
  get receivedAtUs(): number {
    return this.#receivedAtUs;
  }

  async #append(batch: readonly Reading[]): Promise<AppendResult> {
    if (batch.length === 0) return { stored: 0, duplicates: 0, conflicts: [] };
    await this.#days.make(batch.map(({ tsMs }) => tsMs));
    this.#receivedAtUs = Math.max(this.#nowMs() * 1000, this.#receivedAtUs + 1);
    for (let attempt = 1; ; attempt++) {
      try {
        // The last resort assumes nothing and touches rows in one order, so writers cannot block each other in a circle.
        return await (attempt < ATTEMPTS ? this.#write(batch) : this.#commit([], inKeyOrder(batch)));
      } catch (error) {
        if (attempt === ATTEMPTS || !(await this.#remedied(error, batch))) throw error;
      }
    }
  }

  /** Puts right what another writer may be the cause of; false = it is something else. */
  async #remedied(error: unknown, batch: readonly Reading[]): Promise<boolean> {
    const { code = '' } = error as { code?: string };
    // Something we believed new is stored already, or another writer stores it right now: learn what is.
    if (RACES.has(code)) await this.#learnNewest(batch);
    else if (code === NO_DAY) {
      this.#days.forget();
      await this.#days.make(batch.map(({ tsMs }) => tsMs));
    } else return false;
    return true;
  }

  async #write(batch: readonly Reading[]): Promise<AppendResult> {
    const fresh: Reading[] = [];
    const doubtful: Reading[] = [];
    const newest = new Map<number, number>();
    for (const reading of batch) {
      const known = newest.get(reading.key) ?? this.#newestMs.get(reading.key) ?? Number.NEGATIVE_INFINITY;
      if (reading.tsMs > known) {
        newest.set(reading.key, reading.tsMs);
        fresh.push(reading);
      } else doubtful.push(reading);
    }
    const result = await this.#commit(fresh, doubtful);
    for (const [key, tsMs] of newest) this.#newestMs.set(key, tsMs);
    return result;
  }

  async #commit(fresh: readonly Reading[], doubtful: readonly Reading[]): Promise<AppendResult> {
    return this.#commits.run(async (client) => {
      // A single COPY is its own transaction: one round trip to disk.
      if (doubtful.length === 0) await copy(client, fresh, this.#receivedAtUs);
      else return inTransaction(client, () => this.#copyAndUpsert(client, fresh, doubtful));
      return { stored: fresh.length, duplicates: 0, conflicts: [] };
    });
  }

  async #copyAndUpsert(
    client: pg.PoolClient,
    fresh: readonly Reading[],
    doubtful: readonly Reading[],
  ): Promise<AppendResult> {
    if (fresh.length > 0) await copy(client, fresh, this.#receivedAtUs);
    const missing = await insertMissing(client, doubtful, this.#receivedAtUs);
    const conflicts = await findConflicts(client, missing.refused);
    return {
      stored: fresh.length + missing.stored,
      duplicates: missing.refused.length - conflicts.length,
      conflicts,
    };
  }

  async #learnNewest(batch: readonly Reading[]): Promise<void> {
    const newest = await this.latest([...new Set(batch.map(({ key }) => key))]);
    for (const [key, { tsMs }] of newest) this.#newestMs.set(key, tsMs);
  }

  async range(key: number, fromMs: number, toMs: number, limit: number): Promise<StoredReading[]> {
    const { rows } = await this.#pool.query<StoredRow>({
      name: 'readings-range',
      text: `SELECT ${EPOCH_MS('ts')} AS ts_ms, ${EPOCH_MS('received_at')} AS received_ms, ${VALUE_COLUMNS}
             FROM readings WHERE instrument = $1 AND ts >= $2 AND ts < $3 ORDER BY ts LIMIT $4`,
      values: [key, new Date(fromMs), new Date(toMs), limit],
    });
    return rows.map(storedReading);
  }

  async latest(keys: readonly number[]): Promise<Map<number, StoredReading>> {
    const { rows } = await this.#pool.query<StoredRow & { key: number }>(
      `SELECT wanted.key, ${EPOCH_MS('newest.ts')} AS ts_ms, ${EPOCH_MS('newest.received_at')} AS received_ms, ${VALUE_COLUMNS}
       FROM unnest($1::int[]) AS wanted (key)
       CROSS JOIN LATERAL (SELECT * FROM readings WHERE instrument = wanted.key ORDER BY ts DESC LIMIT 1) AS newest`,
      [keys],
    );
    return new Map(rows.map((row) => [row.key, storedReading(row)]));
  }

  async *window(keys: readonly number[], fromMs: number, toMs: number): AsyncIterable<Reading> {
    const rows = cursor<ReadingRow>(
      this.#pool,
      `SELECT instrument, ${EPOCH_MS('ts')} AS ts_ms, ${VALUE_COLUMNS} FROM readings
       WHERE instrument = ANY ($1::int[]) AND ts >= $2 AND ts < $3 ORDER BY ts, instrument`,
      [keys, new Date(fromMs), new Date(toMs)],
    );
    for await (const page of rows) for (const row of page) yield reading(row);
  }

  /**
   * Batches received after `sinceUs`, in the order and composition in which they were committed; leaves the receipt clock
   * behind the newest of them, so that time going backwards over a restart cannot hide a batch.
   */
  async *receivedSince(sinceUs: number): AsyncIterable<ReceivedBatch> {
    this.#receivedAtUs = Math.max(this.#receivedAtUs, sinceUs);
    const rows = cursor<ReadingRow & { received_us: string }>(
      this.#pool,
      `SELECT instrument, ${EPOCH_MS('ts')} AS ts_ms, (extract(epoch FROM received_at) * 1000000)::int8 AS received_us, ${VALUE_COLUMNS}
       FROM readings WHERE received_at > to_timestamp($1::numeric / 1000000) ORDER BY received_at, ts, instrument`,
      [String(sinceUs)],
    );
    let batch: { receivedAtUs: number; readings: Reading[] } = { receivedAtUs: sinceUs, readings: [] };
    for await (const page of rows) {
      for (const row of page) {
        const receivedAtUs = Number(row.received_us);
        if (receivedAtUs !== batch.receivedAtUs) {
          if (batch.readings.length > 0) yield batch;
          batch = { receivedAtUs, readings: [] };
          this.#receivedAtUs = Math.max(this.#receivedAtUs, receivedAtUs);
        }
        batch.readings.push(reading(row));
      }
    }
    if (batch.readings.length > 0) yield batch;
  }

  /** Makes today and the days ahead, so that no commit has to. */
  async prepareDays(): Promise<void> {
    await this.#days.make(Array.from({ length: 1 + DAYS_AHEAD }, (_, i) => this.#nowMs() + i * DAY_MS));
  }

  /** Drops whole days before `beforeMs`; returns how many. */
  dropDaysBefore(beforeMs: number): Promise<number> {
    return this.#days.dropBefore(beforeMs);
  }
}

async function copy(client: pg.PoolClient, readings: readonly Reading[], receivedAtUs: number): Promise<void> {
  const { columns, bytes } = encodeCopyRows(readings, receivedAtUs);
  await pipeline(
    Readable.from([bytes], { objectMode: false }),
    client.query(copyFrom(`COPY readings (${columns.join(', ')}) FROM STDIN (FORMAT binary)`)),
  );
}

/** Inserts what is not stored yet; the rest comes back, repetitions inside the batch included. */
async function insertMissing(
  client: pg.PoolClient,
  readings: readonly Reading[],
  receivedAtUs: number,
): Promise<{ stored: number; refused: Reading[] }> {
  const first = new Map<string, Reading>();
  const refused: Reading[] = [];
  for (const candidate of readings) {
    if (first.has(identity(candidate))) refused.push(candidate);
    else first.set(identity(candidate), candidate);
  }
  const rows = [...first.values()];
  const { rows: inserted } = await client.query<{ instrument: number; ts_ms: number }>(
    `INSERT INTO readings (instrument, ts, received_at, ${VALUE_COLUMNS})
     SELECT instrument, to_timestamp(ts_ms / 1000), to_timestamp($3::numeric / 1000000), ${QUANTITIES.map((_, i) => `v[${i + 1}]`).join(', ')}
     FROM (SELECT instrument, ts_ms, string_to_array(v, ',', '')::float8[] AS v
           FROM unnest($1::int[], $2::float8[], $4::text[]) AS input (instrument, ts_ms, v)) AS input
     ON CONFLICT (instrument, ts) DO NOTHING
     RETURNING instrument, ${EPOCH_MS('ts')} AS ts_ms`,
    [
      rows.map(({ key }) => key),
      rows.map(({ tsMs }) => tsMs),
      String(receivedAtUs),
      rows.map(({ values }) => values.map((value) => (Number.isNaN(value) ? '' : value)).join(',')),
    ],
  );
  for (const { instrument, ts_ms } of inserted) first.delete(identity({ key: instrument, tsMs: ts_ms }));
  refused.push(...first.values());
  return { stored: inserted.length, refused };
}

/** Which of these readings contradict what is stored for their moment? */
async function findConflicts(client: pg.PoolClient, readings: readonly Reading[]): Promise<Conflict[]> {
  if (readings.length === 0) return [];
  const { rows } = await client.query<ReadingRow>(
    `SELECT r.instrument, ${EPOCH_MS('r.ts')} AS ts_ms, ${QUANTITIES.map((name) => `r.${name}`).join(', ')}
     FROM unnest($1::int[], $2::float8[]) AS input (instrument, ts_ms)
     JOIN readings r ON r.instrument = input.instrument AND r.ts = to_timestamp(input.ts_ms / 1000)`,
    [readings.map(({ key }) => key), readings.map(({ tsMs }) => tsMs)],
  );
  const stored = new Map(rows.map((row) => [identity(reading(row)), reading(row)]));
  return readings.flatMap((refused) => {
    const kept = stored.get(identity(refused));
    if (!kept || sameValues(kept.values, refused.values)) return [];
    return [
      { key: refused.key, tsMs: refused.tsMs, kept: namedValues(kept.values), refused: namedValues(refused.values) },
    ];
  });
}

function inKeyOrder(batch: readonly Reading[]): Reading[] {
  return [...batch].sort((a, b) => a.key - b.key || a.tsMs - b.tsMs);
}

function identity({ key, tsMs }: { key: number; tsMs: number }): string {
  return `${key}@${tsMs}`;
}

type ReadingRow = { instrument: number; ts_ms: number } & Record<(typeof QUANTITIES)[number], number | null>;
type StoredRow = ReadingRow & { received_ms: number };

function reading(row: ReadingRow): Reading {
  return { key: row.instrument, tsMs: row.ts_ms, values: QUANTITIES.map((name) => row[name] ?? Number.NaN) };
}

function storedReading(row: StoredRow): StoredReading {
  const values = namedValues(QUANTITIES.map((name) => row[name] ?? Number.NaN));
  return { tsMs: row.ts_ms, receivedAtMs: row.received_ms, values };
}

/** Pages of a query too large to hold. */
async function* cursor<Row extends pg.QueryResultRow>(
  pool: pg.Pool,
  sql: string,
  params: unknown[],
): AsyncGenerator<Row[]> {
  const client = await pool.connect();
  let finished = false;
  try {
    // Whoever reads the pages may take its time.
    await client.query("BEGIN READ ONLY; SET LOCAL idle_in_transaction_session_timeout = '10min'");
    await client.query(patient(`DECLARE page CURSOR FOR ${sql}`, params));
    for (;;) {
      const { rows } = await client.query<Row>(patient(`FETCH ${FETCH_ROWS} FROM page`));
      if (rows.length > 0) yield rows;
      if (rows.length < FETCH_ROWS) break;
    }
    await client.query('COMMIT');
    finished = true;
  } finally {
    // A reader that stops early leaves the transaction open: such a connection is not reused.
    client.release(!finished);
  }
}
