/**
 * Work that must not hang, and whose outcome is settled before the next begins. A server that does not answer may commit what
 * it was sent later, or hold its locks for hours: its backend is ended first, so that a repetition finds what there is.
 */
import type pg from 'pg';
import { isAnswer, onConnection } from './postgres.ts';

/** A commit of many readings takes a second or two; within the time a message may wait, there are two attempts. */
const COMMIT_TIMEOUT_MS = 8_000;

/** Process ids are used again, so a backend is known by its beginning as well. */
interface Backend {
  readonly pid: number;
  readonly since: string;
}

export class Commits {
  readonly #pool: pg.Pool;
  readonly #timeoutMs: number;
  readonly #backends = new WeakMap<pg.PoolClient, Backend>();
  /** Those that may still be at work. */
  #unsettled: Backend[] = [];

  constructor(pool: pg.Pool, timeoutMs = COMMIT_TIMEOUT_MS) {
    this.#pool = pool;
    this.#timeoutMs = timeoutMs;
  }

  /** One at a time. */
  run<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    return onConnection(
      this.#pool,
      async (client) => {
        const backend = await this.#backendOf(client);
        await this.#settle(client);
        try {
          return await work(client);
        } catch (error) {
          if (!isAnswer(error)) this.#unsettled.push(backend);
          throw error;
        }
      },
      this.#timeoutMs,
    );
  }

  async #backendOf(client: pg.PoolClient): Promise<Backend> {
    const known = this.#backends.get(client);
    if (known) return known;
    const { rows } = await client.query<Backend>(
      'SELECT pid, backend_start::text AS since FROM pg_stat_activity WHERE pid = pg_backend_pid()',
    );
    this.#backends.set(client, rows[0]!);
    return rows[0]!;
  }

  async #settle(client: pg.PoolClient): Promise<void> {
    if (this.#unsettled.length === 0) return;
    const { rows } = await client.query<{ pid: number; ended: boolean }>(
      `SELECT pid, pg_terminate_backend(pid, $3) AS ended FROM pg_stat_activity
       WHERE (pid, backend_start) IN (SELECT * FROM unnest($1::int[], $2::timestamptz[]))`,
      [
        this.#unsettled.map(({ pid }) => pid),
        this.#unsettled.map(({ since }) => since),
        String(Math.ceil(this.#timeoutMs / 2)),
      ],
    );
    const left = new Set(rows.filter(({ ended }) => !ended).map(({ pid }) => pid));
    this.#unsettled = this.#unsettled.filter(({ pid }) => left.has(pid));
    if (left.size > 0) throw new Error('an earlier commit that gave no answer is still at work');
  }
}
