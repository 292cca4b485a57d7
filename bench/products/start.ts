/** The service on a combination of products, each a fresh process of this run. */
import { INFLUXD, ORG, TestInflux, TOKEN } from '../../test/support/influxdb.ts';
import { MOSQUITTO, Mosquitto } from '../../test/support/mosquitto.ts';
import { REDIS, RedisServer } from '../../test/support/redis.ts';
import { type BenchFleet, gatewayCredentials } from '../fleet.ts';
import { countReadings } from '../pipelines/meterwarden.ts';
import type { Pipeline, RunningPipeline } from '../pipelines/pipeline.ts';
import { findOperatorPostgres, queryOnce } from '../postgres.ts';
import { GATEWAY_TOPIC } from '../publishes.ts';
import { provision, type ServiceProcess, startProcess, startService } from '../service.ts';
import type { Combination, Installed } from './combinations.ts';
import { versionOf } from './versions.ts';

const BUCKET = 'readings';
const BROKER_USER = 'meterwarden';
const BROKER_PASSWORD = 'a secret of the workers';

export interface RunningCombination extends RunningPipeline {
  /** Of the service: all its processes. */
  pids: number[];
  storedBy: string[];
  /** Counted in the store itself. */
  storedInAll(): Promise<number>;
}

export async function findInstalled(): Promise<Installed> {
  const postgres = findOperatorPostgres();
  return {
    postgres: postgres && (await versionOf(`${postgres}/postgres`, '--version')),
    influxdb: INFLUXD && (await versionOf(INFLUXD, 'version')),
    mosquitto: MOSQUITTO && (await versionOf(MOSQUITTO, '-h')),
    redis: REDIS && (await versionOf('redis-server', '--version')),
  };
}

type Undo = (() => Promise<unknown>)[];

export const pipelineOf = (combination: Combination): Pick<Pipeline<RunningCombination>, 'start'> => ({
  async start({ databaseUrl, fleet }) {
    const undo: Undo = [];
    const stop = async () => {
      for (const step of undo.splice(0).toReversed()) await step();
    };
    try {
      const store = await startStore(combination, databaseUrl, undo);
      const broker = await startBroker(combination, fleet, undo);
      const queue = await startQueue(combination, undo);
      const env = { DATABASE_URL: databaseUrl, ...store.env, ...broker.env, ...queue };
      const service = await startProcesses(combination, env, fleet, undo);
      return {
        ...{ databaseUrl, credentials: gatewayCredentials, stop },
        ...service,
        ...(broker.port !== undefined && { mqttPort: broker.port, topic: deviceTopic }),
        storedInAll: store.storedInAll,
      };
    } catch (error) {
      await stop();
      throw error;
    }
  },
});

const deviceTopic = (gateway: number) => `devices/${gatewayCredentials(gateway).username}/${GATEWAY_TOPIC}`;

async function startStore({ store }: Combination, databaseUrl: string, undo: Undo) {
  if (store !== 'influxdb') {
    const storedInAll = async () => {
      const [row] = await queryOnce(databaseUrl, 'SELECT count(*)::int AS n FROM readings');
      return Number(row?.n);
    };
    return { env: {}, storedInAll };
  }
  const influx = await TestInflux.start();
  undo.push(() => influx.stop());
  await influx.query(`CREATE DATABASE ${BUCKET}`);
  const env = { INFLUX_URL: influx.front.url, INFLUX_TOKEN: TOKEN, INFLUX_ORG: ORG, INFLUX_BUCKET: BUCKET };
  const storedInAll = async () => {
    const [series] = await influx.query('SELECT COUNT(received_us) FROM readings', BUCKET);
    return Number(series?.values[0]?.[1] ?? 0);
  };
  return { env, storedInAll };
}

async function startBroker({ broker }: Combination, fleet: BenchFleet, undo: Undo) {
  if (broker === 'embedded') return { env: {} };
  const devices = Array.from({ length: fleet.gateways }, (_, gateway) => gatewayCredentials(gateway));
  const mosquitto = await Mosquitto.start({
    [BROKER_USER]: BROKER_PASSWORD,
    ...Object.fromEntries(devices.map(({ username, password }) => [username, password])),
  });
  undo.push(() => mosquitto.stop());
  return { port: mosquitto.port, env: { MQTT_URL: mosquitto.url(BROKER_USER, BROKER_PASSWORD) } };
}

async function startQueue({ queue }: Combination, undo: Undo) {
  if (queue === 'postgres') return {};
  const redis = await RedisServer.start();
  undo.push(() => redis.stop());
  return { REDIS_URL: redis.url };
}

async function startProcesses(
  { workers }: Combination,
  env: Readonly<Record<string, string>>,
  fleet: BenchFleet,
  undo: Undo,
) {
  const running: ServiceProcess[] = [];
  const keep = <S extends ServiceProcess>(started: S): S => {
    running.push(started);
    undo.push(() => started.stop());
    return started;
  };
  const people = keep(await startService({ role: workers ? 'api' : 'serve', env }));
  await provision(people, fleet);
  const ingest: ServiceProcess[] = workers ? [] : [people];
  if (workers) keep(await startProcess({ role: 'work', env }));
  for (let n = 0; n < (workers ?? 0); n++) ingest.push(keep(await startProcess({ role: 'ingest', env })));
  return {
    pids: running.map(({ pid }) => pid),
    mqttPort: ingest[0]!.mqttPort,
    storedBy: ingest.map(({ url }) => url),
    storedReadings: (instrument: string) => countReadings(people.url, people.token, instrument),
  };
}
