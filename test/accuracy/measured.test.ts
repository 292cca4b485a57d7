import { describe, expect, it } from 'vitest';
import { agedUncertaintyPct, measuredOf } from '../../src/accuracy/measured.ts';

const YEAR_MS = 365.25 * 86_400_000;

/** `[error, standard uncertainty]` in percent, in the order of measurement → the same of what they come to. */
function combined(...results: readonly (readonly [number, number])[]): [number, number] | undefined {
  const site = results.map(([errorPct, uncertaintyPct]) => ({ instrument: 'M-1', atMs: 0, errorPct, uncertaintyPct }));
  const found = measuredOf([...site, { instrument: 'M-2', atMs: 0, errorPct: 9, uncertaintyPct: 0.1 }], 'M-1');
  if (!found) return undefined;
  const { mean, variance } = found;
  return [(100 * mean) / (1 - mean), (100 * Math.sqrt(variance)) / (1 - mean) ** 2];
}

describe('what was measured of a meter', () => {
  it.each<[string, readonly (readonly [number, number])[], number, number]>([
    ['one result', [[0.4, 0.2]], 0.4, 0.2],
    [
      'two as good',
      [
        [0.4, 0.2],
        [0.6, 0.2],
      ],
      0.5,
      0.141,
    ],
    [
      'a coarse one after a fine one',
      [
        [0.4, 0.1],
        [0.9, 1],
      ],
      0.405,
      0.0995,
    ],
    [
      'the same, the other way round',
      [
        [0.9, 1],
        [0.4, 0.1],
      ],
      0.405,
      0.0995,
    ],
    ['without uncertainty, as rows of old may have it', [[0.4, 0]], 0.4, 0.1],
    [
      'two that contradict each other',
      [
        [0, 0.1],
        [4, 0.1],
      ],
      2.12,
      2,
    ],
    ['a fast one', [[25, 0.5]], 25, 0.5],
    [
      'repaired after it had failed',
      [
        [0.1, 0.1],
        [-100, 0.1],
        [0.6, 0.2],
      ],
      0.6,
      0.2,
    ],
  ])('%s', (_, results, error, sd) => {
    const [foundError, foundSd] = combined(...results)!;
    expect(foundError).toBeCloseTo(error, 2);
    expect(foundSd / sd).toBeCloseTo(1, 1);
  });

  it.each<[string, readonly (readonly [number, number])[]]>([
    ['of another meter', []],
    ['it stands still', [[-100, 0.1]]],
    ['it is connected backwards', [[-200, 0.1]]],
    ['a digit too many', [[79, 0.1]]],
    ['no number', [[Number.NaN, 0.1]]],
    [
      'good before it failed',
      [
        [0.4, 0.1],
        [-100, 0.1],
      ],
    ],
  ])('is nothing when %s', (_, results) => {
    expect(combined(...results)).toBeUndefined();
  });
});

it.each([
  [0, 0.1],
  [1, 0.316],
  [2, 0.608],
])('after %s years a result of ±0.1 %% is one of ±%s %%', (years, uncertaintyPct) => {
  expect(agedUncertaintyPct(0.1, years * YEAR_MS)).toBeCloseTo(uncertaintyPct, 3);
});
