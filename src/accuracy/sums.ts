/** Sums over columns, and rounding for what is told. */
import type { Columns } from './matrix.ts';

export function sumOf(columns: Columns): Float64Array {
  const total = new Float64Array(columns[0]!.length);
  for (const column of columns) for (let k = 0; k < total.length; k++) total[k]! += column[k]!;
  return total;
}

export function sum(values: Float64Array): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

export function round(value: number, digits: number): number {
  return Math.round(value * 10 ** digits) / 10 ** digits;
}
