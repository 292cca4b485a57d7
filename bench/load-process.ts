/** The load generator's process: lanes over raw sockets, a schedule, a latency histogram. */
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { Lane, openConnection } from './lane.ts';
import type { LoadFill, LoadRequest, LoadResult, LoadRun, LoadTarget } from './load.ts';
import { answerQuestions } from './process.ts';
import { countStored, perSecond } from './stored-count.ts';

const CONNECTS_AT_ONCE = 20;
const DRAIN_TIMEOUT_MS = 60_000;
const DRAIN_POLL_MS = 5;
/** Finer than this the timer would cost more than the publishes it paces. */
const PACE_TICK_MS = 1;
/** An answer costs a service a few milliseconds. */
const STORED_POLL_MS = 50;

interface Measurement {
  fromMs: number;
  toMs: number;
  acknowledged: number;
  latencyUs: RecordableHistogram;
}

let lanes: Lane[] = [];
let instrumentsPerLane = 0;
let storedBy: string[] | undefined;
let measurement = newMeasurement();
let failure: Error | undefined;

function newMeasurement(): Measurement {
  return { fromMs: 0, toMs: 0, acknowledged: 0, latencyUs: createHistogram({ figures: 3 }) };
}

function onAck(sentMs: number, nowMs: number): void {
  if (nowMs >= measurement.fromMs && nowMs < measurement.toMs) measurement.acknowledged++;
  // Latency belongs to the publishes of the window, also to those answered after it: leaving these out would hide the worst.
  if (sentMs >= measurement.fromMs && sentMs < measurement.toMs)
    measurement.latencyUs.record(Math.max(1, Math.round((nowMs - sentMs) * 1000)));
}

async function connectAll(target: LoadTarget): Promise<void> {
  instrumentsPerLane = target.connections[0]!.instruments.length;
  const waiting = [...target.connections.entries()];
  const opened: Lane[] = [];
  const connector = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const [index, connection] = next;
      const socket = await openConnection(target.port, connection);
      opened[index] = new Lane(socket, connection, target.startMs, onAck, (error) => {
        failure ??= error;
      });
    }
  };
  await Promise.all(Array.from({ length: CONNECTS_AT_ONCE }, connector));
  lanes = opened;
  storedBy = target.storedBy;
}

async function run(request: LoadRun): Promise<LoadResult> {
  const startMs = performance.now();
  const fromMs = startMs + request.warmupMs;
  const toMs = fromMs + request.measureMs;
  const intervalMs = request.ratePerSecond ? (lanes.length * 1000) / request.ratePerSecond : undefined;
  for (const [index, lane] of lanes.entries()) {
    const pace = intervalMs ? { startMs: startMs + (index * intervalMs) / lanes.length, intervalMs } : undefined;
    lane.begin({ shape: request.shape, window: request.window, ...(pace && { pace }) });
  }
  measurement = { ...newMeasurement(), fromMs, toMs };
  const pumpAll = () => {
    const nowMs = performance.now();
    for (const lane of lanes) lane.pump(nowMs);
  };
  const readingsPerPublish = request.shape === 'gateway' ? instrumentsPerLane : 1;
  const atStart = storedBy && (await countStored(storedBy));
  const following =
    atStart && request.ahead ? keepAhead(request.ahead, atStart.readings, readingsPerPublish) : undefined;
  pumpAll();
  const ticker = intervalMs ? setInterval(pumpAll, PACE_TICK_MS) : undefined;
  try {
    await sleepUnlessFailed(request.warmupMs);
    const from = storedBy && (await countStored(storedBy));
    const cpuBefore = process.cpuUsage();
    await sleepUnlessFailed(toMs - performance.now());
    const cpu = process.cpuUsage(cpuBefore);
    const to = storedBy && (await countStored(storedBy));
    await following?.stop();
    // What was due by the end is still sent and waited for.
    for (const lane of lanes) lane.limit = intervalMs ? Math.max(lane.sent, lane.dueBy(toMs)) : lane.sent;
    await drain();
    const generatorCpu = (cpu.user + cpu.system) / 1000 / request.measureMs;
    const acknowledged = result(request.shape === 'gateway', request.measureMs, generatorCpu);
    if (!from || !to) return acknowledged;
    await untilStored(atStart!.readings + acknowledged.acknowledged * readingsPerPublish);
    return { ...acknowledged, storedReadingsPerSecond: perSecond(from, to) };
  } finally {
    clearInterval(ticker);
    await following?.stop();
  }
}

/** Lets every lane publish so much more than its share of what is stored. */
function keepAhead(ahead: number, storedAtStart: number, readingsPerPublish: number): { stop(): Promise<void> } {
  let stopped = false;
  const allow = (publishes: number) => {
    for (const lane of lanes) lane.limit = Math.floor(publishes / lanes.length) + ahead;
  };
  allow(0);
  const following = (async () => {
    while (!stopped) {
      const { readings } = await countStored(storedBy!);
      if (stopped) return;
      allow((readings - storedAtStart) / readingsPerPublish);
      for (const lane of lanes) lane.pump(performance.now());
      await sleep(STORED_POLL_MS);
    }
  })().catch((error) => {
    failure ??= error as Error;
  });
  return {
    stop: () => {
      stopped = true;
      return following;
    },
  };
}

async function untilStored(expected: number): Promise<void> {
  let last = 0;
  let deadlineMs = performance.now() + DRAIN_TIMEOUT_MS;
  for (;;) {
    const { readings } = await countStored(storedBy!);
    if (readings === expected) return;
    if (readings > expected) throw new Error(`${expected} readings were sent, and ${readings} counted as stored`);
    if (readings > last) deadlineMs = performance.now() + DRAIN_TIMEOUT_MS;
    last = readings;
    if (performance.now() > deadlineMs) throw new Error(`${expected - readings} readings were never stored`);
    await sleep(STORED_POLL_MS);
  }
}

async function fill(request: LoadFill): Promise<LoadResult> {
  const atStart = storedBy && (await countStored(storedBy));
  const startMs = performance.now();
  for (const lane of lanes) {
    lane.begin({ shape: 'gateway', window: request.window });
    lane.limit = request.publishesPerConnection;
  }
  measurement = { ...newMeasurement(), fromMs: startMs, toMs: Number.POSITIVE_INFINITY };
  const cpuBefore = process.cpuUsage();
  for (const lane of lanes) lane.pump(startMs);
  await drain();
  const cpu = process.cpuUsage(cpuBefore);
  const tookMs = performance.now() - startMs;
  if (atStart) await untilStored(atStart.readings + lanes.length * request.publishesPerConnection * instrumentsPerLane);
  return result(true, tookMs, (cpu.user + cpu.system) / 1000 / tookMs);
}

async function sleepUnlessFailed(durationMs: number): Promise<void> {
  const untilMs = performance.now() + durationMs;
  for (let leftMs = durationMs; leftMs > 0; leftMs = untilMs - performance.now()) {
    await sleep(Math.min(leftMs, 100));
    if (failure) throw failure;
  }
}

async function drain(): Promise<void> {
  let progress = 0;
  let deadlineMs = performance.now() + DRAIN_TIMEOUT_MS;
  for (;;) {
    if (failure) throw failure;
    const missing = lanes.reduce((sum, lane) => sum + lane.limit - lane.acknowledged, 0);
    if (missing === 0) return;
    const acknowledged = lanes.reduce((sum, lane) => sum + lane.acknowledged, 0);
    if (acknowledged > progress) deadlineMs = performance.now() + DRAIN_TIMEOUT_MS;
    progress = acknowledged;
    if (performance.now() > deadlineMs) throw new Error(`${missing} publishes were never acknowledged`);
    await sleep(DRAIN_POLL_MS);
  }
}

function result(isGateway: boolean, tookMs: number, generatorCpu: number): LoadResult {
  const publishesPerSecond = (measurement.acknowledged * 1000) / tookMs;
  const latency = measurement.latencyUs;
  return {
    publishesPerSecond,
    readingsPerSecond: publishesPerSecond * (isGateway ? instrumentsPerLane : 1),
    acknowledged: lanes.reduce((sum, lane) => sum + lane.acknowledged, 0),
    p50Ms: latency.percentile(50) / 1000,
    p99Ms: latency.percentile(99) / 1000,
    maxMs: latency.max / 1000,
    generatorCpu,
    steps: lanes.map((lane) => lane.steps),
  };
}

answerQuestions<LoadRequest>(async (request) => {
  if (request.kind === 'connect') return connectAll(request.target);
  return request.kind === 'run' ? run(request.run) : fill(request.fill);
});
