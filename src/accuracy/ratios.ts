/** V/V0 of a meter in each row, on the phase that fits: what the ledger says, unless its voltage follows another one. */
import type { Connection, MeterSeries } from './district.ts';
import { cholesky, inverse, solve } from './matrix.ts';

const PHASES = ['L1', 'L2', 'L3'] as const;
/** A voltage follows a phase by so many sd more than both others: the ledger, which has one of them, must be wrong. */
const FOLLOWS_SDS = 6;
/** Beyond them it is no voltage of this network. */
const LEAST_RATIO = 0.5;
const MOST_RATIO = 1.5;

/** V/V0 at the end of each row, on the phase that fits. */
export function ratioOf(
  user: MeterSeries,
  master: MeterSeries,
  moments: number,
): { ratio: Float64Array; wrong: Connection | undefined } | undefined {
  const [only] = user.voltagesV;
  if (!only || master.voltagesV.length === 0 || user.voltagesV.some(neverChanges)) return undefined;
  const reference = (phase: number) => master.voltagesV[master.voltagesV.length === 3 ? phase : 0]!;
  if (user.voltagesV.length === 3) {
    const parts = PHASES.map((_, phase) => divide(user.voltagesV[phase]!, reference(phase), moments));
    return usable(
      parts[0]!.map((value, t) => (value + parts[1]![t]! + parts[2]![t]!) / 3),
      undefined,
    );
  }
  if (user.phase === 'L123') {
    const parts = PHASES.map((_, phase) => divide(only, reference(phase), moments));
    return usable(
      parts[0]!.map((value, t) => 3 / (1 / value + 1 / parts[1]![t]! + 1 / parts[2]![t]!)),
      undefined,
    );
  }
  const named = PHASES.indexOf(user.phase as (typeof PHASES)[number]);
  const followed = master.voltagesV.length === 3 ? phaseFollowed(only, master.voltagesV, named, moments) : undefined;
  const ratio = divide(only, reference(followed ?? Math.max(named, 0)), moments);
  return usable(ratio, named >= 0 && followed !== undefined && followed !== named ? PHASES[followed] : undefined);
}

function usable(ratio: Float64Array, wrong: Connection | undefined) {
  let count = 0;
  for (const value of ratio) if (!Number.isNaN(value)) count++;
  return count >= ratio.length / 2 ? { ratio, wrong } : undefined;
}

/** A number that is passed on for a voltage that is not measured. */
function neverChanges(voltage: Float64Array): boolean {
  const first = voltage.find((value) => !Number.isNaN(value));
  return voltage.every((value) => Number.isNaN(value) || value === first);
}

function divide(voltage: Float64Array, reference: Float64Array, moments: number): Float64Array {
  const ratio = new Float64Array(moments - 1);
  for (let t = 0; t < ratio.length; t++) {
    const value = voltage[t + 1]! / reference[t + 1]!;
    ratio[t] = value > LEAST_RATIO && value < MOST_RATIO ? value : Number.NaN;
  }
  return ratio;
}

/**
 * The phase of the master that a voltage follows: its changes are regressed on those of all three at once, which leaves the home's
 * own load aside. `named`: the ledger's, kept unless another surely leads; -1 = unknown. undefined = nothing is seen.
 */
function phaseFollowed(
  voltage: Float64Array,
  phases: readonly Float64Array[],
  named: number,
  moments: number,
): number | undefined {
  const [one, two, three] = phases as [Float64Array, Float64Array, Float64Array];
  const order = 3;
  const values = new Float64Array(order * order);
  const shift = new Float64Array(order);
  const theirs = new Float64Array(order);
  let squares = 0;
  let count = 0;
  for (let k = 1; k < moments; k++) {
    const change = voltage[k]! - voltage[k - 1]!;
    theirs[0] = one[k]! - one[k - 1]!;
    theirs[1] = two[k]! - two[k - 1]!;
    theirs[2] = three[k]! - three[k - 1]!;
    if (Number.isNaN(change + theirs[0] + theirs[1] + theirs[2])) continue;
    count++;
    squares += change * change;
    for (let a = 0; a < order; a++) {
      shift[a]! += theirs[a]! * change;
      for (let b = 0; b < order; b++) values[a * order + b]! += theirs[a]! * theirs[b]!;
    }
  }
  const lower = count > order ? cholesky({ order, values }) : undefined;
  if (!lower) return undefined;
  const slopes = [...solve(lower, shift)];
  const best = slopes.indexOf(Math.max(...slopes));
  if (named < 0 || best === named) return best;
  const inverted = inverse(lower).values;
  const at = (a: number, b: number) => inverted[a * order + b]!;
  const variance = slopes.reduce((rest, slope, a) => rest - slope * shift[a]!, squares) / (count - order);
  const leads = (other: number) => {
    const sd = Math.sqrt(Math.max(variance * (at(best, best) + at(other, other) - 2 * at(best, other)), 0));
    return other === best || slopes[best]! - slopes[other]! > FOLLOWS_SDS * sd;
  };
  return slopes.every((_, other) => leads(other)) ? best : named;
}
