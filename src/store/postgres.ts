/** Connections to PostgreSQL and the schema they find there. */
import { readdirSync, readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import pg from 'pg';
import { MeterwardenError } from '../errors.ts';
import { unusableDatabase } from './postgres-refusals.ts';

const MIGRATIONS_DIR = join(import.meta.dirname, 'migrations');
/** Any constant: processes that start together take turns at migrating. */
const MIGRATION_LOCK = 7_236_401;
const POOL_SIZE = 12;
const CONNECT_TIMEOUT_MS = 10_000;
/** The schema uses what came with PostgreSQL 15. */
const MIN_VERSION = 15;

/** When `signal` is aborted its connections are cut, also under a query that takes long. */
export function openPool(url: string, size = POOL_SIZE, signal?: AbortSignal): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    max: size,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    ...(signal && { stream: cutBy(signal) }),
    keepAlive: true, // a server that vanished is noticed
    application_name: 'meterwarden',
  });
  // A connection that breaks is replaced by the pool and fails the query it carries; without these listeners, one for idle
  // connections and one for those in use, it would end the process.
  pool.on('error', () => {});
  pool.on('connect', (client) => void client.on('error', () => {}));
  return pool;
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
    await client.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]);
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
      await client.query(readFileSync(join(MIGRATIONS_DIR, name), 'utf8'));
      await client.query('INSERT INTO migrations (name) VALUES ($1)', [name]);
      await client.query('COMMIT');
    }
    await client.query('SELECT pg_advisory_unlock($1)', [MIGRATION_LOCK]);
    client.release();
  } catch (error) {
    client.release(true);
    throw error;
  }
}

/** Runs `work` in one transaction: committed when it returns, rolled back when it throws. */
export async function transaction<T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let broken = true;
  try {
    const result = await inTransaction(client, () => work(client));
    broken = false;
    return result;
  } catch (error) {
    broken = !isDatabaseError(error) && !(error instanceof MeterwardenError);
    throw error;
  } finally {
    client.release(broken);
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
    await client.query('ROLLBACK').catch(() => {});
    throw error;
  }
}

/** An answer of the server, after which the connection is as good as before. */
function isDatabaseError(error: unknown): boolean {
  return error instanceof pg.DatabaseError;
}
