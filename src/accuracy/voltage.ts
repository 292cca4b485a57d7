/**
 * What the lines lose, from the voltages: with V0 at the master and V_i at meter i, the power lost on the way is
 * Σ P_i (V0/V_i − 1) for a resistive network of any shape (Tellegen). V_i/V0 = g_i (1 + Σ_j Z_ij P_j), where g_i is the gain of
 * the voltage channel; regressed on all loads at once, it gives a network that stands in for what was measured in the single row.
 */
import { type Columns, cholesky, combine, cross, gram, inverse } from './matrix.ts';
import { medianOf, sum } from './sums.ts';

export interface Network {
  /** Relative fall of the voltage at each meter in each row, 1 + Σ_j Z_ij P_j. */
  readonly share: Columns;
  /** −Z_ii by meter, per kWh of a row: how much of its own load a meter's line takes. */
  readonly own: Float64Array;
  /** Sd of what the loads do not explain, by meter; NaN = it reports no voltage. */
  readonly residualSd: Float64Array;
  /** Sd of the share of its energy that a meter is said to lose, by meter. */
  readonly lossSd: Float64Array;
}

/** Loads whose variance is this share of the mean one are not told apart from noise. */
const RIDGE = 1e-3;
/** True asymmetry of Z: power factors differ. */
const ASYMMETRY = 0.1;
const PASSES = 2;
/** Homes differ so much in when their voltage is taken. */
const IN_ROW_SD = 0.3;
/** Most of it: all of it. */
const IN_ROW_FROM = 0.9;
/** Errors of a meter's row of Z share the voltage they come from: a part of them adds up. */
const SHARED_NOISE = 0.3;

/** `loads`: kWh of each row by meter; `ratios`: V/V0 by meter, NaN where missing, undefined = no voltages at all. */
export function networkOf(loads: Columns, ratios: readonly (Float64Array | undefined)[]): Network | undefined {
  const seen = ratios.flatMap((ratio, i) => (ratio ? [i] : []));
  const rows = loads[0]?.length ?? 0;
  const filled = seen.map((i) => fillWithMean(ratios[i]!));
  const inRow = sharesInRow(loads, filled, seen);
  let share: Columns = loads.map(() => new Float64Array(rows).fill(1));
  for (let pass = 0; pass < PASSES; pass++) {
    const currents = loads.map((load, i) => load.map((kwh, t) => kwh / share[i]![t]!));
    const felt = currents.map((current, i) => blend(current, inRow[i]!));
    const fit = regress(felt, filled);
    if (!fit) return undefined;
    const { z, variance } = reciprocal(fit, seen, loads.length);
    share = times(currents, z);
    if (pass + 1 < PASSES) {
      const feltShare = times(felt, z);
      for (const [k, i] of seen.entries()) fillWithFit(ratios[i]!, filled[k]!, feltShare[i]!, fit.gain[k]!);
      continue;
    }
    const count = loads.length;
    return { share, own: ownOf(z, count), residualSd: spread(fit, seen, count), lossSd: unsure(variance, loads) };
  }
  return undefined;
}

/**
 * A voltage of a single instant, at the end of a row, feels what the home draws then: partly as in this row, partly as in the next.
 * By load: the part of this row, from how its own voltage follows both; a mean over the row follows the row alone.
 */
function sharesInRow(loads: Columns, ratios: Columns, seen: readonly number[]): Float64Array {
  const drops = seen.map((i, k) => ownDrops(loads[i]!, ratios[k]!));
  const all = drops.reduce((total, { now, next }) => total + now + next, 0);
  const typical = all > 0 ? clamp(drops.reduce((total, { now }) => total + now, 0) / all) : 1;
  const shares = new Float64Array(loads.length).fill(typical);
  if (typical > IN_ROW_FROM) return shares.fill(1);
  seen.forEach((i, k) => {
    const { now, next, variance } = drops[k]!;
    const whole = now + next;
    if (!(whole > 0)) return;
    const trust = IN_ROW_SD ** 2 / (IN_ROW_SD ** 2 + variance / whole ** 2);
    shares[i] = typical + trust * (clamp(now / whole) - typical);
  });
  return shares;
}

/** How far a voltage falls with the energy of its home's row and of the next one; variance of either. */
function ownDrops(load: Float64Array, ratio: Float64Array): { now: number; next: number; variance: number } {
  const rows = load.length - 1;
  const nowMean = meanOf(load.subarray(0, rows));
  const nextMean = meanOf(load.subarray(1));
  const ratioMean = meanOf(ratio.subarray(0, rows));
  let [aa, ab, bb, ay, by, yy] = [0, 0, 0, 0, 0, 0];
  for (let t = 0; t < rows; t++) {
    const a = load[t]! - nowMean;
    const b = load[t + 1]! - nextMean;
    const y = ratioMean - ratio[t]!;
    aa += a * a;
    ab += a * b;
    bb += b * b;
    ay += a * y;
    by += b * y;
    yy += y * y;
  }
  const determinant = aa * bb - ab * ab;
  if (!(determinant > 0)) return { now: 0, next: 0, variance: 0 };
  const now = (bb * ay - ab * by) / determinant;
  const next = (aa * by - ab * ay) / determinant;
  const left = Math.max(yy - now * ay - next * by, 0) / rows;
  return { now, next, variance: (left * Math.max(aa, bb)) / determinant };
}

function clamp(share: number): number {
  return Math.min(Math.max(share, 0), 1);
}

function blend(column: Float64Array, share: number): Float64Array {
  return share === 1 ? column : column.map((value, t) => share * value + (1 - share) * (column[t + 1] ?? value));
}

interface Regression {
  /** By load and seen meter, divided by the gain. */
  readonly z: Float64Array;
  readonly gain: Float64Array;
  readonly residualSd: Float64Array;
  /** Diagonal of the inverse normal matrix, by load. */
  readonly loadVariance: Float64Array;
}

function regress(loads: Columns, ratios: Columns): Regression | undefined {
  const rows = loads[0]!.length;
  const count = loads.length;
  const width = ratios.length;
  const loadMeans = loads.map(meanOf);
  const ratioMeans = ratios.map(meanOf);
  const centred = (columns: Columns, means: readonly number[]) =>
    columns.map((column, i) => column.map((value) => value - means[i]!));
  const x = centred(loads, loadMeans);
  const y = centred(ratios, ratioMeans);
  const normal = gram(x);
  let trace = 0;
  for (let i = 0; i < count; i++) trace += normal.values[i * count + i]!;
  for (let i = 0; i < count; i++) normal.values[i * count + i]! += RIDGE * (trace / count) + 1e-12;
  const lower = cholesky(normal);
  if (!lower) return undefined;
  const inverted = inverse(lower);
  const products = cross(x, y);
  const z = new Float64Array(count * width);
  for (let j = 0; j < count; j++) {
    for (let k = 0; k < count; k++) {
      const weight = inverted.values[j * count + k]!;
      for (let i = 0; i < width; i++) z[j * width + i]! += weight * products[k * width + i]!;
    }
  }
  const gain = new Float64Array(width);
  const residualSd = new Float64Array(width);
  for (let i = 0; i < width; i++) {
    let drop = 0;
    let explained = 0;
    for (let j = 0; j < count; j++) {
      drop += loadMeans[j]! * z[j * width + i]!;
      explained += z[j * width + i]! * products[j * width + i]!;
    }
    gain[i] = ratioMeans[i]! - drop;
    const total = y[i]!.reduce((sum, value) => sum + value * value, 0);
    residualSd[i] = Math.sqrt(Math.max(total - explained, 0) / rows);
    for (let j = 0; j < count; j++) z[j * width + i]! /= gain[i]!;
  }
  const loadVariance = Float64Array.from({ length: count }, (_, j) => inverted.values[j * count + j]!);
  return { z, gain, residualSd, loadVariance };
}

/**
 * Z_ij and Z_ji are the same line: each pair takes what is known better. The effect of a small load is lost in noise that all
 * meters of a feeder share; the effect of the others on the small load's own voltage is not.
 */
function reciprocal(
  { z, residualSd, loadVariance }: Regression,
  seen: readonly number[],
  count: number,
): { z: Float64Array; variance: Float64Array } {
  const width = seen.length;
  const value = new Float64Array(count * count);
  const variance = new Float64Array(count * count).fill(Number.POSITIVE_INFINITY);
  seen.forEach((meter, i) => {
    for (let load = 0; load < count; load++) {
      value[load * count + meter] = z[load * width + i]!;
      variance[load * count + meter] = residualSd[i]! ** 2 * loadVariance[load]! + 1e-18;
    }
  });
  const result = new Float64Array(count * count);
  const left = new Float64Array(count * count);
  for (let a = 0; a < count; a++) {
    for (let b = 0; b <= a; b++) {
      const [ab, ba] = [a * count + b, b * count + a];
      const common = pooled(value[ab]!, variance[ab]!, value[ba]!, variance[ba]!, 0);
      left[ab] = left[ba] = 1 / (1 / variance[ab]! + 1 / variance[ba]!);
      const apart = (ASYMMETRY * common) ** 2;
      const centre = pooled(value[ab]!, variance[ab]!, value[ba]!, variance[ba]!, apart);
      result[ab] = centre + (apart / (apart + variance[ab]!)) * (value[ab]! - centre);
      result[ba] = centre + (apart / (apart + variance[ba]!)) * (value[ba]! - centre);
    }
  }
  return { z: result, variance: left };
}

function unsure(variance: Float64Array, loads: Columns): Float64Array {
  const count = loads.length;
  const means = loads.map(meanOf);
  return Float64Array.from(loads, (_, i) => {
    let sds = 0;
    let squares = 0;
    for (let j = 0; j < count; j++) {
      const sd = Math.sqrt(variance[i * count + j]!) * means[j]!;
      if (!Number.isFinite(sd)) continue;
      sds += sd;
      squares += sd * sd;
    }
    return Math.sqrt(SHARED_NOISE * sds * sds + (1 - SHARED_NOISE) * squares);
  });
}

function pooled(a: number, varianceA: number, b: number, varianceB: number, further: number): number {
  const weightA = 1 / (varianceA + further);
  const weightB = 1 / (varianceB + further);
  return weightA + weightB > 0 ? (weightA * a + weightB * b) / (weightA + weightB) : 0;
}

/** 1 + load · Z, by meter. */
function times(loads: Columns, z: Float64Array): Columns {
  const share = combine(loads, z);
  for (const column of share) for (let t = 0; t < column.length; t++) column[t]! += 1;
  return share;
}

function ownOf(z: Float64Array, count: number): Float64Array {
  const own = Float64Array.from({ length: count }, (_, i) => Math.max(0, -z[i * count + i]!));
  const typical = medianOf(own.filter((value) => value > 0));
  return own.map((value) => value || typical || 0);
}

function spread({ residualSd }: Regression, seen: readonly number[], count: number): Float64Array {
  const all = new Float64Array(count).fill(Number.NaN);
  seen.forEach((meter, i) => {
    all[meter] = residualSd[i]!;
  });
  return all;
}

function fillWithMean(ratio: Float64Array): Float64Array {
  const mean = meanOf(ratio.filter((value) => !Number.isNaN(value)));
  return ratio.map((value) => (Number.isNaN(value) ? mean : value));
}

function fillWithFit(ratio: Float64Array, filled: Float64Array, share: Float64Array, gain: number): void {
  for (let t = 0; t < ratio.length; t++) if (Number.isNaN(ratio[t]!)) filled[t] = gain * share[t]!;
}

function meanOf(column: Float64Array): number {
  return sum(column) / column.length;
}
