/** One process at a time: an advisory lock on a connection of its own, watched, so that its loss is noticed. */
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';

/** All advisory locks we take. Any constants that other software in the same database is unlikely to choose. */
export const LOCKS = {
  /** Processes that start together take turns at migrating. */
  migration: 7_236_401,
  /** Writers of the history of tasks, until they commit: its ids are the position of the live stream. */
  taskHistory: 7_236_402,
  /** Writers of the ledger, until they commit, by migration 006 too: keys are dense, versions become visible in order. */
  ledger: 7_236_403,
  /** Writers of the log of readings, until they commit: nobody reads past an entry still to come. */
  readingLog: 7_236_404,
  /** Whose process runs the rules. */
  rules: 7_236_405,
  /** Whose process hands over. */
  handover: 7_236_406,
  /** Held by one `serve`, or shared by the processes of several roles. */
  database: 7_236_407,
  /** Workers that leave an external broker take turns, so that one remains. */
  leavingSlots: 7_236_408,
  /** Processes that need the partitions of the same day. */
  days: 7_236_409,
  /** Two keys, this and the slot: whose worker has it. */
  slots: 7_236_410,
  /** Who asks for estimates, until they commit: what is unfinished is counted. */
  wishes: 7_236_411,
} as const;

const RETRY_MS = 1_000;
const WATCH_MS = 2_000;
/** A connection that does not answer so long is lost: well before another process can have the lock. */
const ANSWER_TIMEOUT_MS = 5_000;

export interface SoleOwnerOptions {
  readonly url: string;
  readonly lock: number;
  /** Nobody waits for the lock or works any longer. */
  readonly signal: AbortSignal;
  readonly onError: (error: unknown) => void;
}

/**
 * Waits for the lock, works under it until the signal or its loss aborts the work, and begins anew when it was lost.
 * Resolves when `signal` has aborted and the work has ended.
 */
export async function asSoleOwner(
  { url, lock, signal, onError }: SoleOwnerOptions,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  while (!signal.aborted) {
    const client = new pg.Client({
      connectionString: url,
      application_name: 'meterwarden owner',
      connectionTimeoutMillis: ANSWER_TIMEOUT_MS,
      query_timeout: ANSWER_TIMEOUT_MS,
    });
    const lost = new AbortController();
    client.on('error', () => lost.abort());
    client.on('end', () => lost.abort());
    try {
      await client.connect();
      if (await isOurs(client, lock)) await workWatched(client, AbortSignal.any([signal, lost.signal]), lost, work);
    } catch (error) {
      onError(error);
    } finally {
      await leave(client);
    }
    await delay(RETRY_MS, undefined, { signal }).catch(() => {});
  }
}

async function isOurs(client: pg.Client, lock: number): Promise<boolean> {
  const { rows } = await client.query<{ ours: boolean }>('SELECT pg_try_advisory_lock($1) AS ours', [lock]);
  return rows[0]!.ours;
}

async function workWatched(
  client: pg.Client,
  signal: AbortSignal,
  lost: AbortController,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const watch = setInterval(() => void client.query('SELECT 1').catch(() => lost.abort()), WATCH_MS);
  try {
    await work(signal);
  } finally {
    clearInterval(watch);
  }
}

/** Also from a server that does not answer. */
export async function leave(client: pg.Client): Promise<void> {
  const given = new AbortController();
  await Promise.race([
    client.end().catch(() => {}),
    delay(ANSWER_TIMEOUT_MS, undefined, { signal: given.signal }).catch(() => {}),
  ]);
  given.abort();
}
