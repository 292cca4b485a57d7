/**
 * One district's balance, solved: what the users' registers say, plus the loss, less what the master's says, is what their errors
 * have put in. Σ_i X_i d_i − Σ_k c_k C_k = Σ_i X_i − y + noise, with X_i = x_i V0/V_i and d = e / (1 + e).
 */
import { type Columns, cholesky, inverse, normalOf, type Symmetric, solve, withDiagonal } from './matrix.ts';
import {
  type Factor,
  FIRST_GUESS,
  fitNoise,
  momentWeight,
  type NoiseParameters,
  type NoiseShape,
  noise,
  whiten,
} from './noise.ts';
import type { Likelihood } from './prior.ts';
import { believedRows, bulk, spreadOf } from './rows.ts';

/** A cause other than a meter, with the sd its coefficient has before anything is seen. */
export interface Cause {
  readonly column: Float64Array;
  readonly sd: number;
  /** By meter: how much of its register is in the column, on the mean; left out = none. */
  readonly ofMeters?: Float64Array;
}

export interface BalanceProblem {
  /** X by meter, kWh of each row. */
  readonly carried: Columns;
  readonly masterKwh: Float64Array;
  readonly causes: readonly Cause[];
  /** By meter: sd of d while the noise is being learned. */
  readonly meterSd: Float64Array;
  readonly shape: Omit<NoiseShape, 'weight'>;
  /** Noise of each meter's own register; the shape holds their sum and the master's. */
  readonly registers: readonly RegisterNoise[];
  /** What each clock does to its register is among the causes. */
  readonly clocksAreCauses: boolean;
}

export interface RegisterNoise {
  readonly roundingKwh2: number;
  /** By moment, kWh²: missing readings. */
  readonly known: Float64Array;
  /** By moment: squared energy of a row about it, kWh². */
  readonly power: Float64Array;
}

/** Without the prior: all columns whitened, meters first, and their products with each other and with the target. */
interface Equations {
  readonly factor: Factor;
  readonly white: Columns;
  readonly normal: Symmetric;
  readonly shift: Float64Array;
}

export interface BalanceFit {
  readonly likelihood: Likelihood;
  /** By cause: coefficient and its sd. */
  readonly coefficients: Float64Array;
  readonly coefficientSds: Float64Array;
  readonly parameters: NoiseParameters;
  /** 0 = the row was not believed. */
  readonly weight: Float64Array;
  /** Σ X − y − what the fit explains, kWh. */
  readonly residual: Float64Array;
  readonly meters: Float64Array;
  readonly problem: BalanceProblem;
  readonly equations: Equations;
  /** Factor of the normal matrix with the prior. */
  readonly lower: Symmetric;
}

const ROBUST_ROUNDS = 2;
/** Of many rows every second one tells well enough where the bulk lies. */
const THINNED_FROM_ROWS = 2_000;
/** A row this many sd off counts half. */
const CAUCHY_SDS = 1.5;
const ROUNDS = 2;
/** From a solution of nearly the same problem. */
const FURTHER_ROUNDS = 1;
/** Of what seems to be known of a meter, its own noise is at most so much. */
const MOSTLY_NOISE = 0.9;
/** Taking it out moves no d by more: what would is no noise of registers but columns that are much alike. */
const MOST_CORRECTION = 0.05;
export function solveBalance(problem: BalanceProblem, start?: BalanceFit): BalanceFit | undefined {
  const { carried, masterKwh, causes, meterSd } = problem;
  const rows = masterKwh.length;
  const count = carried.length;
  const columns: Columns = [...carried, ...causes.map(({ column }) => column.map((value) => -value))];
  const target = new Float64Array(rows);
  for (let t = 0; t < rows; t++) target[t] = carried.reduce((sum, column) => sum + column[t]!, -masterKwh[t]!);
  const prior = Float64Array.from(columns, (_, i) => {
    const sd = i >= count ? causes[i - count]!.sd : meterSd[i]!;
    return 1 / (sd * sd);
  });
  let weight: Float64Array = start?.weight ?? robustStart(problem, columns, target, prior);
  let parameters = start?.parameters ?? FIRST_GUESS;
  const rounds = start ? FURTHER_ROUNDS : ROUNDS;
  // While only the prior differs, the equations are those of the start.
  let known =
    start && start.problem.carried === carried && start.problem.causes === causes ? start.equations : undefined;
  for (let round = 0; ; round++) {
    const shape = { ...problem.shape, weight };
    const equations: Equations = known ?? equationsOf(columns, target, noise(shape, parameters));
    known = undefined;
    const solved = solveEquations(equations, prior, ownNoise(problem, equations.factor, parameters), causes);
    if (!solved) return undefined;
    const residual = residualOf(columns, target, solved.mean);
    if (round === rounds) return conclude(problem, equations, solved, prior, { parameters, weight, residual });
    parameters = fitNoise(shape, residual, solved.used, parameters);
    weight = believedRows(residual, spreadOf(shape, parameters));
  }
}

interface Solved {
  /** Without what registers put in by themselves. */
  readonly shift: Float64Array;
  /** Factor of the normal matrix with the prior. */
  readonly lower: Symmetric;
  readonly mean: Float64Array;
  /** Degrees of freedom. */
  readonly used: number;
}

function equationsOf(columns: Columns, target: Float64Array, factor: Factor): Equations {
  const white = columns.map((column) => whiten(factor, column));
  const { matrix: normal, shift } = normalOf(white, whiten(factor, target));
  return { factor, white, normal, shift };
}

/**
 * What each meter's own noise adds to the products of its column with itself and with the target: it is in both, and would pass
 * for an error of the meter, the more so the less the meter counts.
 */
function ownNoise(
  { registers, clocksAreCauses }: BalanceProblem,
  factor: Factor,
  parameters: NoiseParameters,
): Float64Array {
  const weight = momentWeight(factor);
  // What is more than rounding can be is somebody else's.
  const rounding = Math.min(1, Math.exp(parameters[0]));
  const clock = clocksAreCauses ? 0 : Math.exp(parameters[2]);
  return Float64Array.from(registers, ({ roundingKwh2, known, power }) => {
    let sum = 0;
    for (let k = 0; k < weight.length; k++) {
      sum += weight[k]! * (rounding * roundingKwh2 + known[k]! + clock * power[k]!);
    }
    return sum;
  });
}

function solveEquations(
  { normal, shift: products }: Equations,
  prior: Float64Array,
  own: Float64Array,
  causes: readonly Cause[],
): Solved | undefined {
  const { order } = normal;
  const shift = Float64Array.from(products);
  const lower = cholesky(withDiagonal(normal, prior));
  if (!lower) return undefined;
  // From the target's side alone: taken from the matrix too, meters that are much alike would no longer be solvable.
  const correction = correctionOf(
    own.map((noise, i) => Math.min(noise, MOSTLY_NOISE * normal.values[i * order + i]!)),
    causes,
  );
  const moved = solve(lower, correction).subarray(0, own.length);
  const most = moved.reduce((largest, value) => Math.max(largest, Math.abs(value)), MOST_CORRECTION);
  for (let i = 0; i < order; i++) shift[i]! += (MOST_CORRECTION / most) * correction[i]!;
  let used = 0;
  for (let i = 0; i < order; i++) {
    const known = normal.values[i * order + i]!;
    used += known / (known + prior[i]!);
  }
  return { shift, lower, mean: solve(lower, shift), used };
}

/** A cause that is made of registers has their noise as well: left in one of two columns that are much alike, it would set them against each other. */
function correctionOf(noise: Float64Array, causes: readonly Cause[]): Float64Array {
  const correction = new Float64Array(noise.length + causes.length);
  noise.forEach((value, i) => {
    correction[i] = -value;
  });
  causes.forEach(({ ofMeters }, k) => {
    ofMeters?.forEach((share, i) => {
      correction[noise.length + k]! += share * noise[i]!;
    });
  });
  return correction;
}

function conclude(
  problem: BalanceProblem,
  equations: Equations,
  { shift, lower, mean }: Solved,
  prior: Float64Array,
  rest: Pick<BalanceFit, 'parameters' | 'weight' | 'residual'>,
): BalanceFit | undefined {
  const count = problem.carried.length;
  const likelihood = withoutCauses(equations.normal, shift, prior, count);
  if (!likelihood) return undefined;
  const coefficientSds = new Float64Array(mean.length - count);
  const unit = new Float64Array(mean.length);
  for (let k = 0; k < coefficientSds.length; k++) {
    unit.fill(0);
    unit[count + k] = 1;
    coefficientSds[k] = Math.sqrt(solve(lower, unit)[count + k]!);
  }
  return {
    ...rest,
    problem,
    equations,
    likelihood,
    coefficients: mean.slice(count),
    coefficientSds,
    lower,
    meters: mean.slice(0, count),
  };
}

/** What is said of the meters whatever the causes are (their prior taken in). */
function withoutCauses(
  { order, values }: Symmetric,
  shift: Float64Array,
  prior: Float64Array,
  count: number,
): Likelihood | undefined {
  const width = order - count;
  const inner = new Float64Array(width * width);
  for (let a = 0; a < width; a++) {
    for (let b = 0; b < width; b++) inner[a * width + b] = values[(count + a) * order + count + b]!;
    inner[a * width + a]! += prior[count + a]!;
  }
  const lower = cholesky({ order: width, values: inner });
  if (!lower) return undefined;
  const inverted = inverse(lower).values;
  const link = (i: number) => values.subarray(i * order + count, i * order + order);
  const precision = { order: count, values: new Float64Array(count * count) };
  const reduced = new Float64Array(count);
  const weights = new Float64Array(width);
  for (let i = 0; i < count; i++) {
    const own = link(i);
    for (let a = 0; a < width; a++) {
      let sum = 0;
      for (let b = 0; b < width; b++) sum += inverted[a * width + b]! * own[b]!;
      weights[a] = sum;
    }
    let taken = 0;
    for (let a = 0; a < width; a++) taken += weights[a]! * shift[count + a]!;
    reduced[i] = shift[i]! - taken;
    for (let j = 0; j <= i; j++) {
      const other = link(j);
      let sum = 0;
      for (let a = 0; a < width; a++) sum += weights[a]! * other[a]!;
      const value = values[i * order + j]! - sum;
      precision.values[i * count + j] = value;
      precision.values[j * count + i] = value;
    }
  }
  return { precision, shift: reduced };
}

function residualOf(columns: Columns, target: Float64Array, mean: Float64Array): Float64Array {
  const residual = Float64Array.from(target);
  columns.forEach((column, i) => {
    const coefficient = mean[i]!;
    for (let t = 0; t < residual.length; t++) residual[t]! -= coefficient * column[t]!;
  });
  return residual;
}

/** Cauchy weights until the bulk of the rows speaks; then those far from it are left out. */
function robustStart(
  { shape }: BalanceProblem,
  columns: Columns,
  target: Float64Array,
  prior: Float64Array,
): Float64Array {
  const spread = spreadOf(shape, FIRST_GUESS);
  const rows = target.length;
  const step = rows > THINNED_FROM_ROWS ? 2 : 1;
  let residual = target;
  for (let round = 0; round < ROBUST_ROUNDS; round++) {
    const scores = residual.map((value, t) => value / spread.rowSd[t]!);
    const { middle, scale } = bulk(scores, spread.switched);
    const roots = scores.map(
      (score, t) => 1 / Math.sqrt(1 + ((score - middle) / (CAUCHY_SDS * scale)) ** 2) / (scale * spread.rowSd[t]!),
    );
    const scaled = (column: Float64Array) =>
      Float64Array.from({ length: Math.ceil(rows / step) }, (_, k) => column[k * step]! * roots[k * step]!);
    const { matrix, shift } = normalOf(columns.map(scaled), scaled(target));
    const lower = cholesky(withDiagonal(matrix, prior));
    if (!lower) break;
    residual = residualOf(columns, target, solve(lower, shift));
  }
  return believedRows(residual, spread);
}
