/**
 * The whole path on what `npm start` brings, and on the products that a city runs itself: readings in InfluxDB, the queue of tasks
 * in Redis, everything else in its PostgreSQL, devices at its Mosquitto. The service is killed under load.
 */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { generatedSource, type PublishOptions } from '../../simulators/publish-mqtt.ts';
import { Service } from '../../simulators/service.ts';
import { INFLUXD, ORG, TestInflux, TOKEN } from '../support/influxdb.ts';
import {
  acceptFirst,
  employInspector,
  expectDeadlines,
  expectReadingsOnce,
  expectUndisturbed,
  journeyFleet,
  quickConfig,
  SECRET,
  send,
} from '../support/journey.ts';
import { MOSQUITTO, Mosquitto, REQUIRED } from '../support/mosquitto.ts';
import { OperatorPostgres, POSTGRES_BIN } from '../support/operator-postgres.ts';
import { REDIS, RedisServer } from '../support/redis.ts';

const BUCKET = 'readings';
const WORKER = 'a secret of meterwarden';
const THERE = [INFLUXD, REDIS, MOSQUITTO, POSTGRES_BIN].every((product) => product !== undefined);

/** What a service runs on: its settings, where devices connect, and what must be true of it in the end. */
interface Ground {
  readonly settings: Record<string, string>;
  /** Of the rules. */
  readonly settle?: string;
  readonly devices: (service: Service) => Pick<PublishOptions, 'url' | 'topicPrefix'>;
  readonly expectUsed?: (service: Service) => Promise<void>;
}

const products: { stop(): Promise<unknown> }[] = [];
function stoppedLater<T extends { stop(): Promise<unknown> }>(product: T): T {
  products.push(product);
  return product;
}

const embedded = async (): Promise<Ground> => ({ settings: {}, devices: ({ mqttUrl }) => ({ url: mqttUrl }) });

async function external(gateways: ReadonlySet<string>): Promise<Ground> {
  const postgres = stoppedLater(await OperatorPostgres.start());
  const influx = stoppedLater(await TestInflux.start());
  const redis = stoppedLater(await RedisServer.start());
  const users = Object.fromEntries([...gateways].map((gateway) => [gateway, SECRET]));
  const broker = stoppedLater(await Mosquitto.start({ meterwarden: WORKER, ...users }));
  await influx.query(`CREATE DATABASE ${BUCKET}`);
  return {
    settings: {
      DATABASE_URL: await postgres.createDatabase('city', 'city', 'a secret of the city'),
      INFLUX_URL: influx.front.url,
      INFLUX_TOKEN: TOKEN,
      INFLUX_ORG: ORG,
      INFLUX_BUCKET: BUCKET,
      REDIS_URL: redis.url,
      MQTT_URL: broker.url('meterwarden', WORKER),
    },
    // What waits in Mosquitto while the service is away comes some seconds late, of a history of days; that is no silence.
    settle: '15s',
    devices: () => ({ url: `mqtt://127.0.0.1:${broker.port}`, topicPrefix: 'devices/{client}/' }),
    expectUsed: async (service) => {
      expect(Number(await redis.call('DBSIZE'))).toBeGreaterThan(0);
      expect(await influx.query('SELECT count(*) FROM /.*/', BUCKET)).not.toEqual([]);
      expect(await service.metric('meterwarden_external_mqtt_messages_total')).toBeGreaterThan(0);
    },
  };
}

describe.each([
  { on: 'embedded engines', start: embedded, there: true },
  { on: 'external products', start: external, there: THERE || REQUIRED },
])('the whole path on $on', ({ start, there }) => {
  let service: Service | undefined;
  afterEach(async () => {
    await service?.remove();
    for (const product of products.splice(0).reverse()) await product.stop();
  });

  it.skipIf(!there)('from readings to deadlines, killed under load', { timeout: 180_000 }, async () => {
    const fleet = journeyFleet(21);
    const ground = await start(new Set(fleet.instruments.map(({ id, gateway }) => gateway || id)));
    const configDir = quickConfig(ground.settle);
    service = await Service.create({ METERWARDEN_CONFIG: configDir, ...ground.settings });
    await service.start();
    await service.signIn();
    await service.provision(fleet.instruments, SECRET);

    await employInspector(service);
    const accepted = acceptFirst(service);
    const total = fleet.instruments.length * fleet.stepCount;
    let killing: Promise<void> | undefined;
    await send(generatedSource(fleet), {
      ...ground.devices(service),
      seed: 21,
      onProgress: (acknowledged) => {
        if (acknowledged < total / 3 || killing) return;
        killing = service!.kill().then(() => service!.start());
      },
    });
    expect(killing, 'it was killed').toBeDefined();
    await killing;
    await service.signIn();
    // A broker of others acknowledges what it has; the service has it a little later.
    await vi.waitFor(() => expectReadingsOnce(service!, fleet), { timeout: 60_000, interval: 1_000 });
    await expectUndisturbed(service, fleet, configDir);
    await expectDeadlines(service, await accepted);
    await ground.expectUsed?.(service);
  });
});
