/** Readings become findings: the same for live, backfill and replay. Nothing here but arithmetic on its arguments. */
import type { Finding, Subject } from '../fleet/finding.ts';
import type { Ledger } from '../fleet/instrument.ts';
import type { Kinds } from '../fleet/kind.ts';
import type { Reading } from '../fleet/reading.ts';
import { type Detector, IncrementLimit, RegisterDecrease, RegisterStill } from './detectors.ts';
import { FROM_MS, LAST_MS, MISSING, REGISTER, REGISTER_MS, SILENT_FROM_MS, SINCE_MS } from './layout.ts';
import { type Watch, watch } from './lifecycle.ts';
import { Moment } from './moment.ts';
import { type KindPlan, Roster } from './roster.ts';
import { appliesTo, type Rule, type RuleSet } from './ruleset.ts';
import { Silence } from './silence.ts';
import { RuleState } from './state.ts';
import { Threshold } from './threshold.ts';

export interface OpenFinding {
  readonly rule: string;
  readonly subject: Subject;
  readonly fromMs: number;
}

export class Evaluator {
  readonly state: RuleState;
  readonly #rules: RuleSet;
  readonly #roster: Roster;
  readonly #silence: Silence;
  /** By kind, as the roster counts them. */
  readonly #watches: readonly (readonly Watch[])[];
  readonly #moment = new Moment();
  readonly #leaving = new Set<number>();
  /** Ended between two ticks. */
  readonly #ended: Finding[] = [];

  constructor(rules: RuleSet, kinds: Kinds, ledger: Ledger, state: RuleState = new RuleState(rules)) {
    this.state = state;
    this.#rules = rules;
    this.#roster = new Roster(rules, kinds, ledger, state);
    this.#silence = new Silence(rules, this.#roster, state);
    this.#watches = this.#roster.plans.map((plan) => (plan ? watchesOf(rules, plan, state) : []));
  }

  /** Readings of one commit; those not newer than the newest of their instrument are passed over. */
  read(batch: readonly Reading[], nowMs: number): Finding[] {
    const found: Finding[] = [];
    this.state.aliveMs = Math.max(this.state.aliveMs, nowMs);
    for (const reading of inOrder(batch)) this.#read(reading, nowMs, found);
    return found;
  }

  /** Time passes: who is silent, and what of the ledger has gone. */
  tick(nowMs: number): Finding[] {
    const found = this.#ended.splice(0);
    this.state.aliveMs = Math.max(this.state.aliveMs, nowMs);
    for (const key of this.#leaving) this.#leave(key, found);
    this.#leaving.clear();
    this.#silence.tick(nowMs, found);
    return found;
  }

  /** From this wall-clock time on readings can be received; to be called after a replay, before the first tick. */
  listen(sinceMs: number): void {
    this.#silence.listen(sinceMs);
  }

  /** A line of the ledger is new or has changed. Whoever comes back into service begins anew. */
  instrumentChanged(key: number): void {
    const served = this.#roster.kindOf(key) !== 0;
    if (!this.#roster.changed(key)) this.#leaving.add(key);
    else if (this.#leaving.delete(key)) this.#leave(key, this.#ended);
    else if (!served) this.state.forget(key);
  }

  /** What is on record as open; to be called between restoring a snapshot and the replay. It wins over the snapshot. */
  reopened(open: Iterable<OpenFinding>): void {
    for (const { rule: id, subject, fromMs } of open) {
      const rule = this.#rules.rules.get(id);
      if (!rule) continue;
      if (subject.type === 'district') this.#reopenDistrict(rule, subject.district, fromMs);
      else this.#reopenInstrument(rule, subject.key, fromMs);
    }
  }

  #read({ key, tsMs, values }: Reading, nowMs: number, found: Finding[]): void {
    const kind = this.#roster.kindOf(key);
    if (kind === 0) return;
    const row = this.state.chunk(key);
    const base = this.state.offset(key);
    const previousMs = row[base + LAST_MS]!;
    if (tsMs <= previousMs) return;
    const plan = this.#roster.plans[kind]!;
    const moment = this.#moment;
    moment.key = key;
    moment.values = values;
    moment.tsMs = tsMs;
    moment.previousMs = previousMs;
    moment.row = row;
    this.#silence.heard(moment, base, plan, nowMs, found);
    row[base + LAST_MS] = tsMs;
    this.state.touch(key);
    moment.phases = this.#roster.phases(key);
    moment.phaseVoltageV = this.#roster.phaseVoltageV(key);
    moment.maxCurrentA = this.#roster.maxCurrentA(key);
    this.#count(moment, plan, base);
    const watches = this.#watches[kind]!;
    for (let i = 0; i < watches.length; i++) watch(watches[i]!, moment, base, found);
    if (Number.isNaN(moment.register)) return;
    row[base + REGISTER] = moment.register;
    row[base + REGISTER_MS] = tsMs;
  }

  #count(moment: Moment, { registerIndex, modulus, holeMs, unit }: KindPlan, base: number): void {
    const { rolloverAbove, rolloverBelow } = this.#rules.register;
    const previous = moment.row[base + REGISTER]!;
    const register = moment.values[registerIndex]!;
    moment.holeMs = holeMs;
    moment.unit = unit;
    moment.register = register;
    moment.previousRegister = previous;
    moment.previousRegisterMs = moment.row[base + REGISTER_MS]!;
    // A register already beyond 10^digits has more of them than its kind says.
    const rolledOver = previous > rolloverAbove * modulus && previous < modulus && register < rolloverBelow * modulus;
    moment.increment = rolledOver ? register - previous + modulus : register - previous;
  }

  /** An instrument out of service: what is open about it ends with its last reading. */
  #leave(key: number, found: Finding[]): void {
    const row = this.state.chunk(key);
    const base = this.state.offset(key);
    const lastMs = row[base + LAST_MS]!;
    const close = (rule: string, fromMs: number) => {
      const toMs = Number.isNaN(lastMs) ? fromMs : Math.max(fromMs, lastMs);
      if (!Number.isNaN(fromMs))
        found.push({ change: 'cleared', rule, subject: { type: 'instrument', key }, fromMs, toMs });
    };
    for (const rule of this.#rules.rules.values()) {
      const offset = this.state.layout.offsets.get(rule.id);
      if (offset !== undefined) close(rule.id, row[base + offset + FROM_MS]!);
      else if (rule.settings.detector === 'silent') close(rule.id, row[base + SILENT_FROM_MS]!);
    }
    this.state.forget(key);
  }

  #reopenInstrument(rule: Rule, key: number, fromMs: number): void {
    const row = this.state.chunk(key);
    const base = this.state.offset(key);
    const offset = this.state.layout.offsets.get(rule.id);
    if (this.#roster.kindOf(key) === 0) this.#leaving.add(key);
    if (rule.settings.detector === 'silent') row[base + SILENT_FROM_MS] = fromMs;
    else if (offset === undefined || row[base + offset + FROM_MS] === fromMs) return;
    else {
      row[base + offset + FROM_MS] = fromMs;
      row[base + offset + SINCE_MS] = Number.NaN;
    }
    this.state.touch(key);
  }

  #reopenDistrict(rule: Rule, id: string, fromMs: number): void {
    if (rule.settings.detector !== 'outage') return;
    const district = this.state.district(id);
    district.outageFromMs = fromMs;
    district.changed = true;
    district.memberLeft = this.#roster.hasLost(district);
    for (const key of this.#roster.members(district)) {
      const row = this.state.chunk(key);
      const base = this.state.offset(key);
      if (row[base + LAST_MS]! < fromMs && Number.isNaN(row[base + SILENT_FROM_MS]!)) row[base + MISSING] = 1;
    }
  }
}

function watchesOf(rules: RuleSet, { kind }: KindPlan, { layout }: RuleState): Watch[] {
  const watches: Watch[] = [];
  for (const rule of rules.rules.values()) {
    const detector = appliesTo(rule, kind.id) ? detectorOf(rule, rules) : undefined;
    if (detector) watches.push({ rule, detector, offset: layout.offsets.get(rule.id)! });
  }
  return watches;
}

function detectorOf({ settings }: Rule, rules: RuleSet): Detector | undefined {
  switch (settings.detector) {
    case 'register-decrease':
      return new RegisterDecrease(rules);
    case 'register-still':
      return new RegisterStill(settings, rules);
    case 'increment-limit':
      return new IncrementLimit(settings, rules);
    case 'threshold':
      return new Threshold(settings);
    default:
      return undefined;
  }
}

/** By (ts, key), the first of equals first: the order a replay from the store has as well. */
function inOrder(batch: readonly Reading[]): readonly Reading[] {
  for (let i = 1; i < batch.length; i++) {
    const a = batch[i - 1]!;
    const b = batch[i]!;
    if (a.tsMs > b.tsMs || (a.tsMs === b.tsMs && a.key > b.key)) return batch.toSorted(byTime);
  }
  return batch;
}

function byTime(a: Reading, b: Reading): number {
  return a.tsMs - b.tsMs || a.key - b.key;
}
