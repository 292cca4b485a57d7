import { describe, expect, it } from 'vitest';
import { type BalancedWindow, improvement } from '../../src/accuracy/improvement.ts';

function window(residualUncorrectedKwh: number, meter: BalancedWindow['meter'], masterKwh = 1_000): BalancedWindow {
  const balance = { masterKwh, usersKwh: 0.98 * masterKwh, lossKwh: 0.02 * masterKwh, residualKwh: 0.02 };
  return { rows: 1_000, balance: { ...balance, residualUncorrectedKwh }, meter };
}

const BAD = { errorPct: 7.9, verdict: 'inaccurate' } as const;
const GOOD = { errorPct: 0.2, verdict: 'ok' } as const;

describe('a replacement', () => {
  it.each<[string, BalancedWindow, BalancedWindow, boolean | undefined]>([
    ['helps when less is unexplained and the new meter is right', window(0.06, BAD), window(0.02, GOOD), true],
    ['does not help when as much is unexplained', window(0.02, BAD), window(0.02, GOOD), false],
    ['does not help when the new meter is as bad', window(0.06, BAD), window(0.05, BAD), false],
    [
      'is judged by the share of the load, which the season changes',
      window(0.06, BAD),
      window(0.09, GOOD, 3_000),
      true,
    ],
    [
      'is not judged before the new meter is',
      window(0.06, BAD),
      window(0.02, { errorPct: 1, verdict: 'undetermined' }),
      undefined,
    ],
    ['is not judged without a meter there', window(0.06, BAD), window(0.02, undefined), undefined],
    ['is not judged without a balance', window(0.06, BAD), { ...window(0.02, GOOD), balance: undefined }, undefined],
  ])('%s', (_, before, after, improved) => {
    expect(improvement(before, after)?.improved).toBe(improved);
  });

  it('is told in percent of the energy of a row', () => {
    expect(improvement(window(0.06, BAD), window(0.02, GOOD))).toEqual({
      ...{ improved: true, beforePct: 6, afterPct: 2, errorBeforePct: 7.9, errorAfterPct: 0.2 },
    });
  });
});
