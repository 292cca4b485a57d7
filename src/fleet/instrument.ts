/** One measuring device in the ledger (台账). */
export interface Instrument {
  /** Surrogate key, dense from 1: readings and rule state are stored under it. */
  readonly key: number;
  readonly id: string;
  /** Names an instrument kind of config/kinds.yaml. */
  readonly kind: string;
  readonly role: Role;
  readonly district: string;
  readonly phase: Phase;
  readonly accuracyClass: string;
  readonly manufacturer: string;
  readonly model: string;
  readonly batch: string;
  /** ISO date (YYYY-MM-DD) or empty when unknown. */
  readonly installedOn: string;
  readonly owner: string;
  /** GB/T 2260 code. */
  readonly region: string;
  readonly nominalVoltageV: number;
  readonly maxCurrentA: number;
  /** The gateway allowed to report for it; empty = the instrument reports for itself. */
  readonly gateway: string;
  readonly state: InstrumentState;
}

export const ROLES = ['master', 'user'] as const;
export type Role = (typeof ROLES)[number];

/** Empty = unknown. */
export const PHASES = ['L1', 'L2', 'L3', 'L123', ''] as const;
export type Phase = (typeof PHASES)[number];

export const INSTRUMENT_STATES = ['in-service', 'retired'] as const;
export type InstrumentState = (typeof INSTRUMENT_STATES)[number];

/** The ledger as the reading path sees it: look-ups only, kept current by the store. */
export interface Ledger {
  byId(id: string): Instrument | undefined;
  byKey(key: number): Instrument | undefined;
  ofDistrict(district: string): readonly Instrument[];
  all(): Iterable<Instrument>;
}

/** A ledger held in memory. */
export class MemoryLedger implements Ledger {
  readonly #byId = new Map<string, Instrument>();
  readonly #byKey = new Map<number, Instrument>();
  readonly #byDistrict = new Map<string, Map<number, Instrument>>();
  /** How many instruments name it. */
  readonly #gateways = new Map<string, number>();

  constructor(instruments: Iterable<Instrument> = []) {
    for (const instrument of instruments) this.put(instrument);
  }

  put(instrument: Instrument): void {
    const before = this.#byKey.get(instrument.key);
    if (before) {
      this.#byDistrict.get(before.district)?.delete(before.key);
      this.#count(before.gateway, -1);
    }
    this.#count(instrument.gateway, 1);
    this.#byId.set(instrument.id, instrument);
    this.#byKey.set(instrument.key, instrument);
    const district = this.#byDistrict.get(instrument.district);
    if (district) district.set(instrument.key, instrument);
    else this.#byDistrict.set(instrument.district, new Map([[instrument.key, instrument]]));
  }

  byId(id: string): Instrument | undefined {
    return this.#byId.get(id);
  }

  byKey(key: number): Instrument | undefined {
    return this.#byKey.get(key);
  }

  /** Is it an instrument, or a gateway that an instrument names? */
  knows(id: string): boolean {
    return this.#byId.has(id) || this.#gateways.has(id);
  }

  #count(gateway: string, change: number): void {
    if (gateway === '') return;
    const count = (this.#gateways.get(gateway) ?? 0) + change;
    if (count > 0) this.#gateways.set(gateway, count);
    else this.#gateways.delete(gateway);
  }

  ofDistrict(district: string): readonly Instrument[] {
    return [...(this.#byDistrict.get(district)?.values() ?? [])];
  }

  all(): Iterable<Instrument> {
    return this.#byId.values();
  }

  get size(): number {
    return this.#byId.size;
  }
}
