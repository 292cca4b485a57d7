/** A fleet of simulated meters: the same options give the same instruments, readings and truth. */

import { District, type DistrictPlan, planDistrict, type Row } from './district.ts';
import type { FaultKind } from './faults.ts';
import {
  type Candidate,
  defaultFaults,
  type Fault,
  type FaultCounts,
  meanErrorPct,
  planFaults,
  type Span,
} from './faults.ts';
import type { SimulatedInstrument } from './ledger.ts';
import { isOccupied, type LoadProfiles } from './loads.ts';
import { partSeed, Random } from './random.ts';

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
  readonly threePhasePct: number;
  readonly meterErrorSdPct: number;
  readonly masterErrorSdPct: number;
  readonly voltageGainSdPct: number;
  /** Constant load without a meter in each district, e.g. street lamps. */
  readonly unmeteredW: number;
}

/** What the accuracy chapter takes for good meters, and a fleet that is made in a second. */
export const FLEET_DEFAULTS = {
  seed: 1,
  districts: 1,
  metersPerDistrict: 60,
  days: 14,
  periodMs: 15 * 60_000,
  threePhasePct: 5,
  meterErrorSdPct: 0.3,
  masterErrorSdPct: 0.1,
  voltageGainSdPct: 0.2,
  unmeteredW: 0,
};

export function fleetOptions(chosen: Partial<FleetOptions> & Pick<FleetOptions, 'untilMs'>): FleetOptions {
  const options = { ...FLEET_DEFAULTS, ...chosen };
  const users = options.districts * options.metersPerDistrict;
  return { faults: defaultFaults(users, options.districts), ...options };
}

export interface Step {
  /** Time of all its readings, epoch ms. */
  readonly tsMs: number;
  readonly rows: readonly Row[];
}

/** One line of truth.csv: an instrument without faults has one line, one with several has several. */
export interface Truth {
  readonly instrument: string;
  /** Mean over the simulated history, faults of the register and silences left out; positive = fast. */
  readonly errorPct: number;
  readonly fault: FaultKind | '';
  readonly fromMs: number | null;
  /** First reading no longer affected; null = still open, or no fault. */
  readonly toMs: number | null;
}

export interface Fleet {
  readonly instruments: readonly SimulatedInstrument[];
  readonly truth: readonly Truth[];
  /** How many steps the history has. */
  readonly stepCount: number;
  /** The history, one step per report period; every call starts afresh. */
  steps(): Iterable<Step>;
  /** A run that can go on after its history. */
  start(): FleetRun;
}

export interface FleetRun {
  history(): Iterable<Step>;
  /** Lets time pass until `tsMs`, which is later than any step before. */
  advance(tsMs: number): Step;
}

/** Position of the fault plan among the parts of a seed; districts count from 0. */
const FAULT_PART = -1;

export function simulateFleet(options: FleetOptions, profiles: LoadProfiles): Fleet {
  const plans = Array.from({ length: options.districts }, (_, index) => planDistrict(options, profiles, index));
  const instruments = plans.flatMap((plan) => plan.instruments);
  const stepCount = Math.floor((options.days * 86_400_000) / options.periodMs);
  const span: Span = {
    fromMs: options.untilMs - (stepCount - 1) * options.periodMs,
    toMs: options.untilMs,
    periodMs: options.periodMs,
  };
  const random = new Random(partSeed(options.seed, FAULT_PART));
  const faults = planFaults(random, instruments, plans.flatMap(candidates), options.faults, span);
  const start = () => startRun(plans, faults, options, profiles, span);
  return {
    instruments,
    truth: plans.flatMap((plan) => truthOf(plan, faults, span)),
    stepCount,
    steps: () => start().history(),
    start,
  };
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
    occupied: plan.occupants[i]!.every((occupant) => isLivedIn(occupant.halfHourKwh)),
  }));
}

function truthOf(plan: DistrictPlan, faults: ReadonlyMap<string, readonly Fault[]>, span: Span): Truth[] {
  return plan.instruments.flatMap((instrument, i): Truth[] => {
    const own = faults.get(instrument.id) ?? [];
    const errorPct = plan.errors[i]!.errorPct + meanErrorPct(own, span);
    if (own.length === 0) return [{ instrument: instrument.id, errorPct, fault: '', fromMs: null, toMs: null }];
    return own.map(({ kind, fromMs, toMs }) => ({ instrument: instrument.id, errorPct, fault: kind, fromMs, toMs }));
  });
}

function startRun(
  plans: readonly DistrictPlan[],
  faults: ReadonlyMap<string, readonly Fault[]>,
  options: FleetOptions,
  profiles: LoadProfiles,
  span: Span,
): FleetRun {
  const districts = plans.map((plan) => new District(plan, faults, options, profiles, span.fromMs - span.periodMs));
  const advance = (tsMs: number): Step => ({ tsMs, rows: districts.flatMap((district) => district.advance(tsMs)) });
  function* history(): Generator<Step> {
    for (let tsMs = span.fromMs; tsMs <= span.toMs; tsMs += span.periodMs) yield advance(tsMs);
  }
  return { history, advance };
}
