/** A district's errors, its network, its clocks, its strangers and what changed, all at once. */
import { type BalanceFit, type BalanceProblem, type Cause, solveBalance } from './balance.ts';
import { type Candidate, findChange, profileOf } from './change.ts';
import type { AccuracyPolicy, MeterSeries, Method } from './district.ts';
import type { Columns } from './matrix.ts';
import { measuredOf } from './measured.ts';
import { mixtureMean } from './normal.ts';
import { isLittle, type Prepared } from './prepare.ts';
import { type Posterior, posterior, STRANGER } from './prior.ts';
import { medianOf, sum, sumOf } from './sums.ts';
import { type Network, networkOf } from './voltage.ts';

/** Of the method: estimates of different versions are not compared. */
export const METHOD_VERSION = '1';
const QUARTER_HOUR_MS = 900_000;
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
/** Probability that a meter is not of this district: without voltages; with a voltage of its own; with the district's. */
const STRANGER_SHARE = 0.0005;
const FOREIGN_SHARE = 0.01;
const LOCAL_SHARE = 1e-7;
/** A voltage is the more foreign the less the loads explain it: this much more is left than at a typical meter. */
const FOREIGN_FROM = 1.3;
/** Of a meter that the first solution or its voltages call a stranger. */
const SUSPECTED_SHARE = 0.5;
const MAX_ROUNDS = 3;
/** A stranger is told from a bad meter when its d is known so well. */
const STRANGER_KNOWN_SD = 0.15;
const MAX_CHANGES = 8;
/** A change that is told is so many sd from none. */
const SURE_CHANGE_SDS = 4.5;
const CHANGE_SD = 0.05;
/** Sd of a clock against the master's, s. */
const CLOCK_SD_S = 45;
/** The noise that clocks make is looked for from here on: share of a row. */
const CLOCKS_SEEN_FROM = 0.012;
/** Appliances that switch inside a row: kWh of a quarter hour they would draw, typical, and how far homes differ. */
const SWITCHED_KWH = 0.3;
const SWITCHED_SD_KWH = 0.12;
/** How wrong that share of loss may be: power factors differ and change. */
const LOSS_MODEL = 0.1;
/** And of a meter of three phases, whose energy is one number: all on one of them, it loses thrice what it does spread over all. */
const THREE_PHASE_LOSS_MODEL = 1;
/** Without voltages: how far a meter's share of the loss lies from the mean one, in mean losses; a loss makes a meter look slow. */
const BLIND_BELOW = 1.8;
const BLIND_ABOVE = 0.9;
const MIN_BLIND_LOSS = 0.01;
/** Without voltages: how far a row's loss lies from its square law, in itself. */
const BLIND_ROW_LOSS = 0.1;
/** Share of the common error that is the master's; the rest is left to the meters, as much of it as is plausible. */
const MASTERS_SHARE = 0.64;
/** The master is off when the common error is so many of its standard uncertainties. */
const MASTER_OFF_SDS = 3;
/** A meter whose voltage leaves so many times the typical is a stranger until its energy says otherwise. */
const FOREIGN_VOLTAGE = 4;
/** Share of the meters that must report one. */
const ENOUGH_VOLTAGES = 0.8;
/** A single instant differs from the mean of its row by more than this share of the voltage. */
const INSTANTANEOUS_FROM = 0.0015;
/** Sds before anything is seen: of a fixed load and of the loss by the square, in mean loads; of the whole loss by the voltages, in itself. */
const FIXED_SD = 0.05;
const SQUARE_SD = 0.05;
const LOSS_SD = 0.1;
const OWN_SQUARE_SD = 1;

export interface Solution {
  readonly fit: BalanceFit;
  readonly carried: Columns;
  readonly belief: Posterior;
  readonly network: Network | undefined;
  readonly strangers: ReadonlySet<number>;
  readonly changes: readonly (Candidate & { readonly size: number; readonly sizeSd: number })[];
  /** By place; undefined = clocks were taken to be right. */
  readonly clockOffsetS: Float64Array | undefined;
  /** What is taken off every d: the master's. */
  readonly mastersShare: number;
  readonly isMasterOff: boolean;
  readonly method: Method;
}

export function solveDistrict(prepared: Prepared): Solution | undefined {
  const { used, energies, master, ratios, policy } = prepared;
  const loads = used.map((i) => energies[i]!.kwh);
  const masterKwh = master!.kwh;
  const strangers = new Set<number>();
  let network = enoughVoltages(ratios) ? networkOf(loads, ratios) : undefined;
  // Of so little energy anything can be said: it is no stranger.
  const refuted = new Set(loads.flatMap((load, place) => (isLittle(load, policy) ? [place] : [])));
  for (const place of foreignVoltages(network)) if (!refuted.has(place)) strangers.add(place);
  let solution: Solution | undefined;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    if (network && round > 0) {
      network = networkOf(
        loads,
        ratios.map((ratio, place) => (strangers.has(place) ? undefined : ratio)),
      );
    }
    solution = solveOnce(prepared, loads, masterKwh, network, strangers);
    if (!solution) return undefined;
    const { mixtures, dataSd } = solution.belief;
    const isOne = (place: number) => mixtures[place]!.weights[STRANGER]! > 0.5 && dataSd[place]! < STRANGER_KNOWN_SD;
    const found = mixtures.flatMap((_, place) =>
      isOne(place) && !strangers.has(place) && !refuted.has(place) ? [place] : [],
    );
    const refutedNow = [...strangers].filter((place) => !isOne(place));
    if (found.length + refutedNow.length === 0) break;
    for (const place of refutedNow) refuted.add(place);
    for (const place of refutedNow) strangers.delete(place);
    for (const place of found) strangers.add(place);
  }
  if (!solution) return undefined;
  const sure = solution.belief.mixtures.flatMap(({ weights }, place) =>
    weights[STRANGER]! > 0.5 ? [used[place]!] : [],
  );
  return { ...solution, strangers: new Set(sure) };
}

function enoughVoltages(ratios: readonly (Float64Array | undefined)[]): boolean {
  const count = ratios.filter((ratio) => ratio !== undefined).length;
  return count > 0 && count >= ratios.length * ENOUGH_VOLTAGES;
}

function strangerShares(
  network: Network | undefined,
  loads: Columns,
  suspected: ReadonlySet<number>,
  policy: AccuracyPolicy,
): Float64Array {
  const typical = network ? typicalResidual(network) : Number.NaN;
  return Float64Array.from(loads, (load, place) => {
    if (isLittle(load, policy)) return 0;
    if (suspected.has(place)) return SUSPECTED_SHARE;
    const sd = network?.residualSd[place] ?? Number.NaN;
    if (Number.isNaN(sd)) return STRANGER_SHARE;
    return sd > FOREIGN_FROM * typical ? FOREIGN_SHARE : LOCAL_SHARE;
  });
}

/** Meters whose voltage has little to do with the district's loads. */
function foreignVoltages(network: Network | undefined): number[] {
  if (!network) return [];
  const typical = typicalResidual(network);
  return [...network.residualSd].flatMap((sd, place) => (sd > FOREIGN_VOLTAGE * typical ? [place] : []));
}

function solveOnce(
  prepared: Prepared,
  loads: Columns,
  masterKwh: Float64Array,
  network: Network | undefined,
  strangers: ReadonlySet<number>,
): Solution | undefined {
  const { window, used, energies, master, policy } = prepared;
  const rows = masterKwh.length;
  const quarters = window.periodMs / QUARTER_HOUR_MS;
  const carried = network ? loads.map((load, i) => load.map((kwh, t) => kwh / network.share[i]![t]!)) : loads;
  const total = sumOf(loads);
  const lossRate = Math.max((sum(masterKwh) - sum(total)) / Math.max(sum(total), 1e-9), 0);
  const lossRates = Float64Array.from(loads, (load, place) => weightedLoss(load, carried[place]!));
  const causes = causesOf(loads, carried, lossRates, network, quarters);
  const shape = {
    roundingKwh2: used.reduce(
      (variance, i) => variance + energies[i]!.stepKwh ** 2 / 12,
      master!.stepKwh ** 2 / 12 + 1e-9,
    ),
    known: sumOf([master!.variance, ...used.map((i) => energies[i]!.variance)]),
    knownRows: sumOf([master!.rowVariance, ...used.map((i) => energies[i]!.rowVariance)]),
    power: powerAtMoments(loads),
    switching: switchingOf(loads, network, lossRate, quarters),
  };
  const meterSd = Float64Array.from(loads, (_, place) => (strangers.has(place) ? FREE_SD : METER_SD));
  const registers = used.map((i, place) => ({
    roundingKwh2: energies[i]!.stepKwh ** 2 / 12,
    known: energies[i]!.variance,
    power: powerAtMoments([loads[place]!]),
  }));
  const problem: BalanceProblem = { carried, masterKwh, causes, meterSd, shape, registers, clocksAreCauses: false };
  const plain = solveBalance(problem);
  if (!plain) return undefined;
  const clocks = withClocks(problem, plain, loads, window.periodMs);
  let current: { problem: BalanceProblem; fit: BalanceFit; offsetS: Float64Array | undefined } = clocks ?? {
    problem,
    fit: plain,
    offsetS: undefined,
  };
  const lossModel = used.map((i) => (isThreePhase(window.users[i]!) ? THREE_PHASE_LOSS_MODEL : LOSS_MODEL));
  const belief = (fit: BalanceFit) => {
    const extra = (place: number, isBelow: boolean) => {
      if (network) {
        return (
          (network.own[place]! * SWITCHED_SD_KWH * quarters) ** 2 +
          network.lossSd[place]! ** 2 +
          (lossModel[place]! * lossRates[place]!) ** 2
        );
      }
      return (Math.max(lossRate, MIN_BLIND_LOSS) * (isBelow ? BLIND_BELOW : BLIND_ABOVE)) ** 2;
    };
    return posterior(fit.likelihood, {
      goodSd: GOOD_SD,
      badSd: BAD_SD,
      badShare: BAD_SHARE,
      misfitShare: network ? MISFIT_SHARE : BLIND_MISFIT_SHARE,
      strangerShare: strangerShares(network, loads, strangers, policy),
      modelVariance: extra,
      measured: used.map((i) => measuredOf(window.siteResults, window.users[i]!.id)),
    });
  };
  const first = belief(current.fit);
  if (!first) return undefined;
  const problem2 = {
    ...current.problem,
    meterSd: meterSd.map((sd, i) => Math.hypot(sd, mixtureMean(first.mixtures[i]!))),
  };
  const again = solveBalance(problem2, current.fit);
  if (again) current = { ...current, problem: problem2, fit: again };
  const changes: Candidate[] = [];
  const looked = new Set(strangers);
  for (let attempt = 0; attempt < MAX_CHANGES; attempt++) {
    const found = findChange(current.fit, carried, looked);
    if (!found) break;
    looked.add(found.meter);
    const profile = profileOf(found, rows);
    const column = carried[found.meter]!.map((kwh, t) => -kwh * profile[t]!);
    const ofMeters = Float64Array.from(loads, (_, i) => (i === found.meter ? sum(profile) / rows : 0));
    const next = { ...current.problem, causes: [...current.problem.causes, { column, sd: CHANGE_SD, ofMeters }] };
    const fit = solveBalance(next, current.fit);
    if (!fit) break;
    const size = fit.coefficients.at(-1)!;
    if (Math.abs(size) < SURE_CHANGE_SDS * fit.coefficientSds.at(-1)!) continue;
    changes.push(found);
    current = { ...current, problem: next, fit };
  }
  const believed = belief(current.fit);
  if (!believed) return undefined;
  const firstChange = current.fit.coefficients.length - changes.length;
  const masterSd = policy.masterUncertaintyPct / 100;
  const isMasterOff = network !== undefined && Math.abs(believed.common) > MASTER_OFF_SDS * masterSd;
  return {
    fit: current.fit,
    carried,
    belief: believed,
    network,
    strangers,
    changes: changes.map((change, k) => ({
      ...change,
      size: current.fit.coefficients[firstChange + k]!,
      sizeSd: current.fit.coefficientSds[firstChange + k]!,
    })),
    clockOffsetS: current.offsetS,
    mastersShare: believed.common * (network && !isMasterOff ? MASTERS_SHARE : 1),
    isMasterOff,
    method: {
      version: METHOD_VERSION,
      loss: network ? 'voltages' : 'load-squared',
      clocks: clocks ? 'estimated' : 'right',
      voltages: network ? (isInstantaneous(network) ? 'instantaneous' : 'mean') : 'none',
      spreadPct: 100 * believed.goodSd,
    },
  };
}

/** A mean over the row follows the loads of the row; a single instant does not. */
function isInstantaneous(network: Network): boolean {
  return typicalResidual(network) > INSTANTANEOUS_FROM;
}

function typicalResidual({ residualSd }: Network): number {
  return medianOf(residualSd.filter((sd) => !Number.isNaN(sd)));
}

function isThreePhase({ phase, voltagesV }: MeterSeries): boolean {
  return phase === 'L123' || voltagesV.length === 3;
}

function causesOf(
  loads: Columns,
  carried: Columns,
  lossRates: Float64Array,
  network: Network | undefined,
  quarters: number,
): Cause[] {
  const total = sumOf(loads);
  const rows = total.length;
  const meanKwh = sum(total) / rows;
  const fixed = { column: new Float64Array(rows).fill(meanKwh), sd: FIXED_SD };
  if (!network) {
    const ofMeters = new Float64Array(loads.length).fill(2);
    return [fixed, { column: total.map((kwh) => (kwh * kwh) / meanKwh), sd: SQUARE_SD, ofMeters }];
  }
  const lost = new Float64Array(rows);
  const switched = new Float64Array(rows);
  const squared = new Float64Array(rows);
  const changed = new Float64Array(rows);
  loads.forEach((load, i) => {
    const own = network.own[i]!;
    const into = carried[i]!;
    for (let t = 0; t < rows; t++) {
      lost[t]! += into[t]! - load[t]!;
      switched[t]! += own * load[t]!;
      squared[t]! += own * load[t]! ** 2;
      const kwh = load[t]!;
      changed[t]! += own * (Math.abs((load[t + 1] ?? kwh) - kwh) + Math.abs(kwh - (load[t - 1] ?? kwh)));
    }
  });
  return [
    fixed,
    { column: lost, sd: LOSS_SD, ofMeters: lossRates },
    { column: switched, sd: SWITCHED_KWH * quarters, ofMeters: network.own },
    { column: squared, sd: OWN_SQUARE_SD, ofMeters: network.own.map((own, i) => (2 * own * sum(loads[i]!)) / rows) },
    { column: changed, sd: SWITCHED_KWH * quarters },
  ];
}

/** With what each user's clock adds to its register, late or early, as two causes; undefined = clocks are right as far as can be seen. */
function withClocks(problem: BalanceProblem, plain: BalanceFit, loads: Columns, periodMs: number) {
  if (Math.exp(plain.parameters[2]) < CLOCKS_SEEN_FROM ** 2) return undefined;
  const sd = (CLOCK_SD_S * 1000) / periodMs;
  const late = loads.map((load) => load.map((kwh, t) => (load[t + 1] ?? kwh) - kwh));
  const early = loads.map((load) => load.map((kwh, t) => (load[t - 1] ?? kwh) - kwh));
  const first = problem.causes.length;
  const causes = [...problem.causes, ...[...late, ...early].map((column) => ({ column, sd }))];
  const timed = { ...problem, causes, clocksAreCauses: true };
  const fit = solveBalance(timed, plain);
  if (!fit || fit.evidence < plain.evidence) return undefined;
  const offsetS = Float64Array.from(loads, (_, i) => {
    const rows = fit.coefficients[first + i]! - fit.coefficients[first + loads.length + i]!;
    return (-rows * periodMs) / 1000;
  });
  return { problem: timed, fit, offsetS };
}

/** Share of a meter's energy that is lost on its way, as it weighs in the fit. */
function weightedLoss(load: Float64Array, carried: Float64Array): number {
  let lost = 0;
  let squares = 0;
  for (let t = 0; t < load.length; t++) {
    lost += (carried[t]! - load[t]!) * load[t]!;
    squares += load[t]! ** 2;
  }
  return squares > 0 ? lost / squares : 0;
}

/** Variance of each row's loss by what switches inside it, or by what it is without voltages, kWh². */
function switchingOf(loads: Columns, network: Network | undefined, lossRate: number, quarters: number): Float64Array {
  const rows = loads[0]!.length;
  const variance = new Float64Array(rows);
  if (network) {
    loads.forEach((load, i) => {
      const sd = network.own[i]! * SWITCHED_KWH * quarters;
      for (let t = 0; t < rows; t++) variance[t]! += (sd * load[t]!) ** 2;
    });
    return variance;
  }
  const total = sumOf(loads);
  const meanKwh = sum(total) / rows;
  return total.map((kwh) => (BLIND_ROW_LOSS * lossRate * (kwh * kwh)) ** 2 / Math.max(meanKwh * meanKwh, 1e-9));
}

/** Sum over meters of the squared energy about each moment. */
function powerAtMoments(loads: Columns): Float64Array {
  const rows = loads[0]!.length;
  const power = new Float64Array(rows + 1);
  for (const load of loads) {
    for (let k = 0; k <= rows; k++) {
      const mean = ((load[k - 1] ?? load[k]!) + (load[k] ?? load[k - 1]!)) / 2;
      power[k]! += mean * mean;
    }
  }
  return power;
}
