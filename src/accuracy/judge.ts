/** From the posterior of one meter to what is said of it. */
import { type Candidate, profileOf } from './change.ts';
import type { AccuracyPolicy, ErrorChange, MeterEstimate, Reason, Verdict, VerdictReason } from './district.ts';
import { type Mixture, mixtureBelow, mixtureMean, mixtureQuantile, mixtureSd } from './normal.ts';
import type { Prepared } from './prepare.ts';
import { STRANGER } from './prior.ts';
import type { Energy } from './registers.ts';
import type { Solution } from './solution.ts';
import { round, sum } from './sums.ts';

const DAY_MS = 86_400_000;
/** What the model leaves unsure of every d, whatever the data say. */
const MODEL_SD = 0.0012;
/** How much of what is common to all may be one meter's own when the master is off. */
const OFF_SHARE = 0.2;
/** d comes near 1 by chance only. */
const MOST_D = 0.95;
const Z_95 = 1.959963984540054;

export function undetermined(
  instrument: string,
  energy: Energy | undefined,
  rows: number,
  reason: Reason<VerdictReason>,
): MeterEstimate {
  return {
    instrument,
    errorPct: Number.NaN,
    sdPct: Number.NaN,
    lowPct: Number.NaN,
    highPct: Number.NaN,
    pInaccurate: Number.NaN,
    verdict: 'undetermined',
    reason,
    rowsUsed: energy?.rowsRead ?? 0,
    rowsRefused: rows - (energy?.rowsRead ?? 0),
    energyKwh: energy ? sum(energy.kwh) : 0,
    clockOffsetS: undefined,
    change: undefined,
  };
}

export function judge(
  prepared: Prepared,
  solution: Solution,
  place: number,
  policy: AccuracyPolicy,
  reason: Reason<VerdictReason> | undefined,
): MeterEstimate {
  const { window, used, energies } = prepared;
  const user = used[place]!;
  const energy = energies[user]!;
  // Whose energy belongs elsewhere has no error that could be seen here; of next to none anything could be said.
  const nothing = solution.strangers.has(user)
    ? ({ code: 'wrong_district', params: {} } as const)
    : reason?.code === 'too_little_energy'
      ? reason
      : undefined;
  if (nothing) return undetermined(window.users[user]!.id, energy, energy.kwh.length, nothing);
  const mpe = window.mpePct[user]! / 100;
  const own = meterMixture(solution, place, energy, policy);
  const mean = mixtureMean(own);
  const sd = mixtureSd(own);
  const low = error(mixtureQuantile(own, 0.025));
  const high = error(mixtureQuantile(own, 0.975));
  const p = 1 - mixtureBelow(own, mpe / (1 + mpe)) + mixtureBelow(own, -mpe / (1 - mpe));
  const informed = solution.belief.dataSd[place]! <= mpe / 2;
  const { verdict, why } = decide(p, informed, reason, policy, solution, place, energy, mpe);
  return {
    instrument: window.users[user]!.id,
    errorPct: 100 * error(mean),
    sdPct: 100 * sd,
    lowPct: 100 * low,
    highPct: 100 * high,
    pInaccurate: p,
    verdict,
    reason: why,
    rowsUsed: energy.rowsRead,
    rowsRefused: energy.kwh.length - energy.rowsRead,
    energyKwh: sum(energy.kwh),
    clockOffsetS: solution.clockOffsetS?.[place],
    change: changeOf(prepared, solution, place, mean, mpe),
  };
}

/** d of one meter over the window, less what is the master's, with what the model and the master leave unsure. */
function meterMixture(solution: Solution, place: number, energy: Energy, policy: AccuracyPolicy): Mixture {
  const masterSd = policy.masterUncertaintyPct / 100;
  const off = solution.isMasterOff ? (OFF_SHARE * solution.common) ** 2 : 0;
  const { weights, means, variances } = solution.belief.mixtures[place]!;
  const change = solution.changes.find(({ meter }) => meter === place);
  const moved = change ? change.size * shareOfEnergy(change, energy) : 0;
  const movedVariance = change ? (change.sizeSd * shareOfEnergy(change, energy)) ** 2 : 0;
  return {
    weights,
    means: means.map((mean, k) => mean - (k === STRANGER ? 0 : solution.mastersShare) + moved),
    variances: variances.map((variance) => Math.max(variance + MODEL_SD ** 2 + movedVariance + off, masterSd ** 2)),
  };
}

/** How much of a change of size one the window's energy has seen. */
function shareOfEnergy(change: Candidate, { kwh }: Energy): number {
  const profile = profileOf(change, kwh.length);
  let weighted = 0;
  for (let t = 0; t < kwh.length; t++) weighted += profile[t]! * kwh[t]!;
  return weighted / (sum(kwh) || 1);
}

/** e of d = e / (1 + e). */
function error(d: number): number {
  return d / (1 - Math.min(d, MOST_D));
}

function decide(
  p: number,
  informed: boolean,
  reason: Reason<VerdictReason> | undefined,
  policy: AccuracyPolicy,
  solution: Solution,
  place: number,
  energy: Energy,
  mpe: number,
): { verdict: Verdict; why: Reason<VerdictReason> | undefined } {
  if (reason && reason.code !== 'low_collection') return { verdict: 'undetermined', why: reason };
  const weak = reason ?? weaknessOf(solution, place, energy);
  if (p >= policy.inaccurateFrom) return { verdict: weak ? 'suspect' : 'inaccurate', why: weak };
  if (p >= policy.suspectFrom) return { verdict: 'suspect', why: weak };
  if (reason) return { verdict: 'undetermined', why: reason };
  if (informed) return { verdict: 'ok', why: undefined };
  if (weak?.code === 'no_voltages') return { verdict: 'undetermined', why: weak };
  const params = { sdPct: round(100 * solution.belief.dataSd[place]!, 2), mpePct: round(100 * mpe, 2) };
  return { verdict: 'undetermined', why: { code: 'wide_interval', params } };
}

/** Why a meter is called no more than suspect. */
function weaknessOf(
  { network, isExplained }: Solution,
  place: number,
  { feedsBack }: Energy,
): Reason<VerdictReason> | undefined {
  if (!network || Number.isNaN(network.residualSd[place]!)) return { code: 'no_voltages', params: {} };
  if (feedsBack) return { code: 'feeds_back', params: {} };
  return isExplained ? undefined : { code: 'unexplained_balance', params: {} };
}

function changeOf(
  { window, energies, used, policy }: Prepared,
  solution: Solution,
  place: number,
  mean: number,
  mpe: number,
): ErrorChange | undefined {
  const change = solution.changes.find(({ meter }) => meter === place);
  if (!change) return undefined;
  const energy = energies[used[place]!]!;
  const rows = energy.kwh.length;
  const at = (row: number) => window.fromMs + row * window.periodMs;
  const now = mean + change.size * (1 - shareOfEnergy(change, energy));
  const days = ((rows - change.onsetRow) * window.periodMs) / DAY_MS;
  return {
    kind: change.kind,
    onsetMs: at(change.onsetRow),
    onsetLowMs: at(change.onsetLowRow),
    onsetHighMs: at(change.onsetHighRow),
    errorNowPct: 100 * error(now),
    sizePct: 100 * change.size,
    sizeSdPct: 100 * change.sizeSd,
    crossing:
      change.kind === 'drift'
        ? crossingOf(now, change.size / days, change.sizeSd / days, mpe, at(rows), policy.horizonDays)
        : undefined,
  };
}

function crossingOf(now: number, perDay: number, perDaySd: number, mpe: number, endMs: number, horizonDays: number) {
  const limit = Math.sign(perDay) * mpe;
  if (Math.abs(now) >= mpe) return { atMs: endMs, lowMs: endMs, highMs: endMs };
  const daysAt = (pace: number) => (pace * perDay > 0 ? (limit - now) / pace : Number.POSITIVE_INFINITY);
  const days = daysAt(perDay);
  if (!(days <= horizonDays)) return undefined;
  const outward = Math.sign(perDay) * Z_95 * perDaySd;
  const ms = (value: number) => endMs + Math.min(value, horizonDays) * DAY_MS;
  return { atMs: ms(days), lowMs: ms(daysAt(perDay + outward)), highMs: ms(daysAt(perDay - outward)) };
}
