/**
 * Dense linear algebra on columns. Products and factorizations are those of numpy-ts (Zig compiled to WebAssembly with SIMD);
 * ours is what it lacks: a product that knows it is symmetric, and a triangular inverse.
 */
import { empty, linalg, type Matrix, matmul, NOT_POSITIVE_DEFINITE } from './matrix-numpy.ts';

/** Columns of equal length. */
export type Columns = readonly Float64Array[];

/** A symmetric matrix of order n, row by row, both halves filled. */
export interface Symmetric {
  readonly order: number;
  readonly values: Float64Array;
}

/** Seven cache lines, and one tile of the product's kernel: an even number of lines would share few sets of the cache. */
const COLUMNS_AT_ONCE = 56;
/** Holds what is copied to some MB, whatever the number of rows. */
const ROWS_AT_ONCE = 1024;
/** Below it a triangle is inverted element by element. */
const SMALL_TRIANGLE = 48;

/** AᵀA. */
export function gram(columns: Columns): Symmetric {
  const order = columns.length;
  const values = products(columns, columns, true);
  for (let i = 0; i < order; i++) for (let j = 0; j < i; j++) values[i * order + j] = values[j * order + i]!;
  return { order, values };
}

/** What least squares needs of its data, before any prior. */
export interface Normal {
  /** AᵀA. */
  readonly matrix: Symmetric;
  /** Aᵀb. */
  readonly shift: Float64Array;
}

/** Of A x ≈ b, in one product. */
export function normalOf(columns: Columns, target: Float64Array): Normal {
  const { order: width, values: all } = gram([...columns, target]);
  const order = columns.length;
  const matrix = { order, values: new Float64Array(order * order) };
  const shift = new Float64Array(order);
  for (let i = 0; i < order; i++) {
    matrix.values.set(all.subarray(i * width, i * width + order), i * order);
    shift[i] = all[i * width + order]!;
  }
  return { matrix, shift };
}

/** The matrix with `added` on its diagonal. */
export function withDiagonal({ order, values }: Symmetric, added: Float64Array): Symmetric {
  const sum = Float64Array.from(values);
  for (let i = 0; i < order; i++) sum[i * order + i]! += added[i]!;
  return { order, values: sum };
}

/** AᵀB, as one row of B's columns for each column of A. */
export function cross(a: Columns, b: Columns): Float64Array {
  return products(a, b, false);
}

/** AW, for W with a row for each column of A. */
export function combine(columns: Columns, weights: Float64Array): Columns {
  const rows = columns[0]?.length ?? 0;
  const width = weights.length / Math.max(columns.length, 1);
  const result = Array.from({ length: width }, () => new Float64Array(rows));
  const turned = empty([width, columns.length]);
  for (let j = 0; j < columns.length; j++) {
    for (let i = 0; i < width; i++) turned.data[i * columns.length + j] = weights[j * width + i]!;
  }
  for (let from = 0; from < rows; from += ROWS_AT_ONCE) {
    const to = Math.min(rows, from + ROWS_AT_ONCE);
    const part = asRows(columns, from, to);
    const product = matmul(turned, part);
    const values = product.data;
    for (let i = 0; i < width; i++) result[i]!.set(values.subarray(i * (to - from), (i + 1) * (to - from)), from);
    part.dispose();
    product.dispose();
  }
  turned.dispose();
  return result;
}

/** AᵀB in blocks; with `isSymmetric` those below the diagonal are left out. */
function products(a: Columns, b: Columns, isSymmetric: boolean): Float64Array {
  const width = b.length;
  const values = new Float64Array(a.length * width);
  const rows = a[0]?.length ?? 0;
  for (let from = 0; from < rows; from += ROWS_AT_ONCE) {
    const to = Math.min(rows, from + ROWS_AT_ONCE);
    const rights = blocksOf(b).map((block) => ({ at: block.at, matrix: asColumns(block.columns, from, to) }));
    for (const block of blocksOf(a)) {
      const left = asRows(block.columns, from, to);
      for (const right of rights) {
        if (isSymmetric && right.at < block.at) continue;
        const product = matmul(left, right.matrix);
        addBlock(product, values, block.at * width + right.at, width);
        product.dispose();
      }
      left.dispose();
    }
    for (const { matrix } of rights) matrix.dispose();
  }
  return values;
}

function blocksOf(columns: Columns): { readonly at: number; readonly columns: Columns }[] {
  return Array.from({ length: Math.ceil(columns.length / COLUMNS_AT_ONCE) }, (_, k) => {
    const at = k * COLUMNS_AT_ONCE;
    return { at, columns: columns.slice(at, at + COLUMNS_AT_ONCE) };
  });
}

function asRows(columns: Columns, from: number, to: number): Matrix {
  const matrix = empty([columns.length, to - from]);
  const into = matrix.data;
  for (const [i, column] of columns.entries()) into.set(column.subarray(from, to), i * (to - from));
  return matrix;
}

function asColumns(columns: Columns, from: number, to: number): Matrix {
  const width = columns.length;
  const matrix = empty([to - from, width]);
  const into = matrix.data;
  // Eight values of a column are one cache line.
  for (let first = from; first < to; first += 8) {
    const end = Math.min(to, first + 8);
    for (let i = 0; i < width; i++) {
      const column = columns[i]!;
      for (let t = first; t < end; t++) into[(t - from) * width + i] = column[t]!;
    }
  }
  return matrix;
}

function addBlock(block: Matrix, into: Float64Array, at: number, width: number): void {
  const [height, columns] = block.shape;
  const from = block.data;
  for (let i = 0; i < height; i++) {
    for (let j = 0; j < columns; j++) into[at + i * width + j]! += from[i * columns + j]!;
  }
}

export function dot(a: Float64Array, b: Float64Array, from = 0, to = a.length): number {
  let sum = 0;
  for (let t = from; t < to; t++) sum += a[t]! * b[t]!;
  return sum;
}

/** The lower triangle L of A = LLᵀ, with zeros above; undefined when A is not positive definite. */
export function cholesky({ order, values }: Symmetric): Symmetric | undefined {
  if (order === 0) return { order, values };
  const matrix = empty([order, order]);
  matrix.data.set(values);
  try {
    const factor = linalg.cholesky(matrix);
    const lower = factor.data.slice();
    factor.dispose();
    // What is not a number anywhere reaches the last pivot.
    return lower[lower.length - 1]! > 0 ? { order, values: lower } : undefined;
  } catch (error) {
    if (error instanceof Error && error.message === NOT_POSITIVE_DEFINITE) return undefined;
    throw error;
  } finally {
    matrix.dispose();
  }
}

/** x of LLᵀx = b. */
export function solve({ order, values }: Symmetric, b: Float64Array): Float64Array {
  const x = Float64Array.from(b);
  for (let i = 0; i < order; i++) {
    const row = values.subarray(i * order, i * order + i + 1);
    x[i] = (x[i]! - dot(row, x, 0, i)) / row[i]!;
  }
  for (let i = order - 1; i >= 0; i--) {
    const at = i * order;
    const xi = x[i]! / values[at + i]!;
    x[i] = xi;
    for (let j = 0; j < i; j++) x[j]! -= values[at + j]! * xi;
  }
  return x;
}

/** (LLᵀ)⁻¹ = L⁻ᵀL⁻¹. */
export function inverse(lower: Symmetric): Symmetric {
  const { order } = lower;
  const inverted = new Float64Array(order * order);
  invertTriangle(lower, inverted, 0, order);
  return gram(
    Array.from({ length: order }, (_, j) => Float64Array.from({ length: order }, (_, i) => inverted[i * order + j]!)),
  );
}

/** Rows and columns [from, to) of L⁻¹. Of [A 0; B C] it is [A⁻¹ 0; −C⁻¹BA⁻¹ C⁻¹]. */
function invertTriangle(lower: Symmetric, into: Float64Array, from: number, to: number): void {
  const { order, values } = lower;
  if (to - from <= SMALL_TRIANGLE) {
    for (let j = from; j < to; j++) {
      for (let i = j; i < to; i++) {
        let sum = i === j ? 1 : 0;
        for (let k = j; k < i; k++) sum -= values[i * order + k]! * into[k * order + j]!;
        into[i * order + j] = sum / values[i * order + i]!;
      }
    }
    return;
  }
  const middle = from + 8 * Math.ceil((to - from) / 16);
  invertTriangle(lower, into, from, middle);
  invertTriangle(lower, into, middle, to);
  const a = blockOf(into, order, from, middle, from, middle);
  const b = blockOf(values, order, middle, to, from, middle);
  const c = blockOf(into, order, middle, to, middle, to);
  const ba = matmul(b, a);
  const cba = matmul(c, ba);
  const block = cba.data;
  const width = middle - from;
  for (let i = middle; i < to; i++) {
    for (let j = 0; j < width; j++) into[i * order + from + j] = -block[(i - middle) * width + j]!;
  }
  for (const matrix of [a, b, c, ba, cba]) matrix.dispose();
}

function blockOf(values: Float64Array, order: number, top: number, bottom: number, left: number, right: number) {
  const block = empty([bottom - top, right - left]);
  const into = block.data;
  for (let i = top; i < bottom; i++) {
    into.set(values.subarray(i * order + left, i * order + right), (i - top) * (right - left));
  }
  return block;
}

/**
 * The coefficients that make Σ (y − Σ_j b_j a_j)² least, by Householder's QR of [A y]; undefined when the columns depend on
 * each other. Keeps twice the digits that `cholesky` of `gram` does, and copies everything: for small problems.
 */
export function leastSquares(columns: Columns, y: Float64Array): Float64Array | undefined {
  const rows = y.length;
  const count = columns.length;
  if (rows < count) return undefined;
  // Powers of two round nothing.
  const scales = columns.map((column) => 2 ** -Math.round(Math.log2(Math.sqrt(dot(column, column)))));
  const scaled = columns.map((column, j) => column.map((value) => value * scales[j]!));
  const matrix = asColumns([...scaled, y], 0, rows);
  const triangle = linalg.qr(matrix, 'r');
  const width = count + 1;
  const r = triangle.data.slice();
  matrix.dispose();
  triangle.dispose();
  const x = new Float64Array(count);
  for (let i = count - 1; i >= 0; i--) {
    const pivot = r[i * width + i]!;
    if (!(Math.abs(pivot) > rows * Number.EPSILON)) return undefined;
    let sum = r[i * width + count]!;
    for (let j = i + 1; j < count; j++) sum -= r[i * width + j]! * x[j]!;
    x[i] = sum / pivot;
  }
  return x.map((value, j) => value * scales[j]!);
}
