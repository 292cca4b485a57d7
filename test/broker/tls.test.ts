/** The guards in front of the broker, and who a client is, where it comes by TLS. */
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectTcp, createServer, type Socket } from 'node:net';
import type { ConnectionOptions, SecureContextOptions, TLSSocket } from 'node:tls';
import mqtt, { type MqttClient } from 'mqtt';
import packet from 'mqtt-packet';
import { Registry } from 'prom-client';
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { type AedesParts, startAedes } from '../../src/broker/aedes.ts';
import { type ClientAuth, TlsConnections } from '../../src/broker/tls-connections.ts';
import { issue, type Pem } from '../../src/commands/dev-ca.ts';
import type { Decoded, Message } from '../../src/ingest/decode.ts';
import {
  connectTls,
  EXPIRED,
  revoke,
  serverPem,
  type TestCertificates,
  testCertificates,
} from '../support/certificates.ts';

const TOPIC = 'v1/gateway/telemetry';
const stored: Decoded = { readings: [{ key: 1, tsMs: 0, values: [] }], refusals: [], profile: undefined };
const CLOSED = { timeout: 10_000, interval: 5 };

let own: TestCertificates;
let foreign: TestCertificates;
const pems: Record<string, Pem> = {};
beforeAll(async () => {
  own = await testCertificates();
  foreign = await testCertificates(); // of the same name
  pems.gateway = await issue(own.authority, { commonName: 'GW' });
  pems.stranger = await issue(own.authority, { commonName: 'NOBODY' });
  pems.revoked = await issue(own.authority, { commonName: 'GW' });
  pems.expired = await issue(own.authority, { commonName: 'GW', ...EXPIRED });
  pems['of another CA'] = await issue(foreign.authority, { commonName: 'GW' });
  pems['of a server'] = await issue(own.authority, { commonName: 'GW', hosts: ['GW'] });
  pems.nameless = await issue(own.authority, { commonName: '' });
});

const opened: { stop(): Promise<unknown> }[] = [];
afterEach(async () => {
  vi.useRealTimers();
  for (const { stop } of opened.splice(0).reverse()) await stop();
});

interface Broker {
  readonly port: number;
  readonly messages: Message[];
  readonly asked: string[];
  setSecureContext(context: SecureContextOptions): void;
  refusedHandshakes(): Promise<Record<string, number>>;
  stop(): Promise<void>;
}

async function start(
  clientAuth: ClientAuth = 'optional',
  parts: Partial<AedesParts> = {},
  context: SecureContextOptions = {},
): Promise<Broker> {
  const registry = new Registry();
  const messages: Message[] = [];
  const asked: string[] = [];
  const devices = await startAedes({
    registry,
    verify: (id, secret) => {
      asked.push(id);
      return secret === `${id}-secret`;
    },
    knows: (id) => {
      asked.push(id);
      return id === 'GW';
    },
    receive: (message, settle) => {
      messages.push(message);
      settle('accepted', stored);
    },
    refusalTopics: new Set(),
    refusalNotice: () => undefined,
    maxPayloadBytes: 1000,
    nowMs: () => 0,
    onError: () => {},
    ...parts,
  });
  opened.push(devices);
  const { certificate: cert, key } = own.server;
  const listening = await devices.listenTls('127.0.0.1', 0, clientAuth, { cert, key, ca: own.ca, ...context });
  return {
    messages,
    asked,
    port: listening.port,
    setSecureContext: (changed) => listening.setSecureContext({ ca: own.ca, ...changed }),
    refusedHandshakes: async () => {
      const { values } = await registry.getSingleMetric('meterwarden_mqtt_refused_handshakes_total')!.get();
      return Object.fromEntries(values.map(({ labels, value }) => [String(labels.reason), value]));
    },
    stop: () => devices.stop(),
  };
}

const shown = ({ certificate: cert, key }: Pem) => ({ cert, key });
const SECRET = { username: 'GW', password: 'GW-secret' };

function connectPacket({ username, password }: Partial<typeof SECRET>): Buffer {
  return packet.generate({
    cmd: 'connect',
    clientId: 'c',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clean: true,
    keepalive: 0,
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password: Buffer.from(password) }),
  });
}

async function client({ port }: Broker, options: mqtt.IClientOptions = {}): Promise<MqttClient> {
  const connected = mqtt.connect({
    protocol: 'mqtts',
    host: '127.0.0.1',
    servername: 'localhost',
    port,
    ca: own.ca,
    reconnectPeriod: 0,
    ...options,
  } as mqtt.IClientOptions);
  opened.push({ stop: () => connected.endAsync(true) });
  await new Promise<void>((done, fail) => {
    connected.once('connect', () => done());
    connected.once('error', fail);
    connected.once('close', () => fail(new Error('closed')));
  });
  connected.on('error', () => {});
  return connected;
}

async function secured({ port }: Broker, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = await connectTls(port, { ca: own.ca, ...options });
  opened.push({ stop: async () => socket.destroy() });
  return socket;
}

async function tcp({ port }: { port: number }): Promise<Socket> {
  const socket = connectTcp(port, '127.0.0.1');
  socket.on('error', () => {});
  opened.push({ stop: async () => socket.destroy() });
  await once(socket, 'connect');
  return socket;
}

const closed = async (socket: Socket) => {
  socket.resume();
  if (!socket.destroyed) await new Promise((done) => socket.once('close', done));
};

describe('a client', () => {
  test.each<[string, ClientAuth, mqtt.IClientOptions]>([
    ['its secret', 'none', SECRET],
    ['its secret where it might have shown a certificate', 'optional', SECRET],
  ])('by %s is who it says', async (_how, clientAuth, options) => {
    const broker = await start(clientAuth);
    await (await client(broker, options)).publishAsync(TOPIC, 'x', { qos: 1 });
    expect(broker.messages).toMatchObject([{ client: 'GW', topic: TOPIC }]);
  });

  test.each<[string, mqtt.IClientOptions]>([
    ['no user name', {}],
    ['its own user name', { username: 'GW' }],
    ['a password nobody asked for', { username: 'GW', password: 'guess' }],
  ])('by certificate with %s is whom the certificate names', async (_how, options) => {
    const broker = await start('required');
    await (await client(broker, { ...shown(pems.gateway!), ...options })).publishAsync(TOPIC, 'x', { qos: 1 });
    expect(broker.messages).toMatchObject([{ client: 'GW' }]);
  });

  test('by certificate with the user name of another is refused, even with the secret of that one', async () => {
    const broker = await start();
    const options = { ...shown(pems.gateway!), username: 'OTHER', password: 'OTHER-secret' };
    await expect(client(broker, options)).rejects.toThrow('Bad username or password');
  });

  test('whose certificate names nobody of the ledger is refused', async () => {
    const broker = await start();
    await expect(client(broker, shown(pems.stranger!))).rejects.toThrow('Bad username or password');
    expect(broker.asked).toEqual(['NOBODY']);
  });

  test('that shows a certificate nobody asked for needs its secret', async () => {
    const broker = await start('none');
    await expect(client(broker, shown(pems.gateway!))).rejects.toThrow('Bad username or password');
    await client(broker, { ...shown(pems.gateway!), ...SECRET });
  });

  test('without a certificate is refused where one is required', async () => {
    const broker = await start('required');
    await expect(client(broker, SECRET)).rejects.toThrow();
    expect(await broker.refusedHandshakes()).toEqual({ 'no-certificate': 1 });
    expect(broker.asked).toEqual([]);
  });

  test.each<[string, string]>([
    ['expired', 'CERT_HAS_EXPIRED'],
    ['of another CA', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
    ['of a server', 'INVALID_PURPOSE'],
    ['revoked', 'CERT_REVOKED'],
    ['nameless', 'no-common-name'],
  ])('whose certificate is %s is refused before it can say anything', async (which, reason) => {
    const crl = [await revoke(own.authority, pems.revoked!)];
    for (const clientAuth of ['optional', 'required'] as const) {
      const broker = await start(clientAuth, {}, { crl });
      await expect(client(broker, { ...shown(pems[which]!), ...SECRET })).rejects.toThrow();
      expect(await broker.refusedHandshakes()).toEqual({ [reason]: 1 });
      expect(broker.asked).toEqual([]);
      await client(broker, shown(pems.gateway!)); // the list keeps only those out that it names
    }
  });

  test('of MQTT 5 is told so', async () => {
    const broker = await start();
    await expect(client(broker, { ...SECRET, protocolVersion: 5 })).rejects.toThrow('Unsupported Protocol Version');
  });

  test('with TLS 1.1 is refused, with 1.2 it is not', async () => {
    const broker = await start('optional', {}, { minVersion: 'TLSv1.2' });
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
    await expect(secured(broker, old)).rejects.toThrow();
    await client(broker, { ...SECRET, maxVersion: 'TLSv1.2' } as mqtt.IClientOptions);
  });
});

describe('a guard holds:', () => {
  const CONNECT = connectPacket(SECRET);
  const HUGE = Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f]);

  test.each([
    ['before CONNECT', HUGE],
    ['as CONNECT', Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f])],
    ['after CONNECT', Buffer.concat([CONNECT, HUGE])],
  ])('a huge packet %s closes the connection', async (_when, bytes) => {
    const broker = await start();
    const socket = await secured(broker);
    socket.write(bytes);
    await closed(socket);
  });

  test('whoever says nothing after the handshake is closed', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const broker = await start();
    const socket = await secured(broker);
    while (vi.getTimerCount() === 0) await new Promise(setImmediate);
    vi.advanceTimersByTime(10_000);
    await closed(socket);
  });

  test('the seventeenth connection of one gateway is refused, by whatever it proved itself', async () => {
    const broker = await start();
    for (let i = 0; i < 8; i++) await client(broker, SECRET);
    for (let i = 0; i < 8; i++) await client(broker, shown(pems.gateway!));
    await expect(client(broker, SECRET)).rejects.toThrow();
    await expect(client(broker, shown(pems.gateway!))).rejects.toThrow();
  });

  test('who guesses at a secret is not heard for a minute, the holder of the certificate is', async () => {
    const broker = await start();
    for (let i = 0; i < 60; i++) await client(broker, { username: 'GW', password: 'guess' }).catch(() => {});
    await expect(client(broker, SECRET)).rejects.toThrow('Not authorized');
    await client(broker, shown(pems.gateway!));
  });

  test('an address of too many broken handshakes is not heard for a minute', async () => {
    let nowMs = 0;
    const broker = await start('optional', { nowMs: () => nowMs });
    for (let i = 0; i < 2000; i += 100) {
      const sockets = await Promise.all(Array.from({ length: 100 }, () => tcp(broker)));
      for (const socket of sockets) socket.write('GET / HTTP/1.1\r\n\r\n');
      await Promise.all(sockets.map(closed));
    }
    await expect.poll(() => broker.refusedHandshakes(), CLOSED).toEqual({ 'handshake-failed': 2000 });
    await expect(secured(broker)).rejects.toThrow();
    nowMs = 60_000;
    await client(broker, SECRET);
  });

  test('stopping does not wait for handshakes that never end', async () => {
    const broker = await start();
    const sockets = [await tcp(broker), await secured(broker)];
    await broker.stop();
    await Promise.all(sockets.map(closed));
  });
});

describe('a handshake', () => {
  /** Bytes that begin one and go on for long. */
  const HELLO = [0x16, 3, 1, 0x40, 0, ...Array<number>(2000).fill(1)];

  test.each([
    ['says nothing', 0],
    ['sends byte after byte', HELLO.length],
  ])('whose client %s is cut off', async (_what, bytes) => {
    const { certificate: cert, key } = own.server;
    const refused: string[] = [];
    const connections = new TlsConnections({
      clientAuth: 'none',
      context: { cert, key },
      onSecured: () => expect.unreachable(),
      onRefused: (address, reason) => refused.push(`${address} ${reason}`),
      handshakeTimeoutMs: 200,
    });
    const server = createServer((socket) => connections.accept(socket)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    opened.push({ stop: async () => server.close() });
    const socket = await tcp(server.address() as { port: number });
    socket.setNoDelay(true);
    let sent = 0;
    const trickle = setInterval(() => {
      if (sent < bytes) socket.write(Buffer.from([HELLO[sent++]!]));
    }, 10);
    await closed(socket);
    clearInterval(trickle);
    expect(refused).toEqual(['127.0.0.1 handshake-timeout']);
    expect(sent).toBeLessThan(HELLO.length);
  });
});

describe('new certificates', () => {
  test('are for new connections; those that are there stay', async () => {
    const broker = await start();
    const before = await client(broker, shown(pems.gateway!));
    const { certificate: cert, key } = await serverPem(own.authority);
    broker.setSecureContext({ cert, key });
    const seen = (await secured(broker)).getPeerX509Certificate()!;
    expect(seen.serialNumber).toBe(new X509Certificate(cert).serialNumber);
    expect(seen.serialNumber).not.toBe(new X509Certificate(own.server.certificate).serialNumber);
    await before.publishAsync(TOPIC, 'x', { qos: 1 });
    expect(broker.messages).toHaveLength(1);
  });

  test.each(['TLSv1.2', 'TLSv1.3'] as const)('a %s session is resumed, but not past a new list', async (maxVersion) => {
    const broker = await start();
    const options = { ...shown(pems.revoked!), maxVersion };
    const first = await secured(broker, options);
    const given = () => new Promise<Buffer>((done) => void first.resume().once('session', done)); // after the handshake
    const session = maxVersion === 'TLSv1.2' ? first.getSession()! : await given();
    const again = await secured(broker, { ...options, session });
    expect(again.isSessionReused()).toBe(true);
    again.write(connectPacket({}));
    const [connack] = (await once(again, 'data')) as [Buffer];
    expect(connack.toString('hex'), 'and it is whose certificate it showed').toBe('20020000');

    const { certificate: cert, key } = own.server;
    broker.setSecureContext({ cert, key, crl: [await revoke(own.authority, pems.revoked!)] });
    // With TLS 1.2 it is closed before the client has seen the end of the handshake.
    const late = await secured(broker, { ...options, session }).catch(() => undefined);
    expect(late?.isSessionReused() ?? false).toBe(false);
    if (late) await closed(late);
    expect(await broker.refusedHandshakes()).toEqual({ CERT_REVOKED: 1 });
  });
});
