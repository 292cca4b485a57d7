/**
 * The service as several processes on one database: two take in readings, two stand for the rules and the tasks, one serves the
 * API. One of those that take in readings and the owner of the rules are killed under load; findings and tasks are those of an
 * undisturbed run.
 */
import { afterEach, expect, test } from 'vitest';
import { type Role, Service } from '../../simulators/service.ts';
import { expectUndisturbed, halfOf, journeyFleet, quickConfig, SECRET, send } from '../support/journey.ts';
import { type TestDatabase, testDatabase } from '../support/postgres.ts';

const CONFIG_DIR = quickConfig();

let db: TestDatabase | undefined;
let services: Service[] = [];
afterEach(async () => {
  await Promise.all(services.map((service) => service.remove()));
  services = [];
  await db?.close();
  db = undefined;
});

async function start(role: Role): Promise<Service> {
  const service = await Service.create({ METERWARDEN_CONFIG: CONFIG_DIR, DATABASE_URL: db!.url }, role);
  services.push(service);
  await service.start();
  return service;
}

const isOwner = (service: Service) => service.output.includes('following the log');

test('killed in the middle, they find what one undisturbed process finds', { timeout: 180_000 }, async () => {
  db = await testDatabase();
  const fleet = journeyFleet(11);
  const api = await start('api');
  const [workA, workB, ingestA, ingestB] = await Promise.all([
    start('work'),
    start('work'),
    start('ingest'),
    start('ingest'),
  ]);
  await api.signIn();
  await api.provision(fleet.instruments, SECRET);
  await expect.poll(() => isOwner(workA!) !== isOwner(workB!), { timeout: 10_000 }).toBe(true);

  const total = fleet.instruments.length * fleet.stepCount;
  let killing: Promise<void>[] = [];
  const killed = new Set<Service>();
  const kill = async (service: Service, again: boolean) => {
    killed.add(service);
    await service.kill();
    if (again) await service.start();
  };
  const run = (which: 0 | 1, through: Service, killAt: number, victim: () => Service, again: boolean) =>
    send(halfOf(fleet, which), {
      url: through.mqttUrl,
      seed: which,
      onProgress: (acknowledged) => {
        if (acknowledged < killAt * total || killed.has(victim())) return;
        killing = [...killing, kill(victim(), again)];
      },
    });
  const owner = isOwner(workA!) ? workA! : workB!;
  await Promise.all([run(0, ingestA!, 0.2, () => ingestA!, true), run(1, ingestB!, 0.15, () => owner, false)]);
  await Promise.all(killing);
  expect(killed.size, 'both kills happened').toBe(2);
  await expectUndisturbed(api, fleet, CONFIG_DIR);
});

test('serve and the other roles do not share a database', { timeout: 60_000 }, async () => {
  db = await testDatabase();
  await start('api');
  const alone = await Service.create({ DATABASE_URL: db.url });
  await expect(alone.start()).rejects.toThrow(/DATABASE_URL.*serve has it alone/);
  const embedded = await Service.create({}, 'ingest');
  await expect(embedded.start()).rejects.toThrow(/DATABASE_URL/);
});
