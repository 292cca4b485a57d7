/**
 * What other processes store at the same time. InfluxDB is slow to tell: what is newest of some thousand instruments takes
 * longer to ask than to write. All writers log what they stored, so that is learned from the log, and its order says who
 * was first where two wrote the same moment at once.
 */
import { type Reading, sameValues } from '../fleet/reading.ts';
import { identity } from './influxdb-queries.ts';
import type { PostgresReadingLog } from './postgres-reading-log.ts';

/** What all writers stored, in one order, kept for some seconds. */
export type WritersLog = Pick<PostgresReadingLog, 'append' | 'between'>;

/** Readings of failed appends that are remembered; whoever sent them sends them again, here or elsewhere. */
const MAX_UNLOGGED = 100_000;

export class OtherWriters {
  readonly #log: WritersLog;
  readonly #onLogged: (reading: Reading) => void;
  readonly #onLost: () => void;
  /** The last entry of the log that was looked at. */
  #position: number | undefined;
  /** What this process writes or has written since it last logged, with what another logged first for the same moment. */
  readonly #unlogged = new Map<Reading, Reading | undefined>();
  /** What was first and may have been overwritten from here. */
  readonly #overwritten = new Map<string, Reading>();

  /** `onLogged` is told what others stored, `onLost` that some of it will not be told. */
  constructor(log: WritersLog, onLogged: (reading: Reading) => void, onLost: () => void) {
    this.#log = log;
    this.#onLogged = onLogged;
    this.#onLost = onLost;
  }

  /** Learns what others have logged. */
  async follow(): Promise<void> {
    if (this.#position !== undefined && (await this.#followUntil(Number.MAX_SAFE_INTEGER))) return;
    this.#position = await this.#log.append([]);
  }

  /** To be told before they are written. */
  writing(readings: readonly Reading[]): void {
    for (const reading of readings) this.#unlogged.set(reading, this.#unlogged.get(reading));
    for (const reading of this.#unlogged.keys()) {
      if (this.#unlogged.size <= MAX_UNLOGGED) break;
      this.#unlogged.delete(reading);
    }
  }

  /** Logs what has been written, and what was found, and learns what others logged before. */
  async log(written: readonly Reading[], repeated: readonly Reading[]): Promise<void> {
    if (written.length + repeated.length === 0) return;
    const position = await this.#log.append(written, repeated);
    await this.#followUntil(position);
    this.#position = position;
  }

  /** What another writer logged first for the moment of this reading, which was written here. */
  first(reading: Reading): Reading | undefined {
    return this.#unlogged.get(reading);
  }

  /** What has become of these readings is told. */
  settled(readings: readonly Reading[]): void {
    for (const reading of readings) this.#unlogged.delete(reading);
  }

  /** What has to be written again. */
  get overwritten(): readonly Reading[] {
    return [...this.#overwritten.values()];
  }

  restored(): void {
    this.#overwritten.clear();
  }

  /** False = some entries are not kept any more. */
  async #followUntil(until: number): Promise<boolean> {
    let own: Map<number, Reading[]> | undefined;
    for (;;) {
      const entries = await this.#log.between(this.#position!, until);
      if (entries === undefined) {
        this.#onLost();
        return false;
      }
      if (entries.length === 0) return true;
      for (const { id, readings, stored } of entries) {
        this.#position = id;
        own ??= Map.groupBy(this.#unlogged.keys(), ({ key }) => key);
        for (const [i, reading] of readings.entries()) {
          this.#onLogged(reading);
          for (const mine of own.get(reading.key) ?? []) this.#compare(mine, reading, i < stored);
        }
      }
    }
  }

  #compare(mine: Reading, other: Reading, stored: boolean): void {
    if (mine.tsMs !== other.tsMs || this.#unlogged.get(mine)) return;
    const same = sameValues(mine.values, other.values);
    // Who found the same values stored found them from here, or from somebody who died: they count here.
    if (same && !stored) return;
    this.#unlogged.set(mine, other);
    if (!same) this.#overwritten.set(identity(other), other);
  }
}
