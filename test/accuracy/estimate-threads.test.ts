import { afterEach, describe, expect, it } from 'vitest';
import type { DistrictWindow } from '../../src/accuracy/district.ts';
import { estimateDistrict } from '../../src/accuracy/estimate.ts';
import { parseEstimationPolicy } from '../../src/accuracy/policy.ts';
import { type EstimateThreads, openEstimateThreads } from '../../src/commands/estimate-threads.ts';
import { shipped } from '../support/broken-config.ts';

const policy = parseEstimationPolicy(shipped('accuracy.yaml'));
const series = (id: string, perRow: number) => ({
  id,
  phase: 'L1' as const,
  importKwh: Float64Array.from({ length: 10 }, (_, k) => k * perRow),
  exportKwh: undefined,
  voltagesV: [],
});
const windowOf = (district: string): DistrictWindow => ({
  district,
  fromMs: 0,
  periodMs: 900_000,
  moments: 10,
  master: series('M', 0.3),
  users: [series('U', 0.2), series('V', 0.1)],
  mpePct: [2, 2],
  siteResults: [],
});

let threads: EstimateThreads;
afterEach(() => threads.stop());

describe('threads of estimates', () => {
  it('say what the estimator says, each district for itself, more districts than threads', async () => {
    threads = openEstimateThreads(2);
    const names = ['A', 'B', 'C', 'D', 'E'];
    const found = await Promise.all(names.map((name) => threads.estimate(windowOf(name), policy)));
    expect(found).toEqual(names.map((name) => estimateDistrict(windowOf(name), policy)));
  });

  it('outlive a district they fail on', async () => {
    threads = openEstimateThreads(1);
    const backwards = { ...series('U', 1), importKwh: Float64Array.of(9, 8, 7, 5, 4, 3, 2, 1, 0, 0) };
    const results = await Promise.allSettled([
      // A time that cannot be said fails the estimator, arrays that are none cannot be sent.
      threads.estimate({ ...windowOf('broken'), fromMs: Number.NaN, users: [backwards] }, policy),
      threads.estimate(
        { ...windowOf('broken'), users: [{ ...series('U', 1), voltagesV: undefined as never }] },
        policy,
      ),
      threads.estimate(windowOf('sound'), policy),
    ]);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled']);
  });
});
