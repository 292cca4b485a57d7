/**
 * Three workers share a subscription at Mosquitto; under load one is killed and another comes. Mosquitto divides messages as it
 * likes, yet readings, findings and tasks are those of one undisturbed process.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { fleetOptions, simulateFleet } from '../../simulators/fleet.ts';
import { readLondonProfiles } from '../../simulators/london.ts';
import { generatedSource, publish } from '../../simulators/publish-mqtt.ts';
import { type Role, Service } from '../../simulators/service.ts';
import { expectFindings, expectReadingsOnce, expectTasksOnce, quickConfig } from '../support/journey.ts';
import { MOSQUITTO, Mosquitto, REQUIRED } from '../support/mosquitto.ts';
import { type TestDatabase, testDatabase } from '../support/postgres.ts';

const PERIOD_MS = 15 * 60_000;
const SECRET = 'a secret of the workers';
const WORKER = 'a secret of meterwarden';
const PREFIX = 'devices/{client}/';
const FAULTS = { silent: 1, rollback: 2, stopped: 1, runaway: 2, 'voltage-loss': 1, outage: 1 };
const CONFIG_DIR = quickConfig();

describe.skipIf(MOSQUITTO === undefined && !REQUIRED)('workers at Mosquitto', () => {
  let db: TestDatabase | undefined;
  let broker: Mosquitto | undefined;
  let services: Service[] = [];
  afterEach(async () => {
    await Promise.all(services.map((service) => service.remove()));
    services = [];
    await broker?.stop();
    await db?.close();
  });

  const start = async (role: Role, version = '5'): Promise<Service> => {
    const env = {
      METERWARDEN_CONFIG: CONFIG_DIR,
      DATABASE_URL: db!.url,
      MQTT_URL: broker!.url('meterwarden', WORKER),
      MQTT_VERSION: version,
      MQTT_CONNECTIONS: '2',
    };
    const service = await Service.create(env, role);
    services.push(service);
    await service.start();
    return service;
  };

  it.each(['5', '3.1.1'])('MQTT %s: one killed and one added under load', { timeout: 180_000 }, async (version) => {
    db = await testDatabase();
    const untilMs = Math.floor(Date.now() / PERIOD_MS) * PERIOD_MS - PERIOD_MS;
    const fleet = simulateFleet(
      fleetOptions({ seed: 31, districts: 3, metersPerDistrict: 12, days: 3, untilMs, faults: FAULTS }),
      readLondonProfiles(),
    );
    const gateways = [...new Set(fleet.instruments.map(({ id, gateway }) => gateway || id))];
    broker = await Mosquitto.start({
      meterwarden: WORKER,
      ...Object.fromEntries(gateways.map((gateway) => [gateway, SECRET])),
    });
    const api = await start('api');
    await api.signIn();
    await api.provision(fleet.instruments, SECRET);
    const [, first] = await Promise.all([
      start('work'),
      start('ingest', version),
      start('ingest', version),
      start('ingest', version),
    ]);
    const total = fleet.instruments.length * fleet.stepCount;
    let disturbing: Promise<unknown> | undefined;
    const report = await publish(generatedSource(fleet), {
      url: `mqtt://127.0.0.1:${broker.port}`,
      secret: SECRET,
      topicPrefix: PREFIX,
      window: 4,
      readingsPerMessage: 13,
      minBackoffMs: 50,
      maxBackoffMs: 500,
      seed: 31,
      onProgress: (acknowledged) => {
        if (acknowledged < total / 3 || disturbing) return;
        disturbing = first!.kill().then(() => start('ingest', version));
      },
    });
    await disturbing;
    expect(report).toMatchObject({ unacknowledgedMessages: 0, rejectedReadings: 0 });
    // Mosquitto acknowledges what it has; the workers have it a little later.
    await expect
      .poll(async () => (await db!.pool.query('SELECT count(*)::int AS n FROM readings')).rows[0].n, {
        timeout: 60_000,
        interval: 500,
      })
      .toBe(report.acknowledgedReadings);
    await expectReadingsOnce(api, fleet);
    await expectFindings(api, fleet, CONFIG_DIR);
    await expectTasksOnce(api);
  });
});
