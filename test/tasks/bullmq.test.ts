import { createPostgresBackend, Queue } from 'bullmq';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PostgresTaskChanges } from '../../src/store/postgres-task-changes.ts';
import { REARM_AFTER_MS } from '../../src/store/postgres-task-steps.ts';
import { type StepResult, TASK_QUEUE, TaskQueue } from '../../src/tasks/bullmq.ts';
import { type City, city, DAY_MS, employ, HOUR_MS, opened, T0, wang } from './fixture.ts';

let here: City;
let nowMs: number;
let queues: TaskQueue[];
let results: StepResult[];
let awaited: { readonly wanted: string; readonly done: () => void }[];

beforeEach(async () => {
  here = await city();
  nowMs = T0;
  queues = [];
  results = [];
  awaited = [];
});
afterEach(async () => {
  await Promise.all(queues.map((queue) => queue.stop()));
  await here.close();
});

async function startQueue(): Promise<TaskQueue> {
  const queue = new TaskQueue({
    backend: { product: 'postgres', url: here.url },
    steps: here.steps,
    nowMs: () => nowMs,
    onStep: (result) => {
      results.push(result);
      for (const { wanted, done } of awaited) if (wanted === `${result.step} ${result.outcome}`) done();
    },
    onError: (error) => {
      throw error;
    },
  });
  queues.push(queue);
  await queue.start();
  return queue;
}

/** Resolves when a worker reports this from now on. */
function reported(wanted: string): Promise<void> {
  return new Promise((done) => awaited.push({ wanted, done }));
}

async function raise(key = 3): Promise<string> {
  await here.findings.record([opened('silent', key, T0)], new Date(nowMs));
  return (await here.tasks.list({ limit: 1 })).rows[0]!.id;
}

async function wipe(): Promise<void> {
  const queue = new Queue(
    TASK_QUEUE,
    { connection: { connectionString: here.url, schema: 'bullmq' } },
    createPostgresBackend,
  );
  await queue.obliterate({ force: true });
  await queue.resume();
  await queue.close();
}

describe('TaskQueue', () => {
  it('carries a task from being raised to its escalation', async () => {
    await employ(here, wang);
    const queue = await startQueue();
    const dispatched = reported('dispatch assigned');
    const id = await raise();
    queue.wake();
    await dispatched;
    expect(await here.tasks.get(id)).toMatchObject({ state: 'assigned', assignee: 'wang' });
    await expect.poll(() => queue.depths()).toEqual({ waiting: 0, active: 0, delayed: 2, failed: 0 });

    // The queue keeps the machine's time, this test its own: without their jobs the steps are found by the clock that was passed in.
    await wipe();
    const escalated = Promise.all([reported('reminder reminded'), reported('deadline escalated')]);
    nowMs += DAY_MS;
    await queue.sweep();
    await escalated;
    const { history } = await here.tasks.get(id);
    expect(history.map(({ action }) => action).sort()).toEqual(['assign', 'escalated', 'raised', 'reminded']);
  });

  it('dispatches as soon as a commit is announced', async () => {
    await employ(here, wang);
    const queue = await startQueue();
    const changes = new PostgresTaskChanges(here.url, () => queue.wake());
    await changes.start();
    const dispatched = reported('dispatch assigned');
    await raise();
    await dispatched;
    await changes.stop();
  });

  it('loses nothing when the queue is wiped', async () => {
    const queue = await startQueue();
    const ids = [await raise(1), await raise(2)];
    await queue.sweep();
    expect((await queue.depths()).delayed).toBe(4);
    await wipe();
    expect(await queue.depths()).toEqual({ waiting: 0, active: 0, delayed: 0, failed: 0 });
    expect(await queue.sweep()).toBe(0);

    const both = new Promise<void>((done) => {
      awaited.push({
        wanted: 'deadline escalated',
        done: () => results.filter(({ outcome }) => outcome === 'escalated').length === 2 && done(),
      });
    });
    nowMs += DAY_MS;
    await queue.sweep();
    await both;
    for (const id of ids) expect((await here.tasks.get(id)).escalatedAt).toEqual(new Date(T0 + DAY_MS));
  });

  it('finds an inspector who comes later', async () => {
    const queue = await startQueue();
    const id = await raise();
    await queue.sweep();
    expect((await here.tasks.get(id)).state).toBe('raised');
    const dispatched = reported('dispatch assigned');
    await employ(here, wang);
    await queue.sweep();
    await dispatched;
  });

  it('tries again when the only inspector has declined and another one comes', async () => {
    await employ(here, wang);
    const queue = await startQueue();
    const first = reported('dispatch assigned');
    const id = await raise();
    await queue.sweep();
    await first;
    const nobody = reported('dispatch nobody');
    await here.tasks.act(id, 'decline', wang, { note: 'on leave' }, new Date(nowMs));
    await queue.sweep();
    await nobody;
    await expect.poll(async () => (await queue.depths()).active).toBe(0);
    const second = reported('dispatch assigned');
    await employ(here, { ...wang, username: 'zhao' });
    nowMs += REARM_AFTER_MS + 1;
    await queue.sweep();
    await second;
    expect((await here.tasks.get(id)).assignee).toBe('zhao');
  });

  it('does each step once with two services on one database', async () => {
    await employ(here, wang);
    const [one, two] = [await startQueue(), await startQueue()];
    const keys = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
    await here.findings.record(
      keys.map((key) => opened('silent', key, T0)),
      new Date(nowMs),
    );
    await Promise.all([one!.sweep(), two!.sweep()]);
    await expect.poll(() => results.filter(({ outcome }) => outcome === 'assigned').length).toBe(keys.length);
    await wipe();
    nowMs += DAY_MS + HOUR_MS;
    await Promise.all([one!.sweep(), two!.sweep()]);
    await expect.poll(() => results.filter(({ outcome }) => outcome === 'escalated').length).toBe(keys.length);
    expect(await here.sql(`SELECT count(*)::int AS n FROM task_history WHERE action = 'escalated'`)).toEqual([
      { n: keys.length },
    ]);
    expect(await here.sql(`SELECT count(*)::int AS n FROM task_history WHERE action = 'assign'`)).toEqual([
      { n: keys.length },
    ]);
  });

  it('stops twice, and starts again where it was', async () => {
    await employ(here, wang);
    const first = await startQueue();
    await first.stop();
    await first.stop();
    first.wake();
    const id = await raise();
    const dispatched = reported('dispatch assigned');
    await startQueue();
    await dispatched;
    expect((await here.tasks.get(id)).state).toBe('assigned');
  });
});
