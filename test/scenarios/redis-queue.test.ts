/** What Redis can do to the queue of tasks: go away, come back empty, hang, change its mind. The truth stays in PostgreSQL. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { SWEEP_INTERVAL_MS, type TaskQueue } from '../../src/tasks/bullmq.ts';
import { REPEAT_AFTER_MS } from '../../src/tasks/seldom.ts';
import { ClusterRedis, REDIS, REQUIRED, RedisServer, SentinelRedis } from '../support/redis.ts';
import { type City, DAY_MS, employ, city as openCity, T0, wang } from '../tasks/fixture.ts';
import { POLL, QueueCity } from '../tasks/queue-fixture.ts';

/** Of the whole service; the queue has to leave time for others. */
const STOP_WITHIN_MS = 9_000;
const ALL = ['assign', 'escalated', 'raised', 'reminded'];

let city: QueueCity;

/** A task that has been assigned; its reminder and its deadline are jobs of Redis, 20 and 24 hours ahead. */
async function assigned(): Promise<{ queue: TaskQueue; id: string }> {
  const queue = await city.start();
  const id = await city.raise();
  queue.wake();
  await expect.poll(() => city.happened(id), POLL).toEqual(['assign', 'raised']);
  await hasJobs(queue);
  return { queue, id };
}

async function hasJobs(queue: TaskQueue): Promise<void> {
  const depths = () => queue.depths().catch(() => undefined);
  await expect.poll(depths, POLL).toEqual({ waiting: 0, active: 0, delayed: 2, failed: 0 });
}

async function escalatesOnce(queue: TaskQueue, id: string): Promise<void> {
  await expect.poll(() => city.happened(id), POLL).toEqual(ALL);
  await city.isDone(queue);
  city.nowMs = () => T0 + 2 * DAY_MS;
  await queue.sweep();
  expect(await city.happened(id)).toEqual(ALL);
}

describe.skipIf(REDIS === undefined && !REQUIRED)('the queue of tasks on Redis', () => {
  let redis: RedisServer;
  let here: City;
  let tests = 0;

  beforeAll(async () => {
    redis = await RedisServer.start();
    here = await openCity();
  });
  afterAll(async () => {
    await here?.close();
    await redis?.stop();
  });
  beforeEach(async () => {
    city = await QueueCity.in(here, `${redis.url}?prefix=test-${++tests}`);
    await employ(city.here, wang);
  });
  afterEach(async () => {
    redis.resume();
    await city.close();
    if (!(await redis.answers())) await redis.run();
  });

  it('is told of every step again when Redis was killed and has come back empty', async () => {
    const { queue, id } = await assigned();
    await redis.kill();
    await redis.run();
    // No time has passed for the steps: nothing but the loss itself can have brought the jobs back.
    await hasJobs(queue);
    expect(city.disarmed).toBe(2); // the first time was the first start ever
    expect(await city.happened(id)).toEqual(['assign', 'raised']);
    expect(await queue.sweep()).toBe(0);
  });

  it('carries out at once, and once, what became due while Redis was away', async () => {
    const { queue, id } = await assigned();
    await redis.kill();
    city.nowMs = () => T0 + DAY_MS;
    await redis.run();
    await escalatesOnce(queue, id);
    expect((await city.here.tasks.get(id)).escalatedAt).toEqual(new Date(T0 + DAY_MS));
  });

  it('does so with two services, and once', async () => {
    const { queue, id } = await assigned();
    await city.start();
    await redis.kill();
    city.nowMs = () => T0 + DAY_MS;
    await redis.run();
    await escalatesOnce(queue, id);
    expect(city.results.filter(({ outcome }) => outcome === 'escalated')).toHaveLength(1);
  });

  it('notices jobs that vanish without a lost connection by the next interval', async () => {
    const { queue, id } = await assigned();
    await redis.call('FLUSHALL');
    const again = () => queue.depths().then(({ delayed }) => delayed);
    await expect.poll(again, { ...POLL, timeout: SWEEP_INTERVAL_MS + 5_000 }).toBe(2);
    await redis.call('FLUSHALL');
    city.nowMs = () => T0 + DAY_MS;
    await escalatesOnce(queue, id);
  });

  it('tells a Redis that has lost nothing nothing twice, whoever starts', async () => {
    const { queue } = await assigned();
    await queue.stop();
    const next = await city.start();
    expect(await next.sweep()).toBe(0);
    await hasJobs(next);
    expect(city.disarmed).toBe(1);
  });

  it('logs no flood while Redis is away, and says every minute that it still is', async () => {
    const { queue, id } = await assigned();
    await redis.kill();
    await expect.poll(() => city.errors.length, POLL).toBeGreaterThan(0);
    for (let i = 0; i < 20; i++) await queue.sweep().catch(() => {});
    await expect(queue.depths()).rejects.toThrow();
    expect(await queue.ready()).toBe(false);
    const first = new Set(city.errors);
    expect(first.size).toBeLessThan(6);
    expect(city.errors).toHaveLength(first.size);
    city.nowMs = () => T0 + REPEAT_AFTER_MS;
    await expect.poll(() => city.errors.length, POLL).toBeGreaterThan(first.size);

    city.nowMs = () => T0 + DAY_MS;
    await redis.run();
    await escalatesOnce(queue, id);
  });

  it('tells when Redis begins to throw data away', async () => {
    const { queue } = await assigned();
    expect(await queue.ready()).toBe(true);
    await redis.call('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru');
    await expect.poll(() => city.errors, POLL).toEqual(['MeterwardenError: unusable_setting at REDIS_URL']);
    expect(await queue.ready()).toBe(false);
    await redis.call('CONFIG', 'SET', 'maxmemory-policy', 'noeviction');
    await expect.poll(() => queue.ready(), POLL).toBe(true);
  });

  it.each([
    ['gone', () => redis.kill()],
    ['silent', () => redis.pause()],
  ])('stops in time although Redis is %s', async (_, fail) => {
    const { queue } = await assigned();
    await fail();
    await city.raise(4);
    void queue.sweep().catch(() => {});
    const startedMs = performance.now();
    await queue.stop();
    expect(performance.now() - startedMs).toBeLessThan(STOP_WITHIN_MS);
  });

  it('works on when Redis was silent for longer than its connections bear', async () => {
    const { queue } = await assigned();
    redis.pause();
    await expect.poll(() => city.errors.join(), POLL).toContain('Socket timeout');
    redis.resume();
    const next = await city.raise(4);
    await expect.poll(() => city.happened(next), POLL).toEqual(['assign', 'raised']);
    expect((await queue.depths()).delayed).toBe(4);
    expect(city.disarmed).toBe(1);
  });

  it('lets a running step end before it stops, though Redis is gone', async () => {
    let begun = () => {};
    let end = () => {};
    const running = new Promise<void>((resolve) => {
      begun = resolve;
    });
    const released = new Promise<void>((resolve) => {
      end = resolve;
    });
    const queue = await city.start((steps) => ({
      waiting: (...args) => steps.waiting(...args),
      armed: (...args) => steps.armed(...args),
      run: async (...args) => {
        begun();
        await released;
        return await steps.run(...args);
      },
    }));
    const id = await city.raise();
    queue.wake();
    await running;
    await redis.kill();
    const stopped = queue.stop();
    end();
    await stopped;
    expect(await city.happened(id)).toEqual(['assign', 'raised']);
  });
});

describe.skipIf(REDIS === undefined && !REQUIRED)('the queue of tasks through a failover', () => {
  afterEach(() => city.close());

  it('goes on at the new master that the Sentinel has made, and escalates once', async () => {
    const servers = await SentinelRedis.start();
    try {
      city = await QueueCity.open(servers.url);
      await employ(city.here, wang);
      const { queue, id } = await assigned();
      const old = await servers.master();
      await old.kill();
      const late = await city.raise(4);
      await expect.poll(async () => (await servers.master()).port !== old.port, POLL).toBe(true);
      await expect.poll(() => city.happened(late), POLL).toEqual(['assign', 'raised']);
      // Whatever the last writes were that the replica has not seen: all steps have been told again.
      expect(city.disarmed).toBe(2);
      city.nowMs = () => T0 + DAY_MS;
      await (await servers.master()).call('FLUSHALL');
      await escalatesOnce(queue, id);
    } finally {
      await servers.stop();
    }
  });

  it('goes on when the node of a Cluster that has the queue comes back empty', async () => {
    const cluster = await ClusterRedis.start();
    try {
      city = await QueueCity.open(cluster.url);
      await employ(city.here, wang);
      const { queue, id } = await assigned();
      const node = await cluster.nodeOf('{meterwarden}:known');
      await node.kill();
      await node.run();
      await cluster.ready();
      await hasJobs(queue);
      expect(city.disarmed).toBe(2);
      await node.kill();
      city.nowMs = () => T0 + DAY_MS;
      await node.run();
      await escalatesOnce(queue, id);
    } finally {
      await cluster.stop();
    }
  });
});
