import type { Quantity } from './quantity.ts';

/** An instrument kind as config/kinds.yaml describes it, ready for use. */
export interface Kind {
  readonly id: string;
  readonly name: { readonly 'zh-CN': string; readonly en: string };
  readonly reportPeriodMs: number;
  /** The cumulative register that carries the measurement. */
  readonly register: Quantity;
  /** Whole digits of the register: it rolls over at 10^digits. */
  readonly digits: number;
  readonly quantities: ReadonlyMap<Quantity, KindQuantity>;
  /** OBIS code or quantity name → quantity. */
  readonly names: ReadonlyMap<string, Quantity>;
  /** Maximum permissible error at reference load in percent, by accuracy class. */
  readonly mpePct: ReadonlyMap<string, number>;
}

export interface KindQuantity {
  readonly unit: string;
  readonly min: number;
  readonly max: number;
}

export type Kinds = ReadonlyMap<string, Kind>;
