/** One connection against a broker of this test, which sees every packet and can misbehave. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import packets, { type IConnectPacket, type Packet } from 'mqtt-packet';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type LinkEnd, type LinkOptions, MqttLink } from '../../src/broker/mqtt-link.ts';
import { serve } from '../../src/broker/mqtt-session.ts';

const NEVER = new AbortController().signal;
type Version = 4 | 5;

let server: Server;
let sockets: Socket[];
let heard: Packet[];
let wake: () => void;
let connack: { returnCode: number; reasonCode: number };
let link: MqttLink | undefined;

beforeEach(async () => {
  sockets = [];
  heard = [];
  wake = () => {};
  connack = { returnCode: 0, reasonCode: 0 };
  server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    const parser = packets.parser({ protocolVersion: 5 });
    let version: Version = 5;
    parser.on('packet', (packet) => {
      heard.push(packet);
      if (packet.cmd === 'connect') {
        version = packet.protocolVersion as Version;
        send(socket, version, { cmd: 'connack', sessionPresent: true, ...connack });
      } else if (packet.cmd === 'disconnect') socket.end();
      wake();
    });
    socket.on('data', (bytes) => parser.parse(bytes));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});

afterEach(async () => {
  link?.cut();
  link = undefined;
  for (const socket of sockets) socket.destroy();
  server.close();
  await once(server, 'close');
});

function send(socket: Socket, version: Version, packet: Packet): void {
  socket.write(packets.generate(packet, { protocolVersion: version }));
}

function linkOptions(options: Partial<LinkOptions> = {}): LinkOptions {
  const { port } = server.address() as AddressInfo;
  const address = {
    protocol: 'mqtt' as const,
    hostname: '127.0.0.1',
    port,
    path: '/',
    username: undefined,
    password: undefined,
  };
  const onMessage = () => {};
  return { address, clientId: 'c', tls: undefined, protocolVersion: 5, maxInFlight: 8, onMessage, ...options };
}

async function open(options: Partial<LinkOptions> = {}): Promise<MqttLink> {
  link = await MqttLink.open(linkOptions(options), NEVER);
  return link;
}

function publish(version: Version, messageId: number, payload: string | Buffer = 'x'): void {
  const packet = { cmd: 'publish', topic: 't', payload, qos: 1, messageId, retain: false, dup: false } as const;
  send(sockets[0]!, version, packet);
}

const acknowledged = () => heard.flatMap((packet) => (packet.cmd === 'puback' ? [packet.messageId] : []));

async function hear(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise<void>((done) => (wake = done));
}

/** Received messages, and what answers each. */
function collector() {
  const settle: ((kept: boolean) => void)[] = [];
  let arrived = () => {};
  const onMessage: LinkOptions['onMessage'] = (_message, answer) => {
    settle.push(answer);
    arrived();
  };
  const received = async (n: number) => {
    while (settle.length < n) await new Promise<void>((done) => (arrived = done));
  };
  return { settle, onMessage, received };
}

describe.each([4, 5] as const)('protocol version %i', (version) => {
  test('many messages wait at a time; they are acknowledged in order of receipt', async () => {
    const { settle, onMessage, received } = collector();
    await open({ protocolVersion: version, onMessage });
    for (const id of [11, 12, 13]) publish(version, id);
    await received(3);
    settle[2]!(true);
    settle[1]!(true);
    publish(version, 14);
    await received(4);
    expect(acknowledged()).toEqual([]);
    settle[0]!(true);
    await hear(() => acknowledged().length === 3);
    settle[3]!(true);
    await hear(() => acknowledged().length === 4);
    expect(acknowledged()).toEqual([11, 12, 13, 14]);
  });

  test('a message that is shed ends the connection: neither it nor what came later is acknowledged', async () => {
    const { settle, onMessage, received } = collector();
    const opened = await open({ protocolVersion: version, onMessage });
    for (const id of [1, 2, 3]) publish(version, id);
    await received(3);
    settle[0]!(true);
    settle[1]!(false);
    settle[2]!(true);
    expect(await opened.ended).toBe('shed');
    expect(acknowledged()).toEqual([1]);
    expect(heard.at(-1)!.cmd).toBe('disconnect');
  });

  test('beyond its limit it does not read on, and goes on when it may', async () => {
    const { settle, onMessage, received } = collector();
    await open({ protocolVersion: version, onMessage, maxInFlight: 2 });
    for (const id of [1, 2, 3, 4]) publish(version, id);
    await received(2);
    settle[1]!(true);
    await new Promise((done) => setImmediate(done));
    expect(settle).toHaveLength(2);
    settle[0]!(true);
    await received(4);
    settle[2]!(true);
    settle[3]!(true);
    await hear(() => acknowledged().length === 4);
  });

  test('finishing, it takes nothing new, answers what it has and says goodbye', async () => {
    const { settle, onMessage, received } = collector();
    const opened = await open({ protocolVersion: version, onMessage });
    publish(version, 1);
    await received(1);
    const finished = opened.finish(60_000);
    publish(version, 2);
    send(sockets[0]!, version, { cmd: 'pingresp' });
    settle[0]!(true);
    await finished;
    expect(settle).toHaveLength(1);
    expect(acknowledged()).toEqual([1]);
    expect(await opened.ended).toBe('finished');
  });

  test('finishing does not wait for ever', async () => {
    const { onMessage, received } = collector();
    const opened = await open({ protocolVersion: version, onMessage });
    publish(version, 1);
    await received(1);
    await opened.finish(1);
    expect(acknowledged()).toEqual([]);
  });

  test('a broker that does not admit us is an error with its code', async () => {
    connack = { returnCode: 5, reasonCode: 135 };
    await expect(open({ protocolVersion: version })).rejects.toMatchObject({ code: version === 5 ? 135 : 5 });
  });

  test('a packet that cannot be read ends the connection', async () => {
    const opened = await open({ protocolVersion: version });
    sockets[0]!.write(Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff]));
    expect(await opened.ended).toBe('lost');
    expect(opened.error).toBeDefined();
  });
});

test('the session is kept, and the broker knows how many messages may wait', async () => {
  await open({ maxInFlight: 8 });
  expect(heard[0]).toMatchObject({
    cmd: 'connect',
    clean: false,
    properties: { receiveMaximum: 8, sessionExpiryInterval: 14 * 86_400 },
  } satisfies Partial<IConnectPacket>);
});

test('a session taken over is told apart from a lost connection', async () => {
  const opened = await open();
  send(sockets[0]!, 5, { cmd: 'disconnect', reasonCode: 0x8e } as Packet);
  expect(await opened.ended).toBe('taken-over');
});

test('QoS 0 is received and counts, and has no acknowledgement that could be withheld', async () => {
  const { settle, onMessage, received } = collector();
  const opened = await open({ onMessage });
  send(sockets[0]!, 5, { cmd: 'publish', topic: 't', payload: 'x', qos: 0, retain: false, dup: false });
  await received(1);
  expect(opened.waiting).toBe(1);
  settle[0]!(false);
  expect(opened.waiting).toBe(0);
  publish(5, 1);
  await received(2);
  settle[1]!(true);
  await hear(() => acknowledged().length === 1);
});

test('bytes that wait are limited too', async () => {
  const { settle, onMessage, received } = collector();
  await open({ onMessage, maxInFlight: 1000 });
  const payload = Buffer.alloc(9 * 1024 * 1024);
  for (const id of [1, 2, 3, 4, 5]) publish(5, id, payload);
  await received(4);
  await new Promise((done) => setImmediate(done));
  expect(settle).toHaveLength(4);
  for (const answer of settle) answer(true);
  await received(5);
});

test('connecting can be called off', async () => {
  const off = new AbortController();
  const silent = createServer(() => {}).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const { port } = silent.address() as AddressInfo;
  const address = {
    protocol: 'mqtt',
    hostname: '127.0.0.1',
    port,
    path: '/',
    username: undefined,
    password: undefined,
  };
  const opening = MqttLink.open(
    { address, clientId: 'c', tls: undefined, protocolVersion: 5, maxInFlight: 8, onMessage: () => {} } as LinkOptions,
    off.signal,
  );
  const [socket] = (await once(silent, 'connection')) as [Socket];
  off.abort();
  await expect(opening).rejects.toThrow();
  socket.destroy();
  silent.close();
});

test('a session taken over comes back late, one that lost its connection at once', async () => {
  const stop = new AbortController();
  const connects = (clientId: string) =>
    heard.filter((packet) => packet.cmd === 'connect' && packet.clientId === clientId);
  const ends: LinkEnd[] = [];
  const errors: string[] = [];
  const session = (clientId: string) =>
    serve(
      {
        ...linkOptions({ clientId }),
        mayConnect: async () => true,
        stop: stop.signal,
        lost: NEVER,
        onDown: (end) => ends.push(end),
        onError: (error) => errors.push(String(error)),
        pace: { minBackoffMs: 1, maxBackoffMs: 60_000, random: () => 0, quietMs: 1, patienceMs: 1 },
      },
      { filters: ['t'], stale: [], ready: () => {} },
    );
  const displaced = session('displaced');
  await hear(() => connects('displaced').length === 1);
  send(sockets[0]!, 5, { cmd: 'disconnect', reasonCode: 0x8e } as Packet);
  const unlucky = session('unlucky');
  for (let n = 1; n <= 5; n++) {
    await hear(() => connects('unlucky').length === n);
    sockets.at(-1)!.destroy();
  }
  expect(connects('displaced')).toHaveLength(1);
  expect(ends[0]).toBe('taken-over');
  expect(errors[0]).toContain('somebody else uses the client id');
  stop.abort();
  await Promise.all([displaced, unlucky]);
});
