/** Random fleets with faults, and how their readings reach the service: late, out of order, twice. */
import type { Finding } from '../../src/fleet/finding.ts';
import { subjectId } from '../../src/fleet/finding.ts';
import type { Instrument } from '../../src/fleet/instrument.ts';
import type { Reading } from '../../src/fleet/reading.ts';
import type { OpenFinding } from '../../src/rules/evaluator.ts';
import { instrument, PERIOD_MS, reading } from './fixtures.ts';

export const START_MS = Date.parse('2026-03-01T00:00:00Z');

/** mulberry32 (Tommy Ettinger, 2017). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  }

  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  chance(share: number): boolean {
    return this.next() < share;
  }
}

export interface History {
  readonly instruments: readonly Instrument[];
  readonly steps: number;
  /** By step of receipt: commits of that step. */
  readonly commits: readonly (readonly (readonly Reading[])[])[];
}

interface Fault {
  readonly kind: 'silent' | 'rollback' | 'stopped' | 'runaway' | 'voltage';
  readonly from: number;
  readonly to: number;
}

export interface Delivery {
  /** Share of instruments of which some readings come late, by how many periods at most, and share of readings that come again. */
  readonly late: number;
  readonly latePeriods: number;
  readonly twice: number;
}

export function randomHistory(seed: number, delivery: Delivery, steps = 120): History {
  const random = new Random(seed);
  const instruments: Instrument[] = [];
  for (let district = 0; district < 3; district++) {
    for (let i = 2 + random.below(8); i > 0; i--) {
      const phase = random.chance(0.2) ? 'L123' : 'L1';
      instruments.push(instrument({ key: instruments.length + 1, district: `D${district}`, phase }));
    }
  }
  const received: Reading[][] = Array.from({ length: steps }, () => []);
  for (const district of new Set(instruments.map(({ district }) => district))) {
    const outages = faults(random, steps, 1, ['silent']);
    for (const member of instruments.filter((one) => one.district === district)) {
      deliver(random, member, [...outages, ...faults(random, steps, 2)], delivery, received);
    }
  }
  return { instruments, steps, commits: received.map((readings) => intoCommits(random, readings)) };
}

const FAULTS: readonly Fault['kind'][] = ['silent', 'rollback', 'stopped', 'runaway', 'voltage'];

function faults(random: Random, steps: number, most: number, kinds = FAULTS): Fault[] {
  return Array.from({ length: random.below(most + 1) }, () => {
    const from = random.below(steps);
    return { kind: kinds[random.below(kinds.length)]!, from, to: from + 1 + random.below(40) };
  });
}

function deliver(
  random: Random,
  { key, phase }: Instrument,
  own: readonly Fault[],
  delivery: Delivery,
  received: Reading[][],
): void {
  const isLate = random.chance(delivery.late);
  const lateFrom = random.below(received.length);
  const lateFor = random.below(delivery.latePeriods + 1);
  let register = 1000 + random.below(1000);
  for (let step = 0; step < received.length; step++) {
    const active = own.filter(({ from, to }) => step >= from && step < to);
    const has = (kind: Fault['kind']) => active.some((fault) => fault.kind === kind);
    if (!has('stopped')) register += has('runaway') && random.chance(0.3) ? 50 : 0.01 * random.below(30);
    if (own.some(({ kind, from }) => kind === 'rollback' && from === step)) register -= 100;
    if (has('silent')) continue;
    const values = {
      active_import_kwh: Math.round(register * 100) / 100,
      ...(random.chance(0.9) ? { active_power_w: 600 } : {}),
      current_a: random.chance(0.05) ? 0 : 3,
      ...(phase === 'L123'
        ? { voltage_l1_v: 229, voltage_l2_v: has('voltage') ? 90 : 230, voltage_l3_v: 231 }
        : { voltage_v: has('voltage') ? 90 + random.below(95) : 225 }),
    };
    const one = reading(key, START_MS + step * PERIOD_MS, values);
    const at = isLate && step >= lateFrom && random.chance(0.7) ? step + lateFor : step;
    received[at]?.push(one);
    if (random.chance(delivery.twice)) {
      const again = random.chance(0.5) ? one : reading(key, one.tsMs, { ...values, active_import_kwh: 1 });
      received[Math.min(at + random.below(3), received.length - 1)]!.push(again);
    }
  }
}

function intoCommits(random: Random, readings: readonly Reading[]): Reading[][] {
  const commits: Reading[][] = [[], [], []];
  const spread = 1 + random.below(3);
  for (const one of readings) commits[random.below(spread)]!.push(one);
  return commits.filter((commit) => commit.length > 0);
}

/** Findings as the database keeps them: one identity once, one open per rule and subject. */
export class Recorded {
  readonly #findings = new Map<string, { open: OpenFinding; toMs: number | null }>();

  add(found: readonly Finding[]): void {
    for (const { change, rule, subject, fromMs, ...rest } of found) {
      const id = `${rule} ${subjectId(subject)} ${fromMs}`;
      const known = this.#findings.get(id);
      if (change === 'cleared' && known && known.toMs === null) known.toMs = (rest as { toMs: number }).toMs;
      if (change === 'opened' && !known) this.#findings.set(id, { open: { rule, subject, fromMs }, toMs: null });
    }
  }

  open(): OpenFinding[] {
    return [...this.#findings.values()].filter(({ toMs }) => toMs === null).map(({ open }) => open);
  }

  list(): string[] {
    const at = (ms: number | null) => (ms === null ? 'open' : `${(ms - START_MS) / PERIOD_MS}`);
    return [...this.#findings.values()]
      .map(({ open, toMs }) => `${open.rule} ${subjectId(open.subject)} ${at(open.fromMs)}…${at(toMs)}`)
      .sort();
  }
}
