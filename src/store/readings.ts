import type { NamedValues, Reading } from '../fleet/reading.ts';

/** Where readings are kept: the smallest port the product needs, passed by every adapter's conformance suite. */
export interface ReadingStore {
  /**
   * Stores a batch durably: when the promise resolves, every reading that is new survives a power cut.
   * (instrument, ts) is the identity: the same values again count as duplicates, other values as conflicts and the first stays,
   * within one batch too. Batches are appended one at a time, in order of call.
   */
  append(batch: readonly Reading[]): Promise<AppendResult>;

  /** Readings of one instrument with fromMs <= ts < toMs in order of time, at most `limit`. */
  range(key: number, fromMs: number, toMs: number, limit: number): Promise<StoredReading[]>;

  /** The newest reading by measurement time of each of these instruments. */
  latest(keys: readonly number[]): Promise<Map<number, StoredReading>>;

  /** Readings of many instruments with fromMs <= ts < toMs, ordered by (ts, key): what an estimate of a district needs. */
  window(keys: readonly number[], fromMs: number, toMs: number): AsyncIterable<Reading>;
}

export interface StoredReading {
  readonly tsMs: number;
  /** When the service received it, epoch ms. */
  readonly receivedAtMs: number;
  readonly values: NamedValues;
}

export interface AppendResult {
  readonly stored: number;
  readonly duplicates: number;
  readonly conflicts: readonly Conflict[];
  /** What the store cannot take however often it is sent, each with the reason; absent = none. */
  readonly refused?: readonly RefusedReading[];
}

export interface RefusedReading {
  readonly key: number;
  readonly tsMs: number;
  /** In the words of the product. */
  readonly reason: string;
}

/** A reading that contradicts the one already stored for the same moment. */
export interface Conflict {
  readonly key: number;
  readonly tsMs: number;
  readonly kept: NamedValues;
  readonly refused: NamedValues;
}
