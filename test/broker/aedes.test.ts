import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import mqtt, { type MqttClient } from 'mqtt';
import packet from 'mqtt-packet';
import { Registry } from 'prom-client';
import { afterEach, expect, test } from 'vitest';
import { type AedesParts, startAedes } from '../../src/broker/aedes.ts';
import type { Decoded, Message } from '../../src/ingest/decode.ts';
import type { Profile } from '../../src/ingest/profile.ts';
import type { Settle } from '../../src/pipeline.ts';

const TOPIC = 'v1/gateway/telemetry';
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

interface Broker {
  readonly port: number;
  readonly disconnect: (identity: string) => void;
}

interface Received {
  message: Message;
  settle: Settle;
}

const opened: { stop(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const { stop } of opened.splice(0).reverse()) await stop();
});

async function start(
  parts: Partial<AedesParts> = {},
): Promise<{ broker: Broker; received: Received[]; arrived: (n: number) => Promise<void> }> {
  const received: Received[] = [];
  let wake = () => {};
  const devices = await startAedes({
    registry: new Registry(),
    verify: (id, secret) => secret === `${id}-secret`,
    knows: () => false,
    receive: (message, settle) => {
      received.push({ message, settle });
      wake();
    },
    refusalTopics: new Set([profile.refusals]),
    refusalNotice: (decoded) => (decoded.refusals.length > 0 ? Buffer.from(decoded.refusals[0]!.code) : undefined),
    maxPayloadBytes: 1000,
    nowMs: () => 0,
    onError: () => {},
    ...parts,
  });
  opened.push(devices);
  const broker = { port: await devices.listen('127.0.0.1', 0), disconnect: devices.disconnect };
  const arrived = async (n: number) => {
    while (received.length < n) await new Promise<void>((done) => (wake = done));
  };
  return { broker, received, arrived };
}

async function client(broker: Broker, options: mqtt.IClientOptions = {}): Promise<MqttClient> {
  const connected = mqtt.connect({
    host: '127.0.0.1',
    port: broker.port,
    username: 'GW',
    password: 'GW-secret',
    reconnectPeriod: 0,
    ...options,
  });
  opened.push({ stop: () => connected.endAsync(true) });
  connected.on('error', () => {});
  await new Promise<void>((done, fail) => {
    connected.once('connect', () => done());
    connected.once('error', fail);
    connected.once('close', () => fail(new Error('closed')));
  });
  return connected;
}

test.each([0, 1, 2] as const)('QoS %i reaches the pipeline with the identity of the connection', async (qos) => {
  const { broker, received, arrived } = await start();
  const gateway = await client(broker, { clientId: 'somebody-else' });
  const sent = gateway.publishAsync(TOPIC, 'x', { qos });
  await arrived(1);
  expect(received[0]!.message).toMatchObject({ client: 'GW', topic: TOPIC });
  received[0]!.settle('accepted', stored);
  await sent;
});

test('no acknowledgement before the message is settled, and then in order', async () => {
  const { broker, received, arrived } = await start();
  const gateway = await client(broker);
  const acked: number[] = [];
  const all = [1, 2, 3].map((n) => gateway.publishAsync(TOPIC, String(n), { qos: 1 }).then(() => acked.push(n)));
  await arrived(3);
  received[2]!.settle('accepted', stored);
  received[1]!.settle('accepted', stored);
  await client(broker); // whole round trips later
  expect(acked).toEqual([]);
  received[0]!.settle('accepted', stored);
  await Promise.all(all);
  expect(acked).toEqual([1, 2, 3]);
});

test('a message that is shed closes the connection without an acknowledgement', async () => {
  const { broker, received, arrived } = await start();
  const gateway = await client(broker);
  const closed = new Promise((done) => gateway.once('close', () => done('closed')));
  const acked = gateway.publishAsync(TOPIC, 'x', { qos: 1 }).then(
    () => 'acknowledged',
    () => 'failed',
  );
  await arrived(1);
  received[0]!.settle('shed', stored);
  expect(await Promise.race([closed, acked])).toBe('closed');
});

test.each([
  ['a wrong secret', { password: 'guess' }],
  ['no name', { username: '', password: '' }],
])('%s is refused', async (_name, options) => {
  const { broker } = await start();
  await expect(client(broker, options)).rejects.toThrow();
});

test('a name that is guessed at is not heard for a minute, others of that address are', async () => {
  let nowMs = 0;
  const { broker } = await start({ nowMs: () => nowMs });
  for (let i = 0; i < 60; i++) await client(broker, { password: `guess ${i}` }).catch(() => {});
  await expect(client(broker)).rejects.toThrow('Not authorized');
  await client(broker, { username: 'OTHER', password: 'OTHER-secret' });
  nowMs = 60_000;
  await client(broker);
});

test('nobody may subscribe to the data of others, only to its own refusals', async () => {
  const { broker, received, arrived } = await start();
  const other = await client(broker, { username: 'OTHER', password: 'OTHER-secret' });
  const gateway = await client(broker);
  for (const topic of ['#', '+/gateway/telemetry', TOPIC, '$SYS/#', `$share/a/${TOPIC}`]) {
    await expect(other.subscribeAsync(topic), topic).rejects.toThrow();
  }
  const heard: string[] = [];
  other.on('message', (topic) => heard.push(`other ${topic}`));
  gateway.on('message', (topic, payload) => heard.push(`own ${topic} ${payload}`));
  await other.subscribeAsync(profile.refusals);
  await gateway.subscribeAsync(profile.refusals, { qos: 1 });
  const notice = new Promise((done) => gateway.once('message', done));
  const sent = gateway.publishAsync(TOPIC, 'x', { qos: 1, retain: true });
  await arrived(1);
  received[0]!.settle('accepted', refused);
  await Promise.all([sent, notice]);
  await other.unsubscribeAsync('elsewhere');
  expect(heard).toEqual([`own ${profile.refusals} wrong_shape`]);
});

test('a last will is not a reading, and a client id is nobody else’s session', async () => {
  const { broker, received, arrived } = await start();
  const gateway = await client(broker, {
    clientId: 'same',
    will: { topic: TOPIC, payload: Buffer.from('will'), qos: 1, retain: false },
  });
  const other = await client(broker, { clientId: 'same', username: 'OTHER', password: 'OTHER-secret' });
  expect(gateway.connected).toBe(true);
  gateway.stream.destroy();
  const sent = other.publishAsync(TOPIC, 'after', { qos: 1 });
  await arrived(1);
  received[0]!.settle('accepted', stored);
  await sent;
  expect(received.map(({ message }) => message.payload.toString())).toEqual(['after']);
});

/** Connects with clean = false, perhaps subscribes, disconnects; was there a session to resume? */
async function resumed(broker: Broker, clientId: string, subscribe = false): Promise<boolean> {
  const connected = mqtt.connect({
    host: '127.0.0.1',
    port: broker.port,
    username: 'GW',
    password: 'GW-secret',
    clientId,
    clean: false,
    reconnectPeriod: 0,
  });
  const [connack] = await new Promise<[{ sessionPresent: boolean }]>((done) =>
    connected.once('connect', (...args) => done(args as never)),
  );
  if (subscribe) await connected.subscribeAsync(profile.refusals);
  await connected.endAsync();
  return connack.sessionPresent;
}

test('a persistent session is resumed; of ever new ones the last sixteen', async () => {
  const { broker } = await start();
  const ids = Array.from({ length: 40 }, (_, i) => `client ${i}`);
  for (const id of ids) expect(await resumed(broker, id, true)).toBe(false);
  const present: boolean[] = [];
  for (const id of ids) present.push(await resumed(broker, id));
  expect(present.slice(24)).toEqual(Array(16).fill(true));
  expect(present.slice(0, 24)).toEqual(Array(24).fill(false));
});

const CONNECT = {
  cmd: 'connect',
  clientId: 'c',
  protocolId: 'MQTT',
  protocolVersion: 4,
  clean: true,
  keepalive: 0,
  username: 'GW',
  password: Buffer.from('GW-secret'),
} as const;

/** Without a client library, which would not send it. */
function connectPacket(clientId: string, clean: boolean): Buffer {
  const bytes = packet.generate({ ...CONNECT, clean: true, clientId });
  if (!clean) bytes[bytes.indexOf('MQTT') + 5]! &= ~2;
  return bytes;
}

async function answerTo(broker: Broker, bytes: Buffer): Promise<string> {
  const socket = connectTcp(broker.port, '127.0.0.1');
  opened.push({ stop: async () => socket.destroy() });
  socket.write(bytes);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  return answer.toString('hex');
}

test.each([
  ['no client id and clean', '', true, '20020000'],
  ['no client id and not clean', '', false, '20020002'],
  ['a long client id', 'x'.repeat(256), true, '20020000'],
  ['too long a client id', 'x'.repeat(257), true, '20020002'],
])('%s', async (_name, clientId, clean, connack) => {
  const { broker } = await start();
  expect(await answerTo(broker, connectPacket(clientId, clean))).toBe(connack);
});

/** What it hears before the connection is closed. */
async function lastWord(broker: Broker, bytes: Buffer): Promise<string> {
  const socket = connectTcp(broker.port, '127.0.0.1');
  opened.push({ stop: async () => socket.destroy() });
  socket.write(bytes);
  const heard: Buffer[] = [];
  for await (const chunk of socket) heard.push(chunk as Buffer);
  return Buffer.concat(heard).toString('hex');
}

function connectAt(level: number): Buffer {
  const bytes = connectPacket('c', true);
  bytes[bytes.indexOf('MQTT') + 4] = level;
  return bytes;
}

const MQTT_5 = packet.generate({ ...CONNECT, protocolVersion: 5, properties: { sessionExpiryInterval: 60 } });
const WRONG_SECRET = packet.generate({ ...CONNECT, password: Buffer.from('guess') });
const PUBLISH = packet.generate({
  cmd: 'publish',
  topic: TOPIC,
  payload: 'x',
  qos: 1,
  messageId: 7,
  dup: false,
  retain: false,
});

test.each<[string, Buffer, string]>([
  ['MQTT 5', MQTT_5, '2003008400'],
  ['MQTT 5 that waits for no answer', Buffer.concat([MQTT_5, PUBLISH]), '2003008400'],
  ['MQTT 5 that is malformed', connectAt(5), '2003008400'],
  ['a level of the future', connectAt(6), '20020001'],
  ['a level of the past', connectAt(2), '20020001'],
  ['a wrong secret', WRONG_SECRET, '20020004'],
  ['a wrong secret that waits for no answer', Buffer.concat([WRONG_SECRET, PUBLISH]), '20020004'],
])('a client is told why it is not served: %s', async (_name, bytes, connack) => {
  const { broker, received } = await start();
  expect(await lastWord(broker, bytes)).toBe(connack);
  expect(received).toEqual([]);
});

test.each<[string, Partial<AedesParts>, string]>([
  [
    'the look-up of its secret fails',
    {
      verify: () => {
        throw new Error('boom');
      },
    },
    '20020003',
  ],
  [
    'its address cannot be looked at',
    {
      nowMs: () => {
        throw new Error('boom');
      },
    },
    '20020003',
  ],
])('a client is told that it is not served where %s', async (_name, parts, connack) => {
  const { broker } = await start(parts);
  expect(await lastWord(broker, packet.generate(CONNECT))).toBe(connack);
});

test('QoS 2 goes on beyond the receive window, and nothing of it is kept for a session', async () => {
  const { broker } = await start({ receive: (_message, settle) => settle('accepted', stored) });
  const gateway = await client(broker);
  for (let i = 0; i < 1100; i += 100)
    await Promise.all(Array.from({ length: 100 }, () => gateway.publishAsync(TOPIC, 'x', { qos: 2 })));
  expect(gateway.connected).toBe(true);
  const publish = packet.generate({
    cmd: 'publish',
    topic: TOPIC,
    payload: 'x',
    qos: 2,
    messageId: 7,
    dup: true,
    retain: false,
  });
  const release = packet.generate({ cmd: 'pubrel', messageId: 9 });
  const socket = connectTcp(broker.port, '127.0.0.1');
  opened.push({ stop: async () => socket.destroy() });
  const heard: string[] = [];
  socket.on('data', (bytes: Buffer) => heard.push(bytes.toString('hex')));
  socket.write(Buffer.concat([connectPacket('again', false), publish, release]));
  while (heard.join('').length < 24) await once(socket, 'data');
  // CONNACK; PUBREC for a message that may have been stored before; PUBCOMP for one that certainly was.
  expect(heard.join('').slice(0, 8)).toBe('20020000');
  expect(heard.join('')).toContain('50020007');
  expect(heard.join('')).toContain('70020009');
});

test('the seventeenth session of one gateway is refused', async () => {
  const { broker } = await start();
  for (let i = 0; i < 16; i++) await client(broker);
  await expect(client(broker)).rejects.toThrow();
  await client(broker, { username: 'OTHER', password: 'OTHER-secret' });
});

test.each([
  ['before CONNECT', Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f])],
  ['as CONNECT', Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f])],
  ['after CONNECT', Buffer.concat([packet.generate(CONNECT), Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f])])],
  ['as nonsense', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
])('a huge or foreign packet %s closes the connection', async (_name, bytes) => {
  const { broker } = await start();
  const socket = connectTcp(broker.port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write(bytes);
  socket.resume();
  await new Promise((done) => socket.once('close', done));
});

test('a hook that throws refuses, and the broker lives', async () => {
  const { broker } = await start({
    verify: (id) => {
      if (id === 'BOMB') throw new Error('boom');
      return true;
    },
    receive: () => {
      throw new Error('boom');
    },
  });
  await expect(client(broker, { username: 'BOMB' })).rejects.toThrow();
  const gateway = await client(broker);
  const closed = new Promise<void>((done) => gateway.once('close', () => done()));
  gateway.publishAsync(TOPIC, 'x', { qos: 1 }).catch(() => {});
  await closed;
  await client(broker);
});

test('an identity whose secret has changed is disconnected, and nobody else', async () => {
  const { broker } = await start();
  const [first, second, other] = [
    await client(broker, { clientId: 'a' }),
    await client(broker, { clientId: 'b' }),
    await client(broker, { username: 'OTHER', password: 'OTHER-secret' }),
  ];
  const closed = Promise.all(
    [first!, second!].map((one) => new Promise<void>((done) => one.once('close', () => done()))),
  );
  broker.disconnect('GW');
  await closed;
  expect(other!.connected).toBe(true);
  broker.disconnect('nobody');
});
