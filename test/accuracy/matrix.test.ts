import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import * as numpy from 'numpy-ts';
import { describe, expect, it } from 'vitest';
import {
  type Columns,
  cholesky,
  combine,
  cross,
  dot,
  gram,
  inverse,
  leastSquares,
  type Symmetric,
  solve,
} from '../../src/accuracy/matrix.ts';

/** Of [−½, ½), the same for a seed everywhere (Numerical Recipes' linear congruential generator). */
function randomColumns(count: number, rows: number, seed = 1): Float64Array[] {
  let state = seed;
  const next = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32 - 0.5;
  };
  return Array.from({ length: count }, () => Float64Array.from({ length: rows }, next));
}

/** As the definition says, one product after the other. */
function plainCross(a: Columns, b: Columns): Float64Array {
  return Float64Array.from(a.flatMap((left) => b.map((right) => dot(left, right))));
}

function largestDifference(a: Float64Array, b: Float64Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - b[i]!)), 0);
}

const row = (values: Float64Array, order: number, i: number) => values.subarray(i * order, (i + 1) * order);
const identity = (order: number) => Float64Array.from({ length: order ** 2 }, (_, k) => (k % (order + 1) ? 0 : 1));

/** Both halves of AB for symmetric A and B. */
function product(a: Symmetric, b: Symmetric): Float64Array {
  const rows = (of: Symmetric) => Array.from({ length: of.order }, (_, i) => row(of.values, of.order, i));
  return plainCross(rows(a), rows(b));
}

describe('products', () => {
  it.each([
    [0, 0],
    [1, 0],
    [1, 1],
    [3, 1],
    [2, 7],
    [5, 64],
    [56, 33],
    [57, 100],
    [113, 1023],
    [30, 1025],
    [7, 3000],
  ])('of %i columns with %i rows', (count, rows) => {
    const columns = randomColumns(count, rows);
    const { order, values } = gram(columns);
    expect(order).toBe(count);
    expect(largestDifference(values, plainCross(columns, columns))).toBeLessThan(1e-11);
    for (let i = 0; i < order; i++)
      for (let j = 0; j < i; j++) expect(values[i * order + j]).toBe(values[j * order + i]);
  });

  it.each([
    [0, 3, 10],
    [3, 0, 10],
    [1, 60, 10],
    [60, 1, 2000],
    [57, 113, 1025],
  ])('of %i and %i columns with %i rows', (left, right, rows) => {
    const a = randomColumns(left, rows);
    const b = randomColumns(right, rows, 2);
    expect(largestDifference(cross(a, b), plainCross(a, b))).toBeLessThan(1e-11);
  });

  it.each([
    [1, 1, 1],
    [2500, 57, 3],
  ])('of %i rows of %i columns are combined into %i', (rows, count, width) => {
    const columns = Array.from({ length: count }, (_, j) =>
      Float64Array.from({ length: rows }, (_, t) => Math.sin(j * 7 + t)),
    );
    const weights = Float64Array.from({ length: count * width }, (_, k) => Math.cos(k));
    const combined = combine(columns, weights);
    for (let i = 0; i < width; i++) {
      const expected = Float64Array.from({ length: rows }, (_, t) =>
        columns.reduce((sum, column, j) => sum + column[t]! * weights[j * width + i]!, 0),
      );
      expect(largestDifference(combined[i]!, expected)).toBeLessThan(1e-11);
    }
  });

  it('round like plain arithmetic, so that every processor finds the same', () => {
    // As many rows as the kernel sums up in one go; fused multiply-add would differ in most of the last bits.
    const columns = randomColumns(9, 64);
    expect(gram(columns).values).toEqual(plainCross(columns, columns));
  });

  it('say so when a value is not a number', () => {
    const columns = randomColumns(3, 100);
    columns[1]![50] = Number.NaN;
    expect([...gram(columns).values].map(Number.isNaN)).toEqual([
      false,
      true,
      false,
      true,
      true,
      true,
      false,
      true,
      false,
    ]);
  });
});

describe('factorization', () => {
  it.each([1, 2, 3, 5, 47, 48, 49, 97, 130, 200])('of order %i', (order) => {
    const matrix = gram(randomColumns(order, 2 * order + 3));
    const lower = cholesky(matrix)!;
    const rows = Array.from({ length: order }, (_, i) => row(lower.values, order, i));
    expect(largestDifference(plainCross(rows, rows), matrix.values)).toBeLessThan(1e-12 * order);
    for (const [i, values] of rows.entries()) expect(values.subarray(i + 1).every((value) => value === 0)).toBe(true);

    const inverted = inverse(lower);
    expect(largestDifference(product(matrix, inverted), identity(order))).toBeLessThan(1e-9);
    for (let i = 0; i < order; i++) {
      for (let j = 0; j < i; j++) expect(inverted.values[i * order + j]).toBe(inverted.values[j * order + i]);
    }

    const x = randomColumns(1, order, 3)[0]!;
    const b = Float64Array.from({ length: order }, (_, i) => dot(row(matrix.values, order, i), x));
    expect(largestDifference(solve(lower, b), x)).toBeLessThan(1e-10);
  });

  it('of nothing is nothing', () => {
    const lower = cholesky({ order: 0, values: new Float64Array(0) })!;
    expect(lower.order).toBe(0);
    expect(inverse(lower)).toEqual({ order: 0, values: new Float64Array(0) });
    expect(solve(lower, new Float64Array(0))).toHaveLength(0);
  });

  it('leaves the matrix as it was', () => {
    const matrix = { order: 2, values: Float64Array.of(4, 2, 2, 3) };
    cholesky(matrix);
    expect([...matrix.values]).toEqual([4, 2, 2, 3]);
  });

  it.each<[string, number[]]>([
    ['a negative pivot', [1, 2, 2, 1]],
    ['a pivot of zero', [1, 1, 1, 1]],
    ['zeros', [0, 0, 0, 0]],
    ['no number', [1, 0, 0, Number.NaN]],
    ['no number in the first place', [Number.NaN, 0, 0, 1]],
  ])('is refused for %s', (_, values) => {
    expect(cholesky({ order: 2, values: Float64Array.from(values) })).toBeUndefined();
    // The same in a corner of a matrix that is not small.
    const large = { order: 40, values: identity(40) };
    for (const [k, value] of values.entries()) large.values[(k >> 1) * 40 + (k & 1)] = value;
    expect(cholesky(large)).toBeUndefined();
  });
});

it('every thread finds the same, bit by bit', async () => {
  const script = `
    import { workerData, parentPort } from 'node:worker_threads';
    const { cholesky, gram, inverse } = await import(workerData.module);
    parentPort.postMessage(inverse(cholesky(gram(workerData.columns))).values);
  `;
  const columns = randomColumns(120, 1500);
  const module = new URL('../../src/accuracy/matrix.ts', import.meta.url).href;
  const answers = [1, 2].map(async () => {
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(script)}`), {
      workerData: { module, columns },
    });
    return new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
  });
  const here = inverse(cholesky(gram(columns))!).values;
  for (const there of await Promise.all(answers)) expect(there).toEqual(here);
});

it('nothing stays behind in the memory of WebAssembly', () => {
  const { wasmFreeBytes } = numpy as unknown as { readonly wasmFreeBytes: () => number };
  const columns = randomColumns(120, 1500);
  const all = () => {
    const matrix = gram(columns);
    inverse(cholesky(matrix)!);
    cross(columns, columns);
    leastSquares(columns, columns[0]!);
    matrix.values[0] = -1;
    expect(cholesky(matrix)).toBeUndefined();
  };
  all();
  const free = wasmFreeBytes();
  all();
  expect(wasmFreeBytes()).toBe(free);
});

interface Certified {
  readonly intercept: boolean;
  readonly model: string;
  readonly x: readonly (readonly number[])[];
  readonly y: readonly number[];
  readonly beta_exact_17g: readonly string[];
  readonly rsd: string;
}

const NIST: Readonly<Record<string, Certified>> = JSON.parse(
  readFileSync(join(import.meta.dirname, 'nist/nist_strd_lls.json'), 'utf8'),
);

function nist(name: string) {
  const set = NIST[name]!;
  const degree = Number(/^poly deg (\d+)$/.exec(set.model)?.[1] ?? 0);
  const term = (value: (x: readonly number[]) => number) => Float64Array.from(set.x, value);
  const columns = [
    ...(set.intercept ? [term(() => 1)] : []),
    ...(degree > 0
      ? Array.from({ length: degree }, (_, k) => term(([x]) => x! ** (k + 1)))
      : set.x[0]!.map((_, k) => term((x) => x[k]!))),
  ];
  const beta = set.beta_exact_17g.map(Number);
  expect(columns.length).toBe(beta.length);
  return { columns, y: Float64Array.from(set.y), beta, residualSd: Number(set.rsd) };
}

/** Correct significant digits of the worst coefficient, 15 at most: −log10 of its relative error. */
function digits(found: Float64Array | undefined, beta: readonly number[]): number {
  if (!found) return 0;
  const errors = beta.map((value, j) => Math.abs(found[j]! / value - 1));
  return Math.min(15, -Math.log10(Math.max(...errors)));
}

/** The normal equations, as the estimator solves them. */
function byCholesky(columns: Columns, y: Float64Array): Float64Array | undefined {
  const lower = cholesky(gram(columns));
  return lower && solve(lower, cross(columns, [y]));
}

function residualSdOf(columns: Columns, y: Float64Array, found: Float64Array): number {
  const residual = y.map((value, t) => columns.reduce((rest, column, j) => rest - found[j]! * column[t]!, value));
  return Math.sqrt(dot(residual, residual) / (y.length - columns.length));
}

describe('least squares on the linear sets of NIST StRD', () => {
  // Squaring the condition number costs Cholesky half of the digits, all of them with Filip's. Of Wampler's sets the matrix
  // of the normal equations is of integers, which nothing rounds.
  it.each<[string, number, number]>([
    ['norris', 12, 12],
    ['pontius', 12, 12],
    ['noint1', 15, 15],
    ['noint2', 15, 15],
    ['longley', 12, 7],
    ['filip', 7, 0],
    ['wampler1', 10, 6],
    ['wampler2', 13, 8],
    ['wampler3', 9, 6],
    ['wampler4', 7, 6],
    ['wampler5', 5, 6],
  ])('%s: %i digits by QR, %i by Cholesky', (name, byQr, byNormal) => {
    const { columns, y, beta, residualSd } = nist(name);
    const found = leastSquares(columns, y);
    expect(Math.floor(digits(found, beta))).toBe(byQr);
    expect(Math.floor(digits(byCholesky(columns, y), beta))).toBe(byNormal);
    // Of an exact fit there is what the rounding of values up to 5e6 leaves.
    expect(Math.abs(residualSdOf(columns, y, found!) - residualSd)).toBeLessThan(Math.max(1e-7 * residualSd, 1e-9));
  });

  it('cannot tell columns apart that depend on each other, nor more of them than rows', () => {
    const [a, b] = randomColumns(2, 20) as [Float64Array, Float64Array];
    const both = a.map((value, t) => value + b[t]!);
    expect(leastSquares([a, b], both)).toBeDefined();
    expect(leastSquares([a, b, both], a)).toBeUndefined();
    expect(leastSquares([a, new Float64Array(20)], a)).toBeUndefined();
    expect(leastSquares([Float64Array.of(1), Float64Array.of(2)], Float64Array.of(3))).toBeUndefined();
    expect([...leastSquares([], a)!]).toEqual([]);
  });
});
