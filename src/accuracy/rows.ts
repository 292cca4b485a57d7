/** Which rows are believed: those whose balance lies with the bulk of them, each measured by the noise that is expected of it. */
import { type NoiseParameters, type NoiseShape, variances } from './noise.ts';
import { medianOf, SD_OF_MEDIAN_DISTANCE, sum } from './sums.ts';

/** A row further off than this many sd is not believed. */
const BELIEVED_SDS = 4.5;
const BELIEVED_WHEN_LOPSIDED = 2.5;
/** The lower side is so much wider than the upper one; what switches inside a row does that, too: so much if nothing else made noise. */
const LOPSIDED = 1.3;
const LOPSIDED_BY_SWITCHING = 2.5;
/** What is left out narrows what is left: so often it is looked again. */
const BELIEF_ROUNDS = 6;
/** Of what is expected: rows that agree exactly still have registers. */
const LEAST_SPREAD = 0.01;
/** The densest place alone is a matter of luck: the tails must differ, too, from here on. */
const TAIL_AT = 0.98;
/** Values that are averaged at the densest place. */
const MODE_SAMPLE = 200;

/** What is expected of the rows' residuals. */
export interface Spread {
  /** Of a row, and of its sum with both neighbours, kWh. */
  readonly rowSd: Float64Array;
  readonly threeSd: Float64Array;
  /** Share of that variance that what switches makes, over all rows. */
  readonly switched: number;
  readonly threeSwitched: number;
}

export function spreadOf(shape: Omit<NoiseShape, 'weight'>, parameters: NoiseParameters): Spread {
  const { rows, moments } = variances(shape, parameters);
  const switching = Math.exp(parameters[3]) * sum(shape.switching);
  const row = rows.map((kwh2, t) => kwh2 + moments[t]! + moments[t + 1]!);
  const at = (t: number) => Math.min(Math.max(t, 0), rows.length - 1);
  const three = rows.map(
    (kwh2, t) => rows[at(t - 1)]! + kwh2 + rows[at(t + 1)]! + moments[Math.max(t - 1, 0)]! + moments[at(t + 1) + 1]!,
  );
  return {
    rowSd: row.map(Math.sqrt),
    threeSd: three.map(Math.sqrt),
    switched: switching / sum(row),
    threeSwitched: (3 * switching) / sum(three),
  };
}

/** By row: 1, or 0 = it is not believed. */
export function believedRows(residual: Float64Array, spread: Spread): Float64Array {
  const scores = residual.map((value, t) => value / spread.rowSd[t]!);
  let weight = scores;
  for (let round = 0; round < BELIEF_ROUNDS; round++) {
    const { lowest, highest } = bulk(
      scores.filter((_, t) => round === 0 || weight[t]! > 0),
      spread.switched,
    );
    weight = scores.map((score) => (score > lowest && score < highest ? 1 : 0));
  }
  return withoutRuns(residual, weight, spread);
}

/**
 * What is taken for hours shows in the sum of neighbouring rows, where the noise of registers and clocks, which one row takes from
 * the next, cancels.
 */
function withoutRuns(residual: Float64Array, weight: Float64Array, spread: Spread): Float64Array {
  const scores = residual.map(
    (value, t) => (value + (residual[t - 1] ?? value) + (residual[t + 1] ?? value)) / spread.threeSd[t]!,
  );
  const { isLopsided, lowest } = bulk(scores, spread.threeSwitched);
  if (!isLopsided) return weight;
  const isLow = (t: number) => scores[t] !== undefined && scores[t]! < lowest;
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
 * Where most rows lie, each in units of the noise that is expected of it; `switched`: the part of that noise that what switches makes.
 * Energy that no meter counts makes a row too low, never too high: when the lower side is wider than the upper one, by more than
 * switching makes it, the upper one alone says how wide the noise is.
 */
export function bulk(values: Float64Array, switched: number): Bulk {
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
  const natural = Math.sqrt(LOPSIDED ** 2 + (LOPSIDED_BY_SWITCHING ** 2 - LOPSIDED ** 2) * switched);
  if (!(below > natural * above) || !(tailOf(values, median, -1) > natural * tailOf(values, median, 1))) return sided;
  return {
    middle: mode,
    scale: above,
    lowest: mode - BELIEVED_WHEN_LOPSIDED * above,
    highest: mode + BELIEVED_SDS * above,
    isLopsided: true,
  };
}

function spreadAbout(values: Float64Array, middle: number): number {
  return Math.max(SD_OF_MEDIAN_DISTANCE * medianOf(values.map((value) => Math.abs(value - middle))), LEAST_SPREAD);
}

/** How far out the last of the rows lie on one side of the median. */
function tailOf(values: Float64Array, median: number, side: 1 | -1): number {
  const sorted = values.map((value) => side * (value - median)).sort();
  return sorted[Math.floor(TAIL_AT * (sorted.length - 1))]!;
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
