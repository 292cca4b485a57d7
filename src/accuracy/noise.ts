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
  /** Variance of each row by what switches inside it, as far as it can be guessed, kWh²: a square law turns it into loss. */
  readonly switching: Float64Array;
  /** Variance at each moment by rounding alone, kWh². */
  readonly roundingKwh2: number;
  /** Further variance that is known, at each moment and of each row: missing readings, few and many. */
  readonly known: Float64Array;
  readonly knownRows: Float64Array;
  /** Sum of the squared energies of all meters about each moment: what clocks move scales with it. */
  readonly power: Float64Array;
  /** 0 = the row is not believed. */
  readonly weight: Float64Array;
}

/** Logarithms: factor of the rounding, variance of every row in kWh², squared share of a row that clocks move, factor of the switching. */
export type NoiseParameters = readonly [rounding: number, row: number, clock: number, switching: number];

export const FIRST_GUESS: NoiseParameters = [0, Math.log(1e-3), Math.log(1e-4), 0];
const BOUNDS: readonly (readonly [number, number])[] = [
  [Math.log(0.5), Math.log(3)],
  [Math.log(1e-7), Math.log(1e2)],
  [Math.log(1e-9), Math.log(0.05)],
  [Math.log(1e-3), Math.log(30)],
];
/** Of a row that is not believed, kWh². */
const DISBELIEVED = 1e4;
const FIRST_STEP = 1;
const LAST_STEP = 0.06;

export interface Variances {
  /** kWh² by row and by moment. */
  readonly rows: Float64Array;
  readonly moments: Float64Array;
}

/** As if every row were believed. */
export function variances(shape: Omit<NoiseShape, 'weight'>, parameters: NoiseParameters): Variances {
  const [rounding, row, clock, switching] = parameters.map(Math.exp) as unknown as NoiseParameters;
  const base = shape.roundingKwh2 * rounding;
  return {
    rows: shape.switching.map((kwh2, t) => row + switching * kwh2 + shape.knownRows[t]!),
    moments: shape.known.map((known, k) => base + known + clock * shape.power[k]!),
  };
}

export function noise(shape: NoiseShape, parameters: NoiseParameters): Factor {
  const { rows, moments } = variances(shape, parameters);
  return factor(
    rows.map((kwh2, t) => (shape.weight[t]! > 0 ? kwh2 : DISBELIEVED)),
    moments,
  );
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

/** Coordinate by coordinate with shrinking steps: a few smooth parameters need no more. */
function patternSearch(surprise: (at: NoiseParameters) => number, start: NoiseParameters): NoiseParameters {
  let best = start;
  let least = surprise(best);
  for (let step = FIRST_STEP; step >= LAST_STEP; ) {
    let moved = false;
    for (let i = 0; i < BOUNDS.length; i++) {
      for (const sign of [1, -1]) {
        const [low, high] = BOUNDS[i]!;
        const next = [...best] as [number, number, number, number];
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
