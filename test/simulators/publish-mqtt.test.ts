import type { AddressInfo } from 'node:net';
import { createServer, type Server, type Socket } from 'node:net';
import { Aedes } from 'aedes';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { fleetOptions, simulateFleet } from '../../simulators/fleet.ts';
import { readLondonProfiles } from '../../simulators/london.ts';
import { generatedSource, publish, replayedSource, type Source } from '../../simulators/publish-mqtt.ts';

const SEED = 21;
const UNTIL_MS = Date.UTC(2026, 0, 31);
const profiles = readLondonProfiles();
const fleet = simulateFleet(
  fleetOptions({ untilMs: UNTIL_MS, metersPerDistrict: 8, districts: 2, days: 1, seed: SEED, faults: { silent: 1 } }),
  profiles,
);
const expected = [...fleet.steps()].flatMap((step) => step.rows.map((row) => `${row.instrument}@${step.tsMs}`));

interface Received {
  readonly client: string;
  readonly points: { instrument: string; ts: number; values: Record<string, number> }[];
}

let broker: Aedes;
let server: Server;
const sockets = new Set<Socket>();
let received: Received[];
let logins: string[];
let topicOf: (gateway: string) => string;
/** Runs before a publication is acknowledged. */
let onPublish: (messages: number) => Promise<void> | void;

beforeEach(async () => {
  received = [];
  logins = [];
  topicOf = () => 'v1/gateway/telemetry';
  onPublish = () => {};
  broker = await Aedes.createBroker();
  broker.authenticate = (_client, username, password, done) => {
    logins.push(username ?? '');
    done(null, password?.toString() === 'right');
  };
  broker.authorizePublish = (client, packet, done) => {
    if (packet.topic !== topicOf(client!.id)) {
      done(new Error(packet.topic));
      return;
    }
    const content = JSON.parse(packet.payload.toString()) as Record<
      string,
      { ts: number; values: Record<string, number> }[]
    >;
    const points = Object.entries(content).flatMap(([instrument, list]) => list.map((p) => ({ instrument, ...p })));
    received.push({ client: client!.id, points });
    Promise.resolve(onPublish(received.length)).then(() => done(null));
  };
  server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    broker.handle(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  await new Promise<void>((resolve) => broker.close(() => resolve()));
  await new Promise<void>((resolve) => server.close(() => resolve()));
});

function send(source: Source, more: Partial<Parameters<typeof publish>[1]> = {}) {
  const url = `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return publish(source, {
    url,
    secret: 'right',
    readingsPerMessage: 40,
    window: 4,
    minBackoffMs: 10,
    maxBackoffMs: 50,
    seed: SEED,
    ...more,
  });
}

function distinct(): string[] {
  return [...new Set(received.flatMap(({ points }) => points.map((point) => `${point.instrument}@${point.ts}`)))];
}

/** The first delivery of every reading of an instrument comes in order of time. */
function expectInOrder(): void {
  const seen = new Set<string>();
  const newest = new Map<string, number>();
  for (const { instrument, ts } of received.flatMap((message) => message.points)) {
    if (seen.has(`${instrument}@${ts}`)) continue;
    seen.add(`${instrument}@${ts}`);
    expect(ts, `${instrument}, seed ${SEED}`).toBeGreaterThan(newest.get(instrument) ?? 0);
    newest.set(instrument, ts);
  }
}

test('behind a prefix, for a broker that others share', async () => {
  topicOf = (gateway) => `devices/${gateway}/v1/gateway/telemetry`;
  const report = await send(generatedSource(fleet), { topicPrefix: 'devices/{client}/' });
  expect(report).toMatchObject({ acknowledgedReadings: expected.length, reconnects: 0 });
});

test('every reading arrives once, in order, under its own gateway', async () => {
  const report = await send(generatedSource(fleet));
  const points = received.flatMap((message) => message.points);
  expect(points).toHaveLength(expected.length);
  expect(distinct().sort()).toEqual([...expected].sort());
  expectInOrder();
  expect([...new Set(logins)].sort()).toEqual(['GW-D001', 'GW-D002']);
  for (const { client, points: own } of received) {
    expect(own.every((point) => `GW-${point.instrument.slice(0, 4)}` === client)).toBe(true);
  }
  expect(points[0]!.values).toHaveProperty('voltage_l1_v');
  expect(report).toMatchObject({
    acknowledgedReadings: expected.length,
    acknowledgedMessages: received.length,
    rejectedMessages: 0,
    reconnects: 0,
    unacknowledgedMessages: 0,
  });
  expect(report.ackP99Ms).toBeGreaterThanOrEqual(report.ackP50Ms);
});

test('connections cut in the middle lose nothing and reorder nothing', async () => {
  onPublish = (messages) => {
    if (messages % 9 === 0 && messages < 40) for (const socket of sockets) socket.destroy();
  };
  const report = await send(generatedSource(fleet));
  expect(distinct().sort()).toEqual([...expected].sort());
  expectInOrder();
  expect(report.reconnects).toBeGreaterThan(0);
  expect(report.resentMessages).toBeGreaterThan(0);
  expect(report).toMatchObject({ acknowledgedReadings: expected.length, unacknowledgedMessages: 0 });
});

test('a message that is never acknowledged is sent again on a new connection', async () => {
  onPublish = (messages) => (messages === 5 ? new Promise<void>(() => {}) : undefined);
  const report = await send(generatedSource(fleet), { ackTimeoutMs: 100 });
  expect(distinct().sort()).toEqual([...expected].sort());
  expectInOrder();
  expect(report.reconnects).toBeGreaterThan(0);
});

test('no more than the window is under way', async () => {
  let waiting = 0;
  let most = 0;
  onPublish = async () => {
    most = Math.max(most, ++waiting);
    await new Promise((resolve) => setTimeout(resolve, 1));
    waiting--;
  };
  await send(generatedSource(fleet), { window: 3 });
  expect(most).toBeGreaterThan(1);
  expect(most).toBeLessThanOrEqual(2 * 3);
});

test('refusals on its own topic are counted', async () => {
  let refusals = 0;
  broker.on('subscribe', (_subscriptions, client) => {
    const payload = JSON.stringify({ rejections: [{ code: 'unknown_instrument' }, { code: 'out_of_range' }] });
    const refusal = { topic: 'v1/gateway/telemetry/rejected', payload, qos: 0, retain: false, dup: false } as const;
    client.publish({ cmd: 'publish', ...refusal }, () => {});
    refusals++;
  });
  const report = await send(generatedSource(fleet));
  expect(refusals).toBe(2);
  expect(report).toMatchObject({ rejectedMessages: 2, rejectedReadings: 4 });
});

test.each([
  ['generated', generatedSource],
  ['replayed', replayedSource],
])('live readings follow with the time of now (%s)', async (_, toSource) => {
  const startedMs = Date.now();
  const periodMs = 15 * 60_000;
  const untilMs = Math.floor(startedMs / periodMs) * periodMs;
  const recent = simulateFleet(
    fleetOptions({ untilMs, metersPerDistrict: 5, days: 1, faults: { silent: 1 } }),
    profiles,
  );
  const report = await send(toSource(recent), { liveMs: 250, liveEveryMs: 100 });
  const live = received.flatMap(({ points }) => points).filter((point) => point.ts >= startedMs);
  const times = new Set(live.map((point) => point.ts));
  expect(times.size).toBeGreaterThanOrEqual(2);
  expectInOrder();
  const history = [...recent.steps()];
  expect(live).toHaveLength(times.size * history.at(-1)!.rows.length);
  expect(report.acknowledgedReadings).toBe(history.reduce((sum, step) => sum + step.rows.length, live.length));
});

test('a history that ends in the future cannot go live', async () => {
  const untilMs = Math.ceil(Date.now() / 900_000 + 4) * 900_000;
  const future = simulateFleet(fleetOptions({ untilMs, metersPerDistrict: 3, days: 1, faults: {} }), profiles);
  const sending = send(generatedSource(future), { liveMs: 1_000 });
  await expect(sending).rejects.toMatchObject({ code: 'history_in_future' });
});

test('a wrong secret and a broker that is not there end with their reason', async () => {
  await expect(send(generatedSource(fleet), { secret: 'wrong' })).rejects.toMatchObject({ code: 'broker_refused' });
  const nowhere = { url: 'mqtt://127.0.0.1:1', firstConnectMs: 50 };
  await expect(send(generatedSource(fleet), nowhere)).rejects.toMatchObject({ code: 'broker_unreachable' });
});

test('stopping lets the buffer be acknowledged, but not for ever', async () => {
  const stop = new AbortController();
  onPublish = (messages) => {
    if (messages < 6) return;
    stop.abort();
    return new Promise<void>(() => {});
  };
  const report = await send(generatedSource(fleet), { signal: stop.signal, stopMs: 100 });
  expect(report.unacknowledgedMessages).toBeGreaterThan(0);
  expect(report.acknowledgedReadings).toBeLessThan(expected.length);
});
