/** The real service where it cannot start, and where it is stopped before it has: a sentence, an end, nothing left behind. */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Service } from '../../simulators/service.ts';
import { MAIN, run } from '../support/command-line.ts';
import { INFLUXD, REQUIRED, TestInflux, TOKEN } from '../support/influxdb.ts';
import { type TestDatabase, testDatabase } from '../support/postgres.ts';

const POLL = { timeout: 15_000, interval: 20 };
const ANY_PORTS = { HTTP_PORT: '0', MQTT_PORT: '0', LOG_LEVEL: 'warn' };

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'meterwarden-start-'));
  chmodSync(folder, 0o755); // as root PostgreSQL runs as another user, who must reach it
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Run before anything of ours: sends the signal as soon as somebody hears it. */
const signalAtOnce = (signal: string) =>
  `data:text/javascript,process.on('newListener',(name)=>name==='${signal}'%26%26process.kill(process.pid,name))`;

describe('a start that is stopped before it is one', { timeout: 60_000 }, () => {
  it.each(['SIGTERM', 'SIGINT', 'SIGUSR2'])('by %s ends well and has touched nothing', async (signal) => {
    const env = { ...ANY_PORTS, NODE_OPTIONS: `--import "${signalAtOnce(signal)}"` };
    expect(await run(MAIN, ['serve'], env, folder)).toEqual({ code: 0, out: 'stopping…\n' });
    expect(readdirSync(folder)).toEqual([]);
  });

  it('is a failure of a command that is to end by itself', async () => {
    const env = { NODE_OPTIONS: `--import "${signalAtOnce('SIGTERM')}"` };
    const { code, out } = await run(MAIN, ['backtest', 'none', '--out', 'x'], env, folder);
    expect(code, out).toBe(1);
  });
});

describe('a start that cannot succeed', { timeout: 60_000 }, () => {
  const refused: readonly [string, Record<string, string>, RegExp][] = [
    [
      'a database nobody serves',
      { DATABASE_URL: 'postgres://me:hunter2@127.0.0.1:1/readings' },
      /^DATABASE_URL: .*“postgres:\/\/me@127\.0\.0\.1:1\/readings” cannot be used: nothing listens at 127\.0\.0\.1:1$/,
    ],
    ['an address of nobody', { HOST: '192.0.2.1' }, /^HOST: .*“192\.0\.2\.1” cannot be used: this machine has no such/],
    ['a host of no name', { HOST: 'no-such-host.invalid' }, /^HOST: .*“no-such-host\.invalid”/],
    ['a data folder below a file', { METERWARDEN_DATA: `${MAIN}/data` }, /^METERWARDEN_DATA: .* is no folder$/],
  ];

  it.each(refused)('for %s says so in one sentence and ends', async (_what, env, said) => {
    const { code, out } = await run(MAIN, ['serve'], { ...ANY_PORTS, ...env }, folder);
    expect(code, out).toBe(1);
    expect(out.trimEnd()).toMatch(said);
    expect(out.trimEnd()).not.toContain('\n');
    expect(out).not.toContain('hunter2');
    expect(readdirSync(folder), 'before anything was made').toEqual([]);
  });

  it('for an InfluxDB nobody serves says so by the setting and the address', async () => {
    const db = await testDatabase();
    const env = { DATABASE_URL: db.url, INFLUX_URL: 'http://127.0.0.1:1', INFLUX_TOKEN: 'hunter2' };
    for (const [language, said] of [
      ['zh-CN', 'INFLUX_URL: 127.0.0.1:1 的 InfluxDB 暂时不可用:127.0.0.1:1 上没有服务在监听\n'],
      ['en', 'INFLUX_URL: InfluxDB at 127.0.0.1:1 is not available now: nothing listens at 127.0.0.1:1\n'],
    ] as const)
      expect(await run(MAIN, ['serve'], { ...ANY_PORTS, ...env, METERWARDEN_LANG: language }, folder)).toEqual({
        code: 1,
        out: said,
      });
    await db.close();
  });

  it.skipIf(INFLUXD === undefined && !REQUIRED)('for an organization of no name in InfluxDB says which', async () => {
    const [db, influx] = [await testDatabase(), await TestInflux.start()];
    await influx.query('CREATE DATABASE meterwarden');
    const env = { DATABASE_URL: db.url, INFLUX_URL: influx.front.url, INFLUX_TOKEN: TOKEN, INFLUX_ORG: 'village' };
    const { code, out } = await run(MAIN, ['ingest'], { ...ANY_PORTS, ...env }, folder);
    expect(code, out).toBe(1);
    expect(out).toMatch(/^INFLUX_ORG: InfluxDB has no organization “village”, or the token is not of it: [^\n]+\n$/);
    await influx.stop();
    await db.close();
  });

  it('for a broken cluster tells the end of its log', async () => {
    const cluster = join(folder, 'data', 'postgres');
    mkdirSync(cluster, { recursive: true });
    writeFileSync(join(cluster, 'PG_VERSION'), '18\n');
    const { code, out } = await run(MAIN, ['serve'], { ...ANY_PORTS, METERWARDEN_LANG: '' }, folder);
    expect(code, out).toBe(1);
    expect(out).toMatch(/^内置 PostgreSQL 无法启动:服务器进程退出,其日志的最后几行:\n {2}\S/m);
    expect(out).not.toMatch(/\n\s+at /);
  });

  it('speaks the language of the settings file, as its help does', async () => {
    writeFileSync(join(folder, 'meterwarden.yaml'), 'METERWARDEN_LANG: en\nHOST: 192.0.2.1\n');
    const env = { ...ANY_PORTS, METERWARDEN_LANG: '' };
    const [serve, help] = await Promise.all([
      run(MAIN, ['serve'], env, folder),
      run(MAIN, ['serve', '--help'], env, folder),
    ]);
    expect(serve.out).toMatch(/^HOST: The setting “192\.0\.2\.1” cannot be used/);
    expect(help.out).toMatch(/^Usage:/);
    expect(help.out).not.toMatch(/\p{Script=Han}/u);
  });
});

describe('a service that is stopped while it starts', { timeout: 60_000 }, () => {
  it.each(['migrations', 'rule_snapshots', 'readings'])(
    'ends at once in order, also when the database makes it wait for %s',
    async (table) => {
      const database = await testDatabase();
      const holder = await lock(database, table);
      const service = await Service.create({ DATABASE_URL: database.url });
      const starting = service.start().catch((error: Error) => error.message);
      await expect.poll(() => waiting(database), POLL).toBeGreaterThan(0);
      const stoppedMs = performance.now();
      expect(await service.stop()).toBe(0);
      expect(performance.now() - stoppedMs).toBeLessThan(5_000);
      expect(await starting).toMatch(/stopping…\n$/);
      await holder.end();
      await service.start();
      await service.remove();
      await database.close();
    },
  );

  it('ends at once while it makes its database, and makes it at the next start', async () => {
    const service = await Service.create();
    const starting = service.start().catch((error: Error) => error.message);
    await expect.poll(() => existsSync(join(service.dataDir, 'postgres.new', 'global')), POLL).toBe(true);
    const stoppedMs = performance.now();
    expect(await service.stop()).toBe(0);
    expect(performance.now() - stoppedMs).toBeLessThan(5_000);
    expect(await starting).toMatch(/stopping…\n$/);
    await service.start();
    await service.remove();
  });
});

/** Holds a table until the connection ends. */
async function lock({ url }: TestDatabase, table: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(`BEGIN; LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`);
  return client;
}

async function waiting({ pool }: TestDatabase): Promise<number> {
  const { rowCount } = await pool.query(
    `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`,
  );
  return rowCount ?? 0;
}
