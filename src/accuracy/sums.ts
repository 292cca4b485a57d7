/** Sums and medians of columns, and rounding for what is told. */
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

/** The sd of normal values, for each unit of the median of their distances from the middle. */
export const SD_OF_MEDIAN_DISTANCE = 1.4826;

/** NaN = there are no values. */
export function medianOf(values: Float64Array): number {
  const sorted = Float64Array.from(values).sort();
  return sorted.length > 0 ? sorted[sorted.length >> 1]! : Number.NaN;
}

export function round(value: number, digits: number): number {
  return Math.round(value * 10 ** digits) / 10 ** digits;
}
