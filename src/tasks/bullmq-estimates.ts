/**
 * Wakes runs of estimates, by BullMQ on PostgreSQL or Redis: every night a flow, whose parent is due when all its districts are
 * done with, and single jobs for what somebody asked for. The queue holds nothing that matters: what is due are rows.
 */
import type { BulkJobOptions } from 'bullmq';
import { ConnectedQueue, type QueueJob, type QueuePlace } from './bullmq-connection.ts';
import type { EstimateRuns, RunOutcome, WaitingRun } from './estimates.ts';
import { seldom } from './seldom.ts';

export interface EstimateQueueOptions {
  readonly place: QueuePlace;
  readonly runs: EstimateRuns;
  readonly nowMs: () => number;
  /** Before a failed run is tried again, doubling; left out except in tests. */
  readonly backoffMs?: number;
  /** All districts of one flow of a night are done with. */
  readonly onNight: (night: string) => Promise<unknown>;
  /** Told of the same error once a minute. */
  readonly onError: (error: unknown) => void;
}

export const ESTIMATE_QUEUE = 'estimates';
/** How soon somebody's wish is seen. */
export const LOOK_MS = 2_000;
/** Children of one flow: BullMQ adds them in one step. */
const RUNS_PER_FLOW = 500;
/** An estimate takes a core; further processes share the work. */
const CONCURRENCY = 1;
const JOB_ATTEMPTS = 3;
const JOB_BACKOFF_MS = 10_000;
/** BullMQ knows no later ones. */
const LAST_PRIORITY = 2_097_152;

/** A finished job leaves at once, failed or not: a kept id would keep the run from being woken again. */
const JOB_OPTIONS: BulkJobOptions = {
  attempts: JOB_ATTEMPTS,
  removeOnComplete: true,
  removeOnFail: true,
};

type EstimateJob = { readonly run: string } | { readonly night: string };

export class EstimateQueue {
  readonly #options: EstimateQueueOptions;
  readonly #queue: ConnectedQueue<EstimateJob>;
  readonly #onError: (error: unknown) => void;
  #timer: NodeJS.Timeout | undefined;
  #sweeping: Promise<unknown> = Promise.resolve();
  #stopped = false;

  constructor(options: EstimateQueueOptions) {
    this.#options = options;
    this.#onError = seldom(options.onError, options.nowMs);
    this.#queue = new ConnectedQueue({
      name: ESTIMATE_QUEUE,
      place: options.place,
      concurrency: CONCURRENCY,
      work: ({ data }) => this.#work(data),
      onError: this.#onError,
    });
  }

  /** Rejects when the backend cannot be used; `stop` ends it in between. */
  async start(): Promise<void> {
    await this.#queue.start();
    if (!this.#stopped) this.#sweepAfter(0);
  }

  /** Takes no further run, and is safe to call twice. Whoever makes estimates is told to stop before. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#queue.stop(this.#sweeping);
  }

  /** Plans the night when it is due and tells the queue of runs it should know; returns how many, the rest follows at once. */
  sweep(): Promise<number> {
    const swept = this.#sweeping.then(() => this.#sweep());
    this.#sweeping = swept.catch(() => {});
    return swept;
  }

  async #sweep(): Promise<number> {
    const { runs, nowMs } = this.#options;
    const at = new Date(nowMs());
    await runs.plan(at);
    const waiting = await runs.waiting(at, RUNS_PER_FLOW);
    try {
      await this.#tell(waiting);
    } catch (error) {
      await runs.disarm(waiting);
      throw error;
    }
    if (waiting.length === RUNS_PER_FLOW) this.#sweepAfter(0);
    return waiting.length;
  }

  async #tell(waiting: readonly WaitingRun[]): Promise<void> {
    const nights = Map.groupBy(waiting, ({ night, again }) => (again ? undefined : night));
    const { backoffMs = JOB_BACKOFF_MS } = this.#options;
    const job = (run: WaitingRun) => jobOf(run, backoffMs);
    await this.#queue.add((nights.get(undefined) ?? []).map(job));
    for (const [night, runs] of nights) {
      if (night === undefined) continue;
      const parent: QueueJob<EstimateJob> = {
        name: 'night',
        data: { night },
        opts: { ...JOB_OPTIONS, jobId: `night-${Date.parse(night)}-${runs[0]!.id}` },
      };
      await this.#queue.addFlow(parent, runs.map(job));
    }
  }

  #sweepAfter(delayMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.sweep().then(
        () => this.#rest(),
        (error) => this.#rest(error),
      );
    }, delayMs);
  }

  #rest(error?: unknown): void {
    if (this.#stopped) return;
    if (error !== undefined) this.#onError(error);
    if (this.#timer === undefined) this.#sweepAfter(LOOK_MS);
  }

  async #work(data: EstimateJob): Promise<RunOutcome | undefined> {
    const { runs, nowMs, onNight } = this.#options;
    if ('night' in data) {
      await onNight(data.night);
      return undefined;
    }
    return await runs.run(data.run, nowMs);
  }
}

/** A wish comes before the night's next district and behind the one after: they take turns, however many wishes there are. */
function priorityOf({ night, place }: WaitingRun): number {
  return Math.min(2 * place - (night === undefined ? 1 : 0), LAST_PRIORITY);
}

/** A district that fails does not keep the night from ending. */
function jobOf(run: WaitingRun, backoffMs: number): QueueJob<EstimateJob> {
  const { id, night } = run;
  const nightly = night === undefined ? {} : { ignoreDependencyOnFailure: true };
  const backoff = { type: 'exponential', delay: backoffMs };
  return {
    name: 'district',
    data: { run: id },
    opts: { ...JOB_OPTIONS, ...nightly, priority: priorityOf(run), backoff, jobId: `estimate-${id}` },
  };
}
