import { describe, expect, test } from 'vitest';
import { marked, withMarked } from '../../bench/markdown.ts';
import {
  COMBINATIONS,
  DEFAULT,
  type Installed,
  inRound,
  missingFor,
  type Run,
} from '../../bench/products/combinations.ts';
import { type Products, renderProducts, summarizeProducts } from '../../bench/products/report.ts';

const INSTALLED: Installed = { postgres: '15.18', influxdb: '1.6.7', mosquitto: '2.0.11', redis: '7.0.15' };
const ALL_EXTERNAL = 'influxdb/mosquitto/redis';
const named = (name: string) => COMBINATIONS.find((combination) => combination.name === name)!;

const run = (combination: string, round: number, readingsPerSecond: number): Run => ({
  combination,
  shape: 'single',
  round,
  readingsPerSecond,
  cpuUs: { service: 20, store: 5, broker: 1, front: 3 },
  generatorCpu: 0.2,
});

const products = (runs: Run[], installed: Partial<Installed> = {}): Products => ({
  measuredOn: '2026-01-01',
  machine: { cpu: 'cpu', cores: 2, memoryGb: 8, node: '24', postgres: '18', loadBefore: 0 },
  installed: { ...INSTALLED, ...installed },
  runs,
});

describe('combinations', () => {
  test('begin with the default, hold every store with every broker, and Redis at both ends', () => {
    expect(DEFAULT.name).toBe('embedded/embedded/postgres');
    const onePlain = COMBINATIONS.filter(({ queue, workers }) => queue === 'postgres' && !workers);
    expect(new Set(onePlain.map(({ store, broker }) => `${store}/${broker}`)).size).toBe(6);
    const withRedis = COMBINATIONS.filter(({ queue }) => queue === 'redis').map(({ name }) => name);
    expect(withRedis).toEqual(['embedded/embedded/redis', ALL_EXTERNAL]);
    expect(COMBINATIONS.filter(({ workers }) => workers).map(({ name }) => name)).toEqual([
      'postgres/mosquitto/postgres/2',
    ]);
  });

  test('what the machine lacks is named', () => {
    const nothing = { postgres: undefined, influxdb: undefined, mosquitto: undefined, redis: undefined };
    expect(missingFor(DEFAULT, nothing)).toEqual([]);
    expect(missingFor(named(ALL_EXTERNAL), INSTALLED)).toEqual([]);
    expect(missingFor(named(ALL_EXTERNAL), { ...INSTALLED, influxdb: undefined, redis: undefined })).toEqual([
      expect.stringContaining('influxd'),
      expect.stringContaining('redis-server'),
    ]);
    expect(missingFor(named('postgres/mosquitto/postgres/2'), { ...INSTALLED, postgres: undefined })).toEqual([
      expect.stringContaining('PostgreSQL 15'),
    ]);
  });

  test('every other round goes the other way round', () => {
    expect(inRound(COMBINATIONS, 1)).toEqual(COMBINATIONS);
    expect(inRound(COMBINATIONS, 2)).toEqual(COMBINATIONS.toReversed());
    expect(inRound(COMBINATIONS, 3)).toEqual(COMBINATIONS);
  });
});

describe('report', () => {
  test('a ratio is to the default of the same round, though the machine drifts', () => {
    const runs = [
      ...[10_000, 20_000, 40_000].map((rate, i) => run(DEFAULT.name, i + 1, rate)),
      ...[6_000, 10_000, 28_000].map((rate, i) => run(ALL_EXTERNAL, i + 1, rate)),
    ];
    const [base, external] = summarizeProducts(runs);
    expect(base).toMatchObject({ readingsPerSecond: 20_000, ratio: { median: 1, least: 1, most: 1 } });
    expect(external!.readingsPerSecond).toBe(10_000);
    expect(external!.ratio!.median).toBeCloseTo(0.6);
    expect(external!.ratio!.least).toBeCloseTo(0.5);
    expect(external!.ratio!.most).toBeCloseTo(0.7);
  });

  test('shapes are not mixed, and a round without the default gives no ratio', () => {
    const rows = summarizeProducts([
      run(DEFAULT.name, 1, 10_000),
      { ...run(DEFAULT.name, 1, 50_000), shape: 'gateway' },
      run(ALL_EXTERNAL, 2, 5_000),
    ]);
    expect(rows.map(({ shape, readingsPerSecond }) => [shape, readingsPerSecond])).toEqual([
      ['single', 10_000],
      ['gateway', 50_000],
      ['single', 5_000],
    ]);
    expect(rows.map(({ ratio }) => ratio?.median)).toEqual([1, 1, undefined]);
  });

  test('tells rates, ratios with their spread, processor time, and what was skipped for want of what', () => {
    const runs = [run(DEFAULT.name, 1, 20_000), run('embedded/mosquitto/postgres', 1, 12_500)];
    const page = renderProducts(products(runs, { influxdb: undefined }));
    expect(page).toContain(
      '| embedded PostgreSQL | Mosquitto | PostgreSQL | 1 reading | 12 500 | 0.63 × | 0.63 … 0.63 |',
    );
    expect(page).toContain('external: PostgreSQL 15.18, Mosquitto 2.0.11, Redis 7.0.15; 2026-01-01, 1 round');
    expect(page).toContain(`- skipped ${ALL_EXTERNAL}: influxd (Debian package influxdb) not installed`);
    expect(page).not.toContain('skipped postgres/');
    expect(page).not.toContain('front');
    expect(page).not.toContain('Several processes');
  });

  test('says when the load generator was the limit', () => {
    const runs = [{ ...run(DEFAULT.name, 1, 20_000), generatorCpu: 0.95 }];
    expect(renderProducts(products(runs))).toContain(`the load generator was the limit of ${DEFAULT.name}, 1 reading`);
  });

  test('goes between its marks and leaves those of the other table alone', () => {
    const page = '<!-- bench -->\nthe other\n<!-- /bench -->\n<!-- bench products -->\nold\n<!-- /bench products -->\n';
    const renewed = withMarked(page, 'bench products', 'new');
    expect(marked(renewed, 'bench')).toBe('the other');
    expect(marked(renewed, 'bench products')).toBe('new');
  });
});
