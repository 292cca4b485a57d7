/**
 * Dense linear algebra on columns. Ours because a district's normal matrix is nearly all of the work, and the libraries that
 * run everywhere take several times as long for it (`bench accuracy` shows the ratio); what is small is left to them.
 */

/** Columns of equal length. */
export type Columns = readonly Float64Array[];

/** A symmetric matrix of order n, row by row, both halves filled. */
export interface Symmetric {
  readonly order: number;
  readonly values: Float64Array;
}

/** Rows that stay in the first-level cache while a block of columns is worked on. */
const ROWS_AT_ONCE = 512;

/** AᵀA. */
export function gram(columns: Columns): Symmetric {
  const order = columns.length;
  const values = new Float64Array(order * order);
  const rows = columns[0]?.length ?? 0;
  for (let from = 0; from < rows; from += ROWS_AT_ONCE) {
    const to = Math.min(rows, from + ROWS_AT_ONCE);
    for (let i = 0; i < order; i += 4) {
      for (let j = i; j < order; j += 4) {
        if (i + 4 <= order && j + 4 <= order) addBlock(columns, i, columns, j, from, to, values, order);
        else addEdge(columns, i, columns, j, from, to, values, order);
      }
    }
  }
  for (let i = 0; i < order; i++) for (let j = 0; j < i; j++) values[i * order + j] = values[j * order + i]!;
  return { order, values };
}

/** AᵀB, as one row of B's columns for each column of A. */
export function cross(a: Columns, b: Columns): Float64Array {
  const width = b.length;
  const values = new Float64Array(a.length * width);
  const rows = a[0]?.length ?? 0;
  for (let from = 0; from < rows; from += ROWS_AT_ONCE) {
    const to = Math.min(rows, from + ROWS_AT_ONCE);
    for (let i = 0; i < a.length; i += 4) {
      for (let j = 0; j < width; j += 4) {
        if (i + 4 <= a.length && j + 4 <= width) addBlock(a, i, b, j, from, to, values, width);
        else addEdge(a, i, b, j, from, to, values, width);
      }
    }
  }
  return values;
}

/** Sixteen products at once: each value read is used four times. */
function addBlock(
  a: Columns,
  i: number,
  b: Columns,
  j: number,
  from: number,
  to: number,
  into: Float64Array,
  width: number,
): void {
  const a0 = a[i]!;
  const a1 = a[i + 1]!;
  const a2 = a[i + 2]!;
  const a3 = a[i + 3]!;
  const b0 = b[j]!;
  const b1 = b[j + 1]!;
  const b2 = b[j + 2]!;
  const b3 = b[j + 3]!;
  let s00 = 0;
  let s01 = 0;
  let s02 = 0;
  let s03 = 0;
  let s10 = 0;
  let s11 = 0;
  let s12 = 0;
  let s13 = 0;
  let s20 = 0;
  let s21 = 0;
  let s22 = 0;
  let s23 = 0;
  let s30 = 0;
  let s31 = 0;
  let s32 = 0;
  let s33 = 0;
  for (let t = from; t < to; t++) {
    const x0 = a0[t]!;
    const x1 = a1[t]!;
    const x2 = a2[t]!;
    const x3 = a3[t]!;
    const y0 = b0[t]!;
    const y1 = b1[t]!;
    const y2 = b2[t]!;
    const y3 = b3[t]!;
    s00 += x0 * y0;
    s01 += x0 * y1;
    s02 += x0 * y2;
    s03 += x0 * y3;
    s10 += x1 * y0;
    s11 += x1 * y1;
    s12 += x1 * y2;
    s13 += x1 * y3;
    s20 += x2 * y0;
    s21 += x2 * y1;
    s22 += x2 * y2;
    s23 += x2 * y3;
    s30 += x3 * y0;
    s31 += x3 * y1;
    s32 += x3 * y2;
    s33 += x3 * y3;
  }
  let at = i * width + j;
  into[at]! += s00;
  into[at + 1]! += s01;
  into[at + 2]! += s02;
  into[at + 3]! += s03;
  at += width;
  into[at]! += s10;
  into[at + 1]! += s11;
  into[at + 2]! += s12;
  into[at + 3]! += s13;
  at += width;
  into[at]! += s20;
  into[at + 1]! += s21;
  into[at + 2]! += s22;
  into[at + 3]! += s23;
  at += width;
  into[at]! += s30;
  into[at + 1]! += s31;
  into[at + 2]! += s32;
  into[at + 3]! += s33;
}

function addEdge(
  a: Columns,
  i: number,
  b: Columns,
  j: number,
  from: number,
  to: number,
  into: Float64Array,
  width: number,
): void {
  for (let k = i; k < Math.min(i + 4, a.length); k++) {
    for (let l = j; l < Math.min(j + 4, width); l++) into[k * width + l]! += dot(a[k]!, b[l]!, from, to);
  }
}

export function dot(a: Float64Array, b: Float64Array, from = 0, to = a.length): number {
  let sum = 0;
  for (let t = from; t < to; t++) sum += a[t]! * b[t]!;
  return sum;
}

/** The lower triangle L of A = LLᵀ in place of A, rows as they are; undefined when A is not positive definite. */
export function cholesky({ order, values }: Symmetric): Symmetric | undefined {
  const lower = Float64Array.from(values);
  for (let i = 0; i < order; i++) {
    const row = lower.subarray(i * order, (i + 1) * order);
    for (let j = 0; j < i; j++) {
      const other = lower.subarray(j * order, j * order + j + 1);
      row[j] = (row[j]! - dot(row, other, 0, j)) / other[j]!;
    }
    const pivot = row[i]! - dot(row, row, 0, i);
    if (!(pivot > 0)) return undefined;
    row[i] = Math.sqrt(pivot);
    row.fill(0, i + 1);
  }
  return { order, values: lower };
}

export function logDeterminant(lower: Symmetric): number {
  let sum = 0;
  for (let i = 0; i < lower.order; i++) sum += 2 * Math.log(lower.values[i * lower.order + i]!);
  return sum;
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

/** (LLᵀ)⁻¹. */
export function inverse({ order, values }: Symmetric): Symmetric {
  // Rows of the transposed inverse of L: row j holds column j of L⁻¹, which begins at j.
  const columns = new Float64Array(order * order);
  for (let j = 0; j < order; j++) {
    const column = columns.subarray(j * order, (j + 1) * order);
    column[j] = 1 / values[j * order + j]!;
    for (let i = j + 1; i < order; i++) {
      const row = values.subarray(i * order, i * order + i + 1);
      column[i] = -dot(row, column, j, i) / row[i]!;
    }
  }
  const result = new Float64Array(order * order);
  for (let i = 0; i < order; i++) {
    const a = columns.subarray(i * order, (i + 1) * order);
    for (let j = i; j < order; j++) {
      const b = columns.subarray(j * order, (j + 1) * order);
      const value = dot(a, b, j, order);
      result[i * order + j] = value;
      result[j * order + i] = value;
    }
  }
  return { order, values: result };
}
