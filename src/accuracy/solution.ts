/** A district's errors, its network, its clocks, its strangers and what changed, all at once. */
import { type BalanceFit, solveBalance } from './balance.ts';
import { FIXED, SWITCHED } from './causes.ts';
import { type Candidate, findChange, profileOf } from './change.ts';
import type { Method } from './district.ts';
import type { Columns } from './matrix.ts';
import { isLittle, type Prepared, withStuck } from './prepare.ts';
import { type Posterior, STRANGER } from './prior.ts';
import { type Round, type ShiftOf, solveRound } from './round.ts';
import { foreignVoltages, typicalResidual } from './strangers.ts';
import { sum, sumOf } from './sums.ts';
import { type Network, networkOf } from './voltage.ts';

/** Of the method: estimates of different versions are not compared. */
export const METHOD_VERSION = '2';
const MAX_ROUNDS = 3;
/** A stranger is told from a bad meter when its d is known so well. */
const STRANGER_KNOWN_SD = 0.15;
const MAX_CHANGES = 8;
/** A change that is told is so many sd from none. */
const SURE_CHANGE_SDS = 4.5;
const CHANGE_SD = 0.05;
/** Share of the common error that is the master's; the rest is left to the meters, as much of it as is plausible. */
const MASTERS_SHARE = 0.64;
/** The master is off when the common error is so many of its standard uncertainties. */
const MASTER_OFF_SDS = 3;
/** A loss so many of its prior sds off its band is the master's error, or one that no voltage shows. */
const LOSS_BAND_SDS = 2;
/** Energy that passes no meter steadily is told from this share of all on, when it is so many sd from none. */
const STEADY_SHARE = 0.005;
const STEADY_SDS = 6;
/** Rows scatter by so much of a meter's mean row beyond what registers, clocks and losses do: a load is missing. */
const SCATTER_SHARE = 0.1;
/** Share of the meters that must report a voltage. */
const ENOUGH_VOLTAGES = 0.8;
/** A single instant differs from the mean of its row by more than this share of the voltage. */
const INSTANTANEOUS_FROM = 0.0015;

export interface Solution {
  readonly fit: BalanceFit;
  readonly carried: Columns;
  readonly belief: Posterior;
  readonly network: Network | undefined;
  /** Users: not of this district; passed on a register that had stopped. */
  readonly strangers: ReadonlySet<number>;
  readonly stuck: ReadonlySet<number>;
  readonly changes: readonly (Candidate & { readonly size: number; readonly sizeSd: number })[];
  /** By place; undefined = clocks were taken to be right. */
  readonly clockOffsetS: Float64Array | undefined;
  /** What is taken off every d: the master's. */
  readonly mastersShare: number;
  readonly isMasterOff: boolean;
  /** d of all meters alike, what a loss out of its band would be included. */
  readonly common: number;
  /** kWh of a row that pass no meter at a steady pace; 0 = none is seen. */
  readonly steadyKwh: number;
  /** Nothing of size is in the balance but meters and losses. */
  readonly isExplained: boolean;
  readonly method: Method;
}

export function solveDistrict(given: Prepared): Solution | undefined {
  const { used, ratios, policy } = given;
  let prepared = given;
  const stuck = new Set<number>();
  const strangers = new Set<number>();
  const loads = () => used.map((i) => prepared.energies[i]!.kwh);
  let network = enoughVoltages(ratios) ? networkOf(loads(), ratios) : undefined;
  // Of so little energy anything can be said: it is no stranger.
  const refuted = new Set(loads().flatMap((load, place) => (isLittle(load, policy) ? [place] : [])));
  for (const place of foreignVoltages(network)) if (!refuted.has(place)) strangers.add(place);
  for (let round = 1; ; round++) {
    const solved = solveRound(prepared, network, strangers);
    if (!solved) return undefined;
    const { mixtures, dataSd } = solved.belief;
    const isOne = (place: number) => mixtures[place]!.weights[STRANGER]! > 0.5 && dataSd[place]! < STRANGER_KNOWN_SD;
    const found = used.flatMap((_, place) =>
      isOne(place) && !strangers.has(place) && !refuted.has(place) ? [place] : [],
    );
    const refutedNow = [...strangers].filter((place) => !isOne(place));
    if (round === MAX_ROUNDS || found.length + refutedNow.length + solved.missed.length === 0) {
      return conclude(prepared, network, solved, strangers, stuck);
    }
    for (const place of solved.missed) stuck.add(used[place]!);
    prepared = withStuck(given, stuck);
    for (const place of refutedNow) refuted.add(place);
    for (const place of refutedNow) strangers.delete(place);
    for (const place of found) strangers.add(place);
    if (network) {
      network = networkOf(
        loads(),
        ratios.map((ratio, place) => (strangers.has(place) ? undefined : ratio)),
      );
    }
  }
}

function enoughVoltages(ratios: readonly (Float64Array | undefined)[]): boolean {
  const count = ratios.filter((ratio) => ratio !== undefined).length;
  return count > 0 && count >= ratios.length * ENOUGH_VOLTAGES;
}

function conclude(
  { window, used, policy }: Prepared,
  network: Network | undefined,
  round: Round,
  suspected: ReadonlySet<number>,
  stuck: ReadonlySet<number>,
): Solution | undefined {
  const { fit, changes } = withChanges(round, suspected);
  // A meter was measured as it was then, and not against the master.
  const changed: ShiftOf = (place, atMs) => {
    const rows = fit.residual.length;
    const row = Math.min(Math.max(Math.floor((atMs - window.fromMs) / window.periodMs), 0), rows - 1);
    return changes.reduce((shift, one) => shift - (one.meter === place ? one.size * profileOf(one, rows)[row]! : 0), 0);
  };
  const isMeasured = window.siteResults.length > 0;
  const first = changes.length > 0 || isMeasured ? round.believe(fit, changed) : round.belief;
  const masterSd = policy.masterUncertaintyPct / 100;
  if (!first) return undefined;
  const common = first.common + commonLoss(round, fit);
  const isMasterOff = network !== undefined && Math.abs(common) > MASTER_OFF_SDS * masterSd;
  const mastersShare = first.common * (network && !isMasterOff ? MASTERS_SHARE : 1);
  const belief = isMeasured ? round.believe(fit, (...at) => changed(...at) + mastersShare) : first;
  if (!belief) return undefined;
  const steadyKwh = network ? steadyOf(round, fit) : 0;
  const isStranger = (place: number) => belief.mixtures[place]!.weights[STRANGER]! > 0.5;
  return {
    fit,
    carried: round.loads.carried,
    belief,
    network,
    strangers: new Set(used.filter((_, place) => isStranger(place))),
    stuck,
    changes,
    clockOffsetS: round.clockOffsetS,
    mastersShare,
    isMasterOff,
    common,
    steadyKwh,
    isExplained:
      !isMasterOff && steadyKwh === 0 && used.length === window.users.length && scatterOf(round, fit) < SCATTER_SHARE,
    method: {
      version: METHOD_VERSION,
      loss: network ? 'voltages' : 'load-squared',
      clocks: round.clockOffsetS ? 'estimated' : 'right',
      voltages: network ? (isInstantaneous(network) ? 'instantaneous' : 'mean') : 'none',
      spreadPct: 100 * belief.goodSd,
    },
  };
}

/** The loss that is out of its band, as a d of all meters. */
function commonLoss({ problem, loads }: Round, { coefficients }: BalanceFit): number {
  const cause = problem.causes[SWITCHED];
  const coefficient = coefficients[SWITCHED]!;
  if (!loads.network || !cause || Math.abs(coefficient) < LOSS_BAND_SDS * cause.sd) return 0;
  return (-coefficient * sum(cause.column)) / sum(sumOf(loads.carried));
}

/** kWh of a row that pass no meter, always; 0 = none is seen. */
function steadyOf({ problem }: Round, { coefficients, coefficientSds }: BalanceFit): number {
  const coefficient = coefficients[FIXED]!;
  const isSeen = coefficient > STEADY_SHARE && coefficient > STEADY_SDS * coefficientSds[FIXED]!;
  return isSeen ? coefficient * problem.causes[FIXED]!.column[0]! : 0;
}

/** Sd of what is in every row besides, in mean rows of a meter. */
function scatterOf({ loads }: Round, { parameters, residual }: BalanceFit): number {
  const meanKwh = sum(sumOf(loads.kwh)) / (residual.length * loads.kwh.length);
  return Math.exp(parameters[1] / 2) / meanKwh;
}

/** With what moved inside the window among the causes, the surest first. */
function withChanges(round: Round, suspected: ReadonlySet<number>): Pick<Solution, 'fit' | 'changes'> {
  const { carried } = round.loads;
  let { problem, fit } = round;
  const found: Candidate[] = [];
  const looked = new Set(suspected);
  for (let attempt = 0; attempt < MAX_CHANGES; attempt++) {
    const change = findChange(fit, carried, looked);
    if (!change) break;
    looked.add(change.meter);
    const profile = profileOf(change, fit.residual.length);
    const column = carried[change.meter]!.map((kwh, t) => -kwh * profile[t]!);
    const ofMeters = Float64Array.from(carried, (_, i) => (i === change.meter ? sum(profile) / profile.length : 0));
    const further = { ...problem, causes: [...problem.causes, { column, sd: CHANGE_SD, ofMeters }] };
    const next = solveBalance(further, fit);
    if (!next) break;
    if (Math.abs(next.coefficients.at(-1)!) < SURE_CHANGE_SDS * next.coefficientSds.at(-1)!) continue;
    found.push(change);
    [problem, fit] = [further, next];
  }
  const first = fit.coefficients.length - found.length;
  const changes = found.map((change, k) => ({
    ...change,
    size: fit.coefficients[first + k]!,
    sizeSd: fit.coefficientSds[first + k]!,
  }));
  return { fit, changes };
}

/** A mean over the row follows the loads of the row; a single instant does not. */
function isInstantaneous(network: Network): boolean {
  return typicalResidual(network) > INSTANTANEOUS_FROM;
}
