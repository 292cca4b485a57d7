/** The PostgreSQL that pipelines of a run share: the service's own embedded server, or this machine's, a fresh database each. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { chmod, chown, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { freePort } from '../simulators/service.ts';
import { startEmbeddedPostgres } from '../src/store/embedded-postgres.ts';
import { asOwner, type Owner } from '../src/store/embedded-postgres-cluster.ts';
import { SupervisedServer } from '../src/store/embedded-postgres-server.ts';

/** A checkpoint in the middle of a measurement would hit one pipeline and spare another; one is made before each instead. */
const SETTINGS = { fsync: 'on', synchronous_commit: 'on', max_wal_size: '8GB', checkpoint_timeout: '30min' };

const MIN_VERSION = 15;
const SUPERUSER = 'meterwarden';
const START_TIMEOUT_MS = 30_000;
const START_POLL_MS = 50;

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

interface Server {
  url: string;
  stop(): Promise<void>;
}

export const startPostgres = () =>
  serving((dataDir) => startEmbeddedPostgres({ dataDir, settings: SETTINGS, onLog: () => {} }));

/** With the settings of the embedded one, so that the product is all that differs. */
export const startOperatorPostgres = (bin: string) => serving((dataDir) => startInstalled(bin, dataDir));

async function serving(start: (dataDir: string) => Promise<Server>): Promise<BenchPostgres> {
  const dataDir = await mkdtemp(join(tmpdir(), 'meterwarden-bench-postgres-'));
  // As root the server runs as another user, who must be able to enter.
  await chmod(dataDir, 0o755);
  const server = await start(dataDir);
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

/** Programs of a PostgreSQL that is installed on this machine and new enough. */
export function findOperatorPostgres(): string | undefined {
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian).map(Number) : [];
  const newest = Math.max(...versions.filter((version) => version >= MIN_VERSION));
  return newest > 0 ? join(debian, String(newest), 'bin') : undefined;
}

async function startInstalled(bin: string, dataDir: string): Promise<Server> {
  const owner = serverUser();
  const dir = join(dataDir, 'postgres');
  await mkdir(dir, { mode: 0o700 });
  if (owner.foreign) await chown(dir, owner.uid, owner.gid);
  const run = { ...asOwner(owner), cwd: '/', stdio: 'pipe' as const };
  execFileSync(join(bin, 'initdb'), ['-D', dir, '-U', SUPERUSER, '-A', 'trust', '-E', 'UTF8', '--locale=C'], run);
  const port = await freePort();
  const server = new SupervisedServer({ bin, dir, owner, password: '' }, port, { settings: SETTINGS, onLog: () => {} });
  server.spawn();
  const url = `postgres://${SUPERUSER}@127.0.0.1:${port}/postgres`;
  for (const deadlineMs = performance.now() + START_TIMEOUT_MS; ; await sleep(START_POLL_MS)) {
    const refused = await queryOnce(url, 'SELECT 1').then(
      () => undefined,
      (error: Error) => error,
    );
    if (!refused) return { url, stop: () => server.stop() };
    if (performance.now() < deadlineMs) continue;
    await server.stop();
    throw new Error(`PostgreSQL of ${bin} did not start:\n${server.lastLog}`, { cause: refused });
  }
}

/** PostgreSQL refuses to run as root. */
function serverUser(): Owner {
  const idOf =
    (...user: string[]) =>
    (flag: string) =>
      Number(execFileSync('id', [flag, ...user], { encoding: 'utf8' }));
  const foreign = process.getuid?.() === 0;
  const id = foreign ? idOf('postgres') : idOf();
  return { uid: id('-u'), gid: id('-g'), foreign };
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
