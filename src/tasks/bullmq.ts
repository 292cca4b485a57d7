/**
 * Wakes the steps of tasks at their moment, by BullMQ on PostgreSQL or Redis. The queue holds nothing that matters: a sweep tells
 * it of every step it does not know, and whatever it loses is swept again.
 */
import {
  type BulkJobOptions,
  createPostgresBackend,
  type Job,
  type JobsOptions,
  Queue,
  Worker,
  type WorkerOptions,
} from 'bullmq';
import type { Step, StepOutcome, TaskSteps, WaitingStep } from './steps.ts';

export type QueueBackend =
  | { readonly product: 'postgres'; readonly url: string }
  /** Needs `maxmemory-policy noeviction`. */
  | { readonly product: 'redis'; readonly url: string };

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
  readonly onError: (error: unknown) => void;
}

export type QueueDepths = Readonly<Record<'waiting' | 'active' | 'delayed' | 'failed', number>>;

export const TASK_QUEUE = 'tasks';
/** The schema of BullMQ's own tables, beside ours in the same database. */
const SCHEMA = 'bullmq';
/** Without any notification a waiting step is found after this long. */
const SWEEP_INTERVAL_MS = 2_000;
/** Notifications of one burst are answered by one sweep. */
const WAKE_DELAY_MS = 100;
const STEPS_PER_SWEEP = 500;
/** Steps are written one at a time anyway: while one is, the next is fetched. */
const CONCURRENCY = 2;
const CONNECTIONS = 3;
const JOB_ATTEMPTS = 3;
const JOB_BACKOFF_MS = 1_000;
/** After a lost connection; the default of 15 s would leave a raised task unassigned for longer than people wait. */
const RECONNECT_DELAY_MS = 1_000;
const STOP_TIMEOUT_MS = 5_000;

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

type StepQueue = {
  addBulk(jobs: { name: string; data: StepJob; opts: BulkJobOptions }[]): Promise<unknown>;
  getJobCounts(...types: (keyof QueueDepths)[]): Promise<Record<string, number>>;
  close(): Promise<void>;
};
type StepWorker = { close(force?: boolean): Promise<void> };

export class TaskQueue {
  readonly #options: TaskQueueOptions;
  #queue: StepQueue | undefined;
  #worker: StepWorker | undefined;
  #timer: NodeJS.Timeout | undefined;
  #sweeping: Promise<void> = Promise.resolve();
  /** A sweep is due within `WAKE_DELAY_MS`. */
  #waking = false;
  #stopped = false;

  constructor(options: TaskQueueOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { backend, onError } = this.#options;
    const queue = await openQueue(backend, onError);
    this.#queue = queue;
    this.#worker = await openWorker(backend, (job) => this.#work(job.data), onError);
    this.#sweepAfter(0);
  }

  /** Takes no further job, lets running ones end, and is safe to call twice. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await within(STOP_TIMEOUT_MS / 2, [this.#sweeping]);
    await within(STOP_TIMEOUT_MS, [this.#worker?.close(), this.#queue?.close()]);
    this.#worker = undefined;
    this.#queue = undefined;
  }

  /** Something about tasks has changed: look for steps soon rather than at the next interval. */
  wake(): void {
    if (this.#waking || this.#stopped || !this.#queue) return;
    this.#waking = true;
    this.#sweepAfter(WAKE_DELAY_MS);
  }

  /** Tells the queue of steps it should know; returns how many, the rest follows at once. */
  async sweep(): Promise<number> {
    const { steps, nowMs } = this.#options;
    const at = new Date(nowMs());
    const waiting = await steps.waiting(at, STEPS_PER_SWEEP);
    if (waiting.length > 0) await this.#queue!.addBulk(waiting.map((step) => job(step, at)));
    await steps.armed(waiting, at);
    if (waiting.length === STEPS_PER_SWEEP) this.wake();
    return waiting.length;
  }

  async depths(): Promise<QueueDepths> {
    const counts = await this.#queue!.getJobCounts('waiting', 'active', 'delayed', 'failed');
    const { waiting = 0, active = 0, delayed = 0, failed = 0 } = counts;
    return { waiting, active, delayed, failed };
  }

  #sweepAfter(delayMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#waking = false;
      this.#timer = undefined;
      this.#sweeping = this.#sweeping
        .then(() => this.sweep())
        .then(
          () => this.#rest(),
          (error) => this.#rest(error),
        );
    }, delayMs);
  }

  #rest(error?: unknown): void {
    if (this.#stopped) return;
    if (error !== undefined) this.#options.onError(error);
    if (this.#timer === undefined) this.#sweepAfter(SWEEP_INTERVAL_MS);
  }

  async #work({ task, step }: StepJob): Promise<StepOutcome> {
    const outcome = await this.#options.steps.run(task, step, new Date(this.#options.nowMs()));
    this.#options.onStep?.({ task, step, outcome });
    return outcome;
  }
}

function job({ task, step, runAt }: WaitingStep, at: Date): { name: string; data: StepJob; opts: BulkJobOptions } {
  const delay = Math.max(0, runAt.getTime() - at.getTime());
  return { name: step, data: { task, step }, opts: { ...JOB_OPTIONS, jobId: `task-${task}-${step}`, delay } };
}

async function openQueue(backend: QueueBackend, onError: (error: unknown) => void): Promise<StepQueue> {
  const queue =
    backend.product === 'postgres'
      ? new Queue(
          TASK_QUEUE,
          { connection: { ...postgresConnection(backend.url), migrate: true } },
          createPostgresBackend,
        )
      : new Queue<StepJob>(TASK_QUEUE, { connection: { url: backend.url } });
  queue.on('error', onError);
  await queue.waitUntilReady();
  return queue;
}

async function openWorker(
  backend: QueueBackend,
  work: (job: Job<StepJob>) => Promise<StepOutcome>,
  onError: (error: unknown) => void,
): Promise<StepWorker> {
  const options: Omit<WorkerOptions, 'connection'> = { concurrency: CONCURRENCY, runRetryDelay: RECONNECT_DELAY_MS };
  const worker =
    backend.product === 'postgres'
      ? new Worker(TASK_QUEUE, work, { ...options, connection: postgresConnection(backend.url) }, createPostgresBackend)
      : new Worker<StepJob>(TASK_QUEUE, work, {
          ...options,
          connection: { url: backend.url, maxRetriesPerRequest: null },
        });
  worker.on('error', onError);
  worker.on('failed', (_job, error) => onError(error));
  await worker.waitUntilReady();
  return worker;
}

function postgresConnection(url: string) {
  return { connectionString: url, schema: SCHEMA, max: CONNECTIONS, application_name: 'meterwarden queue' };
}

/** Waits for all of these, but not longer: a server that does not answer must not keep the process from ending. */
async function within(timeoutMs: number, closing: readonly (Promise<void> | undefined)[]): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((done) => {
    timer = setTimeout(done, timeoutMs);
  });
  await Promise.race([Promise.allSettled(closing), timeout]);
  clearTimeout(timer);
}
