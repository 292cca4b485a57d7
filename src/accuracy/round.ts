/** One look at a district: its balance, with clocks if they are seen to be off, for a given idea of who belongs to it. */
import { type BalanceFit, type BalanceProblem, solveBalance } from './balance.ts';
import { clockCauses, type Loads, lossCauses, noiseShape, registerNoise, uncountedBy, weightedLoss } from './causes.ts';
import type { MeterSeries } from './district.ts';
import { measuredOf } from './measured.ts';
import { mixtureMean } from './normal.ts';
import type { Prepared } from './prepare.ts';
import { type Posterior, posterior } from './prior.ts';
import { strangerShares } from './strangers.ts';
import { sum, sumOf } from './sums.ts';
import type { Network } from './voltage.ts';

const QUARTER_HOUR_MS = 900_000;
const DAY_MS = 86_400_000;
/** Sd of d while the noise is being learned; of a meter that may be anything. */
const METER_SD = 0.01;
const FREE_SD = 1;
/** Before the district is seen: sd of d of bad meters and how many there are, and sd of good ones (class 1 and 2 in service). */
const BAD_SD = 0.06;
const BAD_SHARE = 0.06;
const GOOD_SD = 0.004;
/** Probability that the model misjudges a meter, with voltages and without. */
const MISFIT_SHARE = 0.003;
const BLIND_MISFIT_SHARE = 0.03;
/** A meter that stands still is stuck when the master shows so much of its usual energy, and so many sd of it. */
const MISSED_SHARE = 0.3;
const MISSED_SDS = 3;
/** The noise that clocks make is looked for from here on: share of a row. */
const CLOCKS_SEEN_FROM = 0.012;
/** Of that noise: so much is there whatever a clock's offset was found to be. */
const LEAST_CLOCK_SHARE = 0.2;
/** No clocks are all exactly right. */
const LEAST_CLOCK_S = 1;
/** How far homes differ in what switches inside a row, kWh of a quarter hour. */
const SWITCHED_SD_KWH = 0.12;
/** How wrong a meter's share of loss may be: power factors differ and change. */
const LOSS_MODEL = 0.1;
/**
 * And of a meter of three phases, whose energy is one number: all on one of them, it loses thrice what it does spread over all; of
 * one that feeds back, whose rows hold both directions.
 */
const UNSURE_LOSS_MODEL = 1;
/** Without voltages: how far a meter's share of the loss lies from the mean one, in mean losses; a loss makes a meter look slow. */
const BLIND_BELOW = 1.8;
const BLIND_ABOVE = 0.9;
const MIN_BLIND_LOSS = 0.01;

/** By place and time: how far the d that is estimated lies beside the one that could be measured then. */
export type ShiftOf = (place: number, atMs: number) => number;

export interface Round {
  readonly problem: BalanceProblem;
  readonly fit: BalanceFit;
  readonly loads: Loads;
  /** By place; undefined = clocks were taken to be right. */
  readonly clockOffsetS: Float64Array | undefined;
  readonly belief: Posterior;
  /** Places that stand still while the master counts what they should. */
  readonly missed: readonly number[];
  /** What is believed of the meters when the balance is another one; what was measured of them is shifted. */
  readonly believe: (fit: BalanceFit, shiftOf: ShiftOf) => Posterior | undefined;
}

const unshifted: ShiftOf = () => 0;

/** `suspected`: places that may be anything. */
export function solveRound(
  prepared: Prepared,
  network: Network | undefined,
  suspected: ReadonlySet<number>,
): Round | undefined {
  const { window, used, master } = prepared;
  const loads = loadsOf(prepared, network);
  const losses = lossCauses(loads);
  const registers = registerNoise(prepared);
  const still = used.flatMap((i, place) => (prepared.stillFrom[i] === undefined ? [] : [place]));
  const uncounted = still.map((place) =>
    uncountedBy(loads.carried[place]!, prepared.stillFrom[used[place]!]!, DAY_MS / window.periodMs),
  );
  const meterSd = Float64Array.from(used, (_, place) => (suspected.has(place) ? FREE_SD : METER_SD));
  const problem: BalanceProblem = {
    carried: loads.carried,
    masterKwh: master!.kwh,
    causes: [...losses, ...uncounted],
    meterSd,
    shape: noiseShape(prepared, loads, registers),
    registers,
    clocksAreCauses: false,
  };
  const plain = solveBalance(problem);
  if (!plain) return undefined;
  const clocks = withClocks(problem, plain, loads, window.periodMs);
  const believe = (fit: BalanceFit, shiftOf: ShiftOf) => posteriorOf(prepared, loads, suspected, fit, shiftOf);
  const first = believe(clocks?.fit ?? plain, unshifted);
  if (!first) return undefined;
  // Whose d is seen to be large is left free to be.
  const freed = {
    ...(clocks?.problem ?? problem),
    meterSd: meterSd.map((sd, i) => Math.hypot(sd, mixtureMean(first.mixtures[i]!))),
  };
  const fit = solveBalance(freed, clocks?.fit ?? plain);
  const belief = fit && believe(fit, unshifted);
  if (!belief) return undefined;
  const isMissed = (at: number) => {
    const share = fit.coefficients[at]!;
    return share > MISSED_SHARE && share > MISSED_SDS * fit.coefficientSds[at]!;
  };
  return {
    problem: freed,
    fit,
    loads,
    clockOffsetS: clocks?.offsetS,
    belief,
    missed: still.filter((_, k) => isMissed(losses.length + k)),
    believe,
  };
}

function loadsOf({ window, used, energies, master }: Prepared, network: Network | undefined): Loads {
  const kwh = used.map((i) => energies[i]!.kwh);
  const carried = network ? kwh.map((load, i) => load.map((value, t) => value / network.share[i]![t]!)) : kwh;
  const totalKwh = sum(sumOf(kwh));
  return {
    kwh,
    carried,
    lossRates: Float64Array.from(kwh, (load, place) => weightedLoss(load, carried[place]!)),
    lossRate: Math.max((sum(master!.kwh) - totalKwh) / Math.max(totalKwh, 1e-9), 0),
    network,
    quarters: window.periodMs / QUARTER_HOUR_MS,
  };
}

/** With clocks among the causes; undefined = they are right as far as can be seen. */
function withClocks(problem: BalanceProblem, plain: BalanceFit, { kwh }: Loads, periodMs: number) {
  if (Math.exp(plain.parameters[2]) < CLOCKS_SEEN_FROM ** 2) return undefined;
  const first = problem.causes.length;
  const timed = { ...problem, causes: [...problem.causes, ...clockCauses(kwh, periodMs)], clocksAreCauses: true };
  const fit = solveBalance(timed, plain);
  if (!fit) return undefined;
  const offsetS = Float64Array.from(kwh, (_, i) => {
    const rows = fit.coefficients[first + i]! - fit.coefficients[first + kwh.length + i]!;
    return (-rows * periodMs) / 1000;
  });
  return { problem: { ...timed, shape: { ...timed.shape, power: powerBy(offsetS, timed.registers) } }, fit, offsetS };
}

/** What clocks still do to the balance, as far as they are off each. */
function powerBy(offsetS: Float64Array, registers: BalanceProblem['registers']): Float64Array {
  const meanSquare = offsetS.reduce((total, s) => total + s * s, LEAST_CLOCK_S ** 2) / offsetS.length;
  return sumOf(
    registers.map(({ power }, i) => {
      const weight = LEAST_CLOCK_SHARE + ((1 - LEAST_CLOCK_SHARE) * offsetS[i]! ** 2) / meanSquare;
      return power.map((value) => weight * value);
    }),
  );
}

function posteriorOf(
  { window, used, energies, policy }: Prepared,
  { kwh, lossRates, lossRate, network, quarters }: Loads,
  suspected: ReadonlySet<number>,
  fit: BalanceFit,
  shiftOf: ShiftOf,
): Posterior | undefined {
  const lossModel = used.map((i) =>
    isThreePhase(window.users[i]!) || energies[i]!.feedsBack ? UNSURE_LOSS_MODEL : LOSS_MODEL,
  );
  return posterior(fit.likelihood, {
    goodSd: GOOD_SD,
    badSd: BAD_SD,
    badShare: BAD_SHARE,
    misfitShare: network ? MISFIT_SHARE : BLIND_MISFIT_SHARE,
    strangerShare: strangerShares(network, kwh, suspected, policy),
    modelVariance: (place, isBelow) => {
      if (!network) return (Math.max(lossRate, MIN_BLIND_LOSS) * (isBelow ? BLIND_BELOW : BLIND_ABOVE)) ** 2;
      return (
        (network.own[place]! * SWITCHED_SD_KWH * quarters) ** 2 +
        network.lossSd[place]! ** 2 +
        (lossModel[place]! * lossRates[place]!) ** 2
      );
    },
    measured: used.map((i, place) =>
      measuredOf(window.siteResults, window.users[i]!.id, (atMs) => shiftOf(place, atMs)),
    ),
  });
}

function isThreePhase({ phase, voltagesV }: MeterSeries): boolean {
  return phase === 'L123' || voltagesV.length === 3;
}
