import { expect, test } from 'vitest';
import { orderedValues } from '../../src/fleet/reading.ts';
import { openPool } from '../../src/store/postgres.ts';
import { logged, PostgresReadingLog } from '../../src/store/postgres-reading-log.ts';
import { PostgresReadings } from '../../src/store/postgres-readings.ts';
import { testDatabase } from '../support/postgres.ts';

const reading = (key: number, tsMs: number) => ({ key, tsMs, values: orderedValues({ active_import_kwh: tsMs }) });

test('a reader behind the last entry misses nothing of writers that race', async () => {
  const db = await testDatabase();
  const pools = [1, 2, 3].map(() => openPool(db.url, 4));
  const log = new PostgresReadingLog(db.pool);
  const WRITES = 60;
  let writing = true;
  const written = Promise.all(
    pools.map(async (pool, writer) => {
      const own = new PostgresReadingLog(pool);
      // Two at a time: a slow commit and a quick one of the same process overlap too.
      for (let i = 0; i < WRITES; i += 2) {
        await Promise.all([own.append([reading(writer, i)]), own.append([reading(writer, i + 1)])]);
      }
    }),
  ).finally(() => {
    writing = false;
  });
  const seen: string[] = [];
  let last = 0;
  for (let more = true; more; ) {
    more = writing;
    const entries = await log.after(last);
    more ||= entries.length > 0;
    for (const { id, readings } of entries) {
      expect(id).toBeGreaterThan(last);
      last = id;
      seen.push(...readings.map(({ key, tsMs }) => `${key} ${tsMs}`));
    }
  }
  await written;
  expect(seen.length).toBe(3 * WRITES);
  expect(new Set(seen).size).toBe(3 * WRITES);
  for (const pool of pools) await pool.end();
  await db.close();
});

test('times of entries grow with their ids, and what has been seen can be trimmed', async () => {
  const db = await testDatabase();
  const log = new PostgresReadingLog(db.pool);
  const beforeMs = await log.nowMs();
  await log.append([]);
  await log.append([reading(1, 5)]);
  const [first, second] = await log.after(0);
  expect(first!.readings).toEqual([]);
  expect(second!.readings).toEqual([reading(1, 5)]);
  expect(second!.atMs).toBeGreaterThanOrEqual(first!.atMs);
  expect(first!.atMs).toBeGreaterThanOrEqual(beforeMs);
  await log.trim(first!.id);
  expect(await log.after(0)).toEqual([second]);
  expect(await log.after(second!.id)).toEqual([]);
  await db.close();
});

test('a repeated reading is logged again: who stored it may have died before logging it', async () => {
  const db = await testDatabase();
  const log = new PostgresReadingLog(db.pool);
  const store = logged(new PostgresReadings(db.pool, () => 0), log);
  expect(await store.append([reading(1, 5)])).toMatchObject({ stored: 1 });
  expect(await store.append([reading(1, 5)])).toMatchObject({ stored: 0, duplicates: 1 });
  await store.append([]);
  expect((await log.after(0)).map(({ readings }) => readings)).toEqual([[reading(1, 5)], [reading(1, 5)]]);
  await db.close();
});
