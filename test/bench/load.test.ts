import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import mqttPacket from 'mqtt-packet';
import { afterEach, expect, test } from 'vitest';
import { type Load, startLoad } from '../../bench/load.ts';
import { STEP_MS } from '../../bench/publishes.ts';

const START_MS = Date.UTC(2024, 0, 1);
const cleanups: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

interface Published {
  user: string;
  topic: string;
  instrument: string;
  tsMs: number;
  registerKwh: number;
}

/** A broker of twenty lines that acknowledges when told to. */
async function fakeBroker(acknowledge: (socket: Socket, messageId: number) => void) {
  const published: Published[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    const parser = mqttPacket.parser();
    let user = '';
    socket.on('error', () => {});
    socket.on('data', (chunk) => parser.parse(chunk));
    parser.on('packet', (packet) => {
      if (packet.cmd === 'connect') {
        user = `${packet.username}:${packet.password}`;
        socket.write(mqttPacket.generate({ cmd: 'connack', returnCode: 0, sessionPresent: false }));
      }
      if (packet.cmd !== 'publish') return;
      const payload = JSON.parse(packet.payload.toString()) as Record<
        string,
        [{ ts: number; values: { active_import_kwh: number } }]
      >;
      for (const [instrument, [reading]] of Object.entries(payload))
        published.push({
          user,
          topic: packet.topic,
          instrument,
          tsMs: reading.ts,
          registerKwh: reading.values.active_import_kwh,
        });
      acknowledge(socket, packet.messageId!);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, published };
}

function puback(socket: Socket, messageId: number): void {
  socket.write(mqttPacket.generate({ cmd: 'puback', messageId }));
}

/** A store that tells of so many readings what `stored` says. */
async function fakeStore(stored: () => number): Promise<string> {
  const server = createHttpServer((_, response) => response.end(`meterwarden_readings_stored_total ${stored()}\n`));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(async () => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function loadOf(port: number, storedBy?: string[]): Promise<Load> {
  const connections = ['a', 'b'].map((name) => ({
    username: name,
    ...(storedBy && { topic: `devices/${name}/readings` }),
    password: `secret-${name}`,
    instruments: [`${name}-1`, `${name}-2`, `${name}-3`],
  }));
  const load = await startLoad({ port, startMs: START_MS, connections, ...(storedBy && { storedBy }) });
  cleanups.push(() => load.stop());
  return load;
}

function expectNewAndInOrder(published: Published[]): void {
  for (const readings of Map.groupBy(published, ({ instrument }) => instrument).values()) {
    expect(readings.map(({ tsMs }) => tsMs)).toEqual(readings.map((_, index) => START_MS + index * STEP_MS));
    for (const [index, { registerKwh }] of readings.entries())
      expect(registerKwh - readings[0]!.registerKwh).toBeCloseTo(index * 0.25, 6);
  }
}

test('every publish carries new readings, in order, each from its own connection', async () => {
  const broker = await fakeBroker(puback);
  const load = await loadOf(broker.port);
  const filled = await load.fill({ window: 4, publishesPerConnection: 50 });
  expect(filled.acknowledged).toBe(100);
  expect(filled.steps).toEqual([50, 50]);
  expect(broker.published).toHaveLength(300);
  expect(new Set(broker.published.map(({ user, instrument }) => `${user} ${instrument[0]}`))).toEqual(
    new Set(['a:secret-a a', 'b:secret-b b']),
  );
  const single = await load.run({ shape: 'single', window: 4, warmupMs: 20, measureMs: 50 });
  expect(broker.published).toHaveLength(300 + single.acknowledged);
  const first = broker.published.filter(({ instrument }) => instrument === 'a-1');
  expect(first).toHaveLength(single.steps[0]!);
  // An instrument's registers go on from one shape of load to the next: a jump would be a finding.
  expectNewAndInOrder(broker.published.filter(({ instrument }) => instrument.endsWith('-1')));
  expectNewAndInOrder(broker.published.filter(({ instrument }) => instrument.endsWith('-3')));
});

test('a schedule does not wait for answers: a stall counts for everything that was due meanwhile', async () => {
  let stalled = true;
  const held: (() => void)[] = [];
  const answerHeld = () => {
    stalled = false;
    for (const answer of held) answer();
  };
  const broker = await fakeBroker((socket, messageId) => {
    if (!stalled) return puback(socket, messageId);
    if (held.push(() => puback(socket, messageId)) === 1) setTimeout(answerHeld, 300);
  });
  const load = await loadOf(broker.port);
  const result = await load.run({ shape: 'single', window: 2, warmupMs: 0, measureMs: 400, ratePerSecond: 100 });
  // Only four were in flight, yet about thirty were due during the stall.
  expect(result.acknowledged).toBeGreaterThanOrEqual(40);
  expect(result.p50Ms).toBeGreaterThan(50);
  expect(result.maxMs).toBeGreaterThan(250);
});

test('acknowledgements out of order fail the run', async () => {
  const waiting: number[] = [];
  const broker = await fakeBroker((socket, messageId) => {
    waiting.push(messageId);
    if (waiting.length === 2) for (const id of waiting.toReversed()) puback(socket, id);
  });
  const load = await loadOf(broker.port);
  await expect(load.fill({ window: 2, publishesPerConnection: 2 })).rejects.toThrow('oldest publish in flight');
});

test('a lost connection fails the run', async () => {
  const broker = await fakeBroker((socket) => socket.destroy());
  const load = await loadOf(broker.port);
  await expect(load.fill({ window: 1, publishesPerConnection: 1 })).rejects.toThrow();
});

test('the load stays within reach of what is stored, on the topics of its connections', async () => {
  const broker = await fakeBroker(puback);
  let furthestAhead = 0;
  let stored = 0;
  // Whoever asks finds one publish more stored, as long as there is one.
  const store = await fakeStore(() => {
    furthestAhead = Math.max(furthestAhead, broker.published.length - stored);
    stored = Math.min(stored + 3, broker.published.length);
    return stored;
  });
  const load = await loadOf(broker.port, [store]);
  const result = await load.run({ shape: 'gateway', window: 4, ahead: 2, warmupMs: 20, measureMs: 300 });
  // Two connections, two publishes ahead of each, three readings in one.
  expect(furthestAhead).toBeLessThanOrEqual(2 * 2 * 3);
  expect(stored).toBe(result.acknowledged * 3);
  expect(result.storedReadingsPerSecond).toBeGreaterThan(0);
  expect(new Set(broker.published.map(({ topic }) => topic))).toEqual(
    new Set(['devices/a/readings', 'devices/b/readings']),
  );
});

test('more stored than was sent fails the run', async () => {
  const broker = await fakeBroker(puback);
  let asked = 0;
  const store = await fakeStore(() => (asked++ === 0 ? 0 : 1000));
  const load = await loadOf(broker.port, [store]);
  await expect(load.fill({ window: 4, publishesPerConnection: 5 })).rejects.toThrow('30 readings were sent, and 1000');
});
