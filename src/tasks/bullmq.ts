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
import { connectQueue, connectWorker, type RedisClient, RedisMemory, requireRedis } from './redis.ts';
import { parseRedisUrl } from './redis-url.ts';
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

export type QueueDepths = Readonly<Record<'waiting' | 'active' | 'delayed' | 'failed', number>>;

export const TASK_QUEUE = 'tasks';
/** The schema of BullMQ's own tables, beside ours in the same database. */
const SCHEMA = 'bullmq';
/** Without any notification a waiting step, or that Redis has lost its jobs, is found after this long. */
export const SWEEP_INTERVAL_MS = 2_000;
/** Notifications of one burst are answered by one sweep. */
const WAKE_DELAY_MS = 100;
const STEPS_PER_SWEEP = 500;
/** Steps are written one at a time anyway: while one is, the next is fetched. */
const CONCURRENCY = 2;
const CONNECTIONS = 3;
/** A database that is silent so long is given up: the next query has another connection. */
const ANSWER_TIMEOUT_MS = 10_000;
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

const WORKER_OPTIONS: Omit<WorkerOptions, 'connection'> = {
  concurrency: CONCURRENCY,
  runRetryDelay: RECONNECT_DELAY_MS,
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
type StepWorker = {
  on(event: 'error', listener: (error: unknown) => void): unknown;
  on(event: 'failed', listener: (job: unknown, error: unknown) => void): unknown;
  waitUntilReady(): Promise<unknown>;
  close(force?: boolean): Promise<void>;
};

interface RedisParts {
  readonly memory: RedisMemory;
  /** All there are. */
  readonly clients: Pick<RedisClient, 'disconnect'>[];
}

export class TaskQueue {
  readonly #options: TaskQueueOptions;
  readonly #onError: (error: unknown) => void;
  readonly #starting = new AbortController();
  #queue: StepQueue | undefined;
  #worker: StepWorker | undefined;
  #redis: RedisParts | undefined;
  #timer: NodeJS.Timeout | undefined;
  #sweeping: Promise<unknown> = Promise.resolve();
  readonly #running = new Set<Promise<StepOutcome>>();
  /** A sweep is due within `WAKE_DELAY_MS`. */
  #waking = false;
  #stopped = false;

  constructor(options: TaskQueueOptions) {
    this.#options = options;
    this.#onError = seldom(options.onError, options.nowMs);
  }

  /** Rejects when the backend cannot be used; `stop` ends it in between. */
  async start(): Promise<void> {
    const { backend } = this.#options;
    if (backend.product === 'postgres') await this.#startOnPostgres(backend.url);
    else await this.#startOnRedis(backend.url);
    if (!this.#stopped) this.#sweepAfter(0);
  }

  /** Takes no further job, lets running ones end, and is safe to call twice. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#starting.abort();
    clearTimeout(this.#timer);
    // Sweep and worker would wait for a Redis that is away.
    const away = this.#redis !== undefined && !(await this.#redis.memory.answers());
    if (away) this.#disconnect();
    await within(STOP_TIMEOUT_MS / 2, [this.#sweeping]);
    await within(STOP_TIMEOUT_MS, [this.#worker?.close(away), this.#queue?.close(), ...this.#running]);
    this.#disconnect();
    this.#worker = undefined;
    this.#queue = undefined;
    this.#redis = undefined;
  }

  /** Something about tasks has changed: look for steps soon rather than at the next interval. */
  wake(): void {
    if (this.#waking || this.#stopped || !this.#queue) return;
    this.#waking = true;
    this.#sweepAfter(WAKE_DELAY_MS);
  }

  /** Tells the queue of steps it should know; returns how many, the rest follows at once. */
  sweep(): Promise<number> {
    const swept = this.#sweeping.then(() => this.#sweep());
    this.#sweeping = swept.catch(() => {});
    return swept;
  }

  async depths(): Promise<QueueDepths> {
    const counts = await this.#queue!.getJobCounts('waiting', 'active', 'delayed', 'failed');
    const { waiting = 0, active = 0, delayed = 0, failed = 0 } = counts;
    return { waiting, active, delayed, failed };
  }

  async #sweep(): Promise<number> {
    const { steps, nowMs } = this.#options;
    const at = new Date(nowMs());
    await this.#remind();
    const waiting = await steps.waiting(at, STEPS_PER_SWEEP);
    if (waiting.length > 0) await this.#queue!.addBulk(waiting.map((step) => job(step, at)));
    await steps.armed(waiting, at);
    if (waiting.length === STEPS_PER_SWEEP) this.wake();
    return waiting.length;
  }

  /** A Redis that has forgotten jobs is told of all of them again. */
  async #remind(): Promise<void> {
    const { backend } = this.#options;
    if (backend.product === 'postgres') return;
    const { memory } = this.#redis!;
    const { forgot, evicts } = await memory.look();
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

  async #startOnPostgres(url: string): Promise<void> {
    const connection = postgresConnection(url);
    const queue = new Queue(TASK_QUEUE, { connection: { ...connection, migrate: true } }, createPostgresBackend);
    queue.on('error', this.#onError);
    this.#queue = queue;
    await queue.waitUntilReady();
    if (this.#stopped) return;
    await this.#ready(new Worker(TASK_QUEUE, this.#work, { ...WORKER_OPTIONS, connection }, createPostgresBackend));
  }

  async #startOnRedis(url: string): Promise<void> {
    const servers = parseRedisUrl(url);
    await requireRedis(servers, this.#starting.signal);
    this.#starting.signal.throwIfAborted();
    const { prefix } = servers;
    const [adding, working] = [connectQueue(servers), connectWorker(servers)];
    this.#redis = { memory: new RedisMemory(adding, servers), clients: [adding, working] };
    adding.on('ready', () => this.wake());
    const queue = new Queue<StepJob>(TASK_QUEUE, { connection: adding, prefix });
    queue.on('error', this.#onError);
    this.#queue = queue;
    const worker = new Worker<StepJob>(TASK_QUEUE, this.#work, { ...WORKER_OPTIONS, connection: working, prefix });
    await Promise.all([queue.waitUntilReady(), this.#ready(worker)]);
    // BullMQ has made a third connection, and stops listening to it before it is closed.
    const blocking = (await worker.getBackend().blockingClient)!;
    blocking.on('error', () => {});
    this.#redis?.clients.push(blocking);
  }

  #disconnect(): void {
    for (const client of this.#redis?.clients ?? []) client.disconnect();
  }

  async #ready(worker: StepWorker): Promise<void> {
    worker.on('error', this.#onError);
    worker.on('failed', (_job, error) => this.#onError(error));
    this.#worker = worker;
    await worker.waitUntilReady();
  }

  readonly #work = async ({ data: { task, step } }: Job<StepJob>): Promise<StepOutcome> => {
    const running = this.#options.steps.run(task, step, new Date(this.#options.nowMs()));
    this.#running.add(running);
    try {
      const outcome = await running;
      this.#options.onStep?.({ task, step, outcome });
      return outcome;
    } finally {
      this.#running.delete(running);
    }
  };
}

function job({ task, step, runAt }: WaitingStep, at: Date): { name: string; data: StepJob; opts: BulkJobOptions } {
  const delay = Math.max(0, runAt.getTime() - at.getTime());
  return { name: step, data: { task, step }, opts: { ...JOB_OPTIONS, jobId: `task-${task}-${step}`, delay } };
}

function postgresConnection(url: string) {
  return {
    connectionString: url,
    schema: SCHEMA,
    max: CONNECTIONS,
    application_name: 'meterwarden queue',
    connectionTimeoutMillis: ANSWER_TIMEOUT_MS,
    query_timeout: ANSWER_TIMEOUT_MS,
    keepAlive: true,
  };
}

/** Waits for all of these, but not longer: a server that does not answer must not keep the process from ending. */
async function within(timeoutMs: number, closing: readonly (Promise<unknown> | undefined)[]): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((done) => {
    timer = setTimeout(done, timeoutMs);
  });
  await Promise.race([Promise.allSettled(closing), timeout]);
  clearTimeout(timer);
}
