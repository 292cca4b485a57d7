import { describe, expect, it } from 'vitest';
import { energyOf } from '../../src/accuracy/registers.ts';

const NO = Number.NaN;
const rounded = (values: Float64Array) => [...values].map((value) => Math.round(value * 1000) / 1000);
/** A register that counts 1 kWh in each of so many rows. */
const steady = (rows: number, first = 100) => Float64Array.from({ length: rows + 1 }, (_, k) => first + k);

describe('energyOf', () => {
  it.each<[string, number[], number[], number[]]>([
    ['every row of a register that was read', [10, 11, 13], [1, 2], [1, 1]],
    ['a missing reading on the line between its neighbours', [10, NO, 14, 15], [2, 2, 1], [0, 0, 1]],
    ['a value too low left out', [10, 11, 0, 13, 14], [1, 1, 1, 1], [1, 0, 0, 1]],
    ['a value too high left out', [10, 11, 99_999, 13, 14], [1, 1, 1, 1], [1, 0, 0, 1]],
    ['two values too low left out', [10, 11, 2, 3, 14, 15], [1, 1, 1, 1, 1], [1, 0, 0, 0, 1]],
    ['a register that begins anew', [500, 501, 0, 1, 2], [1, 0, 1, 1], [1, 1, 1, 1]],
    ['a last digit that goes back', [10, 10.5, 10.4, 11], [0.5, -0.1, 0.6], [1, 1, 1]],
  ])('%s', (_, register, kwh, isRead) => {
    const energy = energyOf(Float64Array.from(register));
    expect(rounded(energy.kwh)).toEqual(kwh);
    expect([...energy.isRead]).toEqual(isRead);
    expect(energy.rowsRead).toBe(isRead.filter(Boolean).length);
  });

  it('tells where a register began anew, and of nothing else', () => {
    expect(energyOf(Float64Array.from([500, 501, 0, 1, 2])).resets).toEqual([2]);
    expect(energyOf(Float64Array.from([10, 11, 0, 13, 14])).resets).toEqual([]);
  });

  it('straightens import and export each by itself: what is left of them may fall', () => {
    const energy = energyOf(Float64Array.from([10, 10, 11]), Float64Array.from([5, 8, 8]));
    expect(rounded(energy.kwh)).toEqual([-3, 1]);
    expect(energy.resets).toEqual([]);
  });

  it('knows a short gap by what is around it, and nothing of how energy fell into a long one', () => {
    const short = steady(40).map((kwh, k) => (k === 20 ? NO : kwh));
    expect(energyOf(short).variance[20]).toBeGreaterThan(0);
    expect(energyOf(short).rowVariance).toEqual(new Float64Array(40));
    const long = Float64Array.from({ length: 41 }, (_, k) => (k > 10 && k < 30 ? NO : 100 + k + (k % 3)));
    const { rowVariance, kwh } = energyOf(long);
    expect([...rowVariance].flatMap((variance, t) => (variance > 0 ? [t] : []))).toEqual(
      Array.from({ length: 20 }, (_, t) => 10 + t),
    );
    expect(kwh.reduce((total, value) => total + value, 0)).toBeCloseTo(40 + (40 % 3), 9);
  });

  it('takes a register that was passed on unchanged and then caught up for not read', () => {
    const frozen = steady(60).map((kwh, k) => (k > 20 && k < 35 ? 120 : kwh));
    const { isRead, kwh } = energyOf(frozen);
    expect([...isRead].flatMap((read, t) => (read ? [] : [t]))).toEqual(Array.from({ length: 15 }, (_, t) => 20 + t));
    expect(rounded(kwh)).toEqual(Array(60).fill(1));
  });

  it('does not take a home that rests for that', () => {
    const resting = Float64Array.from({ length: 61 }, (_, k) => Math.min(k, 20) + Math.max(0, k - 40));
    expect(energyOf(resting).rowsRead).toBe(60);
  });

  it.each([
    [1, 1],
    [0.1, 0.1],
    [0.01, 0.01],
    [0.001, 0.001],
    [0.00001, 0],
  ])('sees a last digit of %d kWh as %d', (step, seen) => {
    const register = Float64Array.from(
      { length: 300 },
      (_, k) => Math.floor((123_456 + 0.377_31 * k * k) / step) * step,
    );
    expect(energyOf(register).stepKwh).toBe(seen);
  });
});

it.each([
  [[1, 2, 3], false],
  [[1, 2, -3], true],
  [[-1, -2, -3], true],
  [[10, 10, -0.5], false],
  [[0, 0], false],
])('rows of %j kWh feed back: %s', (kwh, expected) => {
  const imported = Float64Array.from([
    0,
    ...kwh.map((_, k) => kwh.slice(0, k + 1).reduce((a, b) => a + Math.max(b, 0), 0)),
  ]);
  const exported = Float64Array.from([
    0,
    ...kwh.map((_, k) => kwh.slice(0, k + 1).reduce((a, b) => a + Math.max(-b, 0), 0)),
  ]);
  expect(energyOf(imported, exported).feedsBack).toBe(expected);
});
