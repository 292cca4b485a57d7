import { expect, test } from 'vitest';
import { QUANTITIES } from '../../src/fleet/quantity.ts';
import { orderedValues } from '../../src/fleet/reading.ts';
import { PostgresReadings, type ReceivedBatch } from '../../src/store/postgres-readings.ts';
import { readingStoreConformance } from '../conformance/reading-store.ts';
import { type TestDatabase, testDatabase } from '../support/postgres.ts';

const T0 = Date.UTC(2026, 2, 1);
const DAY = 86_400_000;

readingStoreConformance('PostgreSQL', async () => {
  const db = await testDatabase();
  const nowMs = () => T0;
  return {
    store: new PostgresReadings(db.pool, nowMs),
    reopen: () => new PostgresReadings(db.pool, nowMs),
    close: db.close,
  };
});

test('the table has a column for every quantity, in their order', async () => {
  const db = await testDatabase();
  const { rows } = await db.pool.query(
    `SELECT attname FROM pg_attribute WHERE attrelid = 'readings'::regclass AND attnum > 3 ORDER BY attnum`,
  );
  expect(rows.map((row) => row.attname)).toEqual([...QUANTITIES]);
  await db.close();
});

test('received batches replay as they were committed, even with a clock that stands still or goes back', async () => {
  const db = await testDatabase();
  let nowMs = T0 + DAY;
  const store = new PostgresReadings(db.pool, () => nowMs);
  const at = (key: number, minute: number) => ({
    key,
    tsMs: T0 + minute * 60_000,
    values: orderedValues({ active_import_kwh: minute }),
  });
  await store.append([at(2, 15), at(1, 15)]);
  const mark = store.receivedAtUs;
  await store.append([at(1, 45), at(1, 30)]);
  nowMs -= 5000;
  await store.append([at(1, 20)]);
  const replay = async (sinceUs: number, from = store) => {
    const batches: ReceivedBatch[] = [];
    for await (const batch of from.receivedSince(sinceUs)) batches.push(batch);
    return batches.map(({ readings }) => readings.map(({ key, tsMs }) => [key, (tsMs - T0) / 60_000]));
  };
  expect(await replay(0)).toEqual([
    [
      [1, 15],
      [2, 15],
    ],
    [
      [1, 30],
      [1, 45],
    ],
    [[1, 20]],
  ]);
  expect(await replay(mark)).toEqual([
    [
      [1, 30],
      [1, 45],
    ],
    [[1, 20]],
  ]);
  const reopened = new PostgresReadings(db.pool, () => nowMs);
  await replay(mark, reopened);
  await reopened.append([at(3, 0)]);
  expect(reopened.receivedAtUs).toBeGreaterThan(store.receivedAtUs);
  await db.close();
});

test('whole days before a moment are dropped, the rest stays', async () => {
  const db = await testDatabase();
  const store = new PostgresReadings(db.pool, () => T0 + 10 * DAY);
  await store.append(
    [0, 1, 2, 3].map((day) => ({ key: 1, tsMs: T0 + day * DAY, values: orderedValues({ active_import_kwh: day }) })),
  );
  expect(await store.dropDaysBefore(T0 + 2 * DAY + 1)).toBe(2);
  expect(await store.range(1, 0, T0 + 9 * DAY, 10)).toHaveLength(2);
  await store.append([{ key: 1, tsMs: T0, values: orderedValues({ active_import_kwh: 0 }) }]);
  expect(await store.range(1, 0, T0 + 9 * DAY, 10)).toHaveLength(3);
  await db.close();
});

const onDay = (key: number, day: number) => ({
  key,
  tsMs: T0 + day * DAY,
  values: orderedValues({ active_import_kwh: day }),
});

async function daysOf(db: TestDatabase): Promise<number> {
  const { rows } = await db.pool.query<{ n: number }>(
    "SELECT count(*)::int AS n FROM pg_inherits WHERE inhparent = 'readings'::regclass",
  );
  return rows[0]!.n;
}

test('writers that need the same new days at once make each once', async () => {
  const db = await testDatabase();
  const stores = [1, 2, 3].map((key) => ({ key, store: new PostgresReadings(db.pool, () => T0) }));
  const days = Array.from({ length: 70 }, (_, i) => i);
  const results = await Promise.all(
    stores.map(({ key, store }) => store.append((key === 2 ? days.toReversed() : days).map((day) => onDay(key, day)))),
  );
  expect(results.map(({ stored }) => stored)).toEqual([70, 70, 70]);
  expect(await daysOf(db)).toBe(70);
  await db.close();
});

test('days are prepared ahead; a new one waits for no reader, and none waits for it', async () => {
  const db = await testDatabase();
  const store = new PostgresReadings(db.pool, () => T0);
  await store.prepareDays();
  expect(await daysOf(db)).toBe(3);
  const reader = await db.pool.connect();
  await reader.query('BEGIN; SELECT count(*) FROM readings');
  expect(await store.append([onDay(1, 100)])).toMatchObject({ stored: 1 });
  // A day is not dropped under a reader, and nobody queues up behind that for long.
  expect(await store.dropDaysBefore(T0 + DAY)).toBe(0);
  expect(await store.append([onDay(1, 0)])).toMatchObject({ stored: 1 });
  await reader.query('COMMIT');
  reader.release();
  expect(await store.dropDaysBefore(T0 + DAY)).toBe(1);
  await db.close();
});

test('a day that another process has dropped is made again', async () => {
  const db = await testDatabase();
  const store = new PostgresReadings(db.pool, () => T0);
  await store.append([onDay(1, 0)]);
  await new PostgresReadings(db.pool, () => T0).dropDaysBefore(T0 + DAY);
  expect(await store.append([onDay(1, 0.5), onDay(1, 1)])).toMatchObject({ stored: 2 });
  await db.close();
});
