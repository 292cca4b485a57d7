/**
 * Wakes the steps of tasks at their moment, by BullMQ on PostgreSQL or Redis. The queue holds nothing that matters: a sweep tells
 * it of every step it does not know, and whatever it loses is swept again.
 */
import type { JobsOptions } from 'bullmq';
import { ConnectedQueue, type QueueDepths, type QueueJob } from './bullmq-connection.ts';
import { seldom } from './seldom.ts';
import type { Step, StepOutcome, TaskSteps, WaitingStep } from './steps.ts';

export type QueueBackend =
  | { readonly product: 'postgres'; readonly url: string }
  | {
      readonly product: 'redis';
      /** See `parseRedisUrl`. */
      readonly url: string;
      /** Called when Redis has forgotten what it was told: every step that is not done is waiting again. */
      readonly disarm: () => Promise<unknown>;
    };

export interface StepResult {
  readonly task: string;
  readonly step: Step;
  readonly outcome: StepOutcome;
}

export interface TaskQueueOptions {
  readonly backend: QueueBackend;
  readonly steps: TaskSteps;
  readonly nowMs: () => number;
  readonly onStep?: (result: StepResult) => void;
  /** Told of the same error once a minute. */
  readonly onError: (error: unknown) => void;
}

export const TASK_QUEUE = 'tasks';
/** Without any notification a waiting step, or that Redis has lost its jobs, is found after this long. */
export const SWEEP_INTERVAL_MS = 2_000;
/** Notifications of one burst are answered by one sweep. */
const WAKE_DELAY_MS = 100;
const STEPS_PER_SWEEP = 500;
/** Steps are written one at a time anyway: while one is, the next is fetched. */
const CONCURRENCY = 2;
const JOB_ATTEMPTS = 3;
const JOB_BACKOFF_MS = 1_000;

/** A finished job leaves at once, failed or not: a kept id would keep the step from being woken again. */
const JOB_OPTIONS: JobsOptions = {
  attempts: JOB_ATTEMPTS,
  backoff: { type: 'exponential', delay: JOB_BACKOFF_MS },
  removeOnComplete: true,
  removeOnFail: true,
};

interface StepJob {
  readonly task: string;
  readonly step: Step;
}

export class TaskQueue {
  readonly #options: TaskQueueOptions;
  readonly #onError: (error: unknown) => void;
  readonly #queue: ConnectedQueue<StepJob>;
  #timer: NodeJS.Timeout | undefined;
  #sweeping: Promise<unknown> = Promise.resolve();
  /** Redis may throw away what it is told. */
  #evicts = false;
  /** A sweep is due within `WAKE_DELAY_MS`. */
  #waking = false;
  #stopped = false;

  constructor(options: TaskQueueOptions) {
    this.#options = options;
    this.#onError = seldom(options.onError, options.nowMs);
    this.#queue = new ConnectedQueue({
      name: TASK_QUEUE,
      place: options.backend,
      concurrency: CONCURRENCY,
      work: ({ data }) => this.#work(data),
      onReady: () => this.wake(),
      onError: this.#onError,
    });
  }

  /** Rejects when the backend cannot be used; `stop` ends it in between. */
  async start(): Promise<void> {
    await this.#queue.start();
    if (!this.#stopped) this.#sweepAfter(0);
  }

  /** Takes no further job, lets running ones end, and is safe to call twice. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#queue.stop(this.#sweeping);
  }

  /** Something about tasks has changed: look for steps soon rather than at the next interval. */
  wake(): void {
    if (this.#waking || this.#stopped || !this.#queue.connected) return;
    this.#waking = true;
    this.#sweepAfter(WAKE_DELAY_MS);
  }

  /** Tells the queue of steps it should know; returns how many, the rest follows at once. */
  sweep(): Promise<number> {
    const swept = this.#sweeping.then(() => this.#sweep());
    this.#sweeping = swept.catch(() => {});
    return swept;
  }

  depths(): Promise<QueueDepths> {
    return this.#queue.depths();
  }

  /** Does its server answer, and keep what it is told? */
  ready(): Promise<boolean> {
    return this.#queue.depths().then(
      () => !this.#evicts,
      () => false,
    );
  }

  async #sweep(): Promise<number> {
    const { steps, nowMs } = this.#options;
    const at = new Date(nowMs());
    await this.#remind();
    const waiting = await steps.waiting(at, STEPS_PER_SWEEP);
    await this.#queue.add(waiting.map((step) => job(step, at)));
    await steps.armed(waiting, at);
    if (waiting.length === STEPS_PER_SWEEP) this.wake();
    return waiting.length;
  }

  /** A Redis that has forgotten jobs is told of all of them again. */
  async #remind(): Promise<void> {
    const { backend } = this.#options;
    if (backend.product === 'postgres') return;
    const memory = this.#queue.memory!;
    const { forgot, evicts } = await memory.look();
    this.#evicts = evicts !== undefined;
    if (evicts) this.#onError(evicts);
    if (!forgot) return;
    await backend.disarm();
    await memory.remember();
  }

  #sweepAfter(delayMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#waking = false;
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
    if (this.#timer === undefined) this.#sweepAfter(SWEEP_INTERVAL_MS);
  }

  async #work({ task, step }: StepJob): Promise<StepOutcome> {
    const outcome = await this.#options.steps.run(task, step, new Date(this.#options.nowMs()));
    this.#options.onStep?.({ task, step, outcome });
    return outcome;
  }
}

function job({ task, step, runAt }: WaitingStep, at: Date): QueueJob<StepJob> {
  const delay = Math.max(0, runAt.getTime() - at.getTime());
  return { name: step, data: { task, step }, opts: { ...JOB_OPTIONS, jobId: `task-${task}-${step}`, delay } };
}
