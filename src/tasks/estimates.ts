/** Runs of estimates as a queue sees them. The store knows which are due and makes each once, a queue only wakes somebody. */

export interface WaitingRun {
  readonly id: string;
  /** Of a run of every night: which one; undefined = somebody asked for it. */
  readonly night: string | undefined;
  /** In the order of its night; of a wish, where that night has come to and the wishes before it. From 1. */
  readonly place: number;
  /** The queue was told before, and may have lost it. */
  readonly again: boolean;
}

/** `done-before`: a repeated wake-up. */
export type RunOutcome = 'done' | 'done-before';

export interface EstimateRuns {
  /** Makes runs of the night that is due, if it is; returns how many are new. */
  plan(at: Date): Promise<number>;
  /** Runs a queue is to be told of; they count as told. */
  waiting(at: Date, limit: number): Promise<WaitingRun[]>;
  /** The queue could not be told of these. */
  disarm(runs: readonly WaitingRun[]): Promise<void>;
  /** Makes the estimate; repeated or concurrent calls keep one. */
  run(id: string, nowMs: () => number): Promise<RunOutcome>;
}
