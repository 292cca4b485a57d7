/** The embedded server as it starts, does not start, and is called off. One cluster, broken and mended in turn. */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { MeterwardenError } from '../../src/errors.ts';
import { startEmbeddedPostgres } from '../../src/store/embedded-postgres.ts';
import { sayError } from '../../src/texts/errors.ts';

const POLL = { timeout: 15_000, interval: 5 };

let dataDir: string;
beforeAll(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'meterwarden-embedded-'));
  chmodSync(dataDir, 0o755); // as root the server runs as another user, who must reach it
});
afterAll(() => rmSync(dataDir, { recursive: true, force: true }));

const start = (signal?: AbortSignal) =>
  startEmbeddedPostgres({ dataDir, onLog: () => {}, settings: { fsync: 'off' }, ...(signal && { signal }) });

async function refusal(): Promise<MeterwardenError> {
  return await start().then(
    () => expect.unreachable('it was not refused'),
    (error) => error,
  );
}

describe('the embedded server', () => {
  it('is called off while its data is made, and leaves nothing in the place of the cluster', async () => {
    const callOff = new AbortController();
    const starting = start(callOff.signal);
    const refused = expect(starting).rejects.toMatchObject({ name: 'AbortError' });
    await expect.poll(() => existsSync(join(dataDir, 'postgres.new', 'global')), POLL).toBe(true);
    callOff.abort();
    await refused;
    expect(readdirSync(dataDir).sort()).toEqual(['postgres.new', 'postgres.password']);
    expect(readdirSync(join(dataDir, 'postgres.new'))).toEqual([]);
  });

  it('starts after that, and is told of the environment only what it needs', async () => {
    vi.stubEnv('ADMIN_PASSWORD', 'not for the server');
    vi.stubEnv('PGOPTIONS', '-c work_mem=64kB');
    const server = await start();
    vi.unstubAllEnvs();
    expect(existsSync(join(dataDir, 'postgres.new'))).toBe(false);
    const names = (await environment(server.url).finally(() => server.stop())).map((line) => line.split('=')[0]!);
    expect(names).toContain('PATH');
    expect(names).toContain('HOME');
    expect(names.filter((name) => /PASSWORD|OPTIONS|VITEST|npm_/.test(name))).toEqual([]);
  });

  it('is called off while it starts', async () => {
    const callOff = new AbortController();
    const onLog = () => callOff.abort(); // its first line comes before it takes connections
    const starting = startEmbeddedPostgres({ dataDir, onLog, signal: callOff.signal });
    await expect(starting).rejects.toMatchObject({ name: 'AbortError' });
    expect(existsSync(join(dataDir, 'postgres', 'postmaster.pid'))).toBe(false);
    expect(existsSync(join(dataDir, 'service.lock'))).toBe(false);
  });

  it.each([
    ['global/pg_control', 'could not find the database system'],
    ['postgresql.conf', 'postgresql.conf'],
  ])('without its %s is refused with the end of its log', async (file, said) => {
    const path = join(dataDir, 'postgres', file);
    renameSync(path, `${path}.away`);
    const error = await refusal();
    renameSync(`${path}.away`, path);
    expect(error).toMatchObject({ code: 'database_not_started', params: { problem: 'server_ended' } });
    expect(sayError(error, 'en')).toMatch(/^The embedded PostgreSQL does not start: its process ends; the end of its/);
    expect(sayError(error, 'zh-CN')).toContain(said);
  });

  it('without its password is refused with where that was', async () => {
    const file = join(dataDir, 'postgres.password');
    renameSync(file, `${file}.away`);
    const error = await refusal();
    renameSync(`${file}.away`, file);
    expect(error).toMatchObject({ code: 'database_not_started', params: { problem: 'lost_password', at: file } });
  });

  it('starts with everything back, on what it had', async () => {
    const server = await start();
    await server.stop();
  });

  it('never takes the place of something else', async () => {
    const cluster = join(dataDir, 'postgres');
    renameSync(cluster, join(dataDir, 'away'));
    mkdirSync(cluster);
    writeFileSync(join(cluster, 'precious'), '');
    expect(await refusal()).toMatchObject({
      code: 'unusable_setting',
      path: 'METERWARDEN_DATA',
      params: { problem: 'no_cluster', at: cluster },
    });
    expect(readdirSync(cluster)).toEqual(['precious']);
  });
});

/** As a program sees it that the server starts. */
async function environment(url: string): Promise<string[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query('CREATE TEMP TABLE environment (line text)');
    await client.query("COPY environment FROM PROGRAM 'env'");
    const { rows } = await client.query<{ line: string }>('SELECT line FROM environment');
    return rows.map(({ line }) => line);
  } finally {
    await client.end();
  }
}
