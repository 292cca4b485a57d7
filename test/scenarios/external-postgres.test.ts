/** The service on a PostgreSQL that somebody else runs: not ours, not as a superuser, and not in UTC. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import mqtt from 'mqtt';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { freePort, Service } from '../../simulators/service.ts';

const MIN_VERSION = 15;
const REQUIRED = process.env.METERWARDEN_REQUIRE_PRODUCTS === '1';
const MINUTE_MS = 60_000;
const SECRET = 'a gateway secret';
const PASSWORD = 'correct horse';
const POLL = { timeout: 15_000, interval: 50 };
const BIN = newest();

/** The folder of the newest server on this machine; the embedded one is on no path. */
function newest(): string | undefined {
  const debian = '/usr/lib/postgresql';
  const installed = existsSync(debian) ? readdirSync(debian).map((version) => join(debian, version, 'bin')) : [];
  const found = [...(process.env.PATH ?? '').split(':'), ...installed].flatMap((dir) => {
    if (!existsSync(join(dir, 'postgres')) || !existsSync(join(dir, 'initdb'))) return [];
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

describe.skipIf(BIN === undefined && !REQUIRED)('a PostgreSQL of the operator', () => {
  let dir: string;
  let server: ChildProcess | undefined;
  let log = '';
  let service: Service | undefined;
  let startMs: number;

  beforeAll(async () => {
    if (BIN === undefined) throw new Error(`no PostgreSQL ${MIN_VERSION} or newer on PATH or in /usr/lib/postgresql`);
    dir = mkdtempSync(join(tmpdir(), 'meterwarden-external-'));
    chmodSync(dir, 0o755);
    const data = join(dir, 'data');
    mkdirSync(data, { mode: 0o700 });
    const user = owner();
    if (user.uid !== undefined) chownSync(data, user.uid, user.gid!);
    const run = { ...user, cwd: '/', stdio: 'pipe' as const };
    execFileSync(join(BIN, 'initdb'), ['-D', data, '-U', 'root', '-A', 'trust', '-E', 'UTF8', '--locale=C', '-N'], run);
    const port = await freePort();
    const settings = {
      listen_addresses: '127.0.0.1',
      port,
      unix_socket_directories: '',
      timezone: 'Asia/Shanghai',
      fsync: 'off',
    };
    const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    server = spawn(join(BIN, 'postgres'), ['-D', data, ...flags], {
      ...user,
      cwd: '/',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    server.stderr!.on('data', (chunk: Buffer) => {
      log = (log + chunk.toString('utf8')).slice(-10_000);
    });
    const root = `postgres://root@127.0.0.1:${port}/postgres`;
    await vi.waitFor(async () => expect(await answers(root), log).toBe(true), POLL);
    await query(root, `CREATE ROLE warden LOGIN PASSWORD 'p w/d'`);
    await query(root, 'CREATE DATABASE readings OWNER warden');
    const url = `postgres://warden:${encodeURIComponent('p w/d')}@127.0.0.1:${port}/readings`;
    service = await Service.create({ DATABASE_URL: url });
    await service.start();
    await service.signIn();
    startMs = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS - 120 * MINUTE_MS;
  });

  afterAll(async () => {
    await service?.remove();
    if (server && server.exitCode === null) {
      const ended = once(server, 'exit');
      server.kill('SIGINT');
      await ended;
    }
    if (dir) rmSync(dir, { recursive: true, force: true });
  });

  it('keeps ledger, readings, findings and tasks, and still has them after a restart of the service', async () => {
    const csv = 'id,kind,role,district,region,gateway,installed_on\nM-1,electricity,user,D-1,220302,GW-1,2024-02-29\n';
    expect(await service!.call('POST', '/api/v1/instruments/import', csv)).toMatchObject({ created: 1, rejected: [] });
    await service!.call('PUT', '/api/v1/gateways/GW-1', { secret: SECRET });
    const wang = { username: 'wang', role: 'inspector', region: '220302' };
    await service!.call('POST', '/api/v1/people', { ...wang, password: PASSWORD });

    await publish([0, 100], [15, 100.5], [30, 40]);
    await publish([15, 100.5]); // again: the same reading
    await publish([15, 99]); // and a contradiction
    await expect.poll(seen, POLL).toMatchObject({ tasks: [{ state: 'assigned', assignee: 'wang' }] });
    const before = await seen();
    expect(before).toMatchObject({
      instruments: [{ id: 'M-1', installedOn: '2024-02-29' }],
      readings: [
        { ts: at(0), active_import_kwh: 100 },
        { ts: at(15), active_import_kwh: 100.5 },
        { ts: at(30), active_import_kwh: 40 },
      ],
      findings: [
        { rule: 'conflicting-reading', instrument: 'M-1', from: at(15), to: at(15) },
        { rule: 'rollback', instrument: 'M-1', from: at(30), to: null },
      ],
      tasks: [{ kind: 'verify-on-site', instrument: 'M-1' }],
    });

    expect(await service!.stop()).toBe(0);
    await service!.start();
    await service!.signIn();
    expect(await seen()).toEqual(before);
    await publish([45, 40.5]);
    expect((await seen()).readings).toHaveLength(4);
    expect(existsSync(join(service!.dataDir, 'postgres'))).toBe(false); // ours was never asked
  });

  function at(minute: number): string {
    return new Date(startMs + minute * MINUTE_MS).toISOString();
  }

  async function publish(...readings: [minute: number, kwh: number][]): Promise<void> {
    const client = await mqtt.connectAsync(service!.mqttUrl, {
      username: 'GW-1',
      password: SECRET,
      reconnectPeriod: 0,
    });
    const list = readings.map(([minute, kwh]) => ({ ts: at(minute), values: { active_import_kwh: kwh } }));
    await client.publishAsync('v1/gateway/telemetry', JSON.stringify({ 'M-1': list }), { qos: 1 });
    await client.endAsync();
  }

  async function seen() {
    const list = async (path: string, items: string) =>
      (await service!.call<Record<string, object[]>>('GET', `/api/v1/${path}`))[items]!;
    return {
      instruments: await list('instruments', 'instruments'),
      readings: await list('instruments/M-1/readings', 'readings'),
      findings: await list('findings', 'findings'),
      tasks: await list('tasks', 'tasks'),
    };
  }
});

async function query(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

async function answers(url: string): Promise<boolean> {
  return await query(url, 'SELECT 1').then(
    () => true,
    () => false,
  );
}
