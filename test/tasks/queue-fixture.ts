/** Task queues of a small city at work, on whatever backend, with what they did and what went wrong. */
import { expect } from 'vitest';
import { PostgresFindings } from '../../src/store/postgres-findings.ts';
import { disarmSteps } from '../../src/store/postgres-task-arming.ts';
import { PostgresTaskSteps } from '../../src/store/postgres-task-steps.ts';
import { type QueueBackend, type StepResult, TaskQueue } from '../../src/tasks/bullmq.ts';
import { parseTaskPolicies } from '../../src/tasks/policy.ts';
import type { TaskSteps } from '../../src/tasks/steps.ts';
import { type City, city, opened, POLICIES, T0 } from './fixture.ts';

const SHORT = { accept_within: '2s', remind_before: '1s', done_within: '7d' };
/** Queues keep the machine's time: these deadlines can be awaited. */
export const QUICK = parseTaskPolicies({ repair: SHORT, 'verify-on-site': SHORT, replace: SHORT, 'spot-check': SHORT });
export const POLL = { timeout: 30_000, interval: 20 };

export class QueueCity {
  readonly here: City;
  readonly results: StepResult[] = [];
  readonly errors: string[] = [];
  /** How often the queue had to be told of everything again. */
  disarmed = 0;
  policies = POLICIES;
  nowMs: () => number = () => T0;
  readonly #url: string;
  readonly #close: () => Promise<void>;
  readonly #queues: TaskQueue[] = [];
  readonly #awaited: { readonly wanted: string; readonly done: () => void }[] = [];

  private constructor(here: City, url: string, close: () => Promise<void>) {
    this.here = here;
    this.#url = url;
    this.#close = close;
  }

  /** `url` of Redis; empty = on PostgreSQL. */
  static async open(url: string): Promise<QueueCity> {
    const here = await city();
    return new QueueCity(here, url, () => here.close());
  }

  /** In a city that is there already, and stays. */
  static async in(here: City, url: string): Promise<QueueCity> {
    await here.clear();
    return new QueueCity(here, url, async () => {});
  }

  get backend(): QueueBackend {
    if (this.#url === '') return { product: 'postgres', url: this.here.url };
    const disarm = () => {
      this.disarmed++;
      return disarmSteps(this.here.pool);
    };
    return { product: 'redis', url: this.#url, disarm };
  }

  newQueue(change: (steps: TaskSteps) => TaskSteps = (steps) => steps): TaskQueue {
    const queue = new TaskQueue({
      backend: this.backend,
      steps: change(new PostgresTaskSteps(this.here.pool, this.policies)),
      nowMs: () => this.nowMs(),
      onStep: (result) => {
        this.results.push(result);
        for (const { wanted, done } of this.#awaited) if (wanted === `${result.step} ${result.outcome}`) done();
      },
      onError: (error) => this.errors.push(String(error)),
    });
    this.#queues.push(queue);
    return queue;
  }

  async start(change?: (steps: TaskSteps) => TaskSteps): Promise<TaskQueue> {
    const queue = this.newQueue(change);
    await queue.start();
    return queue;
  }

  /** Resolves when a worker reports this from now on. */
  reported(wanted: string): Promise<void> {
    return new Promise((done) => this.#awaited.push({ wanted, done }));
  }

  async raise(key = 3): Promise<string> {
    const findings = new PostgresFindings({ ...this.here.options, policies: this.policies });
    await findings.record([opened('silent', key, T0)], new Date(this.nowMs()));
    return (await this.here.tasks.list({ limit: 1 })).rows[0]!.id;
  }

  async happened(id: string): Promise<string[]> {
    return (await this.here.tasks.get(id)).history.map(({ action }) => action).sort();
  }

  async isDone(queue: TaskQueue): Promise<void> {
    await expect.poll(() => queue.depths(), POLL).toEqual({ waiting: 0, active: 0, delayed: 0, failed: 0 });
  }

  async close(): Promise<void> {
    await Promise.all(this.#queues.map((queue) => queue.stop()));
    await this.#close();
  }
}
