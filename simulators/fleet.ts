/** A fleet of simulated meters: the same options give the same instruments, readings and truth. */

import { District, type Row, type Voltages } from './district.ts';
import { type DistrictPlan, planDistrict } from './district-plan.ts';
import { type Candidate, defaultFaults, planFaults, type Span } from './fault-plan.ts';
import type { Fault, FaultCounts, FaultKind } from './faults.ts';
import type { SimulatedInstrument } from './ledger.ts';
import { HALF_HOUR_MS, type Households, isOccupied, type LoadProfiles } from './loads.ts';
import { partSeed, Random } from './random.ts';
import { REAL_NETWORKS, type RealNetwork } from './real-network.ts';
import type { Totals } from './supply.ts';
import type { Variation } from './variation.ts';

export type NetworkName = 'drawn' | RealNetwork;
export const NETWORKS: readonly NetworkName[] = ['drawn', ...(Object.keys(REAL_NETWORKS) as RealNetwork[])];

export interface FleetOptions {
  readonly seed: number;
  readonly districts: number;
  /** User meters of each district; the master comes on top. */
  readonly metersPerDistrict: number;
  readonly days: number;
  /** Time of the last reading, epoch ms. */
  readonly untilMs: number;
  /** Between two readings: divides the half hour or is a multiple of it. */
  readonly periodMs: number;
  /** How many of each; a kind not named does not occur. */
  readonly faults: FaultCounts;
  readonly network: NetworkName;
  /** Lines are stretched until about this share of the energy is lost; null = as long as they are. */
  readonly lossPct: number | null;
  /** Power is constant within a step, which divides the half hour into whole minutes. */
  readonly stepMs: number;
  readonly variation: Variation;
  readonly households: Households;
  readonly threePhasePct: number;
  readonly solarPct: number;
  readonly meterErrorSdPct: number;
  readonly masterErrorSdPct: number;
  readonly voltageGainSdPct: number;
  readonly voltages: Voltages;
  /** 0 = every digit. */
  readonly registerStepKwh: number;
  readonly voltageStepV: number;
  /** Of user meters; the master's clock is right. */
  readonly clockOffsetSdS: number;
  /** Readings that get lost, one by one. */
  readonly missingPct: number;
  /** Constant load without a meter in each district, e.g. street lamps. */
  readonly unmeteredW: number;
  /** Of each burst, in districts with theft. */
  readonly theftW: number;
}

/** What the accuracy chapter takes for good meters, and a fleet that is made in a second. */
export const FLEET_DEFAULTS = {
  seed: 1,
  districts: 1,
  metersPerDistrict: 60,
  days: 14,
  periodMs: 15 * 60_000,
  network: 'drawn',
  lossPct: null,
  variation: 'appliances',
  households: 'all',
  threePhasePct: 5,
  solarPct: 0,
  meterErrorSdPct: 0.3,
  masterErrorSdPct: 0.1,
  voltageGainSdPct: 0.2,
  voltages: 'mean',
  registerStepKwh: 0.01,
  voltageStepV: 0.1,
  clockOffsetSdS: 0,
  missingPct: 0,
  unmeteredW: 0,
  theftW: 3_000,
} as const satisfies Partial<FleetOptions>;

type ChosenOptions = Omit<Partial<FleetOptions>, 'faults'> &
  Pick<FleetOptions, 'untilMs'> & { readonly faults?: FaultCounts | 'default' };

/** A real network has the users it was published with, a step is as long as the report period. */
export function fleetOptions({ faults = 'default', ...chosen }: ChosenOptions): FleetOptions {
  const network = chosen.network ?? FLEET_DEFAULTS.network;
  const loads = network === 'drawn' ? FLEET_DEFAULTS.metersPerDistrict : REAL_NETWORKS[network].loads;
  const periodMs = chosen.periodMs ?? FLEET_DEFAULTS.periodMs;
  const options = { ...FLEET_DEFAULTS, metersPerDistrict: loads, stepMs: periodMs, ...chosen };
  const users = options.districts * options.metersPerDistrict;
  return {
    ...options,
    faults: faults === 'default' ? defaultFaults(users, options.districts) : faults,
    stepMs: Math.min(options.stepMs, periodMs, HALF_HOUR_MS),
  };
}

export interface Step {
  /** Time of all its readings, epoch ms. */
  readonly tsMs: number;
  readonly rows: readonly Row[];
}

/** What was injected, and where. */
export interface InjectedFault {
  readonly instrument: string;
  readonly fault: FaultKind;
  readonly fromMs: number;
  /** First reading no longer affected; null = still open. */
  readonly toMs: number | null;
}

/** One line of truth.csv: an instrument without faults has one line, one with several has several. */
export interface Truth {
  readonly instrument: string;
  /** Mean over the history, weighted by true energy; faults of the register and silences left out; positive = fast. */
  readonly errorPct: number;
  readonly fault: FaultKind | '';
  /** Null when there is no fault. */
  readonly fromMs: number | null;
  readonly toMs: number | null;
  /** How far the clock is ahead. */
  readonly clockOffsetS: number;
}

export interface Fleet {
  /** As the ledger has them. */
  readonly instruments: readonly SimulatedInstrument[];
  readonly faults: readonly InjectedFault[];
  /** How many steps the history has. */
  readonly stepCount: number;
  /** The history, one step per report period; every call starts afresh. */
  steps(): Iterable<Step>;
  /** A run that can go on after its history. */
  start(): FleetRun;
}

export interface FleetRun {
  readonly instruments: readonly SimulatedInstrument[];
  /** Some of them count what is fed in. */
  readonly feedsIn: boolean;
  /** The history, once. */
  steps(): Iterable<Step>;
  /** Lets time pass until `tsMs`, which is later than any step before. */
  advance(tsMs: number): Step;
  /** Errors are those of the readings so far. */
  truth(): Truth[];
  /** Of each district since the run began. */
  totals(): readonly Totals[];
}

/** Position of the fault plan among the parts of a seed; districts count from 0. */
const FAULT_PART = -1;

export function simulateFleet(options: FleetOptions, profiles: LoadProfiles): Fleet {
  const plans = Array.from({ length: options.districts }, (_, index) => planDistrict(options, profiles, index));
  const wired = plans.flatMap((plan) => plan.instruments);
  const stepCount = Math.floor((options.days * 86_400_000) / options.periodMs);
  const span: Span = {
    fromMs: options.untilMs - (stepCount - 1) * options.periodMs,
    toMs: options.untilMs,
    periodMs: options.periodMs,
  };
  const random = new Random(partSeed(options.seed, FAULT_PART));
  const faults = planFaults(random, wired, plans.flatMap(candidates), options.faults, span);
  const instruments = wired.map((instrument) => asFiled(instrument, faults.get(instrument.id) ?? []));
  const start = (): FleetRun => ({ instruments, ...startRun(plans, faults, options, profiles, span) });
  return {
    instruments,
    faults: wired.flatMap(({ id }) =>
      (faults.get(id) ?? []).map(({ kind, fromMs, toMs }) => ({ instrument: id, fault: kind, fromMs, toMs })),
    ),
    stepCount,
    steps: () => start().steps(),
    start,
  };
}

/** What the ledger says of an instrument, which may be wrong about its phase. */
function asFiled(instrument: SimulatedInstrument, faults: readonly Fault[]): SimulatedInstrument {
  const mistaken = faults.find(({ kind }) => kind === 'wrong-phase');
  if (!mistaken) return instrument;
  const phases = ['L1', 'L2', 'L3'] as const;
  const wired = (phases as readonly string[]).indexOf(instrument.phase);
  return { ...instrument, phase: phases[(wired + mistaken.size) % 3]! };
}

function candidates(plan: DistrictPlan): Candidate[] {
  const users = plan.instruments.slice(1);
  const occupied = new Map<Float64Array, boolean>();
  const isLivedIn = (halfHourKwh: Float64Array) => {
    if (!occupied.has(halfHourKwh)) occupied.set(halfHourKwh, isOccupied(halfHourKwh));
    return occupied.get(halfHourKwh)!;
  };
  return users.map((instrument, i) => ({
    instrument,
    // At noon a roof may carry its home for hours.
    occupied:
      plan.homes[i]!.occupants.every(({ halfHourKwh }) => isLivedIn(halfHourKwh)) && plan.homes[i]!.solarW === 0,
  }));
}

function truthOf(plan: DistrictPlan, errorsPct: readonly number[], faults: ReadonlyMap<string, readonly Fault[]>) {
  return plan.instruments.flatMap(({ id }, i): Truth[] => {
    const line = { instrument: id, errorPct: errorsPct[i]!, clockOffsetS: plan.clockOffsetMs[i]! / 1000 };
    const own = faults.get(id) ?? [];
    if (own.length === 0) return [{ ...line, fault: '', fromMs: null, toMs: null }];
    return own.map(({ kind, fromMs, toMs }) => ({ ...line, fault: kind, fromMs, toMs }));
  });
}

function startRun(
  plans: readonly DistrictPlan[],
  faults: ReadonlyMap<string, readonly Fault[]>,
  options: FleetOptions,
  profiles: LoadProfiles,
  span: Span,
): Omit<FleetRun, 'instruments'> {
  const districts = plans.map((plan) => new District(plan, faults, options, profiles, span.fromMs - span.periodMs));
  const advance = (tsMs: number): Step => ({ tsMs, rows: districts.flatMap((district) => district.advance(tsMs)) });
  function* steps(): Generator<Step> {
    for (let tsMs = span.fromMs; tsMs <= span.toMs; tsMs += span.periodMs) yield advance(tsMs);
  }
  return {
    feedsIn: plans.some(({ errors }) => errors.some(({ bidirectional }) => bidirectional)),
    steps,
    advance,
    truth: () => plans.flatMap((plan, i) => truthOf(plan, districts[i]!.meanErrorsPct, faults)),
    totals: () => districts.map((district) => district.totals),
  };
}
