/**
 * A service under load is killed at random moments, and so is its PostgreSQL; clients reconnect and send again what was not
 * acknowledged. Afterwards every acknowledged reading is there exactly once, every finding is the one an undisturbed run of
 * the same rules makes, and every task exists once.
 */
import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { type Fleet, fleetOptions, simulateFleet } from '../../simulators/fleet.ts';
import { readLondonProfiles } from '../../simulators/london.ts';
import { generatedSource, publish } from '../../simulators/publish-mqtt.ts';
import { Random } from '../../simulators/random.ts';
import { Service } from '../../simulators/service.ts';
import { loadDomain } from '../../src/config.ts';
import type { Instrument } from '../../src/fleet/instrument.ts';
import { orderedValues } from '../../src/fleet/reading.ts';
import { backtest } from '../../src/rules/backtest.ts';

const SEEDS = (process.env.SEEDS ?? '1,2,3,4,5').split(',').map(Number);
const PERIOD_MS = 15 * 60_000;
const SECRET = 'durability-secret';
const FAULTS = { silent: 1, rollback: 2, stopped: 1, runaway: 2, 'voltage-loss': 1, outage: 1 };
/** Undisturbed these settle within a minute; here nobody needs a minute to reconnect. */
const QUICK = { settle: '2s', startup_grace: '4s' };
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
    const untilMs = Math.floor(Date.now() / PERIOD_MS) * PERIOD_MS - PERIOD_MS;
    const fleet = simulateFleet(
      fleetOptions({ seed, districts: 2, metersPerDistrict: 12, days: 3, untilMs, faults: FAULTS }),
      readLondonProfiles(),
    );
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
    const report = await publish(generatedSource(fleet), {
      url: service.mqttUrl,
      secret: SECRET,
      window: 4,
      readingsPerMessage: 13,
      minBackoffMs: 50,
      maxBackoffMs: 500,
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
    expect(report.unacknowledgedMessages).toBe(0);
    expect(report.rejectedReadings).toBe(0);
    await service.signIn();

    await expectReadingsOnce(service, fleet);
    await expectFindings(service, fleet);
    const tasks = await service.all<{ cause: string; instrument: string | null; district: string }>(
      '/api/v1/tasks',
      'tasks',
    );
    const subjects = tasks.map(({ cause, instrument, district }) => `${cause} of ${instrument ?? district}`);
    expect(subjects.length).toBeGreaterThan(0);
    expect(subjects).toEqual([...new Set(subjects)]);
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

async function expectReadingsOnce(service: Service, fleet: Fleet): Promise<void> {
  const sent = new Map<string, [number, number | undefined][]>();
  for (const { tsMs, rows } of fleet.steps()) {
    for (const { instrument, values } of rows) {
      const list = sent.get(instrument) ?? [];
      list.push([tsMs, values.active_import_kwh]);
      sent.set(instrument, list);
    }
  }
  for (const { id } of fleet.instruments) {
    const path = `/api/v1/instruments/${id}/readings?from=2000-01-01T00:00:00Z&to=2100-01-01T00:00:00Z&limit=10000`;
    const { readings } = await service.call<{ readings: { ts: string; active_import_kwh?: number }[] }>('GET', path);
    expect(readings.map(({ ts, active_import_kwh }) => [Date.parse(ts), active_import_kwh])).toEqual(
      sent.get(id) ?? [],
    );
  }
}

interface FindingRecord {
  rule: string;
  instrument: string | null;
  district: string;
  from: string;
  to: string | null;
}

async function expectFindings(service: Service, fleet: Fleet): Promise<void> {
  const { rules, kinds } = loadDomain(CONFIG_DIR);
  const instruments = fleet.instruments.map((one, i): Instrument => ({ ...one, key: i + 1, state: 'in-service' }));
  const keyOf = new Map(instruments.map(({ id, key }) => [id, key]));
  const readings = [...fleet.steps()].map(({ tsMs, rows }) =>
    rows.map(({ instrument, values }) => ({ key: keyOf.get(instrument)!, tsMs, values: orderedValues(values) })),
  );
  const undisturbed = await backtest(instruments, readings, rules, kinds);
  const expected = undisturbed
    .map(({ rule, instrument, district, fromMs, toMs }) => line(rule, instrument || district, fromMs, toMs))
    .sort();
  expect(expected.length).toBeGreaterThan(0);
  await expect
    .poll(
      async () => {
        const found = await service.all<FindingRecord>('/api/v1/findings', 'findings');
        return found
          .map(({ rule, instrument, district, from, to }) =>
            line(rule, instrument ?? district, Date.parse(from), to === null ? null : Date.parse(to)),
          )
          .sort();
      },
      { timeout: 30_000, interval: 500 },
    )
    .toEqual(expected);
}

function line(rule: string, subject: string, fromMs: number, toMs: number | null): string {
  return `${rule} ${subject} ${new Date(fromMs).toISOString()} ${toMs === null ? 'open' : new Date(toMs).toISOString()}`;
}

function quickConfig(): string {
  const dir = mkdtempSync(join(tmpdir(), 'meterwarden-config-'));
  cpSync(resolve(import.meta.dirname, '../../config'), dir, { recursive: true });
  const file = join(dir, 'rules.yaml');
  let rules = readFileSync(file, 'utf8');
  for (const [name, value] of Object.entries(QUICK))
    rules = rules.replace(new RegExp(`(\\n  ${name}: )\\S+`), `$1${value}`);
  writeFileSync(file, rules);
  return dir;
}
