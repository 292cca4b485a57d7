/** Who hands over, and when: one process at a time, and a command beside it waits. */
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterAll, afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Service } from '../../simulators/service.ts';
import { runHandoverAlone, startHandover } from '../../src/app/handover.ts';
import { runExport } from '../../src/commands/export.ts';
import { loadSettings } from '../../src/config.ts';
import { Calendar } from '../../src/handover/calendar.ts';
import { asSoleOwner, LOCKS } from '../../src/store/postgres-lock.ts';
import { MAIN, run } from '../support/command-line.ts';
import { type TestDatabase, testDatabase } from '../support/postgres.ts';
import {
  DAY,
  HOUR,
  ledger,
  parquetOf,
  reading,
  receive,
  removeFolders,
  settingsFor,
  temporaryFolder,
  ZONE,
} from './fixture.ts';

const calendar = new Calendar(ZONE);
/** Three days that have closed by the clock of this machine. */
const firstMs = calendar.day(calendar.nameAt(Date.now() - 5 * DAY)).fromMs;

let db: TestDatabase;
beforeEach(async () => {
  db = await testDatabase();
  await ledger(db, [
    { id: 'A', region: '220302' },
    { id: 'B', region: '220303' },
  ]);
  for (let hour = 0; hour < 72; hour++)
    await receive(
      db,
      firstMs + hour * HOUR,
      [1, 2].map((key) => reading(key, firstMs + hour * HOUR)),
    );
});
afterEach(() => db.close());
afterAll(removeFolders);

/** What a process of the service has, as far as the hand-over uses it. */
function service(to: string) {
  const undo: (() => unknown)[] = [];
  const told: string[] = [];
  const errors: unknown[] = [];
  const registry = new Registry();
  const logger = pino({ level: 'info' }, { write: (line: string) => void told.push(JSON.parse(line).msg) });
  startHandover(
    {
      databaseUrl: db.url,
      registry,
      logger,
      nowMs: Date.now,
      onError: (_, error) => void errors.push(error),
      onStop: (step) => void undo.push(step),
    },
    settingsFor(db, to),
  );
  return {
    told,
    errors,
    metric: async (name: string) => (await registry.getSingleMetric(name)!.get()).values[0]?.value ?? 0,
    stop: async () => {
      for (const step of undo) await step();
    },
  };
}

test('of several processes one hands over; when it ends, another goes on', { timeout: 60_000 }, async () => {
  const to = temporaryFolder();
  const both = [service(to), service(to)];
  try {
    await expect
      .poll(() => both.flatMap(({ told }) => told).filter((line) => line === 'hand-over complete'), { timeout: 20_000 })
      .toHaveLength(1);
    expect(parquetOf(to).size).toBe(6);
    const owner = both.find(({ told }) => told.length > 0)!;
    const other = both.find((one) => one !== owner)!;
    expect(owner.told).toEqual([...Array(3).fill('handed over'), 'hand-over complete']);
    expect(await owner.metric('meterwarden_handover_finished_timestamp_seconds')).toBeGreaterThan(
      Date.now() / 1000 - 60,
    );
    await owner.stop();
    await expect.poll(() => other.told, { timeout: 20_000 }).toEqual(['hand-over complete']);
    expect(both.flatMap(({ errors }) => errors)).toEqual([]);
  } finally {
    await Promise.all(both.map(({ stop }) => stop()));
  }
});

test('a hand-over that fails is counted and told by what is wrong', { timeout: 60_000 }, async () => {
  const one = service('/proc/nowhere');
  try {
    await expect.poll(() => one.errors, { timeout: 20_000 }).toHaveLength(1);
    expect(one.errors[0]).toMatchObject({
      code: 'unusable_setting',
      message: expect.stringMatching(/^HANDOVER_TO: .*\/proc\/nowhere/),
    });
    expect(await one.metric('meterwarden_handover_failures_total')).toBe(1);
  } finally {
    await one.stop();
  }
});

test('stopping ends one under way', { timeout: 60_000 }, async () => {
  const one = service(temporaryFolder());
  await expect.poll(() => one.told.length, { timeout: 20_000, interval: 5 }).toBeGreaterThan(0);
  const startedMs = performance.now();
  await one.stop();
  expect(performance.now() - startedMs).toBeLessThan(6_000);
  expect(one.errors).toEqual([]);
});

test('a command waits until the other one is done', { timeout: 60_000 }, async () => {
  const holding = new AbortController();
  let held: () => void = () => {};
  const isHeld = new Promise<void>((done) => {
    held = done;
  });
  const holder = asSoleOwner(
    { url: db.url, lock: LOCKS.handover, signal: holding.signal, onError: () => {} },
    async (signal) => {
      held();
      await new Promise((done) => signal.addEventListener('abort', done));
    },
  );
  await isHeld;
  const to = temporaryFolder();
  const onWait = vi.fn();
  const calls = { signal: new AbortController().signal, nowMs: Date.now, onProgress: () => {}, onWait };
  const running = runHandoverAlone(settingsFor(db, to), {}, calls);
  await expect.poll(() => onWait.mock.calls.length, { timeout: 10_000 }).toBe(1);
  expect(parquetOf(to).size).toBe(0);
  holding.abort();
  await holder;
  expect(await running).toMatchObject({ files: 6 });
  expect(parquetOf(to).size).toBe(6);
});

test('a command that waits can be called off, and one that fails says why', { timeout: 60_000 }, async () => {
  const calledOff = new AbortController();
  const calls = { signal: calledOff.signal, nowMs: Date.now, onProgress: () => calledOff.abort(), onWait: () => {} };
  await expect(runHandoverAlone(settingsFor(db, temporaryFolder()), {}, calls)).rejects.toThrow();
  const again = { ...calls, signal: new AbortController().signal };
  await expect(runHandoverAlone(settingsFor(db, '/proc/nowhere'), {}, again)).rejects.toMatchObject({
    code: 'unusable_setting',
  });
});

test('the command tells what it does, in the language of the settings', { timeout: 60_000 }, async () => {
  const to = temporaryFolder();
  const told: string[] = [];
  const write = vi.spyOn(process.stdout, 'write').mockImplementation((text) => told.push(String(text)) > 0);
  const exported = (options: Parameters<typeof runExport>[0], language: string) =>
    runExport(options, loadSettings({ DATABASE_URL: db.url, METERWARDEN_LANG: language, HANDOVER_ZONE: ZONE }, to));
  try {
    await exported({ to }, 'en');
    expect(told).toHaveLength(4);
    expect(told[0]).toMatch(
      /^readings \d{4}-\d\d-\d\d: 2 regions, 48 rows written, \d\.\d MB, 0 files as they were\n$/,
    );
    expect(told[3]).toMatch(/^6 files \(0 of them as they were\), 144 rows, \d\.\d MB → \S+ \(\d+\.\d s\)\n$/);
    told.length = 0;
    await exported({ to, day: calendar.nameAt(firstMs) }, 'zh-CN');
    expect(told[0]).toMatch(/个区域,写入 48 行/);
    told.length = 0;
    await exported({ schema: true }, 'en');
    expect(told.join('')).toContain('| `active_import_kwh` | DOUBLE | kWh |');
    for (const [wrong, path] of [
      [{}, '--to'],
      [{ to, day: '2026-02-30' }, '--day'],
      [{ to, from: 'yesterday' }, '--from'],
      [{ to: 'ftp://x/y' }, '--to'],
      [{ to: 's3://a b/c' }, '--to'],
    ] as const)
      await expect(exported(wrong, 'en')).rejects.toMatchObject({ path });
  } finally {
    write.mockRestore();
  }
});

test('processes of the service take HANDOVER_TO from their settings; so does the command', {
  timeout: 60_000,
}, async () => {
  const env = { DATABASE_URL: db.url, HANDOVER_TO: temporaryFolder(), HANDOVER_ZONE: ZONE };
  const worker = await Service.create(env, 'work');
  try {
    await worker.start();
    await expect.poll(() => worker.output, { timeout: 30_000 }).toContain('hand-over complete');
  } finally {
    await worker.remove();
  }
  expect(parquetOf(env.HANDOVER_TO).size).toBe(6);
  const again = await run(MAIN, ['export'], env);
  expect(again).toEqual({ code: 0, out: expect.stringMatching(/^0 files/m) });
  expect(await run(MAIN, ['export', '--to', 'ftp://x/y'], env)).toEqual({
    code: 1,
    out: expect.stringMatching(/^--to: /m),
  });
  expect(await run(MAIN, ['export'], { ...env, HANDOVER_TO: '/proc/nowhere' })).toEqual({
    code: 1,
    out: expect.stringMatching(/^HANDOVER_TO: /m),
  });
});
