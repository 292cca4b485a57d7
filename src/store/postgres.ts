/** Connections to PostgreSQL and the schema they find there. */
import { readdirSync, readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import pg from 'pg';
import { MeterwardenError } from '../errors.ts';
import { LOCKS } from './postgres-lock.ts';
import { unusableDatabase } from './postgres-refusals.ts';

const MIGRATIONS_DIR = join(import.meta.dirname, 'migrations');
const POOL_SIZE = 12;
const CONNECT_TIMEOUT_MS = 10_000;
/** A server silent for so long will not answer: no query for a page or a task takes it, and no message waits longer. */
const QUERY_TIMEOUT_MS = 20_000;
/** Loading, importing, migrating and replaying take long when there is much. */
const PATIENCE_MS = 600_000;
/** When we vanish within a transaction the server gives its locks to those who wait, before they stop waiting. */
const IDLE_IN_TRANSACTION_MS = 10_000;
/** The system's probes of a silent connection begin after so long. */
export const KEEP_ALIVE_DELAY_MS = 10_000;
/** The schema uses what came with PostgreSQL 15. */
const MIN_VERSION = 15;

/** When `signal` is aborted its connections are cut, also under a query that takes long. */
export function openPool(
  url: string,
  size = POOL_SIZE,
  signal?: AbortSignal,
  queryTimeoutMs = QUERY_TIMEOUT_MS,
): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    max: size,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    ...(signal && { stream: cutBy(signal) }),
    query_timeout: queryTimeoutMs,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_DELAY_MS,
    application_name: 'meterwarden',
  });
  // A connection that breaks is replaced by the pool and fails the query it carries; without these listeners, one for idle
  // connections and one for those in use, it would end the process.
  pool.on('error', () => {});
  pool.on('connect', (client) => void client.on('error', () => {}));
  return pool;
}

/** A query that may take long. */
export function patient(text: string, values: unknown[] = [], timeoutMs = PATIENCE_MS): pg.QueryConfig {
  const config = { text, values, query_timeout: timeoutMs };
  return config;
}

function cutBy(signal: AbortSignal): () => Socket {
  const sockets = new Set<Socket>();
  signal.addEventListener('abort', () => sockets.forEach((socket) => void socket.destroy()), { once: true });
  return () => {
    const socket = new Socket();
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    if (signal.aborted) setImmediate(() => socket.destroy()); // by then the client listens
    return socket;
  };
}

/** Asks a server that somebody else runs whether it is there and new enough, before anything relies on it. */
export async function requireServer(url: string, signal: AbortSignal, minVersion = MIN_VERSION): Promise<void> {
  const done = new AbortController();
  const pool = openPool(url, 1, AbortSignal.any([signal, done.signal]));
  try {
    const { rows } = await pool.query<{ version: string }>("SELECT current_setting('server_version') AS version");
    const { version } = rows[0]!;
    if (Number.parseInt(version, 10) < minVersion)
      throw unusableDatabase(url, { problem: 'too_old', version, needed: minVersion });
  } finally {
    await pool.end();
    done.abort(); // pg leaves a connection open whose sign-in went wrong on our side
  }
}

/** Brings the schema up to date: every file of migrations/ once, in order of name. */
export async function migrate(pool: pg.Pool): Promise<void> {
  const client = await pool.connect();
  try {
    await client.query(patient('SELECT pg_advisory_lock($1)', [LOCKS.migration]));
    await client.query(
      'CREATE TABLE IF NOT EXISTS migrations (name text PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())',
    );
    const { rows } = await client.query<{ name: string }>('SELECT name FROM migrations');
    const applied = new Set(rows.map((row) => row.name));
    for (const name of readdirSync(MIGRATIONS_DIR)
      .filter((file) => file.endsWith('.sql'))
      .sort()) {
      if (applied.has(name)) continue;
      await client.query('BEGIN');
      await client.query(patient(readFileSync(join(MIGRATIONS_DIR, name), 'utf8')));
      await client.query('INSERT INTO migrations (name) VALUES ($1)', [name]);
      await client.query('COMMIT');
    }
    await client.query('SELECT pg_advisory_unlock($1)', [LOCKS.migration]);
    client.release();
  } catch (error) {
    client.release(true);
    throw error;
  }
}

/** Runs `work` in one transaction: committed when it returns, rolled back when it throws. */
export async function transaction<T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  return onConnection(pool, (client) => inTransaction(client, () => work(client)));
}

/**
 * Runs `work` on a connection, which is not used again when its last answer did not come. It is cut, and `work` fails, when
 * all of that takes longer than `timeoutMs`.
 */
export async function onConnection<T>(
  pool: pg.Pool,
  work: (client: pg.PoolClient) => Promise<T>,
  timeoutMs = Number.POSITIVE_INFINITY,
): Promise<T> {
  const client = await pool.connect();
  let lent = true;
  const giveBack = (broken: boolean) => {
    if (lent) client.release(broken);
    lent = false;
  };
  const timer = Number.isFinite(timeoutMs) ? setTimeout(() => giveBack(true), timeoutMs) : undefined;
  try {
    const result = await work(client);
    giveBack(false);
    return result;
  } catch (error) {
    const cut = !lent;
    giveBack(!isAnswer(error));
    throw cut ? new Error(`the database gave no answer within ${timeoutMs} ms`, { cause: error }) : error;
  } finally {
    clearTimeout(timer);
  }
}

/** The same on a connection that somebody else gives back. */
export async function inTransaction<T>(client: pg.PoolClient, work: () => Promise<T>): Promise<T> {
  await client.query('BEGIN');
  try {
    const result = await work();
    await client.query('COMMIT');
    return result;
  } catch (error) {
    // Without an answer the connection is given up, and the transaction with it.
    if (isAnswer(error)) await client.query('ROLLBACK').catch(() => {});
    throw error;
  }
}

/** The server has said no, or we did between its answers: the connection is as good as before. */
export function isAnswer(error: unknown): boolean {
  return error instanceof pg.DatabaseError || error instanceof MeterwardenError;
}
