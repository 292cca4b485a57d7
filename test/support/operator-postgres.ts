/** A PostgreSQL that somebody else runs: of this machine's packages, started for one test. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { expect, vi } from 'vitest';
import { freePort } from '../../simulators/service.ts';

const MIN_VERSION = 15;
const POLL = { timeout: 15_000, interval: 50 };
/** The folder of the newest server on this machine, with its tools; the embedded one is on no path. */
export const POSTGRES_BIN = newest();

function newest(): string | undefined {
  const debian = '/usr/lib/postgresql';
  const installed = existsSync(debian) ? readdirSync(debian).map((version) => join(debian, version, 'bin')) : [];
  const found = [...(process.env.PATH ?? '').split(':'), ...installed].flatMap((dir) => {
    if (!['postgres', 'initdb', 'pg_dump', 'pg_restore'].every((name) => existsSync(join(dir, name)))) return [];
    const version = / (\d+)/.exec(execFileSync(join(dir, 'postgres'), ['--version'], { encoding: 'utf8' }))?.[1];
    return Number(version) >= MIN_VERSION ? [{ dir, version: Number(version) }] : [];
  });
  return found.toSorted((a, b) => b.version - a.version)[0]?.dir;
}

/** PostgreSQL refuses to run as root. */
function owner(): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {};
  const id = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}

export class OperatorPostgres {
  readonly port: number;
  readonly #folder: string;
  readonly #server: ChildProcess;

  private constructor(port: number, folder: string, server: ChildProcess) {
    this.port = port;
    this.#folder = folder;
    this.#server = server;
  }

  static async start(settings: Readonly<Record<string, string>> = {}): Promise<OperatorPostgres> {
    if (POSTGRES_BIN === undefined)
      throw new Error(`no PostgreSQL ${MIN_VERSION} or newer on PATH or in /usr/lib/postgresql`);
    const folder = mkdtempSync(join(tmpdir(), 'meterwarden-external-'));
    chmodSync(folder, 0o755);
    const data = join(folder, 'data');
    mkdirSync(data, { mode: 0o700 });
    const user = owner();
    if (user.uid !== undefined) chownSync(data, user.uid, user.gid!);
    const run = { ...user, cwd: '/', stdio: 'pipe' as const };
    const initdb = ['-D', data, '-U', 'root', '-A', 'trust', '-E', 'UTF8', '--locale=C', '-N'];
    execFileSync(join(POSTGRES_BIN, 'initdb'), initdb, run);
    const port = await freePort();
    const own = { listen_addresses: '127.0.0.1', port, unix_socket_directories: '', fsync: 'off' };
    const flags = Object.entries({ ...own, ...settings }).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const server = spawn(join(POSTGRES_BIN, 'postgres'), ['-D', data, ...flags], {
      ...user,
      cwd: '/',
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let log = '';
    server.stderr!.on('data', (chunk: Buffer) => {
      log = (log + chunk.toString('utf8')).slice(-10_000);
    });
    const started = new OperatorPostgres(port, folder, server);
    await vi.waitFor(async () => expect(await started.answers(), log).toBe(true), POLL);
    return started;
  }

  /** A database and the user it belongs to, who is no superuser. */
  async createDatabase(name: string, user: string, password: string): Promise<string> {
    await this.query(`CREATE ROLE ${user} LOGIN PASSWORD '${password}'`);
    await this.query(`CREATE DATABASE ${name} OWNER ${user}`);
    return `postgres://${user}:${encodeURIComponent(password)}@127.0.0.1:${this.port}/${name}`;
  }

  /** As the superuser, in another database than those of the service. */
  async query(sql: string): Promise<void> {
    const client = new pg.Client({ connectionString: `postgres://root@127.0.0.1:${this.port}/postgres` });
    client.on('error', () => {});
    await client.connect();
    try {
      await client.query(sql);
    } finally {
      await client.end();
    }
  }

  async answers(): Promise<boolean> {
    return await this.query('SELECT 1').then(
      () => true,
      () => false,
    );
  }

  async stop(): Promise<void> {
    if (this.#server.exitCode === null && this.#server.signalCode === null) {
      const ended = once(this.#server, 'exit');
      this.#server.kill('SIGINT');
      await ended;
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
