/** C, the stack people use instead: Mosquitto acknowledges, Node-RED maps, InfluxDB stores. Counted is what is stored. */
import { setTimeout as sleep } from 'node:timers/promises';
import { connectLoad, type IngestSettings } from './ingest.ts';
import type { LoadResult } from './load.ts';
import type { Shape } from './publishes.ts';
import { type RunningStack, startStack } from './stack-processes.ts';

export interface StackResult {
  shape: Shape;
  /** The best of the offered rates: under full load the broker takes the processor away from the flow. */
  storedReadingsPerSecond: number;
  acknowledgedReadingsPerSecond: number;
  /** Share of the readings acknowledged under full load that never reached the store. */
  lostShare: number;
  offered: { readingsPerSecond: number; storedReadingsPerSecond: number }[];
}

/** Each rate is offered for a while; the climb ends once less than this share of a rate is stored. */
const KEPT_UP = 0.9;
const FIRST_RATE: Record<Shape, number> = { single: 1000, gateway: 50 };
const RATE_FACTOR = 1.6;
const MAX_STEPS = 12;
const QUIET_MS = 3000;
const QUIET_TIMEOUT_MS = 120_000;

export async function measureStack(settings: IngestSettings, onNote: (note: string) => void): Promise<StackResult[]> {
  const results: StackResult[] = [];
  for (const shape of settings.shapes) {
    const stack = await startStack();
    try {
      results.push(await measureShape(stack, shape, settings, onNote));
    } finally {
      await stack.stop();
    }
  }
  return results;
}

async function measureShape(
  stack: RunningStack,
  shape: Shape,
  settings: IngestSettings,
  onNote: (note: string) => void,
): Promise<StackResult> {
  const load = await connectLoad(stack, settings.fleet, settings.historyDays);
  try {
    const readingsPerPublish = shape === 'gateway' ? settings.fleet.instrumentsPerGateway : 1;
    const offered: StackResult['offered'] = [];
    const offer = async (ratePerSecond?: number) => {
      const run = { shape, window: settings.window[shape], warmupMs: settings.warmupMs, measureMs: settings.measureMs };
      const atStart = await stack.storedReadings();
      const running = load.run({ ...run, ...(ratePerSecond && { ratePerSecond }) });
      const [result, stored] = await Promise.all([running, storedDuring(stack, run.warmupMs, run.measureMs, running)]);
      await untilQuiet(stack);
      const kept = (await stack.storedReadings()) - atStart;
      onNote(
        `C ${shape}: ${Math.round(result.readingsPerSecond)} readings/s acknowledged, ${Math.round(stored)} stored`,
      );
      return { result, stored, lostShare: 1 - kept / (result.acknowledged * readingsPerPublish) };
    };
    let ratePerSecond = FIRST_RATE[shape];
    for (let step = 0; step < MAX_STEPS; step++, ratePerSecond *= RATE_FACTOR) {
      const { stored } = await offer(ratePerSecond);
      const readingsPerSecond = ratePerSecond * readingsPerPublish;
      offered.push({ readingsPerSecond, storedReadingsPerSecond: stored });
      if (stored < KEPT_UP * readingsPerSecond) break;
    }
    const full = await offer();
    return {
      shape,
      storedReadingsPerSecond: Math.max(full.stored, ...offered.map((o) => o.storedReadingsPerSecond)),
      acknowledgedReadingsPerSecond: full.result.readingsPerSecond,
      lostShare: full.lostShare,
      offered,
    };
  } finally {
    await load.stop();
  }
}

async function storedDuring(
  stack: RunningStack,
  warmupMs: number,
  measureMs: number,
  run: Promise<LoadResult>,
): Promise<number> {
  const measured = async () => {
    await sleep(warmupMs);
    const [before, fromMs] = [await stack.storedReadings(), performance.now()];
    await sleep(measureMs);
    const [after, toMs] = [await stack.storedReadings(), performance.now()];
    return ((after - before) * 1000) / (toMs - fromMs);
  };
  const [stored] = await Promise.all([measured(), run]);
  return stored;
}

/** What is still queued when the load ends may yet be stored. */
async function untilQuiet(stack: RunningStack): Promise<void> {
  const deadlineMs = performance.now() + QUIET_TIMEOUT_MS;
  for (let last = -1; performance.now() < deadlineMs; ) {
    const stored = await stack.storedReadings();
    if (stored === last) return;
    last = stored;
    await sleep(QUIET_MS);
  }
}
