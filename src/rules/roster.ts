/** What the rules need of the ledger, at hand: limits of every instrument and members of every district, in typed arrays. */
import type { Instrument, Ledger } from '../fleet/instrument.ts';
import type { Kind, Kinds } from '../fleet/kind.ts';
import { quantityIndex } from '../fleet/quantity.ts';
import type { District } from './district.ts';
import { AWAITED_MS, LAST_MS } from './layout.ts';
import { type Rule, type RuleSet, ruleFor } from './ruleset.ts';
import type { RuleState } from './state.ts';

/** Instruments of one kind: how they report and how their silence is judged. */
export interface KindPlan {
  readonly kind: Kind;
  readonly registerIndex: number;
  readonly unit: string;
  /** The register rolls over here. */
  readonly modulus: number;
  readonly holeMs: number;
  readonly silent: Rule | undefined;
  readonly outage: Rule | undefined;
  /** Without a reading for longer: a finding of its own; missing in its district. Infinity = not judged. */
  readonly silentMs: number;
  readonly missingMs: number;
  readonly missedPeriods: number;
}

/** In place of a kind: not in the ledger as far as we know, or out of service, or of a kind config lacks. */
const ABSENT = 255;
const UNKNOWN = 0;

export class Roster {
  /** By `kindOf(key)`, from 1. */
  readonly plans: (KindPlan | undefined)[] = [undefined];
  readonly #ledger: Ledger;
  readonly #state: RuleState;
  readonly #lineVoltageFromV: number;
  readonly #planIndex = new Map<string, number>();
  readonly #districts: (District | undefined)[] = [];
  #kind = new Uint8Array(0);
  #phases = new Uint8Array(0);
  /** Phase voltage and maximum current, two numbers per instrument. */
  #nominal = new Float64Array(0);
  /** Turn of its district's clock at its last reading. */
  #heardTurn = new Uint16Array(0);

  constructor(rules: RuleSet, kinds: Kinds, ledger: Ledger, state: RuleState) {
    this.#ledger = ledger;
    this.#state = state;
    this.#lineVoltageFromV = rules.lineVoltageFromV;
    for (const kind of kinds.values()) {
      this.#planIndex.set(kind.id, this.plans.length);
      this.plans.push(planOf(rules, kind));
    }
    for (const instrument of ledger.all()) this.#place(instrument.key, instrument);
  }

  /** Index into `plans`; 0 = not judged. */
  kindOf(key: number): number {
    let kind = this.#kind[key] ?? UNKNOWN;
    if (kind === UNKNOWN) {
      this.#place(key, this.#ledger.byKey(key));
      kind = this.#kind[key]!;
    }
    return kind === ABSENT ? 0 : kind;
  }

  districtOf(key: number): District {
    return this.#districts[key]!;
  }

  phaseVoltageV(key: number): number {
    return this.#nominal[key * 2]!;
  }

  maxCurrentA(key: number): number {
    return this.#nominal[key * 2 + 1]!;
  }

  phases(key: number): number {
    return this.#phases[key]!;
  }

  heard(key: number, turn: number): void {
    this.#heardTurn[key] = turn;
  }

  /** Heard within the last one to two settling times of its district: it is sending, however old its readings are. */
  isDelivering(key: number, turn: number): boolean {
    const heardTurn = this.#heardTurn[key]!;
    return heardTurn !== 0 && (turn - heardTurn + 65_534) % 65_534 <= 1;
  }

  /** Takes over a changed ledger entry; false when the instrument is no longer in service. */
  changed(key: number): boolean {
    const before = this.#districts[key];
    this.#place(key, this.#ledger.byKey(key));
    const serves = this.#kind[key] !== ABSENT;
    if (before) before.membersStale = true;
    if (before && (!serves || this.#districts[key] !== before)) before.memberLeft = true;
    return serves;
  }

  members(district: District): Int32Array {
    if (district.membersStale) this.#gather(district);
    return district.members;
  }

  /** Some of those that the ledger puts into a district are out of service. */
  hasLost(district: District): boolean {
    return this.#ledger.ofDistrict(district.id).length > this.members(district).length;
  }

  /** All members of a district are expected to report from its present time on. */
  expect(district: District): void {
    this.#gather(district);
  }

  #gather(district: District): void {
    const keys = this.#ledger.ofDistrict(district.id).map(({ key }) => key);
    district.members = Int32Array.from(keys.filter((key) => this.kindOf(key) !== 0).sort((a, b) => a - b));
    district.membersStale = false;
    district.dueMs = Number.NEGATIVE_INFINITY;
    district.periodMs = Number.POSITIVE_INFINITY;
    for (const key of district.members) {
      district.periodMs = Math.min(district.periodMs, this.plans[this.kindOf(key)]!.kind.reportPeriodMs);
      this.#await(key, district);
    }
  }

  /** A member of a district that reports is expected to report from the moment it is known. */
  #await(key: number, district: District): void {
    if (Number.isNaN(district.clockMs)) return;
    const row = this.#state.chunk(key);
    const at = this.#state.offset(key);
    if (!Number.isNaN(row[at + LAST_MS]!) || !Number.isNaN(row[at + AWAITED_MS]!)) return;
    row[at + AWAITED_MS] = district.clockMs;
    this.#state.touch(key);
  }

  #place(key: number, instrument: Instrument | undefined): void {
    this.#grow(key);
    const plan = instrument?.state === 'in-service' ? this.#planIndex.get(instrument.kind) : undefined;
    this.#kind[key] = plan ?? ABSENT;
    if (!instrument) return;
    const { district: id, phase, nominalVoltageV, maxCurrentA } = instrument;
    const district = this.#state.district(id);
    district.membersStale = true;
    this.#districts[key] = district;
    const isLineVoltage = phase === 'L123' && nominalVoltageV >= this.#lineVoltageFromV;
    this.#phases[key] = phase === 'L123' ? 3 : 1;
    this.#nominal[key * 2] = isLineVoltage ? nominalVoltageV / Math.sqrt(3) : nominalVoltageV;
    this.#nominal[key * 2 + 1] = maxCurrentA;
  }

  #grow(key: number): void {
    if (key < this.#kind.length) return;
    const size = Math.max(512, key + 1, Math.ceil(this.#kind.length * 1.25));
    this.#kind = copied(this.#kind, new Uint8Array(size));
    this.#phases = copied(this.#phases, new Uint8Array(size));
    this.#heardTurn = copied(this.#heardTurn, new Uint16Array(size));
    this.#nominal = copied(this.#nominal, new Float64Array(size * 2));
    while (this.#districts.length < size) this.#districts.push(undefined);
  }
}

function copied<A extends Uint8Array | Uint16Array | Float64Array>(from: A, to: A): A {
  to.set(from);
  return to;
}

function planOf(rules: RuleSet, kind: Kind): KindPlan {
  const silent = ruleFor(rules, 'silent', kind.id);
  const outage = ruleFor(rules, 'outage', kind.id);
  return {
    kind,
    registerIndex: quantityIndex(kind.register),
    unit: kind.quantities.get(kind.register)?.unit ?? '',
    modulus: 10 ** kind.digits,
    holeMs: rules.holePeriods * kind.reportPeriodMs,
    silent,
    outage,
    silentMs: silent ? silent.settings.missed_periods * kind.reportPeriodMs : Number.POSITIVE_INFINITY,
    missingMs: outage ? outage.settings.missed_periods * kind.reportPeriodMs : Number.POSITIVE_INFINITY,
    missedPeriods: silent?.settings.missed_periods ?? 0,
  };
}
