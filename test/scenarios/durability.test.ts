/**
 * A service under load is killed at random moments, and so is its PostgreSQL; clients reconnect and send again what was not
 * acknowledged. Afterwards every acknowledged reading is there exactly once, every finding is the one an undisturbed run of
 * the same rules makes, and every task exists once.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { generatedSource } from '../../simulators/publish-mqtt.ts';
import { Random } from '../../simulators/random.ts';
import { Service } from '../../simulators/service.ts';
import { expectUndisturbed, journeyFleet, quickConfig, SECRET, send } from '../support/journey.ts';

const SEEDS = (process.env.SEEDS ?? '1,2,3').split(',').map(Number);
const CONFIG_DIR = quickConfig();

let service: Service | undefined;
afterEach(async () => {
  await service?.remove();
  service = undefined;
});

test.each(SEEDS)(
  'seed %i: kill -9 of service and PostgreSQL loses and doubles nothing',
  { timeout: 120_000 },
  async (seed) => {
    const fleet = journeyFleet(seed);
    service = await Service.create({ METERWARDEN_CONFIG: CONFIG_DIR });
    await service.start();
    await service.signIn();
    await service.provision(fleet.instruments, SECRET);

    const random = new Random(seed);
    const total = fleet.instruments.length * fleet.stepCount;
    const kills = (['service', 'postgres', 'service'] as const)
      .map((victim) => ({ victim, atReadings: Math.floor(random.between(0.05, 0.85) * total) }))
      .sort((a, b) => a.atReadings - b.atReadings);
    let killing: Promise<void> = Promise.resolve();
    const stop = new AbortController();
    await send(generatedSource(fleet), {
      url: service.mqttUrl,
      seed,
      signal: stop.signal,
      onProgress: (acknowledged) => {
        if (kills.length === 0 || acknowledged < kills[0]!.atReadings) return;
        const { victim } = kills.shift()!;
        killing = killing.then(() => kill(service!, victim));
        killing.catch(() => stop.abort()); // it does not come back: no use waiting for acknowledgements
      },
    });
    await killing;
    expect(kills, 'every kill happened').toEqual([]);
    await service.signIn();
    await expectUndisturbed(service, fleet, CONFIG_DIR);
  },
);

async function kill(service: Service, victim: 'service' | 'postgres'): Promise<void> {
  if (victim === 'postgres') {
    const pid = Number(readFileSync(join(service.dataDir, 'postgres', 'postmaster.pid'), 'utf8').split('\n')[0]);
    process.kill(pid, 'SIGKILL'); // the service starts it again
    return;
  }
  await service.kill();
  await service.start();
}
