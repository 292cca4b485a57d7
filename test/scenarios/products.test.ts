/**
 * The whole path on products that a city runs itself: readings in InfluxDB, the queue of tasks in Redis, everything else in
 * PostgreSQL. The service is killed under load; readings, findings and tasks are those of an undisturbed run.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { fleetOptions, simulateFleet } from '../../simulators/fleet.ts';
import { readLondonProfiles } from '../../simulators/london.ts';
import { generatedSource, publish } from '../../simulators/publish-mqtt.ts';
import { Service } from '../../simulators/service.ts';
import { INFLUXD, ORG, REQUIRED, TestInflux, TOKEN } from '../support/influxdb.ts';
import { expectFindings, expectReadingsOnce, expectTasksOnce, quickConfig } from '../support/journey.ts';
import { type TestDatabase, testDatabase } from '../support/postgres.ts';
import { REDIS, RedisServer } from '../support/redis.ts';

const PERIOD_MS = 15 * 60_000;
const SECRET = 'a secret of the products';
const BUCKET = 'readings';
const FAULTS = { silent: 1, rollback: 2, stopped: 1, runaway: 2, 'voltage-loss': 1, outage: 1 };
const CONFIG_DIR = quickConfig();
const THERE = INFLUXD !== undefined && REDIS !== undefined;

describe.skipIf(!THERE && !REQUIRED)('InfluxDB and Redis', () => {
  let db: TestDatabase | undefined;
  let service: Service | undefined;
  const products: { stop(): Promise<unknown> }[] = [];
  afterEach(async () => {
    await service?.remove();
    for (const product of products.splice(0)) await product.stop();
    await db?.close();
  });

  it('killed under load, nothing is lost and everything found once', { timeout: 180_000 }, async () => {
    db = await testDatabase();
    const influx = await TestInflux.start();
    products.push(influx);
    const redis = await RedisServer.start();
    products.push(redis);
    await influx.query(`CREATE DATABASE ${BUCKET}`);
    service = await Service.create({
      METERWARDEN_CONFIG: CONFIG_DIR,
      DATABASE_URL: db.url,
      INFLUX_URL: influx.front.url,
      INFLUX_TOKEN: TOKEN,
      INFLUX_ORG: ORG,
      INFLUX_BUCKET: BUCKET,
      REDIS_URL: redis.url,
    });
    await service.start();
    await service.signIn();
    const untilMs = Math.floor(Date.now() / PERIOD_MS) * PERIOD_MS - PERIOD_MS;
    const fleet = simulateFleet(
      fleetOptions({ seed: 21, districts: 2, metersPerDistrict: 12, days: 3, untilMs, faults: FAULTS }),
      readLondonProfiles(),
    );
    await service.provision(fleet.instruments, SECRET);
    const total = fleet.instruments.length * fleet.stepCount;
    let killing: Promise<void> | undefined;
    const report = await publish(generatedSource(fleet), {
      url: service.mqttUrl,
      secret: SECRET,
      window: 4,
      readingsPerMessage: 13,
      minBackoffMs: 50,
      maxBackoffMs: 500,
      seed: 21,
      onProgress: (acknowledged) => {
        if (acknowledged < total / 3 || killing) return;
        killing = service!.kill().then(() => service!.start());
      },
    });
    await killing;
    expect(report).toMatchObject({ unacknowledgedMessages: 0, rejectedReadings: 0 });
    await service.signIn();
    await expectReadingsOnce(service, fleet);
    await expectFindings(service, fleet, CONFIG_DIR);
    await expectTasksOnce(service);
    const { rows } = await db.pool.query('SELECT count(*)::int AS count FROM readings');
    expect(rows[0].count, 'no reading is in PostgreSQL').toBe(0);
    const { tasks } = await service.call<{ tasks: { state: string }[] }>('GET', '/api/v1/tasks?limit=1');
    expect(tasks).toHaveLength(1);
    expect(await service.metric('meterwarden_queue_depth')).toBeGreaterThan(0);
  });
});
