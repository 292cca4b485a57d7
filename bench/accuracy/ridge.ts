/**
 * What the literature does, on the same data: Σx(1 − d) + κ(Σx)² + fixed = y by ridge regression over rows that everybody was read
 * in, with Cauchy weights. No voltages, no noise of registers, no prior but the ridge.
 */
import type { DistrictWindow, Verdict } from '../../src/accuracy/district.ts';
import { cholesky, inverse, normalOf, solve, withDiagonal } from '../../src/accuracy/matrix.ts';
import { normalBelow } from '../../src/accuracy/normal.ts';
import { energyOf } from '../../src/accuracy/registers.ts';
import { medianOf, SD_OF_MEDIAN_DISTANCE, sum, sumOf } from '../../src/accuracy/sums.ts';

export interface RidgeEstimate {
  readonly errorPct: number;
  readonly sdPct: number;
  readonly lowPct: number;
  readonly highPct: number;
  readonly verdict: Verdict;
}

const METER_SD = 0.02;
const LOSS_SD = 0.05;
const FIXED_SD = 1000;
const ROUNDS = 5;
const LEAST_SD_KWH = 1e-6;

export function ridge({ master, users, mpePct }: DistrictWindow): RidgeEstimate[] {
  const total = energyOf(master!.importKwh);
  const energies = users.map(({ importKwh }) => energyOf(importKwh));
  const complete = [...total.isRead.keys()].filter((t) => total.isRead[t] && energies.every((one) => one.isRead[t]));
  const pick = (kwh: Float64Array) => Float64Array.from(complete, (t) => kwh[t]!);
  const x = energies.map(({ kwh }) => pick(kwh));
  const load = sumOf(x);
  const mean = sum(load) / load.length;
  const target = pick(total.kwh).map((kwh, r) => kwh - load[r]!);
  const columns = [...x.map((column) => column.map((kwh) => -kwh)), load.map((kwh) => (kwh * kwh) / mean)];
  columns.push(new Float64Array(load.length).fill(1));
  const prior = Float64Array.from(
    columns,
    (_, i) => 1 / (i < x.length ? METER_SD : i === x.length ? LOSS_SD : FIXED_SD) ** 2,
  );
  let weight = new Float64Array(load.length).fill(1);
  let variance = spread(target) ** 2;
  let answer: { mean: Float64Array; variance: Float64Array } | undefined;
  for (let round = 0; round < ROUNDS; round++) {
    const roots = weight.map((w) => Math.sqrt(w / variance));
    const scaled = [...columns, target].map((column) => column.map((value, r) => value * roots[r]!));
    const { matrix, shift } = normalOf(scaled.slice(0, -1), scaled.at(-1)!);
    const lower = cholesky(withDiagonal(matrix, prior));
    if (!lower) break;
    const solved = solve(lower, shift);
    const covariance = inverse(lower).values;
    answer = { mean: solved, variance: Float64Array.from(solved, (_, i) => covariance[i * matrix.order + i]!) };
    const residual = target.map((value, r) =>
      columns.reduce((rest, column, i) => rest - column[r]! * solved[i]!, value),
    );
    variance = spread(residual) ** 2;
    weight = residual.map((value) => 1 / (1 + value ** 2 / (9 * variance)));
  }
  return users.map((_, i) => conclude(answer?.mean[i] ?? 0, Math.sqrt(answer?.variance[i] ?? 1), mpePct[i]! / 100));
}

function conclude(d: number, sd: number, mpe: number): RidgeEstimate {
  const error = d / (1 - d);
  const p = 1 - normalBelow((mpe - error) / sd) + normalBelow((-mpe - error) / sd);
  const verdict = p >= 0.95 ? 'inaccurate' : p >= 0.5 ? 'suspect' : sd > mpe / 2 ? 'undetermined' : 'ok';
  const [errorPct, sdPct] = [100 * error, 100 * sd];
  return { errorPct, sdPct, lowPct: errorPct - 1.96 * sdPct, highPct: errorPct + 1.96 * sdPct, verdict };
}

/** Sd by the median of distances. */
function spread(values: Float64Array): number {
  return Math.max(SD_OF_MEDIAN_DISTANCE * medianOf(values.map(Math.abs)), LEAST_SD_KWH);
}
