/** What docs/operation.md tells of backups, done: dumped while it runs, lost, restored elsewhere, and everything goes on. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import mqtt from 'mqtt';
import { afterEach, describe, expect, it } from 'vitest';
import { Service } from '../../simulators/service.ts';
import { OperatorPostgres, POSTGRES_BIN } from '../support/operator-postgres.ts';

const REQUIRED = process.env.METERWARDEN_REQUIRE_PRODUCTS === '1';
const MINUTE_MS = 60_000;
const SECRET = 'a gateway secret';
const PASSWORD = 'correct horse';
const SLOW = { timeout: 120_000 };
const POLL = { timeout: 20_000, interval: 50 };
const startMs = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS - 240 * MINUTE_MS;

interface Task {
  readonly id: string;
  readonly state: string;
  readonly instrument: string;
}

const at = (minute: number) => new Date(startMs + minute * MINUTE_MS).toISOString();

async function publish(service: Service, instrument: string, ...readings: [minute: number, kwh: number][]) {
  const identity = { username: 'GW-1', password: SECRET };
  const client = await mqtt.connectAsync(service.mqttUrl, { ...identity, reconnectPeriod: 0 });
  const list = readings.map(([minute, kwh]) => ({ ts: at(minute), values: { active_import_kwh: kwh } }));
  await client.publishAsync('v1/gateway/telemetry', JSON.stringify({ [instrument]: list }), { qos: 1 });
  await client.endAsync();
}

/** As the inspector, with the password she was given. */
async function act(service: Service, task: string, action: string, body: object = {}): Promise<Task> {
  const session = await service.request('POST', '/api/v1/sessions', { username: 'wang', password: PASSWORD });
  const { token } = (await session.json()) as { token: string };
  const headers = { authorization: `Bearer ${token}` };
  const response = await service.request('POST', `/api/v1/tasks/${task}/${action}`, body, headers);
  expect(response.status, await response.clone().text()).toBe(200);
  return (await response.json()) as Task;
}

const tasksOf = (service: Service) => service.all<Task>('/api/v1/tasks', 'tasks');

/** Two instruments, one of them found out and its task accepted; something refused; a contradiction. */
async function fill(service: Service): Promise<void> {
  await service.signIn();
  const csv = ['M-1', 'M-2'].map((id) => `${id},electricity,user,D-1,220302,GW-1\n`).join('');
  await service.call('POST', '/api/v1/instruments/import', `id,kind,role,district,region,gateway\n${csv}`);
  await service.call('PUT', '/api/v1/gateways/GW-1', { secret: SECRET });
  const wang = { username: 'wang', role: 'inspector', region: '220302' };
  await service.call('POST', '/api/v1/people', { ...wang, password: PASSWORD });
  await publish(service, 'M-1', [0, 100], [15, 100.5], [30, 40]);
  await publish(service, 'M-2', [0, 500], [15, 500.5], [30, 501]);
  await publish(service, 'M-3', [0, 1]); // nobody knows it
  await expect.poll(() => tasksOf(service), POLL).toMatchObject([{ instrument: 'M-1', state: 'assigned' }]);
  const [task] = await tasksOf(service);
  expect(await act(service, task!.id, 'accept')).toMatchObject({ state: 'accepted' });
}

async function everything(service: Service) {
  const tasks = await tasksOf(service);
  return {
    instruments: await service.all<object>('/api/v1/instruments', 'instruments'),
    gateways: await service.all<object>('/api/v1/gateways', 'gateways'),
    people: await service.all<object>('/api/v1/people', 'people'),
    readings: await Promise.all(
      ['M-1', 'M-2'].map((id) => service.all<object>(`/api/v1/instruments/${id}/readings?from=${at(-1)}`, 'readings')),
    ),
    rejections: await service.all<object>('/api/v1/rejections', 'rejections'),
    findings: await service.all<object>('/api/v1/findings', 'findings'),
    tasks: await Promise.all(tasks.map(({ id }) => service.call<object>('GET', `/api/v1/tasks/${id}`))),
  };
}

/** The rules know what they had seen, people and gateways their secrets, and the task its next step. */
async function expectToGoOn(service: Service): Promise<void> {
  await publish(service, 'M-1', [30, 40]); // sent again: the same reading
  await publish(service, 'M-2', [45, 400]);
  await expect
    .poll(async () => (await tasksOf(service)).map(({ instrument }) => instrument).sort(), POLL)
    .toEqual(['M-1', 'M-2']);
  const [first] = (await tasksOf(service)).filter(({ instrument }) => instrument === 'M-1');
  const outcome = { verdict: 'confirmed', note: 'the register was set back' };
  expect(await act(service, first!.id, 'complete', outcome)).toMatchObject({ state: 'done' });
  const closed = await service.call<Task>('POST', `/api/v1/tasks/${first!.id}/close`, {});
  expect(closed).toMatchObject({ state: 'closed' });
}

describe.skipIf(POSTGRES_BIN === undefined && !REQUIRED)('a dump of the database', () => {
  const servers: OperatorPostgres[] = [];
  const services: Service[] = [];
  let folder: string | undefined;
  afterEach(async () => {
    await Promise.all(services.splice(0).map((service) => service.remove()));
    await Promise.all(servers.splice(0).map((server) => server.stop()));
    if (folder) rmSync(folder, { recursive: true, force: true });
  });

  async function newService(): Promise<{ service: Service; url: string }> {
    const server = await OperatorPostgres.start();
    servers.push(server);
    const url = await server.createDatabase('meterwarden', 'meterwarden', 'secret');
    const service = await Service.create({ DATABASE_URL: url });
    services.push(service);
    return { service, url };
  }
  const tool = (name: string, ...args: string[]) => promisify(execFile)(join(POSTGRES_BIN!, name), args);

  it('taken while the service runs is all that another server needs', SLOW, async () => {
    const { service, url } = await newService();
    await service.start();
    await fill(service);
    folder = mkdtempSync(join(tmpdir(), 'meterwarden-dump-'));
    const dump = join(folder, 'meterwarden.dump');
    await tool('pg_dump', '--format=custom', '--file', dump, url);
    const before = await everything(service);
    expect(before).toMatchObject({
      people: [{ username: 'admin' }, { username: 'wang' }],
      readings: [{ length: 3 }, { length: 3 }],
      rejections: [{ code: 'unknown_instrument' }],
      findings: [{ rule: 'rollback', instrument: 'M-1' }],
      tasks: [{ state: 'accepted', assignee: 'wang' }],
    });
    await service.kill();
    await servers[0]!.stop();

    const { service: restored, url: another } = await newService();
    await tool('pg_restore', '--exit-on-error', '--no-owner', '--dbname', another, dump);
    await restored.start();
    await restored.signIn();
    expect(await everything(restored)).toEqual(before);
    await expectToGoOn(restored);
  });
});

describe('a copy of the data folder', () => {
  let service: Service;
  let copy: string;
  afterEach(async () => {
    await service.remove();
    rmSync(copy, { recursive: true, force: true });
  });

  it('taken while the service stands still is all that it needs', SLOW, async () => {
    copy = mkdtempSync(join(tmpdir(), 'meterwarden-copy-'));
    service = await Service.create();
    await service.start();
    await fill(service);
    const before = await everything(service);
    expect(await service.stop()).toBe(0);
    expect(existsSync(join(service.dataDir, 'postgres.password'))).toBe(true);
    await preservingCopy(service.dataDir, copy);
    rmSync(service.dataDir, { recursive: true });
    mkdirSync(service.dataDir, { mode: 0o755 });

    await preservingCopy(copy, service.dataDir);
    await service.start();
    await service.signIn();
    expect(await everything(service)).toEqual(before);
    await expectToGoOn(service);
  });

  async function preservingCopy(from: string, to: string): Promise<void> {
    await promisify(execFile)('cp', ['-a', `${from}/.`, to]);
  }
});
