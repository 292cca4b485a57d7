import { describe, expect, it } from 'vitest';
import { mixtureMean, mixtureSd } from '../../src/accuracy/normal.ts';
import { BAD, GOOD, posterior, STRANGER } from '../../src/accuracy/prior.ts';

const COUNT = 30;
const OTHERS_D = 0.001;

/** Thirty meters that the data tell apart, the first with `d` ± `sd`, the others good. */
function beliefOfFirst(d: number, sd: number, strangerShare: number, measured?: { mean: number; variance: number }) {
  const dOf = (i: number) => (i === 0 ? d : OTHERS_D * (i % 2 === 0 ? 1 : -1));
  const sdOf = (i: number) => (i === 0 ? sd : 0.002);
  const values = new Float64Array(COUNT * COUNT);
  for (let i = 0; i < COUNT; i++) values[i * COUNT + i] = 1 / sdOf(i) ** 2;
  const found = posterior(
    {
      precision: { order: COUNT, values },
      shift: Float64Array.from({ length: COUNT }, (_, i) => dOf(i) / sdOf(i) ** 2),
    },
    {
      goodSd: 0.004,
      badSd: 0.06,
      badShare: 0.06,
      misfitShare: 0.003,
      strangerShare: Float64Array.from({ length: COUNT }, (_, i) => (i === 0 ? strangerShare : 1e-7)),
      modelVariance: () => 0,
      measured: Array.from({ length: COUNT }, (_, i) => (i === 0 ? measured : undefined)),
    },
  );
  return found!.mixtures[0]!;
}

describe('what is believed of one meter among many', () => {
  it.each([
    ['what the data say loudly is bad', 0.05, 0.005, 0.01, BAD],
    ['what the data hardly say is good', 0.05, 0.08, 0.01, GOOD],
    ['energy that explains nothing is a stranger', 1, 0.05, 0.01, STRANGER],
    ['half a stranger is a bad meter', 0.15, 0.01, 0.01, BAD],
  ])('%s', (_, d, sd, strangerShare, component) => {
    expect(beliefOfFirst(d, sd, strangerShare).weights[component]).toBeGreaterThan(0.8);
  });

  it('a meter that can be no stranger is none, whatever the data insist on', () => {
    const belief = beliefOfFirst(1.97, 0.0455, 0);
    expect(belief.weights[STRANGER]).toBe(0);
    expect(Math.abs(mixtureMean(belief))).toBeLessThan(0.01);
  });

  it('an unsure meter keeps the spread of good ones, a known one its own', () => {
    expect(mixtureSd(beliefOfFirst(0, 0.1, 1e-7))).toBeGreaterThan(0.0015);
    expect(mixtureSd(beliefOfFirst(0.05, 0.005, 1e-7))).toBeCloseTo(0.005, 3);
  });

  it('a measurement on site outweighs the data', () => {
    const belief = beliefOfFirst(0.05, 0.02, 1e-7, { mean: 0.001, variance: 0.001 ** 2 });
    expect(mixtureMean(belief)).toBeCloseTo(0.001, 2);
  });
});
