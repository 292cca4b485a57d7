/** The real service as a process of its own: one reading's whole journey, what it refuses, how it stops and starts again. */
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import mqtt from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ADMIN_PASSWORD, Service } from '../../simulators/service.ts';

const SECRET = 'a gateway secret';
const PASSWORD = 'correct horse';
const MINUTE_MS = 60_000;
const POLL = { timeout: 15_000, interval: 50 };
const LEDGER = `id,kind,role,district,region,gateway
M-1,electricity,user,D-1,220302,GW-1
M-2,electricity,user,D-1,220302,GW-1
M-3,electricity,user,D-1,220302,
M-4,electricity,user,D-2,220302,GW-2
`;

interface Reading {
  readonly ts: string;
  readonly active_import_kwh?: number;
}
interface Task {
  readonly id: string;
  readonly kind: string;
  readonly state: string;
  readonly instrument: string | null;
  readonly assignee: string | null;
  readonly history: readonly {
    readonly action: string;
    readonly actor: string;
    readonly at: string;
    readonly note: string;
  }[];
}
interface Rejection {
  readonly code: string;
  readonly client: string;
  readonly path?: string;
  readonly payloadBytes: number;
}
interface TaskChange {
  readonly entry: { readonly action: string; readonly actor: string };
  readonly task: { readonly id: string; readonly state: string };
}

let service: Service;
let startMs: number;
const clients: mqtt.MqttClient[] = [];

beforeAll(async () => {
  service = await Service.create({ ADMIN_PASSWORD: '' });
  await service.start();
  startMs = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS - 600 * MINUTE_MS;
});
afterAll(async () => {
  for (const client of clients) client.end(true);
  await service?.remove();
});

async function connect(username: string): Promise<mqtt.MqttClient> {
  const client = await mqtt.connectAsync(service.mqttUrl, { username, password: SECRET, reconnectPeriod: 0 });
  clients.push(client);
  return client;
}

async function signIn(username: string, password = PASSWORD): Promise<string> {
  const response = await service.request('POST', '/api/v1/sessions', { username, password });
  const { token } = (await response.json()) as { token: string };
  expect(response.status).toBe(201);
  return token;
}

async function as<T>(token: string, method: string, path: string, body?: unknown): Promise<T> {
  const response = await service.request(method, path, body, { authorization: `Bearer ${token}` });
  const text = await response.text();
  expect(response.ok, `${method} ${path}: ${response.status} ${text}`).toBe(true);
  return JSON.parse(text) as T;
}

async function readingsOf(id: string): Promise<[number, number][]> {
  const { readings } = await service.call<{ readings: Reading[] }>('GET', `/api/v1/instruments/${id}/readings`);
  return readings.map(({ ts, active_import_kwh = Number.NaN }) => [
    (Date.parse(ts) - startMs) / MINUTE_MS,
    Math.round(active_import_kwh * 1000) / 1000,
  ]);
}

/** What gateways say of instruments, minutes after the start of this file's history. */
function entry(minute: number, kwh: number) {
  return { ts: startMs + minute * MINUTE_MS, values: { active_import_kwh: kwh } };
}

function registers(minute: number, kwh: number) {
  return { ts: startMs + minute * MINUTE_MS, registers: [{ obis: '1-0:1.8.0', value: kwh * 1000, unit: 'Wh' }] };
}

async function publish(client: mqtt.MqttClient, topic: string, payload: unknown, qos: 0 | 1 | 2 = 1): Promise<void> {
  await client.publishAsync(topic, typeof payload === 'string' ? payload : JSON.stringify(payload), { qos });
}

/** The live stream, collected until the service ends it. */
async function follow(token: string): Promise<{ changes: TaskChange[]; ended: Promise<void> }> {
  const response = await service.request('GET', '/api/v1/stream', undefined, { authorization: `Bearer ${token}` });
  expect(response.headers.get('content-type')).toContain('text/event-stream');
  const changes: TaskChange[] = [];
  const collect = async () => {
    let text = '';
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
        const data = /^data: (.*)$/m.exec(text.slice(0, end))?.[1];
        if (data) changes.push(JSON.parse(data) as TaskChange);
        text = text.slice(end + 2);
      }
    }
  };
  return { changes, ended: collect() };
}

async function expectConservation(): Promise<void> {
  const text = await (await service.request('GET', '/metrics')).text();
  const sum = (name: string) =>
    [...text.matchAll(new RegExp(`^meterwarden_readings_${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'))].reduce(
      (total, [, value]) => total + Number(value),
      0,
    );
  const [received, stored, duplicate, rejected] = ['received', 'stored', 'duplicate', 'rejected'].map((name) =>
    sum(`${name}_total`),
  );
  expect(received).toBeGreaterThan(0);
  expect(stored! + duplicate! + rejected! + sum('in_flight')).toBe(received);
}

// The journey is one timeline: each part begins where the one before left the service.
describe('the service', () => {
  it('tells the password of its first user once, which signs in', async () => {
    const password = /password of admin is (\S+)/.exec(service.output)?.[1] ?? '';
    expect(password.length).toBeGreaterThan(10);
    const token = await signIn('admin', password);
    await as(token, 'PATCH', '/api/v1/people/admin', { password: ADMIN_PASSWORD });
    await service.signIn();
  });

  it('is given a ledger, secrets and people', async () => {
    expect(await service.call('POST', '/api/v1/instruments/import', LEDGER)).toMatchObject({
      created: 4,
      rejected: [],
    });
    for (const id of ['GW-1', 'GW-2', 'M-3']) await service.call('PUT', `/api/v1/gateways/${id}`, { secret: SECRET });
    const people = [
      { username: 'chief', role: 'supervisor', region: '220300' },
      { username: 'wang', role: 'inspector', region: '220302' },
    ];
    for (const person of people) await service.call('POST', '/api/v1/people', { ...person, password: PASSWORD });
    await expect(connect('GW-3')).rejects.toThrow(/Not authorized|Bad user/);
  });

  it('stores what gateways and devices publish, on every topic and with every QoS', async () => {
    const gateway = await connect('GW-1');
    const device = await connect('M-3');
    for (const qos of [0, 1, 2] as const) {
      await publish(gateway, 'v1/gateway/telemetry', { 'M-1': [entry(qos, 100 + qos / 10)] }, qos);
      await publish(gateway, 'meterwarden/v1/M-2/registers', registers(qos, 200 + qos / 10), qos);
      await publish(device, 'v1/devices/me/telemetry', entry(qos, 300 + qos / 10), qos);
      await publish(device, 'meterwarden/v1/registers', [registers(10 + qos, 301 + qos / 10)], qos);
    }
    // What QoS 1 and 2 acknowledged is stored; QoS 0 says nothing, and all of it was sent before.
    expect(await readingsOf('M-1')).toEqual([
      [0, 100],
      [1, 100.1],
      [2, 100.2],
    ]);
    expect(await readingsOf('M-2')).toEqual([
      [0, 200],
      [1, 200.1],
      [2, 200.2],
    ]);
    expect(await readingsOf('M-3')).toEqual([
      [0, 300],
      [1, 300.1],
      [2, 300.2],
      [10, 301],
      [11, 301.1],
      [12, 301.2],
    ]);
    await expectConservation();
  });

  it('turns a register that runs back into a finding, and that into a task walked to its end', async () => {
    const chief = await signIn('chief');
    const wang = await signIn('wang');
    const stream = await follow(chief);
    const gateway = await connect('GW-1');
    await publish(gateway, 'v1/gateway/telemetry', { 'M-1': [entry(15, 50)] });
    const findTask = async () => {
      const { tasks } = await as<{ tasks: Task[] }>(wang, 'GET', '/api/v1/tasks?instrument=M-1');
      return tasks[0];
    };
    await expect.poll(findTask, POLL).toMatchObject({ kind: 'verify-on-site', state: 'assigned', assignee: 'wang' });
    const { id } = (await findTask())!;
    const { findings } = await service.call<{ findings: object[] }>('GET', '/api/v1/findings?instrument=M-1');
    expect(findings).toMatchObject([
      { rule: 'rollback', from: new Date(startMs + 15 * MINUTE_MS).toISOString(), to: null, task: id },
    ]);

    await as(wang, 'POST', `/api/v1/tasks/${id}/accept`);
    await as(wang, 'POST', `/api/v1/tasks/${id}/complete`, { verdict: 'confirmed', note: 'register replaced' });
    await as(chief, 'POST', `/api/v1/tasks/${id}/close`, { note: 'seen' });
    const task = await as<Task>(chief, 'GET', `/api/v1/tasks/${id}`);
    expect(task).toMatchObject({ state: 'closed', verdict: 'confirmed', assignee: 'wang' });
    expect(task.history.map(({ action, actor, note }) => [action, actor, note])).toEqual([
      ['raised', 'system', ''],
      ['assign', 'system', ''],
      ['accept', 'wang', ''],
      ['complete', 'wang', 'register replaced'],
      ['close', 'chief', 'seen'],
    ]);
    const times = task.history.map(({ at }) => Date.parse(at));
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    expect(Date.now() - times[0]!).toBeLessThan(MINUTE_MS);
    await expect
      .poll(() => stream.changes.filter(({ task }) => task.id === id).map(({ entry }) => entry.action), POLL)
      .toEqual(['raised', 'assign', 'accept', 'complete', 'close']);
  });

  it('refuses bad messages with a reason, in the list and to the client, which stays connected', async () => {
    const gateway = await connect('GW-1');
    const told: { code: string; path: string; message: string }[] = [];
    gateway.on('message', (_topic, payload) => told.push(...JSON.parse(payload.toString()).refusals));
    await gateway.subscribeAsync('v1/gateway/telemetry/rejected');
    const bad: [string, unknown][] = [
      ['malformed_json', '{"M-1": ['],
      ['unknown_instrument', { 'M-99': [entry(20, 1)] }],
      ['not_your_instrument', { 'M-4': [entry(20, 1)] }],
      ['too_large', { 'M-1': [{ ...entry(20, 1), padding: 'x'.repeat(300 * 1024) }] }],
      ['future_timestamp', { 'M-1': [{ ts: Date.now() + 10 * MINUTE_MS, values: { active_import_kwh: 1 } }] }],
    ];
    const before = await service.all<Rejection>('/api/v1/rejections', 'rejections');
    expect(before).toEqual([]);
    for (const [, payload] of bad) await publish(gateway, 'v1/gateway/telemetry', payload); // each is acknowledged
    const codes = bad.map(([code]) => code);
    await expect.poll(() => told.map(({ code }) => code), POLL).toEqual(codes);
    for (const { message } of told) expect(message.length).toBeGreaterThan(10);

    const kept = await service.all<Rejection>('/api/v1/rejections', 'rejections');
    expect(kept.map(({ code }) => code).reverse()).toEqual(codes); // newest first
    expect(kept.every(({ client }) => client === 'GW-1')).toBe(true);
    expect(kept.find(({ code }) => code === 'too_large')!.payloadBytes).toBeGreaterThan(300 * 1024);
    expect(kept.find(({ code }) => code === 'future_timestamp')!.path).toBe('M-1[0].ts');
    expect(await readingsOf('M-4')).toEqual([]);

    expect(gateway.connected).toBe(true);
    await publish(gateway, 'v1/gateway/telemetry', { 'M-2': [entry(20, 201)] });
    expect((await readingsOf('M-2')).at(-1)).toEqual([20, 201]);
    await expectConservation();
  });

  it('takes an instrument out of service and back, after which it begins anew', async () => {
    const chief = await signIn('chief');
    const device = await connect('M-3');
    const findings = async () =>
      (await service.call<{ findings: { to: string | null }[] }>('GET', '/api/v1/findings?instrument=M-3')).findings;
    const change = (state: string) => as(chief, 'PATCH', '/api/v1/instruments/M-3', { state });
    await publish(device, 'v1/devices/me/telemetry', entry(25, 10));
    await expect.poll(findings, POLL).toMatchObject([{ rule: 'rollback', to: null }]);

    await change('retired');
    const lastReading = new Date(startMs + 25 * MINUTE_MS).toISOString();
    await expect.poll(findings, POLL).toMatchObject([{ rule: 'rollback', to: lastReading }]);
    await publish(device, 'v1/devices/me/telemetry', entry(26, 10.1)); // acknowledged, and refused
    const [rejection] = await service.all<Rejection>('/api/v1/rejections', 'rejections');
    expect(rejection).toMatchObject({ code: 'retired_instrument', client: 'M-3' });

    await change('in-service');
    await publish(device, 'v1/devices/me/telemetry', entry(27, 0.5));
    expect((await readingsOf('M-3')).slice(-2)).toEqual([
      [25, 10],
      [27, 0.5],
    ]);
    const { tasks } = await as<{ tasks: Task[] }>(chief, 'GET', '/api/v1/tasks?instrument=M-3');
    await as(chief, 'POST', `/api/v1/tasks/${tasks[0]!.id}/close`, { verdict: 'confirmed', note: 'exchanged' });
    const { history } = await as<Task>(chief, 'GET', `/api/v1/tasks/${tasks[0]!.id}`);
    const actions = history.map(({ action }) => action).filter((action) => action !== 'assign'); // whenever it came
    expect(actions).toEqual(['raised', 'retired', 'cleared', 'returned', 'close']);
    expect(await findings()).toHaveLength(1);
  });

  it('ends in order on SIGTERM, whoever is connected', async () => {
    const chief = await signIn('chief');
    const stream = await follow(chief);
    const gateway = await connect('GW-1');
    const closed = new Promise<void>((done) => gateway.once('close', () => done()));
    // A task that stays open over the restart.
    await publish(gateway, 'v1/gateway/telemetry', { 'M-2': [entry(30, 20)] });
    await expect.poll(() => openTasks(), POLL).toMatchObject([{ instrument: 'M-2', state: 'assigned' }]);
    const stoppedMs = performance.now();
    expect(await service.stop()).toBe(0);
    expect(performance.now() - stoppedMs).toBeLessThan(10_000);
    await stream.ended;
    await closed;
    expect(service.output).toContain('stopping');
    expect(existsSync(join(service.dataDir, 'postgres', 'postmaster.pid'))).toBe(false);
  });

  it('starts again with what it had, and tells no password', async () => {
    await service.start();
    expect(service.output).not.toMatch(/password/);
    await service.signIn();
    await expectTheSame();
    const { people } = await service.call<{ people: { username: string }[] }>('GET', '/api/v1/people');
    expect(people.map(({ username }) => username).sort()).toEqual(['admin', 'chief', 'wang']);
  });

  it('starts after kill -9 of everything, although its lock names a living process of another program', async () => {
    const cluster = join(service.dataDir, 'postgres');
    const lock = join(cluster, 'postmaster.pid');
    const [pid, ...rest] = readFileSync(lock, 'utf8').split('\n');
    await service.kill();
    process.kill(Number(pid), 'SIGKILL');
    // As after a power cut: no process of that server is left.
    if (existsSync('/proc')) await expect.poll(() => processesIn(cluster), POLL).toEqual([]);
    writeFileSync(lock, [process.pid, ...rest].join('\n'));
    await service.start();
    expect(service.output).toContain('removing the stale lock file');
    expect(service.output).not.toMatch(/password/);
    await service.signIn();
    await expectTheSame();
    const gateway = await connect('GW-1');
    await publish(gateway, 'v1/gateway/telemetry', { 'M-1': [entry(40, 50.5)] });
    expect((await readingsOf('M-1')).at(-1)).toEqual([40, 50.5]);
  });
});

async function openTasks(): Promise<Task[]> {
  const { tasks } = await service.call<{ tasks: Task[] }>('GET', '/api/v1/tasks?state=raised,assigned,accepted');
  return tasks;
}

async function expectTheSame(): Promise<void> {
  const { instruments } = await service.call<{ instruments: { id: string }[] }>('GET', '/api/v1/instruments');
  expect(instruments.map(({ id }) => id)).toEqual(['M-1', 'M-2', 'M-3', 'M-4']);
  expect(await readingsOf('M-1')).toEqual([
    [0, 100],
    [1, 100.1],
    [2, 100.2],
    [15, 50],
  ]);
  expect(await readingsOf('M-2')).toEqual([
    [0, 200],
    [1, 200.1],
    [2, 200.2],
    [20, 201],
    [30, 20],
  ]);
  expect(await openTasks()).toMatchObject([{ instrument: 'M-2', state: 'assigned', assignee: 'wang' }]);
}

function processesIn(dir: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      const dead = /\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
      return !dead && readlinkSync(`/proc/${pid}/cwd`) === dir;
    } catch {
      return false; // gone meanwhile
    }
  });
}
