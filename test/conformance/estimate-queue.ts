/** What the queue of estimates does, whatever keeps its jobs. Run for each backend. */
import { createPostgresBackend, Queue } from 'bullmq';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { estimateDistrict } from '../../src/accuracy/estimate.ts';
import { DistrictCollector } from '../../src/accuracy/window.ts';
import { openAccuracy } from '../../src/app/accuracy.ts';
import { loadDomain } from '../../src/config.ts';
import { type EstimateOrder, Estimating } from '../../src/estimating.ts';
import { Calendar } from '../../src/handover/calendar.ts';
import { type EstimateRun, PostgresEstimateRuns, REARM_AFTER_MS } from '../../src/store/postgres-estimate-runs.ts';
import { ESTIMATE_QUEUE, EstimateQueue } from '../../src/tasks/bullmq-estimates.ts';
import { connectWorker } from '../../src/tasks/redis.ts';
import { parseRedisUrl } from '../../src/tasks/redis-url.ts';
import { type City, DAY_MS, HOUR_MS, city as openCity, T0 } from '../tasks/fixture.ts';
import { POLL } from '../tasks/queue-fixture.ts';

const ZONE = 'Asia/Shanghai';
const domain = loadDomain();
/** T0 is four in the afternoon there. */
const MIDNIGHT = T0 - 16 * HOUR_MS;

/** `open` gives the URL of a Redis, or an empty one for the PostgreSQL of the tests. */
export function estimateQueueConformance(
  name: string,
  open: () => Promise<{ readonly url: string; readonly close: () => Promise<void> }>,
): void {
  describe(`queue of estimates: ${name}`, () => {
    let server: Awaited<ReturnType<typeof open>>;
    let here: City;
    let now: number;
    const queues: EstimateQueue[] = [];
    const nights: string[] = [];
    const made: string[] = [];
    const errors: string[] = [];

    beforeAll(async () => {
      server = await open();
    });
    afterAll(() => server?.close());
    beforeEach(async () => {
      here = await openCity({ instruments: 60 });
      now = T0;
      for (const list of [nights, made, errors]) list.length = 0;
    });
    afterEach(async () => {
      await Promise.all(queues.splice(0).map((queue) => queue.stop()));
      await wipe();
      await here.close();
    });

    const place = () =>
      server.url === ''
        ? ({ product: 'postgres', url: here.url } as const)
        : ({ product: 'redis', url: `${server.url}?prefix=test-estimates` } as const);

    async function start(calculate = estimate): Promise<EstimateQueue> {
      const accuracy = openAccuracy(domain, here.pool, here.ledger, here.findings);
      const estimating = new Estimating({
        ...{ ledger: here.ledger, findings: here.findings, kinds: domain.kinds, rules: domain.rules },
        ...{ policy: domain.accuracy, calendar: new Calendar(ZONE), calculate, ...accuracy },
        onEstimate: ({ district }) => made.push(district),
      });
      const queue = new EstimateQueue({
        place: place(),
        runs: estimating,
        nowMs: () => now,
        backoffMs: 50,
        onNight: async (night) => nights.push(night),
        onError: (error) => errors.push(String(error)),
      });
      queues.push(queue);
      await queue.start();
      return queue;
    }

    /** All jobs go, as somebody with a console of BullMQ would remove them. */
    async function wipe(): Promise<void> {
      const { product, url } = place();
      const client = product === 'redis' ? connectWorker(parseRedisUrl(url)) : undefined;
      const queue = client
        ? new Queue(ESTIMATE_QUEUE, { connection: client, prefix: parseRedisUrl(url).prefix })
        : new Queue(
            ESTIMATE_QUEUE,
            { connection: { connectionString: url, schema: 'bullmq' } },
            createPostgresBackend as never,
          );
      await queue.obliterate({ force: true });
      await queue.resume();
      await queue.close();
      client?.disconnect();
    }

    const runs = () =>
      here.sql<{ district: string; state: EstimateRun['state']; to: Date }>(
        'SELECT district, state, to_ts AS "to" FROM district_estimates ORDER BY district, to_ts',
      );
    const states = async () => (await runs()).map(({ state }) => state);

    test('every district once a night, by two services; then the night is over', async () => {
      await start();
      await start();
      await expect.poll(states, POLL).toEqual(Array(6).fill('done'));
      expect((await runs()).map(({ district }) => district)).toEqual(['D-1', 'D-2', 'D-3', 'D-4', 'D-5', 'D-6']);
      expect(new Set((await runs()).map(({ to }) => to.getTime()))).toEqual(new Set([MIDNIGHT]));
      await expect.poll(() => nights, POLL).toContain(new Date(MIDNIGHT).toISOString());
      expect(made.toSorted()).toEqual(['D-1', 'D-2', 'D-3', 'D-4', 'D-5', 'D-6']);
      now += DAY_MS;
      await expect.poll(states, POLL).toEqual(Array(12).fill('done'));
      expect(errors).toEqual([]);
    });

    test('not before the hour of the night', async () => {
      now = MIDNIGHT + DAY_MS + HOUR_MS;
      const queue = await start();
      await expect.poll(states, POLL).toEqual(Array(6).fill('done'));
      expect((await runs())[0]!.to.getTime()).toBe(MIDNIGHT);
      now += 2 * HOUR_MS;
      await queue.sweep();
      expect(await runs()).toHaveLength(12);
    });

    test('what is lost with the queue is told again', async () => {
      const held = Promise.withResolvers<void>();
      const queue = await start(async (order) => {
        await held.promise;
        return estimate(order);
      });
      await expect.poll(states, POLL).toContain('running');
      await wipe();
      held.resolve();
      await expect.poll(states, POLL).toEqual(['done', ...Array(5).fill('waiting')]);
      await queue.sweep();
      now += REARM_AFTER_MS + 1;
      await queue.sweep();
      await expect.poll(states, POLL).toEqual(Array(6).fill('done'));
    });

    test('what somebody asked for comes first, and takes turns with the night', async () => {
      const held = Promise.withResolvers<void>();
      const queue = await start(async (order) => {
        await held.promise;
        return estimate(order);
      });
      await expect.poll(states, POLL).toContain('running');
      const asked = new PostgresEstimateRuns(here.pool);
      for (const district of ['D-6', 'D-5', 'D-4']) await asked.ask(district, '220302', T0, 'chief', new Date(now));
      await queue.sweep();
      held.resolve();
      await expect.poll(states, POLL).toEqual(Array(9).fill('done'));
      expect(made).toEqual(['D-1', 'D-6', 'D-2', 'D-5', 'D-3', 'D-4', 'D-4', 'D-5', 'D-6']);
    });

    test('a district that cannot be estimated is tried three times, and keeps nobody waiting', {
      timeout: 90_000,
    }, async () => {
      let tried = 0;
      await start(async (order) => {
        if (order.district !== 'D-2') return estimate(order);
        tried++;
        throw new Error('the store is away');
      });
      await expect.poll(states, POLL).toEqual(['done', 'failed', ...Array(4).fill('done')]);
      expect(tried).toBe(3);
      const [failed] = await here.sql<{ failure: string }>(
        `SELECT failure FROM district_estimates WHERE state = 'failed'`,
      );
      expect(failed!.failure).toContain('the store is away');
      await expect.poll(() => nights, POLL).toHaveLength(1);
      expect(new Set(errors)).toEqual(new Set(['Error: the store is away']));
    });
  });
}

/** Of districts that nothing was read of. */
async function estimate({ district, instruments }: EstimateOrder) {
  const { kinds, accuracy: policy } = domain;
  return estimateDistrict(new DistrictCollector(district, instruments).collect({ kinds, policy }).window, policy);
}
