/** The PostgreSQL all pipelines of a run share: the service's own embedded server on empty data, a fresh database each. */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { startEmbeddedPostgres } from '../src/store/embedded-postgres.ts';

/** A checkpoint in the middle of a measurement would hit one pipeline and spare another; one is made before each instead. */
const SETTINGS = { fsync: 'on', synchronous_commit: 'on', max_wal_size: '8GB', checkpoint_timeout: '30min' };

export interface BenchPostgres {
  version: string;
  /** Process id of the server, whose children do its work. */
  postmaster: number;
  /** Replaces the database of that name by an empty one and gives its address. */
  freshDatabase(name: string): Promise<string>;
  dropDatabase(name: string): Promise<void>;
  checkpoint(): Promise<void>;
  stop(): Promise<void>;
}

export async function startPostgres(): Promise<BenchPostgres> {
  const dataDir = await mkdtemp(join(tmpdir(), 'meterwarden-bench-postgres-'));
  // As root the server runs as another user, who must be able to enter.
  await chmod(dataDir, 0o755);
  const server = await startEmbeddedPostgres({ dataDir, settings: SETTINGS, onLog: () => {} });
  const admin = (sql: string) => queryOnce(server.url, sql);
  const drop = (name: string) => admin(`DROP DATABASE IF EXISTS ${pg.escapeIdentifier(name)} WITH (FORCE)`);
  const [row] = await admin(
    `SELECT current_setting('server_version') AS version, split_part(pg_read_file('postmaster.pid'), E'\\n', 1) AS pid`,
  );
  return {
    version: String(row?.version),
    postmaster: Number(row?.pid),
    async freshDatabase(name) {
      await drop(name);
      await admin(`CREATE DATABASE ${pg.escapeIdentifier(name)}`);
      return new URL(`/${name}`, server.url).href;
    },
    dropDatabase: async (name) => void (await drop(name)),
    checkpoint: async () => void (await admin('CHECKPOINT')),
    async stop() {
      await server.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

export async function queryOnce(
  databaseUrl: string,
  sql: string,
  values: unknown[] = [],
): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const { rows } = await client.query<Record<string, unknown>>(sql, values);
    return rows;
  } finally {
    await client.end();
  }
}
