/** What goes wrong with meters: when, how it shows in the readings, and the truth about it. */

import { SimulatorError } from './errors.ts';
import type { SimulatedInstrument } from './ledger.ts';
import type { Random } from './random.ts';

export const FAULT_KINDS = [
  'silent',
  'rollback',
  'stopped',
  'runaway',
  'voltage-loss',
  'outage',
  'constant-error',
  'drift',
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

export type FaultCounts = Readonly<Partial<Record<FaultKind, number>>>;

export interface Fault {
  readonly kind: FaultKind;
  /** The first affected reading, epoch ms. */
  readonly fromMs: number;
  /** The first reading no longer affected; null = for good. */
  readonly toMs: number | null;
  /** Percent for constant-error and drift, kWh for rollback, otherwise a factor. */
  readonly size: number;
}

/** What one interval looks like to a meter. */
export interface Interval {
  readonly fromMs: number;
  readonly toMs: number;
  /** What √3·U·Imax·Δt·1.2 allows. */
  readonly limitKwh: number;
}

/** How a fault acts on a meter; each cause is one entry and says only what it changes. */
interface Effect {
  /** No reading leaves the meter. */
  readonly mutes?: true;
  /** Added to the meter's own error. */
  errorPct?(fault: Fault, interval: Interval): number;
  /** The energy the register counts in place of `energyKwh`. */
  counted?(fault: Fault, energyKwh: number, interval: Interval): number;
  /** Taken off the register before it counts on. */
  setBackKwh?(fault: Fault, interval: Interval): number;
  /** Share of the voltage that reaches the measuring element. */
  voltageShare?(fault: Fault): number;
}

const EFFECTS: Readonly<Record<FaultKind, Effect>> = {
  silent: { mutes: true },
  outage: { mutes: true },
  rollback: { setBackKwh: (fault, interval) => (interval.fromMs < fault.fromMs ? fault.size : 0) },
  stopped: { counted: () => 0 },
  runaway: { counted: (fault, energyKwh, interval) => energyKwh + fault.size * interval.limitKwh },
  // A measuring element without its voltage also counts that much less energy.
  'voltage-loss': {
    voltageShare: (fault) => fault.size,
    counted: (fault, energyKwh) => energyKwh * fault.size,
  },
  'constant-error': { errorPct: (fault) => fault.size },
  drift: { errorPct: (fault, interval) => driftPct(fault, interval.toMs) },
};

/** A drift's size is percent per day. */
function driftPct(fault: Fault, atMs: number): number {
  return (fault.size * (atMs - fault.fromMs)) / 86_400_000;
}

export interface Distortion {
  muted: boolean;
  errorPct: number;
  setBackKwh: number;
  voltageShare: number;
  counted(energyKwh: number): number;
}

/** All that acts on a meter over one interval. */
export function distortion(faults: readonly Fault[], interval: Interval): Distortion {
  const active = faults.filter((fault) => isActive(fault, interval.toMs));
  const sum = { muted: false, errorPct: 0, setBackKwh: 0, voltageShare: 1 };
  for (const fault of active) {
    const effect = EFFECTS[fault.kind];
    sum.muted ||= effect.mutes ?? false;
    sum.errorPct += effect.errorPct?.(fault, interval) ?? 0;
    sum.setBackKwh += effect.setBackKwh?.(fault, interval) ?? 0;
    sum.voltageShare *= effect.voltageShare?.(fault) ?? 1;
  }
  const counted = (energyKwh: number) =>
    active.reduce((kwh, fault) => EFFECTS[fault.kind].counted?.(fault, kwh, interval) ?? kwh, energyKwh);
  return { ...sum, counted };
}

export function isActive(fault: Fault, tsMs: number): boolean {
  return fault.fromMs <= tsMs && (fault.toMs === null || tsMs < fault.toMs);
}

/** The mean over the simulated span of what faults add to a meter's error: what an estimate over it should find. */
export function meanErrorPct(faults: readonly Fault[], span: Span): number {
  let meanPct = 0;
  for (const fault of faults) {
    if (fault.kind === 'constant-error') meanPct += fault.size;
    if (fault.kind === 'drift') {
      meanPct += (driftPct(fault, span.toMs) * (span.toMs - fault.fromMs)) / 2 / (span.toMs - span.fromMs);
    }
  }
  return meanPct;
}

/** The simulated history: its first and last reading and what lies between two. */
export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
  readonly periodMs: number;
}

/** A user meter that may fail. */
export interface Candidate {
  readonly instrument: SimulatedInstrument;
  /** Draws current all day, so that a stopped register shows. */
  readonly occupied: boolean;
}

const HOUR_MS = 3_600_000;

/** From when (share of the span), how long, how strong; drawn per fault. */
const DRAWS: Readonly<Record<FaultKind, (random: Random, span: Span) => Fault>> = {
  silent: (random, span) =>
    random.chance(0.5)
      ? { kind: 'silent', fromMs: startMs(random, span, MIDDLE), toMs: null, size: 1 }
      : { kind: 'silent', ...window(random, span, 6, 48), size: 1 },
  // Late, so that it hides no other fault of its district.
  outage: (random, span) => ({ kind: 'outage', ...window(random, span, 2, 8, LATE), size: 1 }),
  // More than any interval adds, less than any register starts with.
  rollback: (random, span) => ({ kind: 'rollback', ...window(random, span, 0, 0), size: random.between(50, 400) }),
  stopped: (random, span) => ({ kind: 'stopped', ...window(random, span, 24, 96), size: 1 }),
  runaway: (random, span) => ({ kind: 'runaway', ...window(random, span, 0.5, 2), size: random.between(1.1, 2) }),
  // At most 0.65 of 253 V (+15 %) stays below 78 % of 220 V.
  'voltage-loss': (random, span) => ({
    kind: 'voltage-loss',
    ...window(random, span, 6, 24),
    size: random.between(0.3, 0.65),
  }),
  'constant-error': (random, span) => ({
    kind: 'constant-error',
    fromMs: span.fromMs,
    toMs: null,
    size: eitherSign(random, 3, 10),
  }),
  drift: (random, span) => {
    const fromMs = startMs(random, span, MIDDLE);
    return { kind: 'drift', fromMs, toMs: null, size: (eitherSign(random, 3, 6) * 86_400_000) / (span.toMs - fromMs) };
  },
};

/** Shares of the span in which faults begin: history before to learn from, readings after to see them by. */
const MIDDLE = { low: 0.3, high: 0.65 };
const LATE = { low: 0.7, high: 0.85 };

function startMs(random: Random, span: Span, when: typeof MIDDLE): number {
  const periods = ((span.toMs - span.fromMs) / span.periodMs) * random.between(when.low, when.high);
  return span.fromMs + Math.max(1, Math.round(periods)) * span.periodMs;
}

/** At least one reading and at most 30 % of the span, so that it also ends. */
function window(random: Random, span: Span, minHours: number, maxHours: number, when = MIDDLE) {
  const fromMs = startMs(random, span, when);
  const wantedMs = Math.min(random.between(minHours, maxHours) * HOUR_MS, (span.toMs - span.fromMs) * 0.3);
  return { fromMs, toMs: fromMs + Math.max(1, Math.round(wantedMs / span.periodMs)) * span.periodMs };
}

function eitherSign(random: Random, low: number, high: number): number {
  return random.between(low, high) * (random.chance(0.5) ? 1 : -1);
}

/** Faults by instrument id: at most one per user meter, plus outages of whole districts. */
export function planFaults(
  random: Random,
  instruments: readonly SimulatedInstrument[],
  candidates: readonly Candidate[],
  counts: FaultCounts,
  span: Span,
): Map<string, Fault[]> {
  const plan = new Map<string, Fault[]>();
  const free = spreadOverDistricts(random, candidates);
  for (const kind of FAULT_KINDS) {
    if (kind === 'outage') continue;
    for (let i = 0; i < (counts[kind] ?? 0); i++) {
      const index = free.findIndex((candidate) => suits(kind, candidate));
      if (index < 0) throw new SimulatorError('too_many_faults', { kind, count: counts[kind]!, possible: i });
      const [candidate] = free.splice(index, 1);
      plan.set(candidate!.instrument.id, [DRAWS[kind](random, span)]);
    }
  }
  planOutages(random, instruments, counts.outage ?? 0, span, plan);
  return plan;
}

function suits(kind: FaultKind, candidate: Candidate): boolean {
  if (kind === 'constant-error' || kind === 'silent' || kind === 'rollback') return true;
  return candidate.occupied && (kind !== 'voltage-loss' || candidate.instrument.phase !== 'L123');
}

/** Shuffled, one of each district in turn. */
function spreadOverDistricts(random: Random, candidates: readonly Candidate[]): Candidate[] {
  const turn = new Map<string, number>();
  return random
    .shuffled(candidates)
    .map((candidate) => {
      const round = turn.get(candidate.instrument.district) ?? 0;
      turn.set(candidate.instrument.district, round + 1);
      return { candidate, round };
    })
    .sort((a, b) => a.round - b.round)
    .map(({ candidate }) => candidate);
}

function planOutages(
  random: Random,
  instruments: readonly SimulatedInstrument[],
  count: number,
  span: Span,
  plan: Map<string, Fault[]>,
): void {
  const districts = random.shuffled([...new Set(instruments.map((instrument) => instrument.district))]);
  if (count > districts.length) {
    throw new SimulatorError('too_many_faults', { kind: 'outage', count, possible: districts.length });
  }
  for (const district of districts.slice(0, count)) {
    const outage = DRAWS.outage(random, span);
    for (const { id } of instruments.filter((instrument) => instrument.district === district)) {
      plan.set(id, [...(plan.get(id) ?? []), outage]);
    }
  }
}

/** A believable mix for a fleet: 4 % inaccurate meters, one of every other fault per 100 users. */
export function defaultFaults(userCount: number, districtCount: number): FaultCounts {
  // Below 20 users a fault of every kind would leave few honest meters.
  const each = userCount < 20 ? 0 : Math.max(1, Math.round(userCount / 100));
  return {
    silent: each,
    rollback: each,
    stopped: each,
    runaway: each,
    'voltage-loss': each,
    outage: districtCount > 1 ? 1 : 0,
    'constant-error': Math.ceil(userCount * 0.04),
    drift: each,
  };
}
