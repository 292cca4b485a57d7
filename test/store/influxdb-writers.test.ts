/** Several writers of one InfluxDB 1.6, who learn of each other from the log in PostgreSQL. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { orderedValues, type Reading } from '../../src/fleet/reading.ts';
import { InfluxReadings } from '../../src/store/influxdb-readings.ts';
import { PostgresReadingLog } from '../../src/store/postgres-reading-log.ts';
import type { AppendResult } from '../../src/store/readings.ts';
import { readingStoreConformance } from '../conformance/reading-store.ts';
import { INFLUXD, ORG, REQUIRED, TestInflux, TOKEN } from '../support/influxdb.ts';
import { type TestDatabase, testDatabase } from '../support/postgres.ts';

const T0 = Date.UTC(2026, 2, 1);
const MINUTE = 60_000;

const reading = (key: number, minute: number, kwh: number): Reading => ({
  key,
  tsMs: T0 + minute * MINUTE,
  values: orderedValues({ active_import_kwh: kwh }),
});
const isWrite = (url: string | undefined) => url!.startsWith('/api/v2/write');
const conflict = (minute: number, kept: number, refused: number) => ({
  key: 1,
  tsMs: T0 + minute * MINUTE,
  kept: { active_import_kwh: kept },
  refused: { active_import_kwh: refused },
});

describe.skipIf(INFLUXD === undefined && !REQUIRED)('several writers of InfluxDB', () => {
  let influx: TestInflux;
  let db: TestDatabase;
  let log: PostgresReadingLog;
  const stores: InfluxReadings[] = [];
  let databases = 0;
  let bucket = '';
  beforeAll(async () => {
    influx = await TestInflux.start();
    db = await testDatabase();
    log = new PostgresReadingLog(db.pool);
  });
  afterAll(async () => {
    for (const store of stores) await store.close();
    await influx?.stop();
    await db?.close();
  });
  afterEach(() => {
    influx.front.answer = () => false;
  });

  function store(name: string): InfluxReadings {
    const options = { url: influx.front.url, token: TOKEN, org: ORG, bucket: name, log, nowMs: () => T0 };
    const opened = new InfluxReadings({ ...options, idOf: (key) => `M-${key}`, keys: () => [] });
    stores.push(opened);
    return opened;
  }

  async function writers<const N extends number>(count: N): Promise<InfluxReadings[]> {
    bucket = `writers${++databases}`;
    await influx.query(`CREATE DATABASE ${bucket}`);
    const opened = Array.from({ length: count }, () => store(bucket));
    // All know the instrument and look at the log.
    for (const one of opened) await one.append([reading(1, 0, 0)]);
    return opened;
  }

  const stored = async () =>
    (await store(bucket).range(1, T0 + MINUTE, T0 + 1000 * MINUTE, 100)).map(({ values }) => values.active_import_kwh);
  const questions = () => influx.front.seen.filter(({ path }) => path === '/query').length;

  /** Both have looked at the log and are about to write when either may: `first` comes to the log first. */
  async function atOnce(
    first: InfluxReadings,
    firstBatch: Reading[],
    second: InfluxReadings,
    secondBatch: Reading[],
  ): Promise<[AppendResult, AppendResult]> {
    let arrived = () => {};
    let go = () => {};
    const waiting = new Promise<void>((done) => (arrived = done));
    const released = new Promise<void>((done) => (go = done));
    let held = false;
    influx.front.answer = async ({ url }) => {
      if (!isWrite(url) || held) return false;
      held = true;
      arrived();
      await released;
      return false;
    };
    const late = second.append(secondBatch);
    await waiting;
    const early = await first.append(firstBatch);
    go();
    return [early, await late];
  }

  readingStoreConformance('InfluxDB 1.6 with several writers', async () => {
    await influx.query('CREATE DATABASE conformance');
    return { store: store('conformance'), reopen: () => store('conformance'), close: async () => {} };
  });

  it('know what another has logged without a question, compare with it, and log what they found again', async () => {
    const [one, other] = (await writers(2)) as [InfluxReadings, InfluxReadings];
    await other.append([reading(1, 15, 2), reading(1, 30, 3)]);
    const before = questions();
    expect(await one.append([reading(1, 45, 4)])).toEqual({ stored: 1, duplicates: 0, conflicts: [] });
    expect(questions()).toBe(before);
    const again = [reading(1, 15, 9), reading(1, 30, 3), reading(1, 45, 4), reading(1, 60, 5), reading(1, 60, 6)];
    expect(await other.append(again)).toEqual({
      stored: 1,
      duplicates: 2,
      conflicts: [conflict(15, 2, 9), conflict(60, 5, 6)],
    });
    expect(await stored()).toEqual([2, 3, 4, 5]);
    const { rows } = await db.pool.query<{ id: string }>('SELECT max(id) AS id FROM reading_log');
    const entries = await log.after(Number(rows[0]!.id) - 1);
    expect(entries.at(-1)!.readings).toEqual([reading(1, 60, 5), reading(1, 30, 3), reading(1, 45, 4)]);
  });

  it('count a reading once that two store at once', async () => {
    const [one, other] = (await writers(2)) as [InfluxReadings, InfluxReadings];
    const [early, late] = await atOnce(one, [reading(1, 15, 1), reading(1, 30, 2)], other, [
      reading(1, 30, 2),
      reading(1, 45, 3),
    ]);
    expect(early).toEqual({ stored: 2, duplicates: 0, conflicts: [] });
    expect(late).toEqual({ stored: 1, duplicates: 1, conflicts: [] });
    expect(await stored()).toEqual([1, 2, 3]);
  });

  it('keep what was logged first of two values at once, and tell of the other', async () => {
    const [one, other] = (await writers(2)) as [InfluxReadings, InfluxReadings];
    const [early, late] = await atOnce(one, [reading(1, 15, 1)], other, [
      reading(1, 15, 8),
      reading(1, 15, 1),
      reading(1, 15, 9),
      reading(1, 30, 2),
    ]);
    expect(early).toEqual({ stored: 1, duplicates: 0, conflicts: [] });
    expect(late).toEqual({ stored: 1, duplicates: 1, conflicts: [conflict(15, 1, 8), conflict(15, 1, 9)] });
    expect(await stored()).toEqual([1, 2]);
  });

  it('count a reading that another found stored before it was logged', async () => {
    const [one, other] = (await writers(2)) as [InfluxReadings, InfluxReadings];
    // Stored by `one`, which has not logged it yet when `other`, who never met the instrument, asks InfluxDB.
    let found: AppendResult | undefined;
    influx.front.answer = async ({ url }, _, body) => {
      if (!isWrite(url)) return false;
      influx.front.answer = () => false;
      await influx.write(bucket, `readings,instrument=M-1 active_import_kwh=1,received_us=1i ${T0 + 15 * MINUTE}`);
      found = await store(bucket).append([reading(1, 15, 1)]);
      expect(body.length).toBeGreaterThan(0);
      return false;
    };
    expect(await one.append([reading(1, 15, 1)])).toEqual({ stored: 1, duplicates: 0, conflicts: [] });
    expect(found).toEqual({ stored: 0, duplicates: 1, conflicts: [] });
    expect(await other.append([reading(1, 15, 1)])).toEqual({ stored: 0, duplicates: 1, conflicts: [] });
  });

  it('put right what a failed append has overwritten, before they write again', async () => {
    const [one, other] = (await writers(2)) as [InfluxReadings, InfluxReadings];
    influx.front.answer = async ({ url }, response) => {
      if (!isWrite(url)) return false;
      influx.front.answer = () => false;
      expect(await one.append([reading(1, 15, 1)])).toMatchObject({ stored: 1 });
      await influx.write(bucket, `readings,instrument=M-1 active_import_kwh=8,received_us=1i ${T0 + 15 * MINUTE}`);
      response.destroy();
      return true;
    };
    const batch = [reading(1, 15, 8)];
    await expect(other.append(batch)).rejects.toThrow(/influx_unavailable/);
    expect(await stored()).toEqual([8]);
    await other.append([]);
    expect(await stored()).toEqual([1]);
    expect(await other.append(batch)).toEqual({ stored: 0, duplicates: 0, conflicts: [conflict(15, 1, 8)] });
  });

  it('ask InfluxDB again when the log was trimmed before they looked at it', async () => {
    const [one, other] = (await writers(2)) as [InfluxReadings, InfluxReadings];
    await other.append([reading(1, 15, 1)]);
    await db.pool.query('DELETE FROM reading_log');
    const before = questions();
    expect(await one.append([reading(1, 15, 2)])).toEqual({
      stored: 0,
      duplicates: 0,
      conflicts: [conflict(15, 1, 2)],
    });
    expect(questions()).toBeGreaterThan(before);
    expect(await other.append([reading(1, 15, 1), reading(1, 30, 3)])).toMatchObject({ stored: 1, duplicates: 1 });
  });

  it('look at the log with an empty batch', async () => {
    const [one, other] = (await writers(2)) as [InfluxReadings, InfluxReadings];
    await other.append([reading(1, 15, 1)]);
    await one.append([]);
    // Its last entry is another's now, and is there.
    const before = questions();
    await db.pool.query('DELETE FROM reading_log WHERE id < (SELECT max(id) FROM reading_log)');
    expect(await one.append([reading(1, 30, 2)])).toMatchObject({ stored: 1 });
    expect(questions()).toBe(before);
  });

  it('store nothing while the log cannot be reached', async () => {
    const [one] = (await writers(1)) as [InfluxReadings];
    await db.pool.query('ALTER TABLE reading_log RENAME TO gone');
    await expect(one.append([reading(1, 15, 1)])).rejects.toThrow();
    await db.pool.query('ALTER TABLE gone RENAME TO reading_log');
    expect(await stored()).toEqual([]);
    expect(await one.append([reading(1, 15, 1)])).toMatchObject({ stored: 1 });
  });
});
