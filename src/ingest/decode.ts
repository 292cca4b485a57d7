/** Bytes of one message become readings, or refusals with a code and the path of the offending value. */
import type { ErrorCode } from '../errors.ts';
import type { Instrument, Ledger } from '../fleet/instrument.ts';
import type { KindQuantity, Kinds } from '../fleet/kind.ts';
import { type Quantity, quantityIndex } from '../fleet/quantity.ts';
import { emptyValues, type Reading } from '../fleet/reading.ts';
import { DECODERS, type Path, type Register, type Sink } from './decoders.ts';
import type { Profile, Profiles } from './profile.ts';
import { toUnit } from './units.ts';

export interface Message {
  /** Who is connected: the id of a gateway or of an instrument. Identity never comes from the payload. */
  readonly client: string;
  readonly topic: string;
  readonly payload: Buffer;
}

export interface Refusal {
  readonly code: ErrorCode;
  readonly path: string;
  readonly params: Readonly<Record<string, string | number>>;
  /** Readings it kept out: 1; more where many of one code were counted together; 0 = a note on a reading that was taken. */
  readonly readings: number;
}

export interface Decoded {
  readonly readings: readonly Reading[];
  readonly refusals: readonly Refusal[];
  readonly profile: Profile | undefined;
}

export interface DecodeContext {
  readonly ledger: Ledger;
  readonly kinds: Kinds;
  readonly profiles: Profiles;
  readonly limits: ReadingLimits;
}

export interface ReadingLimits {
  readonly maxPayloadBytes: number;
  readonly maxFutureMs: number;
  /** Older readings would land in days that retention has dropped. */
  readonly maxAgeMs: number;
}

/** Deeper values are answered with `too_deep` instead of being walked. */
const MAX_DEPTH = 8;

export function decode(message: Message, context: DecodeContext, nowMs: number): Decoded {
  const matched = context.profiles.match(message.topic);
  if (!matched) return refused('unknown_topic', '', { topic: message.topic });
  const { profile } = matched;
  const { maxPayloadBytes } = context.limits;
  if (message.payload.length > maxPayloadBytes) {
    return refused('too_large', '', { bytes: message.payload.length, limit: maxPayloadBytes }, profile);
  }
  let payload: unknown;
  try {
    payload = JSON.parse(message.payload.toString('utf8'));
  } catch (error) {
    return refused('malformed_json', '', { problem: (error as Error).message }, profile);
  }
  const collector = new Collector(message.client, context, profile, nowMs);
  DECODERS[profile.decoder](payload, collector, matched.instrument);
  return { readings: collector.readings, refusals: collector.refusals, profile };
}

function refused(code: ErrorCode, path: string, params: Refusal['params'], profile?: Profile): Decoded {
  return { readings: [], refusals: [refusal(code, path, params, 1)], profile };
}

function refusal(code: ErrorCode, path: string, params: Refusal['params'], readings: number): Refusal {
  const shown = Object.entries(params).map(([name, value]) => [
    name,
    typeof value === 'string' ? showable(value) : value,
  ]);
  return { code, path: showable(path), params: Object.fromEntries(shown), readings };
}

const MAX_SHOWN_CHARS = 200;

/** Text from the wire as it may be stored and shown: short, no NUL, no half of a surrogate pair. */
export function showable(text: string): string {
  return text.slice(0, MAX_SHOWN_CHARS).replaceAll('\0', '\uFFFD').toWellFormed();
}

/** A message can hold a hundred thousand wrong values; so many are listed one by one, further ones counted by code. */
const MAX_LISTED_REFUSALS = 100;

class Collector implements Sink {
  readonly readings: Reading[] = [];
  readonly #listed: Refusal[] = [];
  readonly #counted = new Map<string, { -readonly [K in keyof Refusal]: Refusal[K] }>();
  readonly #client: string;
  readonly #context: DecodeContext;
  readonly #profile: Profile;
  readonly #nowMs: number;

  constructor(client: string, context: DecodeContext, profile: Profile, nowMs: number) {
    this.#client = client;
    this.#context = context;
    this.#profile = profile;
    this.#nowMs = nowMs;
  }

  reading(id: string | undefined, ts: unknown, named: Record<string, unknown>, path: Path): void {
    const instrument = this.#instrument(id, path);
    const tsMs = instrument && this.#time(ts, path);
    if (!instrument || tsMs === undefined) return;
    const { quantities, names } = this.#context.kinds.get(instrument.kind)!;
    const values = emptyValues();
    let known = 0;
    for (const name in named) {
      const quantity = names.get(name);
      const value = named[name];
      if (quantity === undefined) {
        this.#note('unknown_quantity', () => `${path()}.values.${name}`, { name, kind: instrument.kind });
        continue;
      }
      if (value === null) continue; // not reported
      const limits = quantities.get(quantity)!;
      if (!put(values, quantity, value, limits)) {
        return this.#refuseValue(value, quantity, limits, values, () => `${path()}.values.${name}`);
      }
      known++;
    }
    if (known === 0) return this.refuse('no_known_quantity', path, { kind: instrument.kind });
    this.readings.push({ key: instrument.key, tsMs, values });
  }

  registers(id: string | undefined, ts: unknown, registers: readonly Register[], path: Path): void {
    const instrument = this.#instrument(id, path);
    const tsMs = instrument && this.#time(ts, path);
    if (!instrument || tsMs === undefined) return;
    const { quantities, names } = this.#context.kinds.get(instrument.kind)!;
    const values = emptyValues();
    let known = 0;
    for (const [i, { obis, value, unit, quality }] of registers.entries()) {
      const at = (field: keyof Register) => () => `${path()}.registers[${i}].${field}`;
      if (quality !== undefined && quality !== 'good' && quality !== 0) {
        return this.refuse('bad_quality', at('quality'), { quality: String(quality) });
      }
      const quantity = names.get(obis);
      if (quantity === undefined) {
        this.#note('unknown_quantity', at('obis'), { name: obis, kind: instrument.kind });
        continue;
      }
      if (value === null) continue; // not reported
      const limits = quantities.get(quantity)!;
      const isPlain = unit === undefined || typeof value !== 'number';
      const converted = isPlain ? value : toUnit(value, unit, limits.unit);
      if (!isPlain && converted === undefined) {
        return this.refuse('wrong_unit', at('unit'), { unit: String(unit), wanted: limits.unit });
      }
      if (!put(values, quantity, converted, limits)) {
        return this.#refuseValue(converted, quantity, limits, values, at('value'));
      }
      known++;
    }
    if (known === 0) return this.refuse('no_known_quantity', path, { kind: instrument.kind });
    this.readings.push({ key: instrument.key, tsMs, values });
  }

  refuse(code: ErrorCode, path: Path, params: Refusal['params'] = {}): void {
    this.#keep(code, path, params, 1);
  }

  #note(code: ErrorCode, path: Path, params: Refusal['params']): void {
    this.#keep(code, path, params, 0);
  }

  get refusals(): readonly Refusal[] {
    return [...this.#listed, ...this.#counted.values()];
  }

  #keep(code: ErrorCode, path: Path, params: Refusal['params'], readings: 0 | 1): void {
    if (this.#listed.length < MAX_LISTED_REFUSALS) {
      this.#listed.push(refusal(code, path(), params, readings));
      return;
    }
    const name = `${code} ${readings}`;
    const counted = this.#counted.get(name);
    if (counted) counted.readings += readings;
    else this.#counted.set(name, refusal(code, path(), params, readings));
  }

  #instrument(id: string | undefined, path: Path): Instrument | undefined {
    const wanted = id ?? this.#client;
    const instrument = this.#context.ledger.byId(wanted);
    if (!instrument) this.refuse('unknown_instrument', path, { instrument: wanted });
    else if (instrument.gateway !== this.#client && instrument.id !== this.#client) {
      this.refuse('not_your_instrument', path, { instrument: wanted, client: this.#client });
    } else if (instrument.state !== 'in-service') this.refuse('retired_instrument', path, { instrument: wanted });
    else return instrument;
    return undefined;
  }

  #time(ts: unknown, path: Path): number | undefined {
    if (ts === undefined) return this.#nowMs;
    const at = () => `${path()}.ts`;
    if (ts === null) {
      this.refuse('missing_timestamp', at);
      return undefined;
    }
    const tsMs = parseTime(ts, this.#profile.time);
    const { maxFutureMs, maxAgeMs } = this.#context.limits;
    if (tsMs === undefined) this.refuse('invalid_timestamp', at, { ts: excerpt(ts), unit: this.#profile.time });
    else if (tsMs > this.#nowMs + maxFutureMs) this.refuse('future_timestamp', at, { ts: iso(tsMs) });
    else if (tsMs < this.#nowMs - maxAgeMs) this.refuse('ancient_timestamp', at, { ts: iso(tsMs) });
    else return tsMs;
    return undefined;
  }

  /** What `put` did not take. */
  #refuseValue(value: unknown, quantity: Quantity, limits: KindQuantity, values: readonly number[], path: Path): void {
    const { min, max } = limits;
    if (typeof value !== 'number') {
      if (deeperThan(value, MAX_DEPTH)) return this.refuse('too_deep', path, { limit: MAX_DEPTH });
      return this.refuse('not_a_number', path, { value: excerpt(value) });
    }
    if (!(value >= min && value <= max)) return this.refuse('out_of_range', path, { value, min, max });
    this.refuse('conflicting_values', path, { quantity, first: values[quantityIndex(quantity)]!, value });
  }
}

/** False when it is no possible value, or when another name of the same quantity gave another one. */
function put(values: number[], quantity: Quantity, value: unknown, { min, max }: KindQuantity): value is number {
  if (typeof value !== 'number' || !(value >= min && value <= max)) return false;
  const index = quantityIndex(quantity);
  const first = values[index]!;
  if (!Number.isNaN(first) && !agree(first, value)) return false;
  values[index] = value;
  return true;
}

/** Converting between units rounds in the last of some 16 digits. */
const ROUNDING = 1e-12;

function agree(a: number, b: number): boolean {
  return Math.abs(a - b) <= ROUNDING * Math.max(Math.abs(a), Math.abs(b));
}

/** RFC 3339 with a zone: a local time without one would be guessed. */
const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/i;
/** The range a JavaScript Date can hold. */
const MAX_DATE_MS = 8.64e15;

function parseTime(ts: unknown, unit: 'ms' | 's'): number | undefined {
  if (typeof ts === 'string') return RFC_3339.test(ts) && isOnCalendar(ts) ? orUndefined(Date.parse(ts)) : undefined;
  if (typeof ts !== 'number') return undefined;
  const tsMs = unit === 's' ? ts * 1000 : ts;
  return Math.abs(tsMs) <= MAX_DATE_MS ? Math.floor(tsMs) : undefined;
}

/** Date.parse takes 30 February for 2 March, and 24 o'clock for the next day. */
function isOnCalendar(ts: string): boolean {
  const wall = ts.slice(0, 'YYYY-MM-DDThh:mm:ss'.length).toUpperCase();
  const ms = Date.parse(`${wall}Z`);
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(wall);
}

function orUndefined(value: number): number | undefined {
  return Number.isNaN(value) ? undefined : value;
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

/** A refused value as it may be shown: short, never nested. */
function excerpt(value: unknown): string {
  return typeof value === 'object' ? (Array.isArray(value) ? '[…]' : '{…}') : String(value);
}

function deeperThan(value: unknown, limit: number): boolean {
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > limit) return true;
    level = level.flatMap((item) => (typeof item === 'object' && item !== null ? Object.values(item) : []));
  }
  return false;
}
