/** What several writers stored, in the order of their commits, kept until the rules have seen it. */
import type pg from 'pg';
import type { Reading } from '../fleet/reading.ts';
import type { LogEntry } from '../rules/reorder.ts';
import { LOCKS } from './postgres-lock.ts';
import { decodeReadings, encodeReadings } from './reading-blocks.ts';
import type { AppendResult, ReadingStore } from './readings.ts';

/** Entries fetched at once: some tens of megabytes when every commit was full. */
const ENTRIES_PER_FETCH = 16;

/** What another writer stored, and behind these first `stored` readings what it found stored. */
interface WriterEntry {
  readonly id: number;
  readonly readings: readonly Reading[];
  readonly stored: number;
}

export class PostgresReadingLog {
  readonly #pool: pg.Pool;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  /** An empty batch is a sign of life. `repeated` ones were stored before. Returns the id of the entry. */
  async append(readings: readonly Reading[], repeated: readonly Reading[] = []): Promise<number> {
    const { rows } = await this.#pool.query<{ id: string }>(
      `WITH turn AS MATERIALIZED (SELECT pg_advisory_xact_lock($1))
       INSERT INTO reading_log (logged_at, readings, repeated) SELECT clock_timestamp(), $2, $3 FROM turn RETURNING id`,
      [LOCKS.readingLog, encodeReadings([...readings, ...repeated]), repeated.length],
    );
    return Number(rows[0]!.id);
  }

  /** The next entries after `id`, oldest first; none when there is nothing new. */
  async after(id: number): Promise<LogEntry[]> {
    const { rows } = await this.#pool.query<{ id: string; at_ms: number; readings: Buffer }>(
      `SELECT id, (extract(epoch FROM logged_at) * 1000)::float8 AS at_ms, readings
       FROM reading_log WHERE id > $1 ORDER BY id LIMIT ${ENTRIES_PER_FETCH}`,
      [id],
    );
    return rows.map((row) => ({ id: Number(row.id), atMs: row.at_ms, readings: decodeReadings(row.readings) }));
  }

  /** The next entries between two ids, for another writer; undefined = `id` has been trimmed, and perhaps others behind it. */
  async between(id: number, untilId: number): Promise<WriterEntry[] | undefined> {
    const { rows } = await this.#pool.query<{ id: string; readings: Buffer; repeated: number }>(
      `SELECT id, CASE WHEN id > $1 THEN readings ELSE '' END AS readings, repeated
       FROM reading_log WHERE id >= $1 AND id < $2 ORDER BY id LIMIT ${1 + ENTRIES_PER_FETCH}`,
      [id, untilId],
    );
    const [first, ...entries] = rows;
    if (Number(first?.id) !== id) return undefined;
    return entries.map((row) => {
      const readings = decodeReadings(row.readings);
      return { id: Number(row.id), readings, stored: readings.length - row.repeated };
    });
  }

  /** The log's clock, epoch milliseconds. */
  async nowMs(): Promise<number> {
    const { rows } = await this.#pool.query<{ ms: number }>(
      'SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS ms',
    );
    return rows[0]!.ms;
  }

  async trim(throughId: number): Promise<void> {
    await this.#pool.query('DELETE FROM reading_log WHERE id <= $1', [throughId]);
  }
}

/** A store whose readings are logged before they count as stored: also repeated ones, whose first writer may have died between. */
export function logged(store: ReadingStore, log: PostgresReadingLog): Pick<ReadingStore, 'append'> {
  return {
    append: async (batch): Promise<AppendResult> => {
      const result = await store.append(batch);
      const taken = withoutRefused(batch, result);
      if (taken.length > 0) await log.append(taken);
      return result;
    },
  };
}

function withoutRefused(batch: readonly Reading[], { refused = [] }: AppendResult): readonly Reading[] {
  if (refused.length === 0) return batch;
  const left = new Set(refused.map(({ key, tsMs }) => `${key}@${tsMs}`));
  return batch.filter(({ key, tsMs }) => !left.has(`${key}@${tsMs}`));
}
