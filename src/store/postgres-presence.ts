/** A service of one process and one of several use a database differently; whoever comes second is refused. */
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { KEEP_ALIVE_DELAY_MS } from './postgres.ts';
import { LOCKS, leave } from './postgres-lock.ts';
import { unusableDatabase } from './postgres-refusals.ts';

/** A predecessor that is stopping has its time. */
const ATTEMPTS = 10;
const RETRY_MS = 1_000;
/** To connect and to claim. */
const ANSWER_TIMEOUT_MS = 10_000;

/**
 * `alone`: this process judges readings as it stores them, so no other may store any; otherwise several share the database.
 * Resolves with what ends the claim. A claim lost with its connection is made again as soon as that is possible.
 */
export async function claimDatabase(url: string, alone: boolean, signal: AbortSignal): Promise<() => Promise<void>> {
  const released = new AbortController();
  let client = await firstClaim(url, alone, signal);
  const watch = () => {
    client.once('end', async () => {
      for (;;) {
        await delay(RETRY_MS, undefined, { signal: released.signal }).catch(() => {});
        if (released.signal.aborted) return;
        const again = await claimOnce(url, alone).catch(() => undefined);
        if (!again) continue;
        client = again;
        return watch();
      }
    });
  };
  watch();
  return async () => {
    released.abort();
    await leave(client);
  };
}

async function firstClaim(url: string, alone: boolean, signal: AbortSignal): Promise<pg.Client> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const client = await claimOnce(url, alone);
    if (client) return client;
    await delay(RETRY_MS, undefined, { signal });
  }
  throw unusableDatabase(url, { problem: 'used_otherwise' });
}

async function claimOnce(url: string, alone: boolean): Promise<pg.Client | undefined> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'meterwarden presence',
    connectionTimeoutMillis: ANSWER_TIMEOUT_MS,
    query_timeout: ANSWER_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_DELAY_MS,
  });
  client.on('error', () => {});
  await client.connect();
  try {
    const { rows } = await client.query<{ ours: boolean }>(
      `SELECT pg_try_advisory_lock${alone ? '' : '_shared'}($1) AS ours`,
      [LOCKS.database],
    );
    if (rows[0]!.ours) return client;
  } catch (error) {
    await leave(client);
    throw error;
  }
  await client.end();
  return undefined;
}
