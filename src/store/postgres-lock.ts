/** One process at a time: an advisory lock on a connection of its own, watched, so that its loss is noticed. */
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';

/** Any constants; one for each thing that must have one owner. */
export const LOCKS = { rules: 7_236_405, handover: 7_236_406, database: 7_236_407 } as const;

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
