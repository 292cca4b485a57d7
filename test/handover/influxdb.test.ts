/** Readings in InfluxDB are handed over as those in PostgreSQL are: the same story on both, held against each other file by file. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { runHandover } from '../../src/app/handover.ts';
import type { Reading } from '../../src/fleet/reading.ts';
import { Calendar } from '../../src/handover/calendar.ts';
import type { HandoverOptions } from '../../src/handover/run.ts';
import { boundsOf, changesOf, lateReadings } from '../../src/handover/sources.ts';
import type { InfluxOptions } from '../../src/store/influxdb-connection.ts';
import { InfluxReadings } from '../../src/store/influxdb-readings.ts';
import { PostgresHandover } from '../../src/store/postgres-handover.ts';
import { INFLUXD, ORG, REQUIRED, TestInflux, TOKEN } from '../support/influxdb.ts';
import { type TestDatabase, testDatabase } from '../support/postgres.ts';
import {
  DAY,
  HOUR,
  ledger,
  MINUTE,
  MORNING,
  parquetOf,
  reading,
  receive,
  removeFolders,
  settingsFor,
  T0,
  temporaryFolder,
  ZONE,
} from './fixture.ts';

const IDS = ['A', 'B', 'C'];
const regionOf = (key: number) => ['220302', '220302', '220303'][key - 1];

describe.skipIf(INFLUXD === undefined && !REQUIRED)('readings in InfluxDB', () => {
  let influx: TestInflux;
  let options: InfluxOptions;
  let db: TestDatabase;
  let store: InfluxReadings;
  let nowMs: number;
  /** What was made of PostgreSQL, and what of InfluxDB. */
  let folders: [string, string];
  let buckets = 0;

  beforeAll(async () => {
    influx = await TestInflux.start();
  });
  afterAll(async () => {
    await influx?.stop();
    removeFolders();
  });
  beforeEach(async () => {
    const bucket = `handover${++buckets}`;
    await influx.query(`CREATE DATABASE ${bucket}`);
    options = { url: influx.front.url, token: TOKEN, org: ORG, bucket };
    db = await testDatabase();
    await ledger(
      db,
      IDS.map((id, i) => ({ id, region: regionOf(i + 1)! })),
    );
    await db.pool.query('UPDATE instruments SET created_at = $1', [new Date(T0)]);
    store = new InfluxReadings({
      ...options,
      idOf: (key) => IDS[key - 1],
      keys: () => [1, 2, 3],
      nowMs: () => nowMs,
    });
    folders = [temporaryFolder(), temporaryFolder()];
  });
  afterEach(async () => {
    await store.close();
    await db.close();
  });

  async function receiveBoth(atMs: number, readings: readonly Reading[]): Promise<void> {
    nowMs = atMs;
    await receive(db, atMs, readings);
    await store.append(readings);
  }

  /** Hourly readings, received as they were measured. */
  async function history(hours = 72): Promise<void> {
    for (let hour = 0; hour < hours; hour++) {
      const tsMs = T0 + hour * HOUR;
      await receiveBoth(
        tsMs + MINUTE,
        [1, 2, 3].map((key) => reading(key, tsMs)),
      );
    }
  }

  /** Days of readings that were written, in that order: of PostgreSQL and of InfluxDB. */
  async function handOver(atMs: number, asked: HandoverOptions = {}): Promise<[string[], string[]]> {
    const both = [undefined, options].map(async (stored, i) => {
      const days: string[] = [];
      await runHandover({ ...settingsFor(db, folders[i]!), influx: stored }, asked, {
        signal: new AbortController().signal,
        nowMs: () => atMs,
        onProgress: ({ done, day }) => void (done && days.push(day)),
      });
      return days;
    });
    return (await Promise.all(both)) as [string[], string[]];
  }

  it('become the same files, every night', { timeout: 60_000 }, async () => {
    const same = async (atMs: number, expected: string[], asked?: HandoverOptions) => {
      expect(await handOver(atMs, asked)).toEqual([expected, expected]);
      expect(parquetOf(folders[1])).toEqual(parquetOf(folders[0]));
    };
    await history();
    await same(T0 + DAY + 4 * HOUR, ['2026-03-01']);
    await same(MORNING, ['2026-03-02', '2026-03-03']);
    expect(parquetOf(folders[1]).size).toBe(6);
    await same(MORNING + MINUTE, []);
    // Late for a day, for two at once, and earlier than all before.
    await receiveBoth(MORNING + HOUR, [reading(1, T0 + DAY + MINUTE)]);
    await same(MORNING + 2 * HOUR, ['2026-03-02']);
    await receiveBoth(MORNING + 3 * HOUR, [reading(3, T0 + MINUTE), reading(2, T0 + 2 * DAY + MINUTE)]);
    await same(MORNING + DAY, ['2026-03-01', '2026-03-03']);
    await receiveBoth(MORNING + DAY + HOUR, [reading(1, T0 - 3 * DAY)]);
    await same(MORNING + DAY + 2 * HOUR, ['2026-02-26']);
    await same(MORNING + DAY + 2 * HOUR, ['2026-03-02'], { day: '2026-03-02' });
  });

  it('came late by the same regions and days', async () => {
    const days = new Calendar(ZONE).days('2026-03-01', '2026-03-05');
    const [fromMs, toMs] = [days[0]!.fromMs, days.at(-1)!.toMs];
    const since = T0 + 10 * DAY;
    await receiveBoth(since - 1, [reading(1, T0 + HOUR)]);
    await receiveBoth(since, [reading(1, T0 + DAY), reading(3, T0 + 2 * DAY - 1)]);
    await receiveBoth(since + 5000, [reading(1, T0 + DAY + 1), reading(3, T0 + 5 * DAY), reading(3, T0 - 1)]);
    const found = await lateReadings(store.receivedIn({ fromMs, toMs }, since * 1000), regionOf, days);
    const asked = changesOf(days, await new PostgresHandover(db.pool).changedReadings(boundsOf(days), since));
    const sorted = (changes: typeof asked) => changes.toSorted((a, b) => (a.region < b.region ? -1 : 1));
    expect(sorted(found)).toEqual(sorted(asked));
    expect(sorted(asked)).toEqual([
      { day: '2026-03-02', region: '220302', changedAtMs: since + 5000 },
      { day: '2026-03-02', region: '220303', changedAtMs: since },
    ]);
  });

  it('are asked for of days that can have some, and not again of a quiet one', { timeout: 60_000 }, async () => {
    await history(24);
    const questions = async (atMs: number) => {
      const before = influx.front.seen.length;
      await handOver(atMs);
      return influx.front.seen.length - before;
    };
    expect(await questions(T0 + DAY + 5 * HOUR), 'days that are kept: 800').toBeLessThan(12);
    // What came since is of no settled day: the mark, the look at what is there, the bounds, and nothing else.
    expect(await questions(T0 + DAY + 6 * HOUR)).toBeLessThan(6);
  });
});
