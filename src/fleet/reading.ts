import { QUANTITIES, QUANTITY_COUNT, type Quantity } from './quantity.ts';

/**
 * Values of one instrument at one moment.
 * `values[i]` is `QUANTITIES[i]` in the unit of its name; NaN = not reported.
 */
export interface Reading {
  /** Surrogate key of the instrument, assigned by the ledger. */
  readonly key: number;
  /** Measurement time (never arrival time), Unix epoch in milliseconds. */
  readonly tsMs: number;
  readonly values: readonly number[];
}

export type NamedValues = Partial<Record<Quantity, number>>;

export function emptyValues(): number[] {
  return new Array<number>(QUANTITY_COUNT).fill(Number.NaN);
}

/** Only what was reported, by name. */
export function namedValues(values: readonly number[]): NamedValues {
  const named: NamedValues = {};
  for (let i = 0; i < QUANTITY_COUNT; i++) {
    const value = values[i]!;
    if (!Number.isNaN(value)) named[QUANTITIES[i]!] = value;
  }
  return named;
}

/** Values by name into their order; unknown names are the caller's business. */
export function orderedValues(named: NamedValues): number[] {
  return QUANTITIES.map((name) => named[name] ?? Number.NaN);
}

/** The same measurement? Two readings agree when they report the same quantities with the same values. */
export function sameValues(a: readonly number[], b: readonly number[]): boolean {
  for (let i = 0; i < QUANTITY_COUNT; i++) if (!Object.is(a[i], b[i]) && a[i] !== b[i]) return false;
  return true;
}
