/** Readings are kept by day of measurement (UTC): a partition each, made before its first reading and dropped as a whole. */
import pg from 'pg';
import { transaction } from './postgres.ts';
import type { Commits } from './postgres-commits.ts';
import { LOCKS } from './postgres-lock.ts';

const DAY_MS = 86_400_000;
/** A second or so, and some hundred locks of the server's. */
const DAYS_AT_ONCE = 50;
/** Dropping waits for readers, and everybody waits behind it; a long reader, such as a backup, is left in peace. */
const DROP_LOCK_MS = 1_000;
const LOCK_NOT_AVAILABLE = '55P03';

export class Days {
  readonly #pool: pg.Pool;
  readonly #commits: Commits;
  /** Begin of each day that certainly has its partition. */
  readonly #made = new Set<number>();

  constructor(pool: pg.Pool, commits: Commits) {
    this.#pool = pool;
    this.#commits = commits;
  }

  /** Makes the days of these moments. */
  async make(moments: Iterable<number>): Promise<void> {
    const missing = new Set<number>();
    for (const ms of moments) {
      const dayMs = Math.floor(ms / DAY_MS) * DAY_MS;
      if (!this.#made.has(dayMs)) missing.add(dayMs);
    }
    const days = [...missing].sort((a, b) => a - b);
    for (let at = 0; at < days.length; at += DAYS_AT_ONCE) {
      const some = days.slice(at, at + DAYS_AT_ONCE);
      await this.#commits.run((client) => client.query(attachment(some)));
      for (const dayMs of some) this.#made.add(dayMs);
    }
  }

  /** Another process may have dropped some. */
  forget(): void {
    this.#made.clear();
  }

  /** Drops the days that end at `beforeMs` or earlier, unless somebody reads for long; returns how many. */
  async dropBefore(beforeMs: number): Promise<number> {
    const { rows } = await this.#pool.query<{ name: string }>(
      `SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'readings'::regclass ORDER BY 1`,
    );
    const old = rows
      .map(({ name }) => ({ name, dayMs: dayOf(name) }))
      .filter(({ dayMs }) => dayMs + DAY_MS <= beforeMs);
    for (const [dropped, { name, dayMs }] of old.entries()) {
      this.#made.delete(dayMs);
      try {
        await transaction(this.#pool, async (client) => {
          await client.query(`SET LOCAL lock_timeout = ${DROP_LOCK_MS}`);
          await client.query(`DROP TABLE ${pg.escapeIdentifier(name)}`);
        });
      } catch (error) {
        if ((error as { code?: string }).code === LOCK_NOT_AVAILABLE) return dropped;
        throw error;
      }
    }
    return old.length;
  }
}

/**
 * One statement, so that it happens wholly or not at all. A table that is made alone and attached leaves readers and writers
 * of other days undisturbed (SHARE UPDATE EXCLUSIVE); `PARTITION OF` would wait for all of them, and all others for it.
 */
function attachment(days: readonly number[]): string {
  const rows = days.map((dayMs) => `('${nameOf(dayMs)}', '${iso(dayMs)}', '${iso(dayMs + DAY_MS)}')`);
  return `DO $$
    DECLARE day record;
    BEGIN
      PERFORM pg_advisory_xact_lock(${LOCKS.days});
      FOR day IN SELECT * FROM (VALUES ${rows.join(', ')}) AS days (name, since, until) LOOP
        CONTINUE WHEN to_regclass(day.name) IS NOT NULL;
        EXECUTE format('CREATE TABLE %I (LIKE readings INCLUDING ALL)', day.name);
        EXECUTE format('ALTER TABLE readings ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', day.name, day.since, day.until);
      END LOOP;
    END $$`;
}

function nameOf(dayMs: number): string {
  return `readings_${iso(dayMs).slice(0, 10).replaceAll('-', '')}`;
}

function dayOf(name: string): number {
  const [, year, month, day] = /^readings_(\d{4})(\d\d)(\d\d)$/.exec(name) ?? [];
  return year ? Date.UTC(Number(year), Number(month) - 1, Number(day)) : Number.POSITIVE_INFINITY;
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
