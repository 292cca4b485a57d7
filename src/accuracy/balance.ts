/**
 * One district's balance, solved: what the users' registers say, plus the loss, less what the master's says, is what their errors
 * have put in. Σ_i X_i d_i − Σ_k c_k C_k = Σ_i X_i − y + noise, with X_i = x_i V0/V_i and d = e / (1 + e).
 */
import {
  type Columns,
  cholesky,
  inverse,
  logDeterminant,
  normalOf,
  type Symmetric,
  solve,
  withDiagonal,
} from './matrix.ts';
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
import { medianOf, SD_OF_MEDIAN_DISTANCE } from './sums.ts';

/** A cause other than a meter, with the sd its coefficient has before anything is seen. */
export interface Cause {
  readonly column: Float64Array;
  readonly sd: number;
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
  readonly evidence: number;
  readonly factor: Factor;
  readonly meters: Float64Array;
  /** All columns whitened, meters first, and the factor of their normal matrix with the prior. */
  readonly white: Columns;
  readonly lower: Symmetric;
}

const ROBUST_ROUNDS = 2;
/** A row this many sd off counts half. */
const CAUCHY_SDS = 1.5;
const ROUNDS = 2;
/** From a solution of nearly the same problem. */
const FURTHER_ROUNDS = 1;
/** A row further off than this many sd is not believed. */
const BELIEVED_SDS = 4.5;
const BELIEVED_WHEN_LOPSIDED = 2.5;
/** The lower side is so much wider than the upper one. */
const LOPSIDED = 1.3;
/** What is left out narrows what is left: so often it is looked again. */
const BELIEF_ROUNDS = 6;
/** Rows that agree exactly still have registers. */
const LEAST_SPREAD_KWH = 1e-4;
/** Of what seems to be known of a meter, its own noise is at most so much. */
const MOSTLY_NOISE = 0.9;
/** Values that are averaged at the densest place. */
const MODE_SAMPLE = 200;

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
  let weight: Float64Array = start?.weight ?? robustStart(columns, target, prior);
  let parameters = start?.parameters ?? FIRST_GUESS;
  const rounds = start ? FURTHER_ROUNDS : ROUNDS;
  for (let round = 0; ; round++) {
    const shape = { ...problem.shape, weight };
    const factor = noise(shape, parameters);
    const solved = normalEquations(columns, target, prior, factor, ownNoise(problem, factor, parameters));
    if (!solved) return undefined;
    const residual = residualOf(columns, target, solved.mean);
    if (round === rounds) return conclude(problem, solved, prior, { parameters, weight, residual, factor });
    weight = believed(residual);
    parameters = fitNoise({ ...shape, weight }, residual, solved.used, parameters);
  }
}

interface Solved {
  /** Without the prior. */
  readonly normal: Symmetric;
  readonly shift: Float64Array;
  readonly lower: Symmetric;
  readonly mean: Float64Array;
  readonly square: number;
  readonly white: Columns;
  /** Degrees of freedom. */
  readonly used: number;
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

function normalEquations(
  columns: Columns,
  target: Float64Array,
  prior: Float64Array,
  factor: Factor,
  own: Float64Array,
): Solved | undefined {
  const order = columns.length;
  const white = columns.map((column) => whiten(factor, column));
  const { matrix: normal, shift, square } = normalOf(white, whiten(factor, target));
  // From the target's side alone: taken from the matrix too, meters that are much alike would no longer be solvable.
  own.forEach((noise, i) => {
    shift[i]! -= Math.min(noise, MOSTLY_NOISE * normal.values[i * order + i]!);
  });
  const lower = cholesky(withDiagonal(normal, prior));
  if (!lower) return undefined;
  let used = 0;
  for (let i = 0; i < order; i++) {
    const known = normal.values[i * order + i]!;
    used += known / (known + prior[i]!);
  }
  return { normal, shift, lower, mean: solve(lower, shift), square, white, used };
}

function conclude(
  { carried }: BalanceProblem,
  { normal, shift, lower, mean, square, white }: Solved,
  prior: Float64Array,
  rest: Pick<BalanceFit, 'parameters' | 'weight' | 'residual' | 'factor'>,
): BalanceFit | undefined {
  const count = carried.length;
  let evidence = -0.5 * (square + rest.factor.logDeterminant + logDeterminant(lower));
  for (let i = 0; i < mean.length; i++) evidence += 0.5 * (mean[i]! * shift[i]! + Math.log(prior[i]!));
  const likelihood = withoutCauses(normal, shift, prior, count);
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
    likelihood,
    coefficients: mean.slice(count),
    coefficientSds,
    evidence,
    white,
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
function robustStart(columns: Columns, target: Float64Array, prior: Float64Array): Float64Array {
  let residual = target;
  for (let round = 0; round < ROBUST_ROUNDS; round++) {
    const { middle, scale } = bulk(residual);
    const roots = residual.map((value) => 1 / Math.sqrt(1 + ((value - middle) / (CAUCHY_SDS * scale)) ** 2) / scale);
    const scaled = (column: Float64Array) => column.map((value, t) => value * roots[t]!);
    const { matrix, shift } = normalOf(columns.map(scaled), scaled(target));
    const lower = cholesky(withDiagonal(matrix, prior));
    if (!lower) break;
    residual = residualOf(columns, target, solve(lower, shift));
  }
  return believed(residual);
}

function believed(residual: Float64Array): Float64Array {
  let weight = residual;
  for (let round = 0; round < BELIEF_ROUNDS; round++) {
    const { lowest, highest } = bulk(residual.filter((_, t) => round === 0 || weight[t]! > 0));
    weight = residual.map((value) => (value > lowest && value < highest ? 1 : 0));
  }
  return withoutRuns(residual, weight);
}

/**
 * What is taken for hours shows in the sum of neighbouring rows, where the noise of registers and clocks, which one row takes from
 * the next, cancels.
 */
function withoutRuns(residual: Float64Array, weight: Float64Array): Float64Array {
  const sums = residual.map((value, t) => value + (residual[t - 1] ?? value) + (residual[t + 1] ?? value));
  const { isLopsided, lowest } = bulk(sums);
  if (!isLopsided) return weight;
  const isLow = (t: number) => sums[t] !== undefined && sums[t]! < lowest;
  return weight.map((value, t) => (isLow(t - 1) || isLow(t) || isLow(t + 1) ? 0 : value));
}

interface Bulk {
  readonly middle: number;
  /** Sd of the rows that nothing has been taken from. */
  readonly scale: number;
  /** Rows below this, or above that, are not believed. */
  readonly lowest: number;
  readonly highest: number;
  readonly isLopsided: boolean;
}

/**
 * Where most rows lie. Energy that no meter counts makes a row too low, never too high: when the lower side is wider than the
 * upper one, the upper one alone says how wide the noise is.
 */
function bulk(values: Float64Array): Bulk {
  const median = medianOf(values);
  const both = spreadAbout(values, median);
  const sided = {
    middle: median,
    scale: both,
    lowest: median - BELIEVED_SDS * both,
    highest: median + BELIEVED_SDS * both,
    isLopsided: false,
  };
  const mode = modeOf(values);
  const above = spreadAbout(
    values.filter((value) => value > mode),
    mode,
  );
  const below = spreadAbout(
    values.filter((value) => value < mode),
    mode,
  );
  if (!(below > LOPSIDED * above)) return sided;
  return {
    middle: mode,
    scale: above,
    lowest: mode - BELIEVED_WHEN_LOPSIDED * above,
    highest: mode + BELIEVED_SDS * above,
    isLopsided: true,
  };
}

function spreadAbout(values: Float64Array, middle: number): number {
  return Math.max(SD_OF_MEDIAN_DISTANCE * medianOf(values.map((value) => Math.abs(value - middle))), LEAST_SPREAD_KWH);
}

/** The middle of the densest values: the half of them that lies closest together, halved again and again. */
function modeOf(values: Float64Array): number {
  const sorted = Float64Array.from(values).sort();
  let from = 0;
  let to = sorted.length;
  while (to - from > MODE_SAMPLE) {
    const length = Math.ceil((to - from) / 2);
    let best = from;
    for (let i = from; i + length <= to; i++) {
      if (sorted[i + length - 1]! - sorted[i]! < sorted[best + length - 1]! - sorted[best]!) best = i;
    }
    from = best;
    to = best + length;
  }
  return medianOf(sorted.subarray(from, to));
}
