/**
 * The whole path, one definition for whatever the service runs on and whatever happens to it meanwhile: a fleet with faults sends
 * its history; afterwards every reading is there once, the findings are those of an undisturbed run, every cause has one task,
 * and a task that nobody accepts in time escalates.
 */
import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect } from 'vitest';
import { stringify } from 'yaml';
import type { FaultCounts } from '../../simulators/faults.ts';
import { type Fleet, fleetOptions, simulateFleet } from '../../simulators/fleet.ts';
import { readLondonProfiles } from '../../simulators/london.ts';
import { generatedSource, type PublishOptions, publish, type Source } from '../../simulators/publish-mqtt.ts';
import type { Service } from '../../simulators/service.ts';
import { loadDomain } from '../../src/config.ts';
import type { Instrument } from '../../src/fleet/instrument.ts';
import { orderedValues } from '../../src/fleet/reading.ts';
import { TASK_KINDS } from '../../src/fleet/task.ts';
import { backtest } from '../../src/rules/backtest.ts';

const PERIOD_MS = 15 * 60_000;
export const SECRET = 'a secret of every gateway';
const FAULTS = { silent: 1, rollback: 2, stopped: 1, runaway: 2, 'voltage-loss': 1, outage: 1 };

/** Undisturbed these settle within a minute; here nobody needs a minute to reconnect. */
const QUICK = { settle: '2s', startup_grace: '4s' };
const ACCEPT_WITHIN_S = 20;
/** Longer than a task needs to be seen and accepted by somebody who looks for it all the time. */
const DEADLINES = { accept_within: `${ACCEPT_WITHIN_S}s`, remind_before: '10s', done_within: '1h' };
const INSPECTOR = { username: 'wang', password: 'correct horse', role: 'inspector', region: '220300' };
const POLL = { timeout: 60_000, interval: 200 };

/** Three days that have just ended. */
export function journeyFleet(seed: number, { districts = 2, faults = FAULTS as FaultCounts } = {}): Fleet {
  const untilMs = Math.floor(Date.now() / PERIOD_MS) * PERIOD_MS - PERIOD_MS;
  const options = fleetOptions({ seed, districts, metersPerDistrict: 12, days: 3, untilMs, faults });
  return simulateFleet(options, readLondonProfiles());
}

/** Sends in small messages to a broker that may go away; everything is acknowledged, or this fails. Returns how many readings. */
export async function send(
  source: Source,
  to: Pick<PublishOptions, 'url' | 'seed' | 'signal' | 'topicPrefix' | 'onProgress'>,
): Promise<number> {
  const small = { window: 4, readingsPerMessage: 13, minBackoffMs: 50, maxBackoffMs: 500 };
  const report = await publish(source, { secret: SECRET, ...small, ...to });
  expect(report).toMatchObject({ unacknowledgedMessages: 0, rejectedReadings: 0 });
  return report.acknowledgedReadings;
}

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

/** What was stored, found and raised is what one undisturbed process stores, finds and raises. */
export async function expectUndisturbed(
  service: Service,
  fleet: Fleet,
  configDir: string,
  timeoutMs?: number,
): Promise<void> {
  await expectReadingsOnce(service, fleet);
  await expectFindings(service, fleet, configDir, timeoutMs);
  await expectTasksOnce(service);
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
async function expectFindings(service: Service, fleet: Fleet, configDir: string, timeoutMs = 30_000): Promise<void> {
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
async function expectTasksOnce(service: Service): Promise<void> {
  const tasks = await service.all<{ cause: string; instrument: string | null; district: string }>(
    '/api/v1/tasks',
    'tasks',
  );
  const subjects = tasks.map(({ cause, instrument, district }) => `${cause} of ${instrument ?? district}`);
  expect(subjects.length).toBeGreaterThan(0);
  expect(subjects).toEqual([...new Set(subjects)]);
}

interface JourneyTask {
  readonly id: string;
  readonly state: string;
  readonly createdAt: string;
  readonly escalatedAt: string | null;
}
interface HistoryEntry {
  readonly action: string;
  readonly actor: string;
}

/** Of the whole fleet. */
export async function employInspector(service: Service): Promise<void> {
  await service.call('POST', '/api/v1/people', INSPECTOR);
}

/** The inspector accepts the first task that is assigned, in time, whenever the service answers. */
export async function acceptFirst(service: Service): Promise<string> {
  let accepted: string | undefined;
  const accept = async () => {
    const { tasks } = await asInspector<{ tasks: JourneyTask[] }>(service, 'GET', '/api/v1/tasks?state=assigned');
    if (tasks.length === 0) return;
    await asInspector(service, 'POST', `/api/v1/tasks/${tasks[0]!.id}/accept`);
    accepted = tasks[0]!.id;
  };
  await expect
    .poll(
      () =>
        accept().then(
          () => accepted,
          () => undefined,
        ),
      POLL,
    )
    .toBeDefined();
  return accepted!;
}

/** The accepted task ends closed without having escalated; each of the others escalates once, when its time is over. */
export async function expectDeadlines(service: Service, accepted: string): Promise<void> {
  const others = async () =>
    (await service.all<JourneyTask>('/api/v1/tasks', 'tasks')).filter(({ id }) => id !== accepted);
  const late = async () => (await others()).filter(({ escalatedAt }) => escalatedAt === null);
  await expect.poll(late, POLL).toEqual([]);
  await asInspector(service, 'POST', `/api/v1/tasks/${accepted}/complete`, { verdict: 'confirmed', note: 'seen' });
  await service.call('POST', `/api/v1/tasks/${accepted}/close`, { note: 'seen' });
  expect(await actionsOf(service, accepted)).toEqual(['raised', 'assign', 'accept', 'complete', 'close']);

  const tasks = await others();
  expect(tasks.length).toBeGreaterThan(0);
  for (const { id, createdAt, escalatedAt } of tasks) {
    expect(Date.parse(escalatedAt!) - Date.parse(createdAt)).toBeGreaterThanOrEqual(ACCEPT_WITHIN_S * 1000);
    expect(await actionsOf(service, id)).toEqual(['raised', 'assign', 'reminded', 'escalated']);
  }
}

/** What happened to a task, without what the rules had to add. */
async function actionsOf(service: Service, id: string): Promise<string[]> {
  const { history } = await service.call<{ history: HistoryEntry[] }>('GET', `/api/v1/tasks/${id}`);
  return history.map(({ action }) => action).filter((action) => !['finding', 'cleared'].includes(action));
}

async function asInspector<T>(service: Service, method: string, path: string, body?: unknown): Promise<T> {
  const { username, password } = INSPECTOR;
  const { token } = (await (await service.request('POST', '/api/v1/sessions', { username, password })).json()) as {
    token: string;
  };
  const response = await service.request(method, path, body, { authorization: `Bearer ${token}` });
  expect(response.ok, `${method} ${path}: ${response.status}`).toBe(true);
  return (await response.json()) as T;
}

/** The shipped configuration, except that nobody waits a minute, or days, for what takes seconds here. */
export function quickConfig(settle = QUICK.settle): string {
  const dir = mkdtempSync(join(tmpdir(), 'meterwarden-config-'));
  cpSync(resolve(import.meta.dirname, '../../config'), dir, { recursive: true });
  const file = join(dir, 'rules.yaml');
  let rules = readFileSync(file, 'utf8');
  for (const [name, value] of Object.entries({ ...QUICK, settle }))
    rules = rules.replace(new RegExp(`(\\n  ${name}: )\\S+`), `$1${value}`);
  writeFileSync(file, rules);
  writeFileSync(join(dir, 'tasks.yaml'), stringify(Object.fromEntries(TASK_KINDS.map((kind) => [kind, DEADLINES]))));
  return dir;
}
