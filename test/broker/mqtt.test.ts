/** Workers at a real Mosquitto, configured as deploy/mosquitto documents. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import mqtt, { type MqttClient } from 'mqtt';
import { Registry } from 'prom-client';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freePort } from '../../simulators/service.ts';
import { type MqttIngest, type MqttOptions, startMqtt } from '../../src/broker/mqtt.ts';
import { issue } from '../../src/commands/dev-ca.ts';
import type { Decoded, Message } from '../../src/ingest/decode.ts';
import type { Profile } from '../../src/ingest/profile.ts';
import type { Outcome } from '../../src/pipeline.ts';
import { PostgresSlots } from '../../src/store/postgres-slots.ts';
import { MountedFolder, type TestCertificates, testCertificates } from '../support/certificates.ts';
import { MOSQUITTO, Mosquitto, REQUIRED } from '../support/mosquitto.ts';
import { type TestDatabase, testDatabase } from '../support/postgres.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const TOPIC = 'v1/gateway/telemetry';
const CONSUMER = join(import.meta.dirname, 'mqtt-consumer.ts');
const USERS = { meterwarden: 'mw', 'GW-1': 's1', 'GW-2': 's2' };
const POLL = { timeout: 20_000, interval: 20 };
/** Nothing here waits for a clock longer than it must. */
const PACE = { minBackoffMs: 50, maxBackoffMs: 500, watchMs: 100, quietMs: 200, patienceMs: 2_000 };
const profile: Profile = {
  id: 't',
  version: 1,
  topic: TOPIC,
  decoder: 'telemetry',
  time: 'ms',
  refusals: `${TOPIC}/rejected`,
};
const stored: Decoded = { readings: [{ key: 1, tsMs: 0, values: [] }], refusals: [], profile };
const refused: Decoded = {
  readings: [],
  refusals: [{ code: 'wrong_shape', path: 'x', params: {}, readings: 1 }],
  profile,
};

interface Received extends Message {
  readonly settle: (outcome: Outcome, decoded?: Decoded) => void;
}

describe.skipIf(MOSQUITTO === undefined && !REQUIRED)('workers at Mosquitto', () => {
  let broker: Mosquitto;
  let db: TestDatabase;
  let workers: Worker[];
  let devices: MqttClient[];
  let children: ChildProcess[];

  beforeEach(async () => {
    workers = [];
    devices = [];
    children = [];
    [broker, db] = await Promise.all([Mosquitto.start(USERS), testDatabase()]);
  });

  afterEach(async () => {
    for (const child of children) child.kill('SIGKILL');
    await Promise.all(devices.map((device) => device.endAsync(true)));
    await Promise.all(workers.map((worker) => worker.ingest.stop()));
    await broker.stop();
    await db.close();
  });

  class Worker {
    readonly received: Received[] = [];
    readonly errors: unknown[] = [];
    readonly registry = new Registry();
    ingest!: MqttIngest;

    get payloads(): string[] {
      return this.received.map(({ payload }) => payload.toString());
    }

    async metric(name: string): Promise<number> {
      const { values } = await this.registry.getSingleMetric(`meterwarden_external_mqtt_${name}`)!.get();
      return values.reduce((sum, { value }) => sum + value, 0);
    }
  }

  /** `answer`: at once; without it the test answers. */
  async function start(options: Partial<MqttOptions> & { answer?: Outcome } = {}): Promise<Worker> {
    const worker = new Worker();
    const { answer, ...others } = options;
    worker.ingest = await startMqtt({
      url: broker.url('meterwarden', 'mw'),
      connections: 2,
      topics: [TOPIC],
      slots: new PostgresSlots(db.url),
      registry: worker.registry,
      receive: (message, settle) => {
        worker.received.push({ ...message, settle: (outcome, decoded = stored) => settle(outcome, decoded) });
        if (answer) settle(answer, stored);
      },
      refuse: (message, refusal, settle) => {
        const decoded: Decoded = { readings: [], refusals: [refusal], profile: undefined };
        worker.received.push({ ...message, settle: (outcome) => settle(outcome, decoded) });
        if (answer) settle(answer, decoded);
      },
      refusalNotice: (decoded) => (decoded.refusals.length > 0 ? Buffer.from(decoded.refusals[0]!.code) : undefined),
      nowMs: () => 0,
      onError: (_stage, error) => worker.errors.push(error),
      pace: PACE,
      ...others,
    });
    workers.push(worker);
    return worker;
  }

  async function device(options: mqtt.IClientOptions = {}): Promise<MqttClient> {
    const user = { host: '127.0.0.1', port: broker.port, username: 'GW-1', password: 's1', reconnectPeriod: 0 };
    const client = mqtt.connect({ ...user, ...options });
    devices.push(client);
    await new Promise<void>((done, fail) => {
      client.once('connect', () => done());
      client.once('error', fail);
    });
    return client;
  }

  async function publish(client: MqttClient, from: number, to: number, topic = `devices/GW-1/${TOPIC}`): Promise<void> {
    for (let n = from; n < to; n += 50) {
      const some = Array.from({ length: Math.min(50, to - n) }, (_, i) => String(n + i));
      await Promise.all(some.map((payload) => client.publishAsync(topic, payload, { qos: 1 })));
    }
  }

  const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => String(from + i));
  const distinct = (...lists: string[][]) => [...new Set(lists.flat())].sort((a, b) => Number(a) - Number(b));
  const slots = async () =>
    (await db.pool.query('SELECT slot FROM ingest_slots ORDER BY slot')).rows.map((r) => r.slot);
  const group = async () => (await db.pool.query('SELECT name FROM ingest_group')).rows[0].name as string;

  async function endSlotConnections(): Promise<void> {
    await db.pool.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE application_name = 'meterwarden slot' AND datname = current_database()`,
    );
  }

  /** Does the broker still have a session of that name? */
  const hasSession = (clientId: string) => broker.hasSession(clientId, 'meterwarden', 'mw');

  describe.each([5, 4] as const)('protocol version %i', (protocolVersion) => {
    it.each([0, 1, 2] as const)('QoS %i arrives with the identity that its topic tells', async (qos) => {
      const worker = await start({ protocolVersion, answer: 'accepted' });
      await (await device()).publishAsync(`devices/GW-1/${TOPIC}`, 'x', { qos });
      await expect.poll(() => worker.received.length, POLL).toBe(1);
      expect(worker.received[0]).toMatchObject({ client: 'GW-1', topic: TOPIC });
    });

    it('what was not settled comes again to whoever is next; what was does not', async () => {
      const first = await start({ protocolVersion, pace: { ...PACE, patienceMs: 0 } });
      await publish(await device(), 0, 10);
      await expect.poll(() => first.received.length, POLL).toBe(10);
      const kept = first.received.filter(({ payload }) => Number(payload.toString()) < 4);
      for (const { settle } of kept) settle('accepted');
      await first.ingest.stop();
      const second = await start({ protocolVersion, answer: 'accepted' });
      await expect.poll(() => distinct(second.payloads), POLL).toEqual(numbers(4, 10));
    });

    it('what is published with retain arrives once, and not again with every subscription', async () => {
      const first = await start({ protocolVersion, answer: 'accepted' });
      const gateway = await device();
      await gateway.publishAsync(`devices/GW-1/${TOPIC}`, 'kept', { qos: 1, retain: true });
      await expect.poll(() => first.payloads, POLL).toEqual(['kept']);
      await broker.end('SIGTERM');
      await broker.run();
      await expect.poll(() => first.ingest.connected, POLL).toBe(2);
      await first.ingest.stop();
      const second = await start({ protocolVersion, connections: 3, answer: 'accepted' });
      await publish(await device(), 1, 2);
      await expect.poll(() => [...first.payloads, ...second.payloads], POLL).toEqual(['kept', '1']);
    });

    it('a shed message comes again after a pause, with all that were behind it', async () => {
      const worker = await start({ protocolVersion, connections: 1 });
      await publish(await device(), 0, 3);
      await expect.poll(() => worker.received.length, POLL).toBe(3);
      const [kept, shed] = worker.received.splice(0) as [Received, Received];
      kept.settle('accepted');
      shed.settle('shed');
      await expect.poll(() => worker.payloads, POLL).toEqual(['1', '2']);
      for (const { settle } of worker.received) settle('accepted');
      await expect.poll(() => worker.metric('ended_connections_total'), POLL).toBe(1);
    });

    it('a worker that is stopped loses nothing: the broker keeps more than its default of 1000 messages', async () => {
      const first = await start({ protocolVersion, answer: 'accepted' });
      await first.ingest.stop();
      await publish(await device(), 0, 2500);
      const second = await start({ protocolVersion, answer: 'accepted' });
      await expect.poll(() => distinct(second.payloads), POLL).toEqual(numbers(0, 2500));
      expect(await slots()).toEqual([0]);
    });

    it('a broker that is restarted in order has lost nothing, and workers come back by themselves', async () => {
      const worker = await start({ protocolVersion });
      await publish(await device(), 0, 20);
      await expect.poll(() => worker.received.length, POLL).toBe(20);
      await broker.end('SIGTERM');
      await expect.poll(() => worker.ingest.connected, POLL).toBe(0);
      worker.received.length = 0;
      await broker.run();
      await expect.poll(() => distinct(worker.payloads), POLL).toEqual(numbers(0, 20));
      for (const { settle } of worker.received) settle('accepted');
      expect(worker.ingest.connected).toBe(2);
    });

    it('of three workers one is killed: the others take its messages over; one more joins in', async () => {
      const kept: string[] = [];
      const run = async (): Promise<ChildProcess> => {
        const args = [CONSUMER, broker.url('meterwarden', 'mw'), db.url, String(protocolVersion), '10'];
        const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
        children.push(child);
        await new Promise<void>((ready, fail) => {
          createInterface({ input: child.stdout! }).on('line', (line) =>
            line === 'ready' ? ready() : kept.push(line),
          );
          child.once('exit', fail);
        });
        return child;
      };
      const [, second] = await Promise.all([run(), run(), run()]);
      const gateway = await device();
      const publishing = publish(gateway, 0, 6000);
      await expect.poll(() => kept.length, POLL).toBeGreaterThan(600);
      second!.kill('SIGKILL');
      await once(second!, 'exit');
      const fourth = await run();
      await publishing;
      await expect.poll(() => distinct(kept).length, { ...POLL, timeout: 30_000 }).toBe(6000);
      await expect.poll(() => slots(), POLL).toHaveLength(3);
      expect(kept.length - 6000, 'duplicates: at most what the killed one had not acknowledged').toBeLessThan(2000);
      fourth.kill('SIGKILL');
    }, 60_000);
  });

  it('a message from nobody is refused and acknowledged, and the next one comes', async () => {
    await broker.stop();
    broker = await Mosquitto.start(USERS, { acl: 'pattern readwrite #' });
    const worker = await start({ connections: 1 });
    const anybody = await device();
    for (const topic of [`devices/GW 1/${TOPIC}`, `devices//${TOPIC}`, `devices/${'x'.repeat(65)}/${TOPIC}`]) {
      await anybody.publishAsync(topic, 'x', { qos: 1 });
    }
    await anybody.publishAsync(`devices/GW-1/${TOPIC}`, 'good', { qos: 1 });
    await expect.poll(() => worker.received.length, POLL).toBe(4);
    expect(worker.received.map(({ client }) => client)).toEqual(['GW 1', '', 'x'.repeat(65), 'GW-1']);
    for (const { settle } of worker.received) settle('accepted', refused);
    await worker.ingest.stop();
    const next = await start({ connections: 1, answer: 'accepted' });
    await publish(anybody, 5, 6);
    await expect.poll(() => next.payloads, POLL).toEqual(['5']);
  });

  it('a huge message reaches those who refuse it, and nothing waits behind it', async () => {
    const worker = await start({ connections: 1 });
    const gateway = await device();
    await gateway.publishAsync(`devices/GW-1/${TOPIC}`, Buffer.alloc(1_000_000, 'x'), { qos: 1 });
    await publish(gateway, 1, 2);
    await expect.poll(() => worker.received.map(({ payload }) => payload.length), POLL).toEqual([1_000_000, 1]);
  });

  it('the identity is the property that the broker sets', async () => {
    await broker.stop();
    broker = await Mosquitto.start(USERS, { acl: 'pattern readwrite #' });
    const worker = await start({ clientProperty: 'client', connections: 1 });
    const bridge = await device({ protocolVersion: 5 });
    const send = async (userProperties?: Record<string, string | string[]>) =>
      bridge.publishAsync(TOPIC, 'x', { qos: 1, ...(userProperties && { properties: { userProperties } }) });
    await send({ client: 'GW-7', other: 'x' });
    await send();
    await send({ client: ['GW-7', 'GW-8'] });
    await send({ client: 'a/#' });
    await expect.poll(() => worker.received.length, POLL).toBe(4);
    expect(worker.received.map(({ client, topic }) => [client, topic])).toEqual([
      ['GW-7', TOPIC],
      ['', TOPIC],
      ['GW-7,GW-8', TOPIC],
      ['a/#', TOPIC],
    ]);
    const told = new Promise((done) => bridge.once('message', (topic) => done(topic)));
    await bridge.subscribeAsync('devices/#', { qos: 0 });
    for (const { settle } of worker.received) settle('accepted', refused);
    expect(await told).toBe(`devices/GW-7/${TOPIC}/rejected`);
  });

  it('identity by property needs MQTT 5', async () => {
    await expect(start({ clientProperty: 'client', protocolVersion: 4 })).rejects.toMatchObject({
      code: 'invalid_setting',
      path: 'MQTT_CLIENT_PROPERTY',
    });
  });

  it('a client hears of its own refusals, at a rate', async () => {
    const worker = await start();
    const [gateway, other] = [await device(), await device({ username: 'GW-2', password: 's2' })];
    const heard: string[] = [];
    gateway.on('message', (topic, payload) => heard.push(`${topic} ${payload}`));
    other.on('message', (topic) => heard.push(`other ${topic}`));
    for (const client of [gateway, other]) await client.subscribeAsync('devices/#', { qos: 1 });
    await publish(gateway, 0, 150);
    await expect.poll(() => worker.received.length, POLL).toBe(150);
    for (const { settle } of worker.received) settle('accepted', refused);
    await expect.poll(() => heard.length, POLL).toBe(100);
    await publish(other, 0, 1, `devices/GW-2/${TOPIC}`);
    await expect.poll(() => worker.received.length, POLL).toBe(151);
    worker.received.at(-1)!.settle('accepted', refused);
    await expect.poll(() => heard.length, POLL).toBe(101);
    expect([...new Set(heard)]).toEqual([
      `devices/GW-1/${TOPIC}/rejected wrong_shape`,
      `other devices/GW-2/${TOPIC}/rejected`,
    ]);
    expect(await worker.metric('untold_refusals_total')).toBe(50);
  });

  it('one that leaves for good leaves nothing behind; the last one does not', async () => {
    const [staying, leaving] = [
      await start({ answer: 'accepted' }),
      await start({ answer: 'accepted', pace: { ...PACE, quietMs: 300 } }),
    ];
    const publishing = publish(await device(), 0, 3000);
    await expect.poll(() => leaving.received.length, POLL).toBeGreaterThan(100);
    expect(await leaving.ingest.drain(20_000)).toBe(true);
    expect(await slots()).toEqual([0]);
    await publishing;
    await expect.poll(() => distinct(staying.payloads, leaving.payloads), POLL).toEqual(numbers(0, 3000));
    for (const n of [0, 1]) expect(await hasSession(`${await group()}-1-${n}`)).toBe(false);
    expect(await staying.ingest.drain(20_000)).toBe(false);
    expect(await slots()).toEqual([0]);
    expect(await hasSession(`${await group()}-0-0`)).toBe(true);
  });

  it('fewer connections and other topics than before: what the old ones held is received, then they are gone', async () => {
    const before = await start({ connections: 3, answer: 'accepted' });
    await before.ingest.stop();
    await publish(await device(), 0, 30);
    const after = await start({ connections: 1, topics: ['v1/devices/me/telemetry'], answer: 'accepted' });
    await expect.poll(() => distinct(after.payloads), POLL).toEqual(numbers(0, 30));
    const recorded = async () => (await db.pool.query('SELECT client_ids, filters FROM ingest_slots')).rows;
    const name = await group();
    await expect
      .poll(recorded, POLL)
      .toEqual([{ client_ids: [`${name}-0-0`], filters: [`$share/${name}/devices/+/v1/devices/me/telemetry`] }]);
    await publish(await device(), 100, 110);
    await publish(await device(), 200, 210, 'devices/GW-1/v1/devices/me/telemetry');
    await expect.poll(() => after.payloads.includes('209'), POLL).toBe(true);
    expect(distinct(after.payloads), 'nobody is subscribed to the old topic').toEqual([
      ...numbers(0, 30),
      ...numbers(200, 210),
    ]);
  });

  it('a worker that lost its slot lets go of its sessions and works under another', async () => {
    const worker = await start({ answer: 'accepted' });
    await endSlotConnections();
    await expect.poll(() => worker.metric('ended_connections_total'), POLL).toBe(2);
    await expect.poll(() => worker.ingest.connected, POLL).toBe(2);
    await publish(await device(), 0, 50);
    await expect.poll(() => distinct(worker.payloads), POLL).toEqual(numbers(0, 50));
  });

  it('who was displaced does not fight: cut off from the database, it leaves its client ids to the new owner', async () => {
    const line = await TcpProxy.start(db.url);
    try {
      const cutOff = await start({ answer: 'accepted', slots: new PostgresSlots(line.through(db.url)) });
      const silence = line.fallSilent({ requestsAfter: 0, answersAfter: 0 });
      await silence; // the heartbeat
      await endSlotConnections();
      const owner = await start({ answer: 'accepted' });
      expect(await slots()).toEqual([0]);
      await expect.poll(() => cutOff.ingest.connected, POLL).toBe(0);
      await publish(await device(), 0, 500);
      await expect.poll(() => distinct(owner.payloads), POLL).toEqual(numbers(0, 500));
      expect(cutOff.ingest.connected).toBe(0);
      expect(await owner.metric('ended_connections_total')).toBe(0);
      line.deliver();
      await cutOff.ingest.stop();
    } finally {
      await line.stop();
    }
  });

  it('a wrong password ends the start, a broker that is away does not', async () => {
    await expect(start({ url: broker.url('meterwarden', 'wrong') })).rejects.toMatchObject({
      code: 'unusable_setting',
    });
    await broker.end('SIGTERM');
    const worker = await start({ answer: 'accepted', pace: { ...PACE, startMs: 100 } });
    expect(worker.ingest.connected).toBe(0);
    await broker.run();
    await expect.poll(() => worker.ingest.connected, POLL).toBe(2);
  });

  it('stops in time although the broker is silent', async () => {
    const worker = await start({ answer: 'accepted' });
    broker.pause();
    const startedMs = performance.now();
    await worker.ingest.stop();
    expect(performance.now() - startedMs).toBeLessThan(5_000);
    broker.resume();
  });

  it('stops at once while the broker is away', async () => {
    const worker = await start({ pace: { ...PACE, minBackoffMs: 60_000, maxBackoffMs: 60_000 } });
    await broker.end('SIGKILL');
    await expect.poll(() => worker.ingest.connected, POLL).toBe(0);
    await worker.ingest.stop();
  });

  describe('other ways to it', () => {
    const folder = new MountedFolder();
    let certificates: TestCertificates;
    let [tlsPort, webPort] = [0, 0];

    beforeEach(async () => {
      certificates = await testCertificates();
      const { certificate, key } = certificates.server;
      folder.mount({ 'ca.pem': certificates.ca, 'server.pem': certificate, 'server.key': key });
      chmodSync(dirname(dirname(folder.path('ca.pem'))), 0o755); // as root Mosquitto becomes another user
      [tlsPort, webPort] = [await freePort(), await freePort()];
      await broker.stop();
      broker = await Mosquitto.start(USERS, {
        more: `listener ${tlsPort} 127.0.0.1
cafile ${folder.path('ca.pem')}
certfile ${folder.path('server.pem')}
keyfile ${folder.path('server.key')}
require_certificate true
listener ${webPort} 127.0.0.1
protocol websockets`,
      });
    });
    afterAll(() => folder.remove());

    it('TLS, with a certificate of our own that is read at every connection', async () => {
      const ours = await issue(certificates.authority, { commonName: 'meterwarden' });
      const url = `mqtts://meterwarden:mw@127.0.0.1:${tlsPort}`;
      let reads = 0;
      const tls = () => {
        reads++;
        return { ca: certificates.ca, cert: ours.certificate, key: ours.key };
      };
      const worker = await start({ url, answer: 'accepted', tls });
      expect(worker.ingest.connected).toBe(2);
      expect(reads).toBe(2);
      await broker.end('SIGTERM');
      await broker.run();
      await expect.poll(() => worker.ingest.connected === 2 && reads > 2, POLL).toBe(true);
      await publish(await device(), 0, 1);
      await expect.poll(() => worker.payloads, POLL).toEqual(['0']);
    });

    it('TLS without the certificate that the broker wants ends the start', async () => {
      const url = `mqtts://meterwarden:mw@127.0.0.1:${tlsPort}`;
      await expect(start({ url, tls: () => ({ ca: certificates.ca }) })).rejects.toMatchObject({
        code: 'unusable_setting',
        params: { problem: 'not_admitted' },
      });
    });

    it('TLS to a broker that is not trusted ends the start', async () => {
      const url = `mqtts://meterwarden:mw@127.0.0.1:${tlsPort}`;
      const { ca } = await testCertificates('another');
      await expect(start({ url, tls: () => ({ ca }) })).rejects.toMatchObject({
        code: 'unusable_setting',
        params: { problem: 'untrusted' },
      });
    });

    it('WebSocket', async () => {
      const worker = await start({ url: `ws://meterwarden:mw@127.0.0.1:${webPort}/mqtt`, answer: 'accepted' });
      await publish(await device(), 0, 300);
      await expect.poll(() => distinct(worker.payloads), POLL).toEqual(numbers(0, 300));
    });
  });
});
