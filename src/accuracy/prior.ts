/**
 * The posterior of all meters together when most are good, a few are bad, and one in a thousand is not of this district:
 * expectation propagation (Minka 2001) with a mixture of normals as the prior of each d = e / (1 + e).
 */
import { cholesky, inverse, type Symmetric, solve } from './matrix.ts';
import type { Mixture } from './normal.ts';

/** The likelihood of d as a normal: precision matrix and precision times mean. */
export interface Likelihood {
  readonly precision: Symmetric;
  readonly shift: Float64Array;
}

export interface PriorBelief {
  /** Sd of good meters to begin with; it is learned from the district. */
  readonly goodSd: number;
  readonly badSd: number;
  readonly badShare: number;
  /** Probability that the model misjudges a good meter far beyond what it says of itself. */
  readonly misfitShare: number;
  /** By meter: probability that it is not of this district. */
  readonly strangerShare: Float64Array;
  /** By meter: variance of what the model itself may have put into d, below and above the meters' common value. */
  readonly modelVariance: (index: number, isBelow: boolean) => number;
  /** By meter: d as it was measured on site; undefined = it was not. */
  readonly measured: readonly (Normal | undefined)[];
}

export interface Normal {
  readonly mean: number;
  readonly variance: number;
}

export interface Posterior {
  /** By meter, of d; components good, bad, stranger, good but misjudged. */
  readonly mixtures: readonly Mixture[];
  /** By meter: sd of what the data alone say of d. */
  readonly dataSd: Float64Array;
  readonly goodSd: number;
  /** Mean of d over good meters: the master's, as far as it is anybody's. */
  readonly common: number;
}

export const GOOD = 0;
export const BAD = 1;
export const STRANGER = 2;
const MISFIT = 3;
const MEANS = [0, 0, 1, 0] as const;
/** Of the variance with which the data speak, when the model misjudges a meter. */
const MISFIT_VARIANCE = 9;
const STRANGER_SD = 0.15;
const SWEEPS = 12;
/** Of a site before anything is seen: d is within a percent. */
const FIRST_PRECISION = 1 / 0.01 ** 2;
const FREE_FROM = 0.5;
const DAMPING = 0.7;
const GOOD_SD_LIMITS = [0.0015, 0.01] as const;
/** How many meters the first guess of their spread counts as. */
const GOOD_SD_GUESS = 0.003;
const GOOD_SD_WEIGHT = 10;
/** A site never says less than that d is within 30 %. */
const MIN_SITE_PRECISION = 1 / 0.3 ** 2;

export function posterior({ precision, shift }: Likelihood, belief: PriorBelief): Posterior | undefined {
  const count = precision.order;
  // Who may well be a stranger begins free: held near nought, its energy would be laid on all others, and stay there.
  const sitePrecision = belief.strangerShare.map((share) =>
    share >= FREE_FROM ? MIN_SITE_PRECISION : FIRST_PRECISION,
  );
  const siteShift = new Float64Array(count);
  const dataSd = new Float64Array(count);
  let mixtures: Mixture[] = [];
  let goodSd = belief.goodSd;
  let common = 0;
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const values = Float64Array.from(precision.values);
    for (let i = 0; i < count; i++) values[i * count + i]! += sitePrecision[i]!;
    const lower = cholesky({ order: count, values });
    if (!lower) return undefined;
    const mean = solve(
      lower,
      shift.map((value, i) => value + siteShift[i]!),
    );
    const covariance = inverse(lower).values;
    mixtures = [];
    let weightSum = 0;
    let squareSum = 0;
    let meanSum = 0;
    for (let i = 0; i < count; i++) {
      const variance = covariance[i * count + i]!;
      const cavityPrecision = Math.max(1 / variance - sitePrecision[i]!, 1e-3 / variance);
      const cavityMean = (mean[i]! / variance - siteShift[i]!) / cavityPrecision;
      const cavityVariance = 1 / cavityPrecision;
      const extra = belief.modelVariance(i, sweep > 0 && cavityMean < common);
      const { tilted, own } = combine(
        { mean: cavityMean, variance: cavityVariance },
        extra,
        components(goodSd, belief, i),
      );
      dataSd[i] = Math.sqrt(cavityVariance + extra);
      const target = Math.max(1 / tilted.variance - cavityPrecision, MIN_SITE_PRECISION);
      const targetShift = tilted.mean * (target + cavityPrecision) - cavityMean * cavityPrecision;
      sitePrecision[i] = (1 - DAMPING) * sitePrecision[i]! + DAMPING * target;
      siteShift[i] = (1 - DAMPING) * siteShift[i]! + DAMPING * targetShift;
      mixtures.push(own);
      const weight = own.weights[GOOD]!;
      weightSum += weight;
      squareSum += weight * (own.means[GOOD]! ** 2 + own.variances[GOOD]!);
      meanSum += weight * own.means[GOOD]!;
    }
    const learned = Math.sqrt((squareSum + GOOD_SD_WEIGHT * GOOD_SD_GUESS ** 2) / (weightSum + GOOD_SD_WEIGHT));
    goodSd = Math.min(GOOD_SD_LIMITS[1], Math.max(GOOD_SD_LIMITS[0], learned));
    common = weightSum > 0 ? meanSum / weightSum : 0;
  }
  return { mixtures, dataSd, goodSd, common };
}

interface Component extends Normal {
  readonly logShare: number;
  /** Of the variance with which the data speak. */
  readonly inflation: number;
}

/** The prior of one meter, with what was measured on site. */
function components(goodSd: number, belief: PriorBelief, index: number): Component[] {
  const strangerShare = belief.strangerShare[index]!;
  const shares = [
    1 - belief.badShare - strangerShare - belief.misfitShare,
    belief.badShare,
    strangerShare,
    belief.misfitShare,
  ];
  const measured = belief.measured[index];
  return [goodSd, belief.badSd, STRANGER_SD, goodSd].map((sd, k) => {
    const prior = { mean: MEANS[k]!, variance: sd * sd };
    const logShare = Math.log(shares[k]!);
    const inflation = k === MISFIT ? MISFIT_VARIANCE : 1;
    if (!measured) return { ...prior, logShare, inflation };
    return { ...product(prior, measured), logShare: logShare + logDensity(prior, measured), inflation };
  });
}

/** The cavity and the prior together: of what the fit sees (`tilted`), and of the meter itself, without the model's part (`own`). */
function combine(cavity: Normal, extra: number, prior: readonly Component[]): { tilted: Normal; own: Mixture } {
  // What the model leaves unsure is a shift of what the fit sees; what it misjudges beyond that, too.
  const shift = prior.map(({ inflation }) => inflation * (cavity.variance + extra) - cavity.variance);
  const wide = shift.map((variance) => ({ mean: cavity.mean, variance: cavity.variance + variance }));
  const logs = prior.map((component, k) => component.logShare + logDensity(component, wide[k]!));
  const largest = Math.max(...logs);
  const raw = logs.map((log) => Math.exp(log - largest));
  const sum = raw.reduce((a, b) => a + b, 0);
  const weights = raw.map((weight) => weight / sum);
  const seen = prior.map(({ mean, variance }, k) => product({ mean, variance: variance + shift[k]! }, cavity));
  const owned = prior.map((component, k) => product(component, wide[k]!));
  const mean = weights.reduce((m, weight, k) => m + weight * seen[k]!.mean, 0);
  const square = weights.reduce((s, weight, k) => s + weight * (seen[k]!.variance + seen[k]!.mean ** 2), 0);
  return {
    tilted: { mean, variance: square - mean ** 2 },
    own: { weights, means: owned.map((one) => one.mean), variances: owned.map((one) => one.variance) },
  };
}

function product(a: Normal, b: Normal): Normal {
  const variance = 1 / (1 / a.variance + 1 / b.variance);
  return { variance, mean: variance * (a.mean / a.variance + b.mean / b.variance) };
}

/** Of one normal's mean under the other, up to a constant. */
function logDensity(a: Normal, b: Normal): number {
  const spread = a.variance + b.variance;
  return -0.5 * Math.log(spread) - (0.5 * (a.mean - b.mean) ** 2) / spread;
}
