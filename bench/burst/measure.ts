/** A burst for real: the load generator sends it on a schedule that does not wait, on the machine it shares with the service. */
import { setTimeout as sleep } from 'node:timers/promises';
import { familyUs, machineUs, processTime } from '../cost/processor.ts';
import type { BenchFleet } from '../fleet.ts';
import { withLoadedPipeline } from '../ingest.ts';
import type { Load } from '../load.ts';
import { meterwarden } from '../pipelines/meterwarden.ts';
import type { BenchPostgres } from '../postgres.ts';
import type { Shape } from '../publishes.ts';
import { metricsOf } from '../service.ts';

export interface MeasuredBurst {
  shape: Shape;
  readings: number;
  windowMs: number;
  /** Of the machine's cores, those that neither the generator nor anybody else used meanwhile. */
  freeCores: number;
  /** Processor time per reading. */
  serviceUs: number;
  postgresUs: number;
  maxInFlightReadings: number;
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
  drainedMs: number;
  commits: number;
}

export const FLEET: BenchFleet = { gateways: 100, instrumentsPerGateway: 100 };
const HISTORY_DAYS = 3;
const WARMUP_MS = 8_000;
const WARMUP_RATE: Record<Shape, number> = { single: 5_000, gateway: 150 };
const WARMUP_BURST = { readings: 100_000, windowMs: 2_000 };
const REST_MS = 3_000;
const SAMPLE_MS = 50;
const CORES = navigator.hardwareConcurrency;

export async function measureBursts(
  postgres: BenchPostgres,
  bursts: readonly Pick<MeasuredBurst, 'shape' | 'readings' | 'windowMs'>[],
): Promise<MeasuredBurst[]> {
  const settings = { fleet: FLEET, historyDays: HISTORY_DAYS };
  return withLoadedPipeline(postgres, meterwarden, settings, async ({ pid, http }, load) => {
    for (const shape of ['single', 'gateway'] as const)
      await load.run({ shape, window: 200, warmupMs: 0, measureMs: WARMUP_MS, ratePerSecond: WARMUP_RATE[shape] });
    // Code that only a backlog runs warms up as well.
    for (const shape of ['single', 'gateway'] as const) await send(load, { shape, ...WARMUP_BURST });
    const usage = async () => ({
      machine: await machineUs(),
      service: (await processTime(pid!)).totalUs,
      postgres: await familyUs(postgres.postmaster),
      commits: (await metricsOf(http!.url))('meterwarden_commit_seconds_count'),
      atMs: performance.now(),
    });
    const measured: MeasuredBurst[] = [];
    for (const burst of bursts) {
      await postgres.checkpoint();
      await sleep(REST_MS);
      const watch = watchInFlight(http!.url);
      const before = await usage();
      const { p50Ms, p99Ms, maxMs } = await send(load, burst);
      const drainedMs = performance.now() - before.atMs;
      const after = await usage();
      const used = (name: keyof typeof before) => after[name] - before[name];
      const othersUs = used('machine') - used('service') - used('postgres');
      measured.push({
        ...burst,
        freeCores: Math.max(0, CORES - othersUs / 1000 / used('atMs')),
        serviceUs: used('service') / burst.readings,
        postgresUs: used('postgres') / burst.readings,
        maxInFlightReadings: await watch.stop(),
        ...{ p50Ms, p99Ms, maxMs, drainedMs },
        commits: used('commits'),
      });
    }
    return measured;
  });
}

function send(load: Load, { shape, readings, windowMs }: Pick<MeasuredBurst, 'shape' | 'readings' | 'windowMs'>) {
  const publishes = shape === 'gateway' ? readings / FLEET.instrumentsPerGateway : readings;
  // All of a connection's share may be in flight.
  const window = Math.ceil(publishes / FLEET.gateways) + 1;
  return load.run({ shape, window, warmupMs: 0, measureMs: windowMs, ratePerSecond: (publishes * 1000) / windowMs });
}

function watchInFlight(url: string): { stop(): Promise<number> } {
  let stopped = false;
  const watching = (async () => {
    let most = 0;
    while (!stopped) {
      const metric = await metricsOf(url);
      most = Math.max(most, metric('meterwarden_readings_in_flight'));
      await sleep(SAMPLE_MS);
    }
    return most;
  })();
  return {
    stop: () => {
      stopped = true;
      return watching;
    },
  };
}
