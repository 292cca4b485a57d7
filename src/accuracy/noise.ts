/**
 * The noise of a district's balance: Σ = diag(rows) + the differences of independent errors at the moments between rows.
 * A register is a running sum rounded down, so what one row gets too much the next one lacks; clocks and missing readings
 * do the same. Σ is tridiagonal: whitening takes a pass over the rows.
 */

export interface Factor {
  /** Of the lower bidiagonal L with LLᵀ = Σ. */
  readonly pivot: Float64Array;
  /** Below the pivot, at its column. */
  readonly below: Float64Array;
  readonly logDeterminant: number;
}

/** `rows`: variance of each row; `moments`: of each moment, one more. kWh². */
export function factor(rows: Float64Array, moments: Float64Array): Factor {
  const length = rows.length;
  const pivot = new Float64Array(length);
  const below = new Float64Array(length);
  let logDeterminant = 0;
  let carried = 0;
  for (let t = 0; t < length; t++) {
    const squared = rows[t]! + moments[t]! + moments[t + 1]! - carried;
    const root = Math.sqrt(squared);
    pivot[t] = root;
    logDeterminant += Math.log(squared);
    below[t] = -moments[t + 1]! / root;
    carried = below[t]! ** 2;
  }
  return { pivot, below, logDeterminant };
}

/** L⁻¹ column. */
export function whiten({ pivot, below }: Factor, column: Float64Array): Float64Array {
  const white = new Float64Array(column.length);
  let before = 0;
  let link = 0;
  for (let t = 0; t < column.length; t++) {
    before = (column[t]! - link * before) / pivot[t]!;
    white[t] = before;
    link = below[t]!;
  }
  return white;
}

/** By moment: what an error of one kWh there adds to the squared length of what is whitened, eᵀΣ⁻¹e. */
export function momentWeight({ pivot, below }: Factor): Float64Array {
  const rows = pivot.length;
  const weight = new Float64Array(rows + 1);
  let next = 0;
  for (let t = rows - 1; t >= 0; t--) {
    const link = below[t]! / pivot[t]!;
    const beside = -link * next;
    const own = 1 / pivot[t]! ** 2 + link * link * next;
    // Moment t + 1 lies between this row and the next.
    weight[t + 1] = own + next - 2 * beside;
    next = own;
  }
  weight[0] = next;
  return weight;
}

/** What is known of the noise before it is seen. */
export interface NoiseShape {
  /** Variance at each moment by rounding alone, kWh². */
  readonly roundingKwh2: number;
  /** Further variance at each moment that is known: missing readings. */
  readonly known: Float64Array;
  /** Sum of the squared energies of all meters about each moment: what clocks move scales with it. */
  readonly power: Float64Array;
  /** 0 = the row is not believed. */
  readonly weight: Float64Array;
}

/** Logarithms: factor of the rounding, variance of a row in kWh², squared share of a row that clocks move. */
export type NoiseParameters = readonly [rounding: number, row: number, clock: number];

export const FIRST_GUESS: NoiseParameters = [0, Math.log(1e-3), Math.log(1e-4)];
const BOUNDS: readonly (readonly [number, number])[] = [
  [Math.log(0.5), Math.log(3)],
  [Math.log(1e-7), Math.log(1e2)],
  [Math.log(1e-9), Math.log(0.05)],
];
/** Of a row that is not believed, kWh². */
const DISBELIEVED = 1e4;
const FIRST_STEP = 1;
const LAST_STEP = 0.06;

export function noise(shape: NoiseShape, [rounding, row, clock]: NoiseParameters): Factor {
  const rowKwh2 = Math.exp(row);
  const rows = shape.weight.map((weight) => (weight > 0 ? rowKwh2 : DISBELIEVED));
  const base = shape.roundingKwh2 * Math.exp(rounding);
  const share = Math.exp(clock);
  const moments = shape.known.map((known, k) => base + known + share * shape.power[k]!);
  return factor(rows, moments);
}

/** The parameters under which the residuals are most likely; `lost` = degrees of freedom the fit has used. */
export function fitNoise(
  shape: NoiseShape,
  residual: Float64Array,
  lost: number,
  start: NoiseParameters,
): NoiseParameters {
  const inflation = residual.length / Math.max(residual.length - lost, residual.length / 2);
  const surprise = (parameters: NoiseParameters) => {
    const shapeFactor = noise(shape, parameters);
    let squares = 0;
    for (const value of whiten(shapeFactor, residual)) squares += value * value;
    return squares * inflation + shapeFactor.logDeterminant;
  };
  return patternSearch(surprise, start);
}

/** Coordinate by coordinate with shrinking steps: three smooth parameters need no more. */
function patternSearch(surprise: (at: NoiseParameters) => number, start: NoiseParameters): NoiseParameters {
  let best = start;
  let least = surprise(best);
  for (let step = FIRST_STEP; step >= LAST_STEP; ) {
    let moved = false;
    for (let i = 0; i < 3; i++) {
      for (const sign of [1, -1]) {
        const [low, high] = BOUNDS[i]!;
        const next = [...best] as [number, number, number];
        next[i] = Math.min(high, Math.max(low, next[i]! + sign * step));
        if (next[i] === best[i]) continue;
        const value = surprise(next);
        if (value >= least) continue;
        best = next;
        least = value;
        moved = true;
        break;
      }
    }
    if (!moved) step /= 2;
  }
  return best;
}
