/** The process of the embedded PostgreSQL: started, started again after a crash, and the one of an earlier run ended. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync, readlinkSync, realpathSync, rmSync } from 'node:fs';
import { platform } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { isAlive } from './data-folder.ts';
import { asOwner, type Cluster, notStarted } from './embedded-postgres-cluster.ts';

export interface ServerOptions {
  /** The server's own log. */
  readonly onLog: (line: string) => void;
  /** What the operator should know: where things are kept, what was repaired. */
  readonly onNote?: (note: string) => void;
  /** Further `-c name=value` settings, for tests. */
  readonly settings?: Readonly<Record<string, string>>;
}

const STOP_TIMEOUT_MS = 8_000;
/** A server that cannot start is tried ever more seldom. */
const RESTART_DELAYS_MS = [250, 500, 1_000, 2_000, 5_000] as const;
/** Having run this long it counts as started. */
const STARTED_AFTER_MS = 10_000;
/** Ends without ever having answered, after which a further attempt would end the same way. */
const MAX_ENDS_AT_START = 3;
/** What of its log is told when it does not start. */
const LAST_LINES = 8;
/** Processes of a killed server still hold the data, for as long as they take to notice. */
const STILL_HELD = /pre-existing shared memory block|lock file "postmaster\.pid" already exists/;

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

/** A server process that comes back by itself after a crash, on the same port. */
export class SupervisedServer {
  #child: ChildProcess | undefined;
  #stopping = false;
  #failures = 0;
  #ends = 0;
  #lastLines: string[] = [];
  readonly #cluster: Cluster;
  readonly #port: number;
  readonly #options: ServerOptions;

  constructor(cluster: Cluster, port: number, options: ServerOptions) {
    this.#cluster = cluster;
    this.#port = port;
    this.#options = options;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** The end of its log. */
  get lastLog(): string {
    return this.#lastLines.map((line) => `  ${line}`).join('\n');
  }

  /** Nothing suggests that one more attempt would help. */
  get hopeless(): boolean {
    return this.#ends >= MAX_ENDS_AT_START && !STILL_HELD.test(this.lastLog);
  }

  spawn(): void {
    const flags = Object.entries({ ...SETTINGS, ...this.#options.settings }).flatMap(([k, v]) => ['-c', `${k}=${v}`]);
    const { bin, dir, owner } = this.#cluster;
    const child = spawn(
      join(bin, 'postgres'),
      ['-D', dir, '-p', String(this.#port), ...flags],
      // Own process group: an interrupt from the terminal must reach the service first, which then stops the server.
      { ...asOwner(owner), detached: true, stdio: ['ignore', 'ignore', 'pipe'] },
    );
    this.#child = child;
    this.#lastLines = [];
    const startedMs = performance.now();
    createInterface({ input: child.stderr! }).on('line', (line) => this.#log(line));
    child.once('error', (error) => {
      this.#log(error.message);
      if (child.pid === undefined) this.#restart(child, 'not run', startedMs);
    });
    child.once('exit', (code, signal) => this.#restart(child, String(signal ?? code), startedMs));
    // By then all it had to say has been read; processes of a killed server can hold that up.
    child.once('close', () => {
      this.#ends++;
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

  #log(line: string): void {
    if (line.trim() === '') return;
    this.#lastLines = [...this.#lastLines, line].slice(-LAST_LINES);
    this.#options.onLog(line);
  }

  #restart(child: ChildProcess, how: string, startedMs: number): void {
    if (this.#child !== child) return;
    this.#child = undefined;
    if (this.#stopping) return;
    (this.#options.onNote ?? this.#options.onLog)(`postgres ended (${how}); starting it again`);
    if (performance.now() - startedMs > STARTED_AFTER_MS) this.#failures = 0;
    const delayMs = RESTART_DELAYS_MS[Math.min(this.#failures++, RESTART_DELAYS_MS.length - 1)];
    setTimeout(() => {
      if (!this.#stopping) this.spawn();
    }, delayMs);
  }
}

/**
 * After a crash of the service its server may still run, or its lock file may name a process of another program by now, at
 * which PostgreSQL would refuse to start. A lock of nobody is left to PostgreSQL: it knows whether other processes of that
 * server still hold the data.
 */
export async function stopLeftover(
  clusterDir: string,
  onNote: (note: string) => void,
  signal?: AbortSignal,
): Promise<void> {
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
    if (waitedMs > 2 * STOP_TIMEOUT_MS) throw notStarted('leftover_stays', { pid });
    await delay(50, undefined, signal && { signal });
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
