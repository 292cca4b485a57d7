import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Comparisons, comparisonTable } from '../../bench/burst/report.ts';
import { type Costs, constantsOf, fullConstantsOf, leastSquares } from '../../bench/cost/costs.ts';
import { citiesOf, districtCost, machinesFor, memoryOf, postgresUs, workerUs } from '../../bench/cost/machines.ts';
import { parseStat } from '../../bench/cost/processor.ts';
import { costParts } from '../../bench/cost/report.ts';
import { count, marked, withMarked } from '../../bench/markdown.ts';

const DOCS = join(import.meta.dirname, '../../docs');
const readJson = <T>(name: string) => JSON.parse(readFileSync(join(DOCS, name), 'utf8')) as T;
const page = () => readFileSync(join(DOCS, 'scale.md'), 'utf8');

const idle = { rssBytes: 0, heapBytes: 0, idleUsPerSecond: 0 };
const start = { ms: 1000, cpuMs: 1000 };
const run = { full: false, commitSeconds: 1, p50Ms: 1, p99Ms: 2, readingsPerSecond: 1000 };

/** Round figures: 20 µs a message, 5 a reading, 1000 a commit on the main thread; PostgreSQL 800 a commit, 4 a reading. */
const COSTS: Costs = {
  measuredOn: '2026-01-01',
  machine: { cpu: 'cpu', cores: 2, memoryGb: 8, node: '24', postgres: '18', loadBefore: 0 },
  idle: { serviceUsPerSecond: 0, postgresUsPerSecond: 0 },
  ingest: [
    {
      ...run,
      shape: 'single',
      readings: 10_000,
      messages: 10_000,
      commits: 100,
      serviceUs: 700_000,
      serviceMainUs: 350_000,
      postgresUs: 120_000,
    },
    {
      ...run,
      shape: 'single',
      readings: 40_000,
      messages: 40_000,
      commits: 50,
      serviceUs: 2_100_000,
      serviceMainUs: 1_050_000,
      postgresUs: 200_000,
    },
    {
      ...run,
      shape: 'gateway',
      readings: 100_000,
      messages: 1_000,
      commits: 200,
      serviceUs: 1_440_000,
      serviceMainUs: 720_000,
      postgresUs: 560_000,
    },
  ],
  disk: {
    readings: 1,
    tableBytes: 90,
    indexBytes: 40,
    walBytes: 150,
    walBytesAfterCheckpoint: 700,
    pagesAfterCheckpoint: 0.2,
  },
  log: { readingsPerEntry: 1000, bytes: 45, walBytes: 50, postgresUs: 1, appendMs: 5, emptyAppendMs: 3 },
  inProcess: {
    instruments: 100_000,
    districts: 1_000,
    encodeCopyUs: 0.3,
    encodeLogUs: 0.2,
    judgeUs: 1,
    followUs: 2,
    ledgerBytesPerInstrument: 400,
    hintBytesPerInstrument: 100,
    rulesBytesPerInstrument: 100,
    idleTickUs: 20,
    quarterHourTicksUs: 10_000,
    snapshotBytes: 5e6,
    snapshotUs: 50_000,
  },
  fleet: {
    instruments: 100_000,
    importSeconds: 10,
    importCpuSeconds: 5,
    empty: { ...idle, rssBytes: 100e6, heapBytes: 50e6 },
    emptyStart: start,
    ledger: { ...idle, rssBytes: 200e6, heapBytes: 110e6 },
    ledgerStart: start,
    connections: 1_000,
    connected: { ...idle, rssBytes: 210e6, heapBytes: 120e6 },
    reported: { ...idle, rssBytes: 310e6, heapBytes: 140e6 },
    rulesStart: start,
    snapshotBytes: 5e6,
  },
};

describe('constants', () => {
  test('are what the runs were made of', () => {
    const constants = constantsOf(COSTS);
    expect(constants.messageUs).toBeCloseTo(20);
    expect(constants.readingUs).toBeCloseTo(5);
    expect(constants.turnUs).toBeCloseTo(1000);
    expect(constants.commitUs).toBeCloseTo(800);
    expect(constants.storeUs).toBeCloseTo(4);
    expect(constants.threads).toBeCloseTo(2);
  });

  test('with a backlog only messages and readings are cheaper', () => {
    const full = { ...run, full: true, commits: 10, readings: 10_000, postgresUs: 28_000 };
    // 10 µs a message and 4 a reading, PostgreSQL 2 a reading, on top of ten commits
    const single = { ...full, shape: 'single' as const, messages: 10_000, serviceUs: 150_000, serviceMainUs: 150_000 };
    const gateway = { ...full, shape: 'gateway' as const, messages: 100, serviceUs: 51_000, serviceMainUs: 51_000 };
    const costs = { ...COSTS, ingest: [...COSTS.ingest, single, gateway] };
    const constants = fullConstantsOf(costs);
    expect(constants.messageUs).toBeCloseTo(10);
    expect(constants.readingUs).toBeCloseTo(4);
    expect(constants.storeUs).toBeCloseTo(2);
    expect(constants.threads).toBeCloseTo(1);
    expect(constants.turnUs).toBeCloseTo(1000);
    expect(constantsOf(costs)).toEqual(constantsOf(COSTS));
  });

  test.each([
    [
      'exact',
      [
        [1, 1, 3],
        [1, 2, 5],
        [3, 1, 5],
      ],
      [1, 2],
    ],
    [
      'a column that would be negative is left out',
      [
        [1, 1, 1],
        [2, 1, 1],
        [3, 1, 0.9],
      ],
      [0, 0.96],
    ],
    [
      'rows of nothing do not count',
      [
        [1, 0, 2],
        [5, 5, 0],
        [0, 1, 3],
      ],
      [2, 3],
    ],
  ])('least squares: %s', (_, rows, factors) => {
    const found = leastSquares(rows.map(([x, y, is]) => ({ of: [x!, y!], is: is! })));
    for (const [i, factor] of factors.entries()) expect(found[i]).toBeCloseTo(factor, 1);
  });

  test('processor time of a process whose name holds anything', () => {
    const stat = `7 (a (b) c) S 3 7 7 0 -1 4194560 1 2 3 4 150 50 20 10 20 0 11 0 100`;
    expect(parseStat(stat)).toEqual({ parent: 3, ownUs: 2_000_000, reapedUs: 300_000 });
  });
});

describe('machines', () => {
  test('a city of 900 000', () => {
    const city = machinesFor(900_000, COSTS);
    expect(city.averagePerSecond).toBe(1_000);
    expect(city.peakPerSecond).toBe(3_000);
    // 20/100 + 1000/1000 + 5 − 1 + 0.2 µs, and 800/1000 + 4 + 1 µs, at 3 000/s and 60 % of a core
    expect(workerUs(constantsOf(COSTS))).toBeCloseTo(5.4);
    expect(postgresUs(constantsOf(COSTS))).toBeCloseTo(5.8);
    expect([city.ingestWorkers, city.postgresCores]).toEqual([1, 1]);
    expect(city.rulesCores).toBeCloseTo(0.01);
    // 130 bytes, 96 times a day
    expect(city.tbPerYear).toBeCloseTo((900_000 * 96 * 365 * 130) / 1e12);
    expect(city.tbRetained).toBeCloseTo(((900_000 * 96 * 800 * 130) / 1e12) * 1.2);
    expect(city.postgresGb).toBeCloseTo(8 + (900_000 * 96 * 40) / 1e9);
    expect(city.walMbPerSecond).toBeCloseTo(0.75);
    expect(city.pagesPerSecond).toBeCloseTo(200);
    expect(city.gateways).toBe(1_800);
    expect(city.gatewaysGb).toBeCloseTo(0.018);
    // 800 bytes in use, 2 000 resident, each on top of an empty service
    expect(memoryOf(COSTS.fleet)).toMatchObject({
      bytesPerConnection: 10_000,
      heapPerInstrument: 800,
      rssPerInstrument: 2_000,
    });
    expect(city.heapGb).toBeCloseTo(0.77);
    expect(city.processGb).toBeCloseTo(1.9);
    expect(city.fitsHeap).toBe(true);
  });

  test('everything grows with the fleet but what is a process’s own', () => {
    const [one, ten] = [machinesFor(10_000_000, COSTS), machinesFor(100_000_000, COSTS)];
    expect(ten.fitsHeap).toBe(false);
    for (const name of ['tbRetained', 'walMbPerSecond', 'rulesCores', 'directGb', 'redisGb', 'influxTb'] as const)
      expect(ten[name] / one[name], name).toBeCloseTo(10);
    expect(ten.ingestWorkers).toBeGreaterThan(9 * one.ingestWorkers - 9);
  });

  test.each([
    [1_000_000, 1],
    [2_000_000, 1],
    [15_000_000, 8],
    [600_000_000, 300],
  ])('%i meters are %i cities', (meters, cities) => expect(citiesOf(meters)).toBe(cities));

  test('a district of a hundred in a quarter of an hour', () => {
    const district = districtCost(COSTS);
    expect(district.serviceMs).toBeCloseTo(0.54 * 2);
    expect(district.postgresMs).toBeCloseTo(0.58);
    expect(district.rulesMs).toBeCloseTo(0.2 + 0.01);
    expect(district.diskBytes).toBeCloseTo(13_000);
  });
});

describe('docs/scale.md', () => {
  test('says what follows from what was measured', () => {
    for (const [name, part] of Object.entries(costParts(readJson<Costs>('scale-cost.json'))))
      expect(
        marked(page(), name),
        `${name}: npm run bench -- cost --from docs/scale-cost.json --doc docs/scale.md`,
      ).toBe(part);
    expect(marked(page(), 'burst measured')).toBe(comparisonTable(readJson<Comparisons>('scale-burst.json')));
  });

  test('its marked parts are found and renewed', () => {
    const text = withMarked('a <!-- x -->\nold\n<!-- /x --> b', 'x', 'new');
    expect(text).toBe('a <!-- x -->\nnew\n<!-- /x --> b');
    expect(marked(text, 'x')).toBe('new');
    expect(() => marked(text, 'y')).toThrow('<!-- y -->');
    expect(count(1_234_567)).toBe('1 234 567');
  });
});
