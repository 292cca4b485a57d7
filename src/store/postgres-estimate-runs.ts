/** Runs of estimates that are to be made: asked for, woken, worked on, given up. */
import type pg from 'pg';
import { MeterwardenError } from '../errors.ts';
import type { EstimateRuns, WaitingRun } from '../tasks/estimates.ts';
import { SYSTEM } from '../tasks/workflow.ts';
import { transaction } from './postgres.ts';
import { LOCKS } from './postgres-lock.ts';
import { isId } from './postgres-paging.ts';

export const RUN_STATES = ['waiting', 'running', 'done', 'failed'] as const;

export interface EstimateRun {
  readonly id: string;
  readonly district: string;
  readonly region: string;
  /** Where its window ends. */
  readonly to: Date;
  readonly state: (typeof RUN_STATES)[number];
  readonly askedBy: string;
  readonly askedAt: Date;
  readonly startedAt: Date | null;
  readonly finishedAt: Date | null;
  readonly failure: string | null;
}

/** An unfinished run is armed again after this long: its job was lost. More than any run takes. */
export const REARM_AFTER_MS = 30 * 60_000;
/** As often as the queue tries a job. */
const MAX_FAILURES = 3;
const MAX_FAILURE_CHARS = 500;
/** Of one person: half an hour of a core, when districts are large. */
export const MAX_WISHES = 20;
const UNFINISHED = `state IN ('waiting', 'running')`;
const RUN = `id, district, region, to_ts AS "to", state, asked_by AS "askedBy", asked_at AS "askedAt", started_at AS "startedAt",
  finished_at AS "finishedAt", failure`;

interface DueRun {
  id: string;
  asked_by: string;
  to_ts: Date;
  first: boolean;
}

export class PostgresEstimateRuns implements Omit<EstimateRuns, 'run' | 'plan'> {
  readonly #pool: pg.Pool;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  /**
   * The run of this window, or the one somebody asked for that is still to be made of the district, or a new one; one that was
   * given up begins anew. Throws too_many_estimates.
   */
  ask(district: string, region: string, toMs: number, by: string, at: Date): Promise<EstimateRun> {
    const to = new Date(toMs);
    return transaction(this.#pool, async (client) => {
      await client.query('SELECT pg_advisory_xact_lock($1)', [LOCKS.wishes]);
      const there = await client.query<EstimateRun>(
        `SELECT ${RUN} FROM district_estimates
         WHERE district = $1 AND (to_ts = $2 AND state <> 'failed' OR ${UNFINISHED} AND asked_by <> $3)
         ORDER BY to_ts = $2 DESC, id LIMIT 1`,
        [district, to, SYSTEM.username],
      );
      if (there.rows[0]) return there.rows[0];
      const own = await client.query<{ n: number }>(
        `SELECT count(*)::int AS n FROM district_estimates WHERE ${UNFINISHED} AND asked_by = $1`,
        [by],
      );
      if (own.rows[0]!.n >= MAX_WISHES)
        throw new MeterwardenError('too_many_estimates', { params: { limit: MAX_WISHES } });
      const { rows } = await client.query<EstimateRun>(
        `INSERT INTO district_estimates (district, region, to_ts, asked_by, asked_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (district, to_ts) DO UPDATE SET state = 'waiting', failures = 0, armed_at = NULL,
           asked_by = excluded.asked_by, asked_at = excluded.asked_at
         RETURNING ${RUN}`,
        [district, region, to, by, at],
      );
      return rows[0]!;
    });
  }

  /** Throws not_found. */
  async get(district: string, id: string): Promise<EstimateRun> {
    const { rows } = isId(id)
      ? await this.#pool.query<EstimateRun>(`SELECT ${RUN} FROM district_estimates WHERE id = $1 AND district = $2`, [
          id,
          district,
        ])
      : { rows: [] };
    if (!rows[0]) throw new MeterwardenError('not_found', { path: 'run' });
    return rows[0];
  }

  /** A run for every district with meters of these kinds in service; returns how many are new. */
  async planNight(toMs: number, kinds: readonly string[], at: Date): Promise<number> {
    const { rowCount } = await this.#pool.query(
      `INSERT INTO district_estimates (district, region, to_ts, asked_by, asked_at)
       SELECT DISTINCT ON (district) district, region, $1::timestamptz, $3, $4::timestamptz FROM instruments
       WHERE state = 'in-service' AND kind = ANY ($2) ORDER BY district, role = 'user', id
       ON CONFLICT (district, to_ts) DO NOTHING`,
      [new Date(toMs), kinds, SYSTEM.username, at],
    );
    return rowCount ?? 0;
  }

  async waiting(at: Date, limit: number): Promise<WaitingRun[]> {
    const { rows } = await this.#pool.query<DueRun>(
      `WITH due AS (
         SELECT id, armed_at IS NULL AS first FROM district_estimates
         WHERE ${UNFINISHED} AND (armed_at IS NULL OR armed_at < $2)
         ORDER BY asked_by = $4, asked_at, id LIMIT $3 FOR UPDATE SKIP LOCKED
       )
       UPDATE district_estimates e SET armed_at = $1 FROM due WHERE e.id = due.id
       RETURNING e.id, e.asked_by, e.to_ts, due.first`,
      [at, new Date(at.getTime() - REARM_AFTER_MS), limit, SYSTEM.username],
    );
    const places = await this.#places(rows);
    return rows.map(({ id, asked_by, to_ts, first }) => ({
      id,
      night: asked_by === SYSTEM.username ? to_ts.toISOString() : undefined,
      place: places.get(id)!,
      again: !first,
    }));
  }

  async #places(due: readonly DueRun[]): Promise<ReadonlyMap<string, number>> {
    if (due.length === 0) return new Map();
    const nights = due.filter(({ asked_by }) => asked_by === SYSTEM.username).map(({ to_ts }) => to_ts);
    const { rows } = await this.#pool.query<{ id: string; place: number }>(
      `WITH night AS (
         SELECT count(*) AS passed FROM district_estimates WHERE asked_by = $2 AND state <> 'waiting' AND to_ts = (
           SELECT max(to_ts) FROM district_estimates WHERE asked_by = $2 AND ${UNFINISHED})
       ), placed AS (
         SELECT id, row_number() OVER (PARTITION BY to_ts ORDER BY id) AS place FROM district_estimates
         WHERE asked_by = $2 AND to_ts = ANY ($3)
         UNION ALL
         SELECT id, passed + row_number() OVER (ORDER BY asked_at, id) FROM district_estimates, night
         WHERE asked_by <> $2 AND ${UNFINISHED}
       )
       SELECT id, place::int FROM placed WHERE id = ANY ($1::bigint[])`,
      [due.map(({ id }) => id), SYSTEM.username, nights],
    );
    return new Map(rows.map(({ id, place }) => [id, place]));
  }

  async disarm(runs: readonly WaitingRun[]): Promise<void> {
    await this.#pool.query('UPDATE district_estimates SET armed_at = NULL WHERE id = ANY ($1::bigint[])', [
      runs.map(({ id }) => id),
    ]);
  }

  /** undefined = it is done already. */
  async begin(id: string, at: Date): Promise<EstimateRun | undefined> {
    const { rows } = await this.#pool.query<EstimateRun>(
      `UPDATE district_estimates SET state = 'running', started_at = $2, armed_at = $2
       WHERE id = $1 AND ${UNFINISHED} RETURNING ${RUN}`,
      [id, at],
    );
    return rows[0];
  }

  async fail(id: string, failure: string, at: Date): Promise<void> {
    await this.#pool.query(
      `UPDATE district_estimates SET failures = failures + 1, failure = $2,
         state = CASE WHEN failures + 1 >= ${MAX_FAILURES} THEN 'failed' ELSE 'waiting' END,
         finished_at = CASE WHEN failures + 1 >= ${MAX_FAILURES} THEN $3::timestamptz END
       WHERE id = $1 AND state = 'running'`,
      [id, failure.slice(0, MAX_FAILURE_CHARS), at],
    );
  }

  /** Of the runs of a night, by state. */
  async night(to: string): Promise<Partial<Record<EstimateRun['state'], number>>> {
    const { rows } = await this.#pool.query<{ state: EstimateRun['state']; n: number }>(
      `SELECT state, count(*)::int AS n FROM district_estimates WHERE to_ts = $1 AND asked_by = $2 GROUP BY state`,
      [to, SYSTEM.username],
    );
    return Object.fromEntries(rows.map(({ state, n }) => [state, n]));
  }

  /** Unfinished runs, and when the first of them was asked for. */
  async backlog(): Promise<{ waiting: number; oldest: Date | null }> {
    const { rows } = await this.#pool.query<{ waiting: number; oldest: Date | null }>(
      `SELECT count(*)::int AS waiting, min(asked_at) AS oldest FROM district_estimates WHERE ${UNFINISHED}`,
    );
    return rows[0]!;
  }
}
