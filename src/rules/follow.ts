/**
 * The rules over a log of readings that several processes wrote. Time is the log's own: it moves with the entries, so whoever
 * follows the log from the same position comes to the same findings, however late.
 */
import type { Finding } from '../fleet/finding.ts';
import type { Evaluator } from './evaluator.ts';
import { type LogEntry, Reorder } from './reorder.ts';

export interface FollowTimes {
  /** How long an entry waits for readings that were measured before it and are logged after it. */
  readonly holdMs: number;
  /** Time between two looks at who is silent. */
  readonly tickMs: number;
  /** Every living writer logs more often than this; beyond it nobody listens, and silence means nothing. */
  readonly deafMs: number;
}

/** Some hundred megabytes; a longer hold than this can carry becomes a shorter one. */
const MAX_HELD_READINGS = 400_000;

export class Follow {
  readonly #rules: Pick<Evaluator, 'read' | 'tick' | 'listen'>;
  readonly #times: FollowTimes;
  readonly #reorder: Reorder;
  #newestMs: number;
  #tickedMs: number;
  #seenId: number;
  #seenMs: number;

  /** `seenId`, `seenMs`: the last entry the rules have seen and its time; 0 and NaN when there was none. */
  constructor(
    rules: Pick<Evaluator, 'read' | 'tick' | 'listen'>,
    districtOf: (key: number) => string,
    times: FollowTimes,
    seenId: number,
    seenMs: number,
  ) {
    this.#rules = rules;
    this.#times = times;
    this.#reorder = new Reorder(times.holdMs, MAX_HELD_READINGS, districtOf);
    this.#seenId = seenId;
    this.#seenMs = seenMs;
    this.#newestMs = seenMs;
    this.#tickedMs = seenMs;
  }

  /** Everything up to this entry is in the state of the rules, and perhaps more. */
  get seenId(): number {
    return this.#seenId;
  }

  get seenMs(): number {
    return this.#seenMs;
  }

  next(entry: LogEntry): Finding[] {
    const found: Finding[] = [];
    const isDeaf = !(entry.atMs - this.#newestMs <= this.#times.deafMs);
    if (isDeaf) {
      this.#see(this.#reorder.due(Number.POSITIVE_INFINITY), found);
      this.#rules.listen(entry.atMs);
      this.#tickedMs = entry.atMs;
    }
    this.#newestMs = entry.atMs;
    this.#see(this.#reorder.push(entry), found);
    this.#tickUntil(entry.atMs - this.#times.holdMs, found);
    return found;
  }

  /** Nothing more was logged until `logMs`. */
  idle(logMs: number): Finding[] {
    const found: Finding[] = [];
    const untilMs = Math.min(logMs, this.#newestMs + this.#times.deafMs);
    this.#see(this.#reorder.due(untilMs), found);
    this.#tickUntil(untilMs - this.#times.holdMs, found);
    return found;
  }

  #see(due: readonly LogEntry[], found: Finding[]): void {
    for (const { id, atMs, readings } of due) {
      this.#tickUntil(atMs, found);
      found.push(...this.#rules.read(readings, atMs));
      this.#seenId = id;
      this.#seenMs = atMs;
    }
  }

  /** At whole multiples of the interval, so that the times do not depend on when somebody began to follow. */
  #tickUntil(untilMs: number, found: Finding[]): void {
    const { tickMs } = this.#times;
    const first = Number.isFinite(this.#tickedMs) ? this.#tickedMs : untilMs - tickMs;
    for (let atMs = (Math.floor(first / tickMs) + 1) * tickMs; atMs <= untilMs; atMs += tickMs) {
      found.push(...this.#rules.tick(atMs));
      this.#tickedMs = atMs;
    }
  }
}
