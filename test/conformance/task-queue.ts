/** What the queue of tasks does, whatever keeps its jobs. Run by one test file per backend. */
import { type BackendFactory, createPostgresBackend, Queue } from 'bullmq';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { PostgresTaskChanges } from '../../src/store/postgres-task-changes.ts';
import { REARM_AFTER_MS } from '../../src/store/postgres-task-steps.ts';
import { TASK_QUEUE } from '../../src/tasks/bullmq.ts';
import { connectWorker } from '../../src/tasks/redis.ts';
import { parseRedisUrl } from '../../src/tasks/redis-url.ts';
import { type City, DAY_MS, employ, HOUR_MS, city as openCity, opened, T0, wang } from '../tasks/fixture.ts';
import { POLL, QUICK, QueueCity } from '../tasks/queue-fixture.ts';

/** `open` gives the URL of a Redis, or an empty one for the PostgreSQL of the tests. */
export function taskQueueConformance(
  name: string,
  open: () => Promise<{ readonly url: string; readonly close: () => Promise<void> }>,
): void {
  describe(`task queue: ${name}`, () => {
    let server: Awaited<ReturnType<typeof open>>;
    let shared: City | undefined;
    let tests = 0;
    let city: QueueCity;

    beforeAll(async () => {
      server = await open();
      // Jobs in PostgreSQL would stay behind; in Redis each test is an installation of its own.
      shared = server.url === '' ? undefined : await openCity();
    });
    afterAll(async () => {
      await shared?.close();
      await server?.close();
    });
    beforeEach(async () => {
      city = shared ? await QueueCity.in(shared, `${server.url}?prefix=test-${++tests}`) : await QueueCity.open('');
    });
    afterEach(async () => {
      await city.close();
      expect(city.errors).toEqual([]);
    });

    test('carries a task from being raised to its escalation', async () => {
      await employ(city.here, wang);
      const queue = await city.start();
      const dispatched = city.reported('dispatch assigned');
      const id = await city.raise();
      queue.wake();
      await dispatched;
      expect(await city.here.tasks.get(id)).toMatchObject({ state: 'assigned', assignee: 'wang' });
      await expect.poll(() => queue.depths()).toEqual({ waiting: 0, active: 0, delayed: 2, failed: 0 });

      // The queue keeps the machine's time, this test its own: without their jobs the steps are found by the clock that was passed in.
      await wipe(city);
      const escalated = Promise.all([city.reported('reminder reminded'), city.reported('deadline escalated')]);
      city.nowMs = () => T0 + DAY_MS;
      await queue.sweep();
      await escalated;
      expect(await city.happened(id)).toEqual(['assign', 'escalated', 'raised', 'reminded']);
    });

    test('wakes at the moment: reminds, escalates once, and leaves alone what is accepted in time', async () => {
      await employ(city.here, wang);
      city.policies = QUICK;
      city.nowMs = Date.now;
      const queue = await city.start();
      const [late, accepted] = [await city.raise(3), await city.raise(4)];
      queue.wake();
      await expect.poll(() => city.happened(accepted), POLL).toContain('assign');
      await city.here.tasks.act(accepted, 'accept', wang, {}, new Date());
      const open = () => city.here.sql('SELECT step FROM task_steps WHERE done_at IS NULL');
      await expect.poll(open, POLL).toEqual([]);
      expect(await city.happened(late)).toEqual(['assign', 'escalated', 'raised', 'reminded']);
      expect(await city.happened(accepted)).toEqual(['accept', 'assign', 'raised']);
      const { escalatedAt, createdAt } = await city.here.tasks.get(late);
      expect(escalatedAt!.getTime()).toBeGreaterThanOrEqual(createdAt.getTime() + 2_000);

      await city.isDone(queue);
      city.nowMs = () => Date.now() + 2 * REARM_AFTER_MS;
      expect(await queue.sweep()).toBe(0);
    });

    test('dispatches as soon as a commit is announced', async () => {
      await employ(city.here, wang);
      const queue = await city.start();
      const changes = new PostgresTaskChanges(city.here.url, () => queue.wake());
      await changes.start();
      const dispatched = city.reported('dispatch assigned');
      await city.raise();
      await dispatched;
      await changes.stop();
    });

    test('loses nothing when the queue is wiped', async () => {
      const queue = await city.start();
      const ids = [await city.raise(1), await city.raise(2)];
      await queue.sweep();
      expect((await queue.depths()).delayed).toBe(4);
      await wipe(city);
      expect(await queue.depths()).toEqual({ waiting: 0, active: 0, delayed: 0, failed: 0 });
      expect(await queue.sweep()).toBe(0);

      city.nowMs = () => T0 + DAY_MS;
      await queue.sweep();
      for (const id of ids) {
        await expect.poll(() => city.happened(id), POLL).toContain('escalated');
        expect((await city.here.tasks.get(id)).escalatedAt).toEqual(new Date(T0 + DAY_MS));
      }
    });

    test('finds an inspector who comes later', async () => {
      const queue = await city.start();
      const id = await city.raise();
      await queue.sweep();
      expect((await city.here.tasks.get(id)).state).toBe('raised');
      const dispatched = city.reported('dispatch assigned');
      await employ(city.here, wang);
      await queue.sweep();
      await dispatched;
    });

    test('tries again when the only inspector has declined and another one comes', async () => {
      await employ(city.here, wang);
      const queue = await city.start();
      const first = city.reported('dispatch assigned');
      const id = await city.raise();
      await queue.sweep();
      await first;
      const nobody = city.reported('dispatch nobody');
      await city.here.tasks.act(id, 'decline', wang, { note: 'on leave' }, new Date(T0));
      await queue.sweep();
      await nobody;
      await expect.poll(async () => (await queue.depths()).active).toBe(0);
      const second = city.reported('dispatch assigned');
      await employ(city.here, { ...wang, username: 'zhao' });
      city.nowMs = () => T0 + REARM_AFTER_MS + 1;
      await queue.sweep();
      await second;
      expect((await city.here.tasks.get(id)).assignee).toBe('zhao');
    });

    test('does each step once with two services on one database', async () => {
      await employ(city.here, wang);
      const [one, two] = [await city.start(), await city.start()];
      const keys = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
      await city.here.findings.record(
        keys.map((key) => opened('silent', key, T0)),
        new Date(T0),
      );
      await Promise.all([one.sweep(), two.sweep()]);
      const outcomes = (wanted: string) => city.results.filter(({ outcome }) => outcome === wanted).length;
      await expect.poll(() => outcomes('assigned'), POLL).toBe(keys.length);
      await wipe(city);
      city.nowMs = () => T0 + DAY_MS + HOUR_MS;
      await Promise.all([one.sweep(), two.sweep()]);
      await expect.poll(() => outcomes('escalated'), POLL).toBe(keys.length);
      const times = (action: string) =>
        city.here.sql('SELECT count(*)::int AS n FROM task_history WHERE action = $1', [action]);
      expect(await times('escalated')).toEqual([{ n: keys.length }]);
      expect(await times('assign')).toEqual([{ n: keys.length }]);
    });

    test('stops twice, and starts again where it was', async () => {
      await employ(city.here, wang);
      const first = await city.start();
      await first.stop();
      await first.stop();
      first.wake();
      const id = await city.raise();
      const dispatched = city.reported('dispatch assigned');
      await city.start();
      await dispatched;
      expect((await city.here.tasks.get(id)).state).toBe('assigned');
    });

    test('is stopped while it starts', async () => {
      const queue = city.newQueue();
      const started = queue.start().catch(() => {});
      await queue.stop();
      await started;
    });
  });
}

/** All jobs go, as somebody with a console of BullMQ would remove them. */
async function wipe({ backend }: QueueCity): Promise<void> {
  const client = backend.product === 'redis' ? connectWorker(parseRedisUrl(backend.url)) : undefined;
  const queue =
    backend.product === 'redis'
      ? new Queue(TASK_QUEUE, { connection: client!, prefix: parseRedisUrl(backend.url).prefix })
      : new Queue(
          TASK_QUEUE,
          { connection: { connectionString: backend.url, schema: 'bullmq' } },
          createPostgresBackend as BackendFactory,
        );
  await queue.obliterate({ force: true });
  await queue.resume();
  await queue.close();
  client?.disconnect();
}
