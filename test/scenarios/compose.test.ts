/**
 * The services of docker-compose.yml as processes, with the commands and settings written there, on a PostgreSQL, a Redis, an
 * InfluxDB and a Mosquitto of this machine: from an empty database to a fleet that sends its history through Mosquitto, while
 * both that take in readings are restarted, one after the other.
 */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { generatedSource } from '../../simulators/publish-mqtt.ts';
import { ADMIN_PASSWORD, type Role, Service } from '../../simulators/service.ts';
import { MAIN, run } from '../support/command-line.ts';
import { type ComposeService, filledEnvironment, readCompose } from '../support/compose.ts';
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
import { MOSQUITTO, Mosquitto } from '../support/mosquitto.ts';
import { OperatorPostgres, POSTGRES_BIN } from '../support/operator-postgres.ts';
import { REDIS, REQUIRED, RedisServer } from '../support/redis.ts';

/** What waits for a process that is restarted comes some seconds late, of a history of days; that is no outage. */
const CONFIG_DIR = quickConfig('15s');
/** When what is sent has come this far, one is restarted, and later the other. */
const RESTART_AT = [0.2, 0.6] as const;

const { services } = readCompose({ ...filledEnvironment(), ADMIN_PASSWORD });
/** `--name value` or `-c name=value` of a product's command. */
const optionsOf = ({ command = [] }: ComposeService) => {
  const pairs = command.flatMap((word, i): [string, string][] => {
    if (word === '-c') return [command[i + 1]!.split(/=(.*)/s).slice(0, 2) as [string, string]];
    return word.startsWith('--') ? [[word.slice(2), command[i + 1]!]] : [];
  });
  return Object.fromEntries(pairs);
};

describe.skipIf(!(POSTGRES_BIN && REDIS && INFLUXD && MOSQUITTO) && !REQUIRED)(
  'docker-compose.yml as processes',
  () => {
    let postgres: OperatorPostgres | undefined;
    let redis: RedisServer | undefined;
    let influx: TestInflux | undefined;
    let broker: Mosquitto | undefined;
    /** The volume of the files that Mosquitto reads. */
    const files = mkdtempSync(join(tmpdir(), 'meterwarden-compose-'));
    const started: Service[] = [];

    beforeAll(async () => {
      postgres = await OperatorPostgres.start(optionsOf(services.postgres!));
      redis = await RedisServer.start(optionsOf(services.redis!));
      influx = await TestInflux.start();
      const { POSTGRES_USER, POSTGRES_DB, POSTGRES_PASSWORD } = services.postgres!.environment!;
      await postgres.createDatabase(POSTGRES_DB!, POSTGRES_USER!, POSTGRES_PASSWORD!);
    });

    afterAll(async () => {
      await Promise.all(started.map((service) => service.remove()));
      await broker?.stop();
      await influx?.stop();
      await redis?.stop();
      await postgres?.stop();
    });

    /** As in the file, except that the products are on this machine and InfluxDB is one of its own. */
    function settingsOf(name: string): Record<string, string> {
      const ports: Record<string, number | undefined> = {
        'postgres:5432': postgres!.port,
        'redis:6379': redis!.port,
        'mosquitto:1883': broker?.port, // not yet there when its files are written
      };
      const environment = Object.entries(services[name]!.environment!).map(([setting, value]): [string, string] => [
        setting,
        value.replace(
          /(postgres|redis|mosquitto):(5432|6379|1883)/,
          (address) => `127.0.0.1:${ports[address] ?? 1883}`,
        ),
      ]);
      return {
        ...Object.fromEntries(environment),
        INFLUX_URL: influx!.front.url,
        INFLUX_TOKEN: TOKEN,
        INFLUX_ORG: ORG,
        METERWARDEN_CONFIG: CONFIG_DIR,
      };
    }

    /** A service that runs once. */
    async function once(name: string): Promise<void> {
      const command = services[name]!.command!.map((word) => (word === '/mosquitto/files' ? files : word));
      const done = await run(MAIN, command, settingsOf(name));
      expect(done, done.out).toMatchObject({ code: 0 });
    }

    async function start(name: string): Promise<Service> {
      const service = await Service.create(settingsOf(name), services[name]!.command![0] as Role);
      started.push(service);
      await service.start();
      return service;
    }

    it('finds what an undisturbed run finds, and loses and doubles nothing', { timeout: 300_000 }, async () => {
      await once('influx-setup');
      await once('mosquitto-files');
      broker = await Mosquitto.with(files);
      const names = ['ingest', 'work', 'api'].flatMap((name) =>
        Array.from({ length: services[name]!.deploy?.replicas ?? 1 }, () => name),
      );
      expect(names).toEqual(['ingest', 'ingest', 'work', 'api']);
      const [ingestA, ingestB, , api] = await Promise.all(names.map(start));

      const fleet = journeyFleet(12);
      await api!.signIn();
      await api!.provision(fleet.instruments, SECRET);
      await once('mosquitto-files');
      broker.reload();

      const total = fleet.instruments.length * fleet.stepCount;
      const codes: Promise<number | null>[] = [];
      const restart = async (service: Service) => {
        const code = await service.stop();
        await service.start();
        return code;
      };
      await employInspector(api!);
      const accepted = acceptFirst(api!);
      await send(generatedSource(fleet), {
        url: `mqtt://127.0.0.1:${broker.port}`,
        topicPrefix: 'devices/{client}/',
        seed: 12,
        onProgress: (acknowledged) => {
          if (acknowledged < (RESTART_AT[codes.length] ?? Infinity) * total) return;
          const service = [ingestA!, ingestB!][codes.length]!;
          codes.push(Promise.all(codes).then(() => restart(service)));
        },
      });
      expect(await Promise.all(codes)).toEqual([0, 0]);
      // Mosquitto acknowledges what it has; the two have it a little later.
      await vi.waitFor(() => expectReadingsOnce(api!, fleet), { timeout: 60_000, interval: 1_000 });
      await expectUndisturbed(api!, fleet, CONFIG_DIR, 90_000);
      await expectDeadlines(api!, await accepted);
      for (const service of [ingestA!, ingestB!]) {
        const [received, stored, duplicate, rejected, inFlight] = await Promise.all(
          ['received_total', 'stored_total', 'duplicate_total', 'rejected_total', 'in_flight'].map((name) =>
            service.metric(`meterwarden_readings_${name}`),
          ),
        );
        expect(received).toBe(stored! + duplicate! + rejected! + inFlight!);
      }
      // Each product was used for what it is there for.
      const { REDISCLI_AUTH } = services.redis!.environment!;
      expect(Number(await redis!.call('--no-auth-warning', '-a', REDISCLI_AUTH!, 'DBSIZE'))).toBeGreaterThan(0);
      expect(await influx!.query('SELECT count(*) FROM /.*/', 'meterwarden')).not.toEqual([]);
    });
  },
);
