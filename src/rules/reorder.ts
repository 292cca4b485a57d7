/**
 * Puts readings that several writers stored side by side back into each district's order of measurement. Log entries are
 * held for a while; when one is due, whatever its districts measured earlier and is held as well goes with it.
 */
import type { Reading } from '../fleet/reading.ts';

/** What one writer stored in one commit. */
export interface LogEntry {
  /** Position in the log, growing in the order of commits. */
  readonly id: number;
  /** When it was logged, by the clock of the log, epoch milliseconds. */
  readonly atMs: number;
  readonly readings: readonly Reading[];
}

export class Reorder {
  readonly #holdMs: number;
  readonly #maxReadings: number;
  #entries: LogEntry[] = [];
  #held = 0;
  readonly #districtOf: (key: number) => string;
  /** Per district, in order of measurement; of equals the first logged comes first. */
  readonly #waiting = new Map<string, Reading[]>();

  /** Entries are held for `holdMs`, or until more than `maxReadings` are held. */
  constructor(holdMs: number, maxReadings: number, districtOf: (key: number) => string) {
    this.#holdMs = holdMs;
    this.#maxReadings = maxReadings;
    this.#districtOf = districtOf;
  }

  /** Takes the next entry of the log; returns what its time makes due. */
  push(entry: LogEntry): LogEntry[] {
    const due = this.due(entry.atMs);
    this.#entries.push(entry);
    this.#held += entry.readings.length;
    for (const reading of entry.readings) this.#insert(reading);
    return due;
  }

  /** Entries due at `logMs`, in order of the log, each with the readings that leave with it. */
  due(logMs: number): LogEntry[] {
    let count = 0;
    while (count < this.#entries.length && this.#isDue(this.#entries[count]!, logMs)) {
      this.#held -= this.#entries[count++]!.readings.length;
    }
    return this.#entries.splice(0, count).map((entry) => ({ ...entry, readings: this.#leaving(entry) }));
  }

  #isDue({ atMs }: LogEntry, logMs: number): boolean {
    return atMs <= logMs - this.#holdMs || this.#held > this.#maxReadings;
  }

  #insert(reading: Reading): void {
    const district = this.#districtOf(reading.key);
    const waiting = this.#waiting.get(district);
    if (!waiting) {
      this.#waiting.set(district, [reading]);
      return;
    }
    let at = waiting.length;
    while (at > 0 && waiting[at - 1]!.tsMs > reading.tsMs) at--;
    waiting.splice(at, 0, reading);
  }

  #leaving({ readings }: LogEntry): Reading[] {
    const newestMs = new Map<string, number>();
    for (const { key, tsMs } of readings) {
      const district = this.#districtOf(key);
      newestMs.set(district, Math.max(newestMs.get(district) ?? tsMs, tsMs));
    }
    return [...newestMs].flatMap(([district, untilMs]) => this.#take(district, untilMs));
  }

  #take(district: string, untilMs: number): Reading[] {
    const waiting = this.#waiting.get(district);
    if (!waiting) return [];
    let count = 0;
    while (count < waiting.length && waiting[count]!.tsMs <= untilMs) count++;
    if (count === waiting.length) this.#waiting.delete(district);
    return waiting.splice(0, count);
  }
}
