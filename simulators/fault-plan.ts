/** Which meters fail, when and how much. */

import { SimulatorError } from './errors.ts';
import { FAULT_KINDS, type Fault, type FaultCounts, type FaultKind } from './faults.ts';
import type { SimulatedInstrument } from './ledger.ts';
import type { Random } from './random.ts';

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
    ...throughout(span),
    size: eitherSign(random, 3, 10),
  }),
  drift: (random, span) => {
    const fromMs = startMs(random, span, MIDDLE);
    return { kind: 'drift', fromMs, toMs: null, size: (eitherSign(random, 3, 6) * 86_400_000) / (span.toMs - fromMs) };
  },
  step: (random, span) => ({
    kind: 'step',
    fromMs: startMs(random, span, MIDDLE),
    toMs: null,
    size: eitherSign(random, 3, 10),
  }),
  // At half the light load half of it is left.
  'light-load': (random, span) => ({ kind: 'light-load', ...throughout(span), size: eitherSign(random, 5, 12) }),
  theft: (_, span) => ({ kind: 'theft', ...throughout(span), size: 1 }),
  'wrong-district': (_, span) => ({ kind: 'wrong-district', ...throughout(span), size: 1 }),
  // The ledger names the next phase or the one after it.
  'wrong-phase': (random, span) => ({ kind: 'wrong-phase', ...throughout(span), size: 1 + random.below(2) }),
};

/** Shares of the span in which faults begin: history before to learn from, readings after to see them by. */
const MIDDLE = { low: 0.3, high: 0.65 };
const LATE = { low: 0.7, high: 0.85 };

function startMs(random: Random, span: Span, when: typeof MIDDLE): number {
  const periods = ((span.toMs - span.fromMs) / span.periodMs) * random.between(when.low, when.high);
  return span.fromMs + Math.max(1, Math.round(periods)) * span.periodMs;
}

function throughout(span: Span) {
  return { fromMs: span.fromMs, toMs: null };
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

/** Faults by instrument id: at most one per user meter, plus outages of whole districts and theft, which is told of the master. */
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
    if (kind === 'outage' || kind === 'theft') continue;
    for (let i = 0; i < (counts[kind] ?? 0); i++) {
      const index = free.findIndex((candidate) => suits(kind, candidate));
      if (index < 0) throw new SimulatorError('too_many_faults', { kind, count: counts[kind]!, possible: i });
      const [candidate] = free.splice(index, 1);
      plan.set(candidate!.instrument.id, [DRAWS[kind](random, span)]);
    }
  }
  for (const outage of districtFaults('outage', random, instruments, counts, span)) {
    for (const { id, district } of instruments) if (district === outage.district) add(plan, id, outage.fault);
  }
  for (const theft of districtFaults('theft', random, instruments, counts, span)) {
    const master = instruments.find(({ district, role }) => district === theft.district && role === 'master')!;
    add(plan, master.id, theft.fault);
  }
  return plan;
}

/** In a vacant home these show as well. */
const ANYWHERE: ReadonlySet<FaultKind> = new Set(['constant-error', 'silent', 'rollback']);
/** A three-phase meter has two voltages left, and no single phase. */
const SINGLE_PHASE: ReadonlySet<FaultKind> = new Set(['voltage-loss', 'wrong-phase']);

function suits(kind: FaultKind, { occupied, instrument }: Candidate): boolean {
  return (occupied || ANYWHERE.has(kind)) && (instrument.phase !== 'L123' || !SINGLE_PHASE.has(kind));
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

/** At most one of a kind per district. */
function districtFaults(
  kind: FaultKind,
  random: Random,
  instruments: readonly SimulatedInstrument[],
  counts: FaultCounts,
  span: Span,
): { district: string; fault: Fault }[] {
  const count = counts[kind] ?? 0;
  if (count === 0) return [];
  const districts = random.shuffled([...new Set(instruments.map((instrument) => instrument.district))]);
  if (count > districts.length)
    throw new SimulatorError('too_many_faults', { kind, count, possible: districts.length });
  return districts.slice(0, count).map((district) => ({ district, fault: DRAWS[kind](random, span) }));
}

function add(plan: Map<string, Fault[]>, id: string, fault: Fault): void {
  plan.set(id, [...(plan.get(id) ?? []), fault]);
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
