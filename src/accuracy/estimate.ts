/** The running error of every meter of a district, from readings alone. Pure: the same window gives the same estimate. */
import { type BalanceFit, type BalanceProblem, type Cause, medianOf, solveBalance } from './balance.ts';
import { type Candidate, findChange, profileOf } from './change.ts';
import type {
  AccuracyPolicy,
  Connection,
  DistrictEstimate,
  DistrictNote,
  DistrictWindow,
  ErrorChange,
  MeterEstimate,
  MeterSeries,
  Method,
  Reason,
  Verdict,
  VerdictReason,
} from './district.ts';
import type { Columns } from './matrix.ts';
import { type Mixture, mixtureBelow, mixtureMean, mixtureQuantile, mixtureSd } from './normal.ts';
import { type Posterior, posterior, STRANGER } from './prior.ts';
import { type Energy, energyOf, net } from './registers.ts';
import { type Network, networkOf } from './voltage.ts';

/** Of the method: estimates of different versions are not compared. */
export const METHOD_VERSION = '1';

const DAY_MS = 86_400_000;
const QUARTER_HOUR_MS = 900_000;
/** Sd of d while the noise is being learned; of a meter that may be anything. */
const METER_SD = 0.01;
const FREE_SD = 1;
const BAD_SD = 0.06;
const BAD_SHARE = 0.06;
const MISFIT_SHARE = 0.003;
const BLIND_MISFIT_SHARE = 0.03;
const GOOD_SD = 0.004;
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
/** Without voltages: how far a meter's share of the loss lies from the mean one, in mean losses; a loss makes a meter look slow. */
const BLIND_BELOW = 1.8;
const BLIND_ABOVE = 0.9;
const MIN_BLIND_LOSS = 0.01;
/** Share of the common error that is the master's; the rest is left to the meters, as much of it as is plausible. */
const MASTERS_SHARE = 0.64;
const MODEL_SD = 0.0012;
const FOREIGN_VOLTAGE = 4;
const STUCK_DAYS = 7;
const Z_95 = 1.959963984540054;

export function estimateDistrict(window: DistrictWindow, policy: AccuracyPolicy): DistrictEstimate {
  const rows = window.moments - 1;
  const prepared = prepare(window, policy);
  const notes = [...prepared.notes];
  const at = (row: number) => window.fromMs + row * window.periodMs;
  const base = {
    district: window.district,
    fromMs: window.fromMs,
    toMs: at(rows),
    rows,
  };
  const solution = prepared.solvable ? solveDistrict(prepared) : undefined;
  if (!solution) {
    const reason = prepared.reason ?? { code: 'not_solvable' as const, params: {} };
    return {
      ...base,
      method: { version: METHOD_VERSION, loss: 'none', clocks: 'right', voltages: 'none', spreadPct: Number.NaN },
      balance: undefined,
      notes,
      meters: window.users.map((user, i) => undetermined(user.id, prepared.energies[i], rows, reason)),
    };
  }
  const { method, strangers } = solution;
  for (const i of prepared.used) {
    if (strangers.has(i)) notes.push({ code: 'wrong_district', params: {}, instrument: window.users[i]!.id });
  }
  notes.push(...districtNotes(prepared, solution));
  const meters = window.users.map((user, i) => {
    const place = prepared.used.indexOf(i);
    const energy = prepared.energies[i];
    const reason = prepared.reasons[i];
    if (place < 0) return undetermined(user.id, energy, rows, reason ?? { code: 'no_readings', params: {} });
    return judge(prepared, solution, place, policy, reason);
  });
  return { ...base, method, balance: balanceOf(prepared, solution), notes, meters };
}

interface Prepared {
  readonly window: DistrictWindow;
  readonly policy: AccuracyPolicy;
  readonly solvable: boolean;
  /** Why nothing can be said of any meter. */
  readonly reason: Reason<VerdictReason> | undefined;
  /** Indexes of the users that enter the balance. */
  readonly used: readonly number[];
  readonly energies: readonly (Energy | undefined)[];
  readonly master: Energy | undefined;
  /** By user: why its verdict is no more than undetermined, or less. */
  readonly reasons: readonly (Reason<VerdictReason> | undefined)[];
  /** V/V0 by place in `used`. */
  readonly ratios: readonly (Float64Array | undefined)[];
  readonly notes: readonly DistrictNote[];
}

function prepare(window: DistrictWindow, policy: AccuracyPolicy): Prepared {
  const { master, users, moments } = window;
  const notes: DistrictNote[] = [];
  const energies = users.map(({ importKwh, exportKwh }) => {
    const register = net(importKwh, exportKwh);
    return hasTwo(register) ? energyOf(register) : undefined;
  });
  const masterRegister = master && net(master.importKwh, master.exportKwh);
  const masterEnergy = masterRegister && hasTwo(masterRegister) ? energyOf(masterRegister) : undefined;
  const used = users.flatMap((_, i) => (energies[i] ? [i] : []));
  const reasons = users.map((_, i) => reasonOf(energies[i], policy));
  users.forEach((user, i) => {
    const energy = energies[i];
    if (!energy) return;
    for (const k of energy.resets) {
      const atText = new Date(window.fromMs + k * window.periodMs).toISOString();
      notes.push({ code: 'register_reset', params: { at: atText }, instrument: user.id });
    }
    const hours = stuckHours(energy, window.periodMs);
    if (hours < STUCK_DAYS * 24) return;
    notes.push({ code: 'stuck_register', params: { hours: Math.round(hours) }, instrument: user.id });
    reasons[i] = { code: 'stuck_register', params: { hours: Math.round(hours) } };
  });
  const ratios = used.map((i) => {
    const found = master && ratioOf(users[i]!, master, moments);
    if (found?.wrong) {
      const params = { ledger: users[i]!.phase ?? '', measured: found.wrong };
      notes.push({ code: 'wrong_phase', params, instrument: users[i]!.id });
    }
    return found?.ratio;
  });
  const few = { rows: masterEnergy?.rowsRead ?? 0, needed: policy.minRows };
  const reason: Reason<VerdictReason> | undefined = !master
    ? { code: 'no_master', params: {} }
    : !masterEnergy || few.rows < policy.minRows || used.length === 0
      ? { code: 'too_few_rows', params: few }
      : undefined;
  return {
    window,
    policy,
    solvable: reason === undefined,
    reason,
    used,
    energies,
    master: masterEnergy,
    reasons,
    ratios,
    notes,
  };
}

function hasTwo(register: Float64Array): boolean {
  let count = 0;
  for (const value of register) if (!Number.isNaN(value) && ++count === 2) return true;
  return false;
}

function reasonOf(energy: Energy | undefined, policy: AccuracyPolicy): Reason<VerdictReason> | undefined {
  if (!energy) return { code: 'no_readings', params: {} };
  const { rowsRead, collection } = energy;
  if (rowsRead < policy.minRows) return { code: 'too_few_rows', params: { rows: rowsRead, needed: policy.minRows } };
  const energyKwh = sum(energy.kwh);
  if (Math.abs(energyKwh) < policy.minEnergyKwh)
    return { code: 'too_little_energy', params: { energyKwh: round(energyKwh, 3), neededKwh: policy.minEnergyKwh } };
  if (collection < policy.minCollection) {
    return {
      code: 'low_collection',
      params: { collectionPct: round(100 * collection, 2), neededPct: 100 * policy.minCollection },
    };
  }
  return undefined;
}

/** Of the rows at the end in which nothing was counted, when something was before. */
function stuckHours({ kwh, isRead }: Energy, periodMs: number): number {
  let still = 0;
  for (let t = kwh.length - 1; t >= 0 && (!isRead[t] || kwh[t] === 0); t--) still++;
  return still === kwh.length ? 0 : (still * periodMs) / 3_600_000;
}

const PHASES = ['L1', 'L2', 'L3'] as const;
/** Another phase fits so much better that the ledger must be wrong. */
const OTHER_PHASE = 0.5;

/** V/V0 at the end of each row, on the phase that fits. */
function ratioOf(
  user: MeterSeries,
  master: MeterSeries,
  moments: number,
): { ratio: Float64Array; wrong: Connection | undefined } | undefined {
  const [only] = user.voltagesV;
  if (!only || master.voltagesV.length === 0) return undefined;
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
  const candidates = PHASES.map((_, phase) => divide(only, reference(phase), moments));
  const unrest = candidates.map(unrestOf);
  const named = PHASES.indexOf(user.phase as (typeof PHASES)[number]);
  const best = unrest.reduce((at, value, phase) => (value < unrest[at]! ? phase : at), Math.max(named, 0));
  const isWrong = named >= 0 && best !== named && unrest[best]! < OTHER_PHASE * unrest[named]!;
  const phase = named < 0 || isWrong ? best : named;
  return usable(candidates[phase]!, isWrong ? PHASES[best]! : undefined);
}

function usable(ratio: Float64Array, wrong: Connection | undefined) {
  let count = 0;
  for (const value of ratio) if (!Number.isNaN(value)) count++;
  return count >= ratio.length / 2 ? { ratio, wrong } : undefined;
}

function divide(voltage: Float64Array, reference: Float64Array, moments: number): Float64Array {
  const ratio = new Float64Array(moments - 1);
  for (let t = 0; t < ratio.length; t++) {
    const value = voltage[t + 1]! / reference[t + 1]!;
    ratio[t] = value > 0.5 && value < 1.5 ? value : Number.NaN;
  }
  return ratio;
}

/** Mean square of what changes from row to row. */
function unrestOf(ratio: Float64Array): number {
  let squares = 0;
  let count = 0;
  for (let t = 1; t < ratio.length; t++) {
    const step = ratio[t]! - ratio[t - 1]!;
    if (Number.isNaN(step)) continue;
    squares += step * step;
    count++;
  }
  return count > 0 ? squares / count : Number.POSITIVE_INFINITY;
}

interface Solution {
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

function solveDistrict(prepared: Prepared): Solution | undefined {
  const { used, energies, master, ratios } = prepared;
  const loads = used.map((i) => energies[i]!.kwh);
  const masterKwh = master!.kwh;
  const strangers = new Set<number>();
  let network = enoughVoltages(ratios) ? networkOf(loads, ratios) : undefined;
  for (const place of foreignVoltages(network)) strangers.add(place);
  const refuted = new Set<number>();
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
  return count > 0 && count >= ratios.length * 0.8;
}

function strangerShares(network: Network | undefined, count: number, suspected: ReadonlySet<number>): Float64Array {
  const typical = network ? medianOf(network.residualSd.filter((sd) => !Number.isNaN(sd))) : Number.NaN;
  return Float64Array.from({ length: count }, (_, place) => {
    if (suspected.has(place)) return SUSPECTED_SHARE;
    const sd = network?.residualSd[place] ?? Number.NaN;
    if (Number.isNaN(sd)) return STRANGER_SHARE;
    return sd > FOREIGN_FROM * typical ? FOREIGN_SHARE : LOCAL_SHARE;
  });
}

/** Meters whose voltage has little to do with the district's loads. */
function foreignVoltages(network: Network | undefined): number[] {
  if (!network) return [];
  const known = network.residualSd.filter((sd) => !Number.isNaN(sd));
  const typical = medianOf(known);
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
  const total = new Float64Array(rows);
  for (const load of loads) for (let t = 0; t < rows; t++) total[t]! += load[t]!;
  const lossRate = Math.max((sum(masterKwh) - sum(total)) / Math.max(sum(total), 1e-9), 0);
  const causes = causesOf(loads, carried, total, network, quarters);
  const shape = {
    roundingKwh2: used.reduce(
      (variance, i) => variance + energies[i]!.stepKwh ** 2 / 12,
      master!.stepKwh ** 2 / 12 + 1e-9,
    ),
    known: sumOf([master!.variance, ...used.map((i) => energies[i]!.variance)]),
    power: powerAtMoments(loads),
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
  const lossRates = loads.map((load, place) => weightedLoss(load, carried[place]!));
  const belief = (fit: BalanceFit) => {
    const extra = (place: number, isBelow: boolean) => {
      if (network) {
        return (
          (network.own[place]! * SWITCHED_SD_KWH * quarters) ** 2 +
          network.lossSd[place]! ** 2 +
          (LOSS_MODEL * lossRates[place]!) ** 2
        );
      }
      return (Math.max(lossRate, MIN_BLIND_LOSS) * (isBelow ? BLIND_BELOW : BLIND_ABOVE)) ** 2;
    };
    return posterior(fit.likelihood, {
      goodSd: GOOD_SD,
      badSd: BAD_SD,
      badShare: BAD_SHARE,
      misfitShare: network ? MISFIT_SHARE : BLIND_MISFIT_SHARE,
      strangerShare: strangerShares(network, loads.length, strangers),
      modelVariance: extra,
      measured: used.map((i) => measuredOf(window, i)),
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
    const next = { ...current.problem, causes: [...current.problem.causes, { column, sd: CHANGE_SD }] };
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
  const isMasterOff = network !== undefined && Math.abs(believed.common) > 3 * masterSd;
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
function isInstantaneous({ residualSd }: Network): boolean {
  return medianOf(residualSd.filter((sd) => !Number.isNaN(sd))) > 0.0015;
}

function measuredOf(window: DistrictWindow, user: number) {
  const id = window.users[user]!.id;
  const results = window.siteResults.filter(({ instrument }) => instrument === id);
  const last = results.at(-1);
  if (!last) return undefined;
  const error = last.errorPct / 100;
  return { mean: error / (1 + error), variance: (last.uncertaintyPct / 100) ** 2 };
}

function causesOf(
  loads: Columns,
  carried: Columns,
  total: Float64Array,
  network: Network | undefined,
  quarters: number,
): Cause[] {
  const rows = total.length;
  const meanKwh = sum(total) / rows;
  const fixed = { column: new Float64Array(rows).fill(meanKwh), sd: 0.05 };
  if (!network) {
    return [fixed, { column: total.map((kwh) => (kwh * kwh) / meanKwh), sd: 0.05 }];
  }
  const lost = new Float64Array(rows);
  const switched = new Float64Array(rows);
  const squared = new Float64Array(rows);
  loads.forEach((load, i) => {
    const own = network.own[i]!;
    const into = carried[i]!;
    for (let t = 0; t < rows; t++) {
      lost[t]! += into[t]! - load[t]!;
      switched[t]! += own * load[t]!;
      squared[t]! += own * load[t]! ** 2;
    }
  });
  return [
    fixed,
    { column: lost, sd: 0.1 },
    { column: switched, sd: SWITCHED_KWH * quarters },
    { column: squared, sd: 1 },
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

function sumOf(columns: Columns): Float64Array {
  const total = new Float64Array(columns[0]!.length);
  for (const column of columns) for (let k = 0; k < total.length; k++) total[k]! += column[k]!;
  return total;
}

function sum(values: Float64Array): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

function round(value: number, digits: number): number {
  return Math.round(value * 10 ** digits) / 10 ** digits;
}

function undetermined(
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

function judge(
  prepared: Prepared,
  solution: Solution,
  place: number,
  policy: AccuracyPolicy,
  reason: Reason<VerdictReason> | undefined,
): MeterEstimate {
  const { window, used, energies } = prepared;
  const user = used[place]!;
  const energy = energies[user]!;
  const mpe = window.mpePct[user]! / 100;
  const own = meterMixture(solution, place, energy);
  const error = (d: number) => d / (1 - Math.min(Math.max(d, -10), 0.95));
  const mean = mixtureMean(own);
  const sd = mixtureSd(own);
  const low = error(mixtureQuantile(own, 0.025));
  const high = error(mixtureQuantile(own, 0.975));
  const p = 1 - mixtureBelow(own, mpe / (1 + mpe)) + mixtureBelow(own, -mpe / (1 - mpe));
  const isStranger = solution.strangers.has(user);
  const informed = solution.belief.dataSd[place]! <= mpe / 2;
  const found: Reason<VerdictReason> | undefined = isStranger ? { code: 'wrong_district', params: {} } : reason;
  const { verdict, why } = decide(p, informed, found, policy, solution, place, mpe);
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
function meterMixture(solution: Solution, place: number, energy: Energy): Mixture {
  const { weights, means, variances } = solution.belief.mixtures[place]!;
  const change = solution.changes.find(({ meter }) => meter === place);
  const moved = change ? change.size * shareOfEnergy(change, energy) : 0;
  const movedVariance = change ? (change.sizeSd * shareOfEnergy(change, energy)) ** 2 : 0;
  return {
    weights,
    means: means.map((mean, k) => mean - (k === STRANGER ? 0 : solution.mastersShare) + moved),
    variances: variances.map((variance) => variance + MODEL_SD ** 2 + movedVariance),
  };
}

/** How much of a change of size one the window's energy has seen. */
function shareOfEnergy(change: Candidate, { kwh }: Energy): number {
  const profile = profileOf(change, kwh.length);
  let weighted = 0;
  for (let t = 0; t < kwh.length; t++) weighted += profile[t]! * kwh[t]!;
  return weighted / (sum(kwh) || 1);
}

function decide(
  p: number,
  informed: boolean,
  reason: Reason<VerdictReason> | undefined,
  policy: AccuracyPolicy,
  solution: Solution,
  place: number,
  mpe: number,
): { verdict: Verdict; why: Reason<VerdictReason> | undefined } {
  if (reason && reason.code !== 'low_collection') return { verdict: 'undetermined', why: reason };
  const weak = reason ?? (solution.network ? undefined : { code: 'no_voltages' as const, params: {} });
  if (p >= policy.inaccurateFrom) return { verdict: weak ? 'suspect' : 'inaccurate', why: weak };
  if (p >= policy.suspectFrom) return { verdict: 'suspect', why: weak };
  if (reason) return { verdict: 'undetermined', why: reason };
  if (informed) return { verdict: 'ok', why: undefined };
  if (weak) return { verdict: 'undetermined', why: weak };
  const params = { sdPct: round(100 * solution.belief.dataSd[place]!, 2), mpePct: round(100 * mpe, 2) };
  return { verdict: 'undetermined', why: { code: 'wide_interval', params } };
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
    errorNowPct: 100 * now,
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

/** Energy that rows which nothing explains have too much, a day, before it is told. */
const UNMETERED_KWH_PER_DAY = 1;
const UNMETERED_SHARE = 0.002;

function districtNotes({ window }: Prepared, solution: Solution): DistrictNote[] {
  const notes: DistrictNote[] = [];
  const { fit, isMasterOff, belief } = solution;
  if (isMasterOff) notes.push({ code: 'master_off', params: { shiftPct: round(-100 * belief.common, 2) } });
  const hours = new Float64Array(24);
  let lost = 0;
  let total = 0;
  for (let t = 0; t < fit.residual.length; t++) {
    total += solution.carried.reduce((s, column) => s + column[t]!, 0);
    if (fit.weight[t]! > 0 || fit.residual[t]! > 0) continue;
    lost -= fit.residual[t]!;
    hours[new Date(window.fromMs + t * window.periodMs).getUTCHours()]! -= fit.residual[t]!;
  }
  const days = (fit.residual.length * window.periodMs) / DAY_MS;
  if (lost / days > UNMETERED_KWH_PER_DAY && lost > UNMETERED_SHARE * total) {
    const { from, to } = mostOf(hours);
    notes.push({ code: 'unmetered_energy', params: { kwhPerDay: round(lost / days, 2), fromHour: from, toHour: to } });
  }
  return notes;
}

/** The shortest run of hours of a day with 80 % of what there is. */
function mostOf(hours: Float64Array): { from: number; to: number } {
  const whole = sum(hours);
  for (let length = 1; length <= 24; length++) {
    for (let from = 0; from < 24; from++) {
      let part = 0;
      for (let k = 0; k < length; k++) part += hours[(from + k) % 24]!;
      if (part >= 0.8 * whole) return { from, to: (from + length) % 24 };
    }
  }
  return { from: 0, to: 24 };
}

function balanceOf({ used, energies, master }: Prepared, { fit, carried }: Solution) {
  const rms = (values: Float64Array) => {
    let squares = 0;
    let count = 0;
    for (let t = 0; t < values.length; t++) {
      if (fit.weight[t]! === 0) continue;
      squares += values[t]! ** 2;
      count++;
    }
    return Math.sqrt(squares / Math.max(count, 1));
  };
  const uncorrected = fit.residual.map(
    (value, t) => value + carried.reduce((s, column, i) => s + column[t]! * fit.meters[i]!, 0),
  );
  const usersKwh = used.reduce((total, i) => total + sum(energies[i]!.kwh), 0);
  const masterKwh = sum(master!.kwh);
  return {
    masterKwh,
    usersKwh,
    lossKwh: carried.reduce((total, column) => total + sum(column), 0) - usersKwh,
    residualKwh: rms(fit.residual),
    residualUncorrectedKwh: rms(uncorrected),
  };
}
