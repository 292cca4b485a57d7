/** The process of a hand-over is killed at many moments; the next ones finish what it began, and nothing shows that it died. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import type { HandoverMessage, HandoverTask } from '../../src/app/handover.ts';
import { Calendar } from '../../src/handover/calendar.ts';
import { parseManifest } from '../../src/handover/manifest.ts';
import { type TestDatabase, testDatabase } from '../support/postgres.ts';
import {
  ask,
  DAY,
  filesOf,
  HOUR,
  ledger,
  parquetOf,
  placesOf,
  reading,
  receive,
  removeFolders,
  settingsFor,
  temporaryFolder,
  ZONE,
} from './fixture.ts';

const DAYS = 5;
const REGIONS = ['220302', '220303', '220322'];
const INSTRUMENTS = 30;
/** Of the clock the process has: it cannot be told another. */
const calendar = new Calendar(ZONE);
const firstMs = calendar.day(calendar.nameAt(Date.now() - (DAYS + 2) * DAY)).fromMs;

let db: TestDatabase;
beforeEach(async () => {
  db = await testDatabase();
  const lines = Array.from({ length: INSTRUMENTS }, (_, i) => ({ id: `M-${i + 1}`, region: REGIONS[i % 3]! }));
  await ledger(db, lines);
  for (let hour = 0; hour < DAYS * 24; hour++) {
    const tsMs = firstMs + hour * HOUR;
    await receive(
      db,
      tsMs + 1000,
      lines.map((_, i) => reading(i + 1, tsMs)),
    );
  }
});
afterEach(() => db.close());
afterAll(removeFolders);

function start(to: string): ChildProcess {
  const child = fork(new URL('../../src/app/handover-process.ts', import.meta.url), {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const task: HandoverTask = { settings: settingsFor(db, to), options: {} };
  child.send(task);
  return child;
}

async function finished(to: string): Promise<HandoverMessage> {
  const child = start(to);
  let last: HandoverMessage | undefined;
  child.on('message', (message: HandoverMessage) => {
    last = message;
  });
  await once(child, 'exit');
  return last!;
}

/** Killed when it has told so much of its work. */
async function killed(to: string, afterMessages: number): Promise<boolean> {
  const child = start(to);
  let heard = 0;
  child.on('message', () => {
    if (++heard === afterMessages) child.kill('SIGKILL');
  });
  const [, signal] = await once(child, 'exit');
  return signal === 'SIGKILL';
}

/** Every file that is recorded as handed over. */
function recorded(to: string): Map<string, string> {
  const folder = join(to, '_manifest/readings');
  if (!existsSync(folder)) return new Map();
  return new Map(
    readdirSync(folder)
      .flatMap((name) => parseManifest(name, readFileSync(join(folder, name), 'utf8')).partitions)
      .map(({ path, sha256 }) => [path, sha256]),
  );
}

test('killed again and again, it hands over what an undisturbed one does', { timeout: 120_000 }, async () => {
  const undisturbed = temporaryFolder();
  expect(await finished(undisturbed)).toMatchObject({
    summary: { files: DAYS * REGIONS.length, rows: DAYS * 24 * INSTRUMENTS },
  });
  const to = temporaryFolder();
  let deaths = 0;
  let before = recorded(to);
  for (const afterMessages of [1, 2, 3, 4, 5, 7]) {
    const places = placesOf(to);
    deaths += Number(await killed(to, afterMessages));
    // What stands in its place is whole, and what was recorded stands there.
    const files = filesOf(to);
    for (const [path, sha256] of recorded(to)) expect(files.get(path), path).toBe(sha256);
    for (const path of parquetOf(to).keys())
      if (!path.startsWith('_meterwarden_tmp/')) await ask(`SELECT count(*) FROM '${join(to, path)}'`);
    // What was recorded before is not done again.
    for (const path of before.keys()) expect(placesOf(to).get(path), path).toBe(places.get(path));
    before = recorded(to);
  }
  expect(deaths).toBeGreaterThanOrEqual(5);
  expect(before.size).toBeGreaterThan(0);
  const places = placesOf(to);
  expect(await finished(to)).toMatchObject({ summary: { unchanged: 0 } });
  for (const path of before.keys()) expect(placesOf(to).get(path), path).toBe(places.get(path));
  expect(parquetOf(to)).toEqual(parquetOf(undisturbed));
  expect(recorded(to)).toEqual(recorded(undisturbed));
  expect(existsSync(join(to, '_meterwarden_tmp'))).toBe(false);
});

test('readings that arrive between a death and the next run are in it', { timeout: 60_000 }, async () => {
  const to = temporaryFolder();
  expect(await killed(to, 5)).toBe(true);
  const done = recorded(to);
  expect(done.size).toBeGreaterThan(0);
  await receive(db, Date.now(), [reading(1, firstMs + 1), reading(2, firstMs + 2)]);
  await finished(to);
  const [counts] = await ask(`SELECT count(*)::INT AS rows FROM read_parquet('${to}/readings/*/*/*.parquet')`);
  expect(counts).toEqual({ rows: DAYS * 24 * INSTRUMENTS + 2 });
});

test('a failure is told in a sentence', async () => {
  const message = await finished(join('/proc', 'nowhere'));
  expect(message).toMatchObject({
    failure: {
      code: 'unusable_setting',
      message: expect.stringMatching(/^HANDOVER_TO: The setting “\/proc\/nowhere” cannot be used/),
    },
  });
});

test('it ends with the process that started it', async () => {
  const child = start(temporaryFolder());
  await once(child, 'message');
  child.disconnect();
  const [code] = await once(child, 'exit');
  expect(code).toBe(1);
});
