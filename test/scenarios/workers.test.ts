/**
 * Workers share a subscription at Mosquitto; under load one is killed and another comes, or one leaves for good. Mosquitto divides
 * messages as it likes, yet readings, findings and tasks are those of one undisturbed process.
 */
import { afterEach, describe, expect, it } from 'vitest';
import type { Fleet } from '../../simulators/fleet.ts';
import { generatedSource, type PublishOptions } from '../../simulators/publish-mqtt.ts';
import { type Role, Service } from '../../simulators/service.ts';
import { expectReadingsOnce, expectUndisturbed, journeyFleet, quickConfig, SECRET, send } from '../support/journey.ts';
import { MOSQUITTO, Mosquitto, REQUIRED } from '../support/mosquitto.ts';
import { type TestDatabase, testDatabase } from '../support/postgres.ts';

const WORKER = 'a secret of meterwarden';
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

  const brokerFor = (fleet: Fleet): Promise<Mosquitto> => {
    const gateways = fleet.instruments.map(({ id, gateway }) => gateway || id);
    return Mosquitto.start({
      meterwarden: WORKER,
      ...Object.fromEntries(gateways.map((gateway) => [gateway, SECRET])),
    });
  };

  /** Mosquitto acknowledges what it has; the workers have it a little later. */
  const sendAll = async (fleet: Fleet, options: Pick<PublishOptions, 'seed' | 'onProgress'>) => {
    const url = `mqtt://127.0.0.1:${broker!.port}`;
    const acknowledged = await send(generatedSource(fleet), { url, topicPrefix: 'devices/{client}/', ...options });
    await expect
      .poll(async () => (await db!.pool.query('SELECT count(*)::int AS n FROM readings')).rows[0].n, {
        timeout: 60_000,
        interval: 500,
      })
      .toBe(acknowledged);
  };

  it.each(['5', '3.1.1'])('MQTT %s: one killed and one added under load', { timeout: 180_000 }, async (version) => {
    db = await testDatabase();
    const fleet = journeyFleet(31, { districts: 3 });
    broker = await brokerFor(fleet);
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
    await sendAll(fleet, {
      seed: 31,
      onProgress: (acknowledged) => {
        if (acknowledged < total / 3 || disturbing) return;
        disturbing = first!.kill().then(() => start('ingest', version));
      },
    });
    await disturbing;
    await expectUndisturbed(api, fleet, CONFIG_DIR);
  });

  it('one leaves for good under load: the others get everything, and the broker keeps nothing of it', {
    timeout: 120_000,
  }, async () => {
    db = await testDatabase();
    const fleet = journeyFleet(32, { faults: {} });
    broker = await brokerFor(fleet);
    const api = await start('api');
    await api.signIn();
    await api.provision(fleet.instruments, SECRET);
    const staying = await start('ingest');
    const leaving = await start('ingest');
    const sessions = async () => (await db!.pool.query('SELECT slot, client_ids FROM ingest_slots ORDER BY slot')).rows;
    const [, { client_ids: clientIds }] = await sessions();
    const total = fleet.instruments.length * fleet.stepCount;
    let [hadReceived, left]: [number, Promise<number | null> | undefined] = [0, undefined];
    const leave = async () => {
      hadReceived = await leaving.metric('meterwarden_external_mqtt_messages_total');
      return await leaving.leave();
    };
    await sendAll(fleet, {
      seed: 32,
      onProgress: (acknowledged) => {
        if (acknowledged >= total / 3) left ??= leave();
      },
    });
    expect(await left, leaving.output).toBe(0);
    expect(hadReceived).toBeGreaterThan(0);
    await expect.poll(() => leaving.output).toContain('nothing of this process is left');
    await expectReadingsOnce(api, fleet);
    expect((await sessions()).map(({ slot }) => slot)).toEqual([0]);
    expect(await staying.metric('meterwarden_external_mqtt_adopted_slots_total')).toBe(0);
    for (const clientId of clientIds) expect(await broker.hasSession(clientId, 'meterwarden', WORKER)).toBe(false);
    // The last one stays on record: what comes now waits for whoever starts next.
    expect(await staying.leave()).toBe(0);
    await expect.poll(() => staying.output).toContain('the sessions of this process stay');
    expect((await sessions()).map(({ slot }) => slot)).toEqual([0]);
  });
});
