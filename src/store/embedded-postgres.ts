/** The embedded default: a real PostgreSQL server out of the npm package, run as a child process and kept running. */
import { createServer } from 'node:net';
import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { holdDataFolder } from './data-folder.ts';
import { type Cluster, notStarted, openCluster, passwordFile, SUPERUSER } from './embedded-postgres-cluster.ts';
import { type ServerOptions, SupervisedServer, stopLeftover } from './embedded-postgres-server.ts';

export interface EmbeddedPostgresOptions extends ServerOptions {
  /** The service's data folder; the cluster lives in `postgres/` below it. */
  readonly dataDir: string;
  /** Calls the start off. */
  readonly signal?: AbortSignal;
}

export interface EmbeddedPostgres {
  readonly url: string;
  readonly pid: number | undefined;
  /** Where the cluster really is: elsewhere than asked when its user could not reach that place. */
  readonly clusterDir: string;
  stop(): Promise<void>;
}

const DATABASE = 'meterwarden';
/** Without any answer; a server that says it is starting, because it recovers from a crash, is waited for. */
const START_TIMEOUT_MS = 30_000;
const RETRY_MS = 50;
const INVALID_PASSWORD = '28P01';
const CANNOT_CONNECT_NOW = '57P03';

export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const dataDir = resolve(options.dataDir);
  const letGo = holdDataFolder(dataDir);
  try {
    const { cluster, server, url } = await start(dataDir, options);
    return {
      url,
      clusterDir: cluster.dir,
      get pid() {
        return server.pid;
      },
      stop: async () => {
        await server.stop();
        letGo();
      },
    };
  } catch (error) {
    letGo();
    throw error;
  }
}

async function start(dataDir: string, options: EmbeddedPostgresOptions) {
  const { onLog, onNote = onLog, signal } = options;
  const cluster = await openCluster(dataDir, onNote, signal);
  await stopLeftover(cluster.dir, onNote, signal);
  const port = await freePort();
  signal?.throwIfAborted();
  const url = (database: string) => `postgres://${SUPERUSER}:${cluster.password}@127.0.0.1:${port}/${database}`;
  const server = new SupervisedServer(cluster, port, options);
  server.spawn();
  try {
    await createDatabaseOnce(url('postgres'), cluster, server, signal);
  } catch (error) {
    await server.stop();
    throw error;
  }
  return { cluster, server, url: url(DATABASE) };
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((done, fail) => probe.once('error', fail).listen(0, '127.0.0.1', done));
  const { port } = probe.address() as { port: number };
  await new Promise((done) => probe.close(done));
  return port;
}

async function createDatabaseOnce(
  adminUrl: string,
  cluster: Cluster,
  server: SupervisedServer,
  signal: AbortSignal | undefined,
): Promise<void> {
  let deadlineMs = performance.now() + START_TIMEOUT_MS;
  for (;;) {
    const client = new pg.Client({ connectionString: adminUrl, connectionTimeoutMillis: START_TIMEOUT_MS });
    client.on('error', () => {});
    try {
      await client.connect();
      const { rowCount } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [DATABASE]);
      if (rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE}`);
      return;
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === INVALID_PASSWORD) throw notStarted('lost_password', { at: passwordFile(cluster.dir) }, error);
      if (code === CANNOT_CONNECT_NOW) deadlineMs = performance.now() + START_TIMEOUT_MS;
      if (server.hopeless) throw notStarted('server_ended', { log: server.lastLog }, error);
      if (performance.now() > deadlineMs)
        throw notStarted('server_silent', { seconds: START_TIMEOUT_MS / 1000, log: server.lastLog }, error);
      await delay(RETRY_MS, undefined, signal && { signal });
    } finally {
      await client.end().catch(() => {});
    }
  }
}
