/** The readings store on a real InfluxDB 1.6 behind a front that gives it the write path of 1.8 and 2.x. */
import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { orderedValues, type Reading } from '../../src/fleet/reading.ts';
import { InfluxConnection, MAX_RETRY_AFTER_MS, REQUEST_TIMEOUT_MS } from '../../src/store/influxdb-connection.ts';
import { InfluxQueries } from '../../src/store/influxdb-queries.ts';
import { InfluxReadings, type InfluxReadingsOptions } from '../../src/store/influxdb-readings.ts';
import { BackfillMarks, type ReceivedBatch, replay } from '../../src/store/influxdb-replay.ts';
import { MAX_BISECTIONS, MAX_LINES } from '../../src/store/influxdb-writing.ts';
import { readingStoreConformance } from '../conformance/reading-store.ts';
import { INFLUXD, ORG, REQUIRED, refuse, TestInflux, TOKEN } from '../support/influxdb.ts';

const T0 = Date.UTC(2026, 2, 1);
const MINUTE = 60_000;
const DAY = 86_400_000;
const WRITE = '/api/v2/write';

const reading = (key: number, minute: number, kwh: number, extra = {}): Reading => ({
  key,
  tsMs: T0 + minute * MINUTE,
  values: orderedValues({ active_import_kwh: kwh, ...extra }),
});
const isWrite = ({ url }: IncomingMessage) => url!.startsWith(WRITE);
const linesOf = (body: Buffer) => body.toString('utf8').split('\n');

describe.skipIf(INFLUXD === undefined && !REQUIRED)('InfluxDB', () => {
  let influx: TestInflux;
  const stores: InfluxReadings[] = [];
  beforeAll(async () => {
    influx = await TestInflux.start();
  });
  afterAll(async () => {
    for (const store of stores) await store.close();
    await influx?.stop();
  });
  afterEach(() => {
    influx.front.answer = () => false;
  });

  function store(bucket: string, options: Partial<InfluxReadingsOptions> = {}): InfluxReadings {
    const opened = new InfluxReadings({
      url: influx.front.url,
      token: TOKEN,
      org: ORG,
      bucket,
      idOf: (key) => `M-${key}`,
      keys: () => [1, 2, 3],
      nowMs: () => T0,
      ...options,
    });
    stores.push(opened);
    return opened;
  }

  let databases = 0;
  async function database(): Promise<string> {
    const name = `readings${++databases}`;
    await influx.query(`CREATE DATABASE ${name}`);
    return name;
  }

  const requests = (path = WRITE) => influx.front.seen.filter((one) => one.path === path).length;

  async function kept(from: InfluxReadings, keys: readonly number[]): Promise<Reading[]> {
    const readings: Reading[] = [];
    for await (const one of from.window(keys, T0 - 1000 * DAY, T0 + 1000 * DAY)) readings.push(one);
    return readings;
  }

  readingStoreConformance(
    'InfluxDB 1.6',
    async () => {
      await influx.query('CREATE DATABASE conformance');
      return { store: store('conformance'), reopen: () => store('conformance'), close: async () => {} };
    },
    { tellsWritersApart: false },
  );

  describe('what it does not take', () => {
    it('is told reading by reading when a field has another type, and the rest is stored', async () => {
      const bucket = await database();
      await influx.write(bucket, `readings,instrument=other voltage_v=1i ${T0}`);
      const batch = Array.from({ length: 300 }, (_, i) =>
        reading(1 + i, 0, i, i % 100 === 7 ? { voltage_v: 220 } : {}),
      );
      const before = requests();
      const result = await store(bucket).append(batch);
      expect(result).toMatchObject({ stored: 297, duplicates: 0, conflicts: [] });
      expect(result.refused!.map(({ key }) => key).sort((a, b) => a - b)).toEqual([8, 108, 208]);
      for (const { reason } of result.refused!) expect(reason).toMatch(/field type conflict/);
      expect(requests() - before).toBeLessThan(10);
      const expected = batch.filter((_, i) => i % 100 !== 7);
      expect(
        await kept(
          store(bucket),
          batch.map(({ key }) => key),
        ),
      ).toEqual(expected);
    });

    it('is told reading by reading beyond the retention of the bucket', async () => {
      const bucket = await database();
      await influx.query(`CREATE RETENTION POLICY short ON ${bucket} DURATION 1h REPLICATION 1`);
      const nowMs = Math.floor(Date.now() / MINUTE) * MINUTE;
      const at = (key: number, tsMs: number) => ({ key, tsMs, values: orderedValues({ active_import_kwh: 1 }) });
      const mine = store(`${bucket}/short`, { nowMs: () => nowMs });
      const result = await mine.append([at(1, nowMs - 60 * DAY), at(1, nowMs), at(2, nowMs), at(2, nowMs - 61 * DAY)]);
      expect(result).toMatchObject({ stored: 2 });
      expect(result.refused).toEqual([
        { key: 1, tsMs: nowMs - 60 * DAY, reason: expect.stringMatching(/retention/) },
        { key: 2, tsMs: nowMs - 61 * DAY, reason: expect.stringMatching(/retention/) },
      ]);
      // Refused again as often as it is sent again, and the hint does not take it for stored.
      expect(await mine.append([at(1, nowMs - 60 * DAY)])).toMatchObject({ stored: 0, refused: [{ key: 1 }] });
      expect((await mine.latest([1])).get(1)!.tsMs).toBe(nowMs);
    });

    it('is found by halves when the server takes all of a request or nothing, as 2.x does with a line it cannot read', async () => {
      const bucket = await database();
      const bad = new Set([14, 701, 702]);
      influx.front.answer = (request, response, body) => {
        if (!isWrite(request)) return false;
        const refused = linesOf(body).some((line) => bad.has(Number(/instrument=M-(\d+)/.exec(line)?.[1])));
        if (refused) refuse(response, 400, { code: 'invalid', message: 'unable to parse a line' });
        return refused;
      };
      const batch = Array.from({ length: 1000 }, (_, i) => reading(1 + i, 0, i));
      const before = requests();
      const result = await store(bucket).append([...batch, batch[13]!]);
      expect(result).toMatchObject({ stored: 997, duplicates: 0 });
      expect(result.refused!.map(({ key }) => key).sort((a, b) => a - b)).toEqual([14, 14, 701, 702]);
      expect(requests() - before).toBeLessThan(60);
      const keys = batch.map(({ key }) => key);
      expect(await kept(store(bucket), keys)).toEqual(batch.filter(({ key }) => !bad.has(key)));
    });

    it('costs a bounded number of requests when it is everything', async () => {
      const bucket = await database();
      influx.front.answer = (request, response) => {
        if (isWrite(request)) refuse(response, 422, { code: 'unprocessable entity', message: 'a schema of its own' });
        return isWrite(request);
      };
      const batch = Array.from({ length: 2 * MAX_LINES }, (_, i) => reading(1 + (i % 500), Math.floor(i / 500), i));
      const before = requests();
      const result = await store(bucket).append(batch);
      expect(result.stored).toBe(0);
      expect(result.refused).toHaveLength(batch.length);
      expect(result.refused![0]!.reason).toBe('a schema of its own');
      expect(requests() - before).toBeLessThanOrEqual(MAX_BISECTIONS + 3);
    });

    it('is what 201 leaves out: InfluxDB is asked what it has', async () => {
      const bucket = await database();
      influx.front.answer = async (request, response, body) => {
        if (!isWrite(request)) return false;
        const lines = linesOf(body).filter((line) => !line.includes('instrument=M-2 '));
        if (lines.length > 0) await influx.write(bucket, lines.join('\n'));
        refuse(response, 201, { message: 'partial write' });
        return true;
      };
      const result = await store(bucket).append([reading(1, 0, 1), reading(2, 0, 2), reading(3, 0, 3)]);
      expect(result).toMatchObject({ stored: 2, refused: [{ key: 2, reason: 'partial write' }] });
    });

    it('is what cannot be written at all', async () => {
      const bucket = await database();
      const mine = store(bucket, { idOf: (key) => (key === 9 ? undefined : `M-${key}`) });
      const far = { ...reading(1, 0, 1), tsMs: 8.64e15 };
      expect(await mine.append([reading(1, 0, 1), far, reading(9, 0, 1)])).toMatchObject({
        stored: 1,
        refused: [
          { key: 1, tsMs: 8.64e15 },
          { key: 9, tsMs: T0 },
        ],
      });
    });
  });

  describe('what makes append reject', () => {
    const code = (expected: string) => expect.objectContaining({ code: expected });

    it('is a wrong token, organization or bucket', async () => {
      const bucket = await database();
      await expect(store(bucket, { token: 'guessed' }).append([reading(1, 0, 1)])).rejects.toEqual(
        code('influx_denied'),
      );
      const elsewhere = store(bucket, { org: 'village' });
      const noOrg = { code: 'influx_no_org', path: 'INFLUX_ORG', params: { org: 'village' } };
      await elsewhere.check(); // a question needs none
      await expect(elsewhere.checkWriting()).rejects.toMatchObject(noOrg);
      await expect(elsewhere.append([reading(1, 0, 1)])).rejects.toMatchObject(noOrg);
      await expect(store('nowhere').append([reading(1, 0, 1)])).rejects.toEqual(code('influx_missing'));
      await expect(store('nowhere').check()).rejects.toEqual(code('influx_missing'));
      await store(bucket).check();
      await store(bucket).checkWriting();
      await expect(store('nowhere').checkWriting()).rejects.toEqual(code('influx_missing'));
      expect(() => store(bucket, { token: 'line\nbreak' })).toThrow(/invalid_setting at INFLUX_TOKEN$/);
    });

    it('is a server that asks to wait, and it is left alone until then, but not for ever', async () => {
      const bucket = await database();
      const mine = store(bucket);
      influx.front.answer = (request, response) => {
        if (isWrite(request)) refuse(response, 429, { message: 'too many writes' }, { 'retry-after': '1' });
        return isWrite(request);
      };
      await expect(mine.append([reading(1, 0, 1)])).rejects.toThrow(/429 too many writes/);
      influx.front.answer = () => false;
      const before = influx.front.seen.length;
      await expect(mine.append([reading(1, 0, 1)])).rejects.toThrow(/asked to wait/);
      expect(influx.front.seen).toHaveLength(before);
      await sleep(1_050);
      expect(await mine.append([reading(1, 0, 1)])).toMatchObject({ stored: 1 });

      const other = store(bucket);
      influx.front.answer = (_, response) => {
        refuse(response, 503, { error: 'later' }, { 'retry-after': '3600' });
        return true;
      };
      await expect(other.append([reading(1, 0, 1)])).rejects.toThrow(/503 later/);
      const said = await other.append([reading(1, 0, 1)]).catch((error: Error) => error.message);
      expect(Number(/wait (\d+) ms/.exec(String(said))?.[1])).toBeLessThanOrEqual(MAX_RETRY_AFTER_MS);
    });

    it('is a server that is not there, at once, or does not answer, in time', async () => {
      const bucket = await database();
      const startedMs = performance.now();
      const nobody = store(bucket, { url: 'http://127.0.0.1:9' });
      await expect(nobody.append([reading(1, 0, 1)])).rejects.toMatchObject({
        code: 'influx_unavailable',
        path: 'INFLUX_URL',
        params: { problem: 'nobody_listens', address: '127.0.0.1:9' },
      });
      expect(performance.now() - startedMs).toBeLessThan(2_000);

      const mine = store(bucket);
      await mine.append([reading(1, 0, 1)]);
      influx.front.answer = () => new Promise(() => {});
      const appends = [reading(1, 1, 1), reading(1, 2, 2), reading(1, 3, 3), reading(1, 4, 4), reading(1, 5, 5)].map(
        (one) =>
          mine.append([one]).then(
            () => 'stored',
            () => 'rejected',
          ),
      );
      expect(await Promise.all(appends)).toEqual(appends.map(() => 'rejected'));
      // Each waits for those before it, and none longer than the longest that one may take.
      expect(performance.now() - startedMs).toBeLessThan(4 * REQUEST_TIMEOUT_MS);
      influx.front.answer = () => false;
      expect(await mine.append([reading(1, 1, 1)])).toMatchObject({ stored: 1 });
    });

    it('is an answer cut short: a row less must not pass for the end', async () => {
      const bucket = await database();
      const mine = store(bucket);
      await mine.append([reading(1, 0, 1)]);
      influx.front.answer = ({ url }, response) => {
        if (url === '/query')
          refuse(response, 200, { results: [{ series: [{ columns: ['time'], values: [], partial: true }] }] });
        return url === '/query';
      };
      await expect(mine.range(1, T0, T0 + 1, 10)).rejects.toThrow(/max-row-limit/);
    });

    it('is a closed store', async () => {
      const mine = store(await database());
      const last = mine.append([reading(1, 0, 1)]);
      await mine.close();
      expect(await last).toMatchObject({ stored: 1 });
      await expect(mine.append([reading(1, 1, 1)])).rejects.toEqual(code('influx_unavailable'));
      await expect(mine.append([reading(1, 1, 1)])).rejects.toEqual(code('influx_unavailable'));
    });
  });

  it('knows what it wrote when the answer got lost, and keeps the first values', async () => {
    const bucket = await database();
    const mine = store(bucket);
    await mine.append([reading(1, 0, 1)]);
    influx.front.answer = async (request, response, body) => {
      if (!isWrite(request)) return false;
      await influx.write(bucket, linesOf(body).join('\n'));
      response.destroy();
      return true;
    };
    await expect(mine.append([reading(1, 1, 2), reading(2, 1, 3)])).rejects.toThrow(/influx_unavailable/);
    influx.front.answer = () => false;
    expect(await mine.append([reading(1, 1, 2), reading(2, 1, 9), reading(2, 2, 4)])).toEqual({
      stored: 1,
      duplicates: 1,
      conflicts: [{ key: 2, tsMs: T0 + MINUTE, kept: { active_import_kwh: 3 }, refused: { active_import_kwh: 9 } }],
    });
    expect((await kept(mine, [2])).map(({ values }) => values[0])).toEqual([3, 4]);
  });

  it('splits what the server calls too large, and remembers', async () => {
    const bucket = await database();
    let tooLarge = 0;
    influx.front.answer = (request, response, body) => {
      if (!isWrite(request) || linesOf(body).join('\n').length <= 200_000) return false;
      tooLarge++;
      refuse(response, 413, { error: 'Request Entity Too Large' });
      return true;
    };
    const mine = store(bucket);
    const batch = (minute: number) => Array.from({ length: MAX_LINES }, (_, i) => reading(1 + i, minute, i / 7));
    expect(await mine.append(batch(0))).toEqual({ stored: MAX_LINES, duplicates: 0, conflicts: [] });
    expect(tooLarge).toBeGreaterThan(0);
    tooLarge = 0;
    expect(await mine.append(batch(1))).toEqual({ stored: MAX_LINES, duplicates: 0, conflicts: [] });
    expect(tooLarge).toBe(0);
  });

  it('keeps instruments apart by any id', async () => {
    const ids = [
      'M-1',
      'm-1',
      'a,b',
      'a b',
      'a=b',
      "it's",
      '"quoted"',
      'ends\\',
      'a\\nb',
      'a\nb',
      'a%0Ab',
      'tab\t',
      ' lead',
      'trail ',
      '电表-一',
      'é',
      'e\u0301',
      '🌡️',
      '\u2028',
      '\u00a0',
      "' OR ''='",
      "' OR 1=1 --",
      "'; DROP MEASUREMENT readings; --",
      '/.*/',
      '$tag',
      '#',
      '-',
      '*',
      'time',
      'readings',
      'x'.repeat(64),
      'a,instrument=b voltage_v=1 1',
    ];
    const bucket = await database();
    const mine = store(bucket, { idOf: (key) => ids[key - 1] });
    const keys = ids.map((_, i) => i + 1);
    const batch = keys.map((key) => reading(key, key, key));
    expect(await mine.append(batch)).toEqual({ stored: ids.length, duplicates: 0, conflicts: [] });
    for (const key of keys) expect(await mine.range(key, T0, T0 + DAY, 10), ids[key - 1]).toHaveLength(1);
    expect(await kept(mine, keys)).toEqual(batch);
    expect([...(await mine.latest(keys)).keys()]).toEqual(keys);
    const again = store(bucket, { idOf: (key) => ids[key - 1] });
    expect(await again.append(batch)).toEqual({ stored: 0, duplicates: ids.length, conflicts: [] });
    const [cardinality] = await influx.query(`SHOW TAG VALUES FROM readings WITH KEY = instrument`, bucket);
    expect(cardinality!.values).toHaveLength(ids.length);
  });

  it('reads a window of many instruments page by page, every moment whole', async () => {
    const bucket = await database();
    const mine = store(bucket);
    const expected: Reading[] = [];
    // More instruments than one statement names, more readings than a page, and each moment belongs to many of them.
    for (let minute = 0; minute < 40; minute++)
      for (let key = 1; key <= 700; key++)
        if ((key + minute) % 5 > 0) expected.push(reading(key, minute, key + minute / 100));
    expect(await mine.append(expected)).toMatchObject({ stored: expected.length });
    const keys = Array.from({ length: 700 }, (_, i) => 700 - i);
    expect(await kept(mine, keys)).toEqual(expected);
    expect(await mine.range(7, T0, T0 + DAY, 12)).toHaveLength(12);
    let first: Reading | undefined;
    for await (const one of mine.window(keys, T0 + MINUTE, T0 + DAY)) {
      first = one;
      break;
    }
    expect(first).toEqual(expected.find(({ tsMs }) => tsMs === T0 + MINUTE));
  });

  describe('readings as they were received', () => {
    const replayed = async (batches: AsyncIterable<ReceivedBatch>) => {
      const found: [number, number][][] = [];
      for await (const { readings } of batches)
        found.push(readings.map(({ key, tsMs }) => [key, Math.round((tsMs - T0) / MINUTE)]));
      return found;
    };

    it('come back batch by batch, even with a clock that stands still or goes back', async () => {
      const bucket = await database();
      let nowMs = T0 + DAY;
      const mine = store(bucket, { nowMs: () => nowMs });
      await mine.append([reading(2, 15, 1), reading(1, 15, 1)]);
      const mark = mine.receivedAtUs;
      await mine.append([reading(1, 45, 1), reading(1, 30, 1)]);
      nowMs -= 5000;
      await mine.append([reading(1, 20, 1), reading(3, -900 * 1440, 1)]);
      const after = [
        [
          [1, 30],
          [1, 45],
        ],
        [
          [3, -900 * 1440],
          [1, 20],
        ],
      ];
      expect(await replayed(mine.receivedSince(mark))).toEqual(after);
      const reopened = store(bucket, { nowMs: () => nowMs });
      expect(await replayed(reopened.receivedSince(0))).toEqual([
        [
          [1, 15],
          [2, 15],
        ],
        ...after,
      ]);
      await reopened.append([reading(3, 0, 1)]);
      expect(reopened.receivedAtUs).toBeGreaterThan(mine.receivedAtUs);
      expect(await replayed(mine.receivedSince(reopened.receivedAtUs))).toEqual([]);
    });

    it('come back although two processes marked the same moment', async () => {
      const bucket = await database();
      const [one, other] = [store(bucket), store(bucket)];
      await Promise.all([one.append([reading(1, -30 * 1440, 1)]), other.append([reading(2, -2 * 1440, 1)])]);
      const found: number[] = [];
      for await (const { readings } of store(bucket).receivedSince(0)) found.push(...readings.map(({ key }) => key));
      expect(found.sort()).toEqual([1, 2]);
      const [marks] = await influx.query('SELECT count(oldest_ms) FROM backfills', bucket);
      expect(marks!.values[0]![1]).toBe(2);
    });

    it('come back in parts when they are many', async () => {
      const bucket = await database();
      const mine = store(bucket);
      const expected: [number, number][][] = [];
      for (let minute = 0; minute < 60; minute++) {
        await mine.append([reading(1 + (minute % 7), minute, 1), reading(8, minute, 2)]);
        expected.push([
          [1 + (minute % 7), minute],
          [8, minute],
        ]);
      }
      const connection = new InfluxConnection({ url: influx.front.url, token: TOKEN, org: ORG, bucket });
      const queries = new InfluxQueries(connection, (key) => `M-${key}`);
      const keys = Array.from({ length: 8 }, (_, i) => i + 1);
      expect(await replayed(replay(queries, new BackfillMarks(connection), 0, keys, 10))).toEqual(expected);
      connection.close();
    });
  });
});
