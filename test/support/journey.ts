/** What must be true after a fleet has sent its history, whatever happened to the service meanwhile. */
import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect } from 'vitest';
import type { Fleet } from '../../simulators/fleet.ts';
import { generatedSource, type Source } from '../../simulators/publish-mqtt.ts';
import type { Service } from '../../simulators/service.ts';
import { loadDomain } from '../../src/config.ts';
import type { Instrument } from '../../src/fleet/instrument.ts';
import { orderedValues } from '../../src/fleet/reading.ts';
import { backtest } from '../../src/rules/backtest.ts';

/** Undisturbed these settle within a minute; here nobody needs a minute to reconnect. */
const QUICK = { settle: '2s', startup_grace: '4s' };

/** What every second gateway of the fleet sends, beginning with the first or the second. */
export function halfOf(fleet: Fleet, which: 0 | 1): Source {
  const source = generatedSource(fleet);
  const gateways = [...new Set(fleet.instruments.map(({ gateway }) => gateway))];
  const ours = new Set(
    fleet.instruments.filter(({ gateway }) => gateways.indexOf(gateway) % 2 === which).map(({ id }) => id),
  );
  return {
    ...source,
    instruments: source.instruments.filter(({ id }) => ours.has(id)),
    history: async function* () {
      for await (const step of source.history())
        yield { ...step, rows: step.rows.filter(({ instrument }) => ours.has(instrument)) };
    },
  };
}

/** Every reading that was sent is there once. */
export async function expectReadingsOnce(service: Service, fleet: Fleet): Promise<void> {
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

/** The findings are those of an undisturbed run of the same rules over what the fleet sends. */
export async function expectFindings(
  service: Service,
  fleet: Fleet,
  configDir: string,
  timeoutMs = 30_000,
): Promise<void> {
  const { rules, kinds } = loadDomain(configDir);
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
      { timeout: timeoutMs, interval: 500 },
    )
    .toEqual(expected);
}

function line(rule: string, subject: string, fromMs: number, toMs: number | null): string {
  return `${rule} ${subject} ${new Date(fromMs).toISOString()} ${toMs === null ? 'open' : new Date(toMs).toISOString()}`;
}

/** Every cause of a subject has one task, and there are some. */
export async function expectTasksOnce(service: Service): Promise<void> {
  const tasks = await service.all<{ cause: string; instrument: string | null; district: string }>(
    '/api/v1/tasks',
    'tasks',
  );
  const subjects = tasks.map(({ cause, instrument, district }) => `${cause} of ${instrument ?? district}`);
  expect(subjects.length).toBeGreaterThan(0);
  expect(subjects).toEqual([...new Set(subjects)]);
}

/** The shipped configuration, except that nobody waits a minute for what takes seconds here. */
export function quickConfig(settle = QUICK.settle): string {
  const dir = mkdtempSync(join(tmpdir(), 'meterwarden-config-'));
  cpSync(resolve(import.meta.dirname, '../../config'), dir, { recursive: true });
  const file = join(dir, 'rules.yaml');
  let rules = readFileSync(file, 'utf8');
  for (const [name, value] of Object.entries({ ...QUICK, settle }))
    rules = rules.replace(new RegExp(`(\\n  ${name}: )\\S+`), `$1${value}`);
  writeFileSync(file, rules);
  return dir;
}
