/** Processor time per reading, at fixed moderate rates and with a backlog. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { BenchFleet } from '../fleet.ts';
import { withLoadedPipeline } from '../ingest.ts';
import type { Load, LoadResult } from '../load.ts';
import { meterwarden } from '../pipelines/meterwarden.ts';
import { type BenchPostgres, queryOnce } from '../postgres.ts';
import type { Shape } from '../publishes.ts';
import { metricsOf } from '../service.ts';
import type { Costs, IngestRun } from './costs.ts';
import { familyUs, processTime } from './processor.ts';

const FLEET: BenchFleet = { gateways: 100, instrumentsPerGateway: 100 };
const WINDOW: Record<Shape, number> = { single: 200, gateway: 20 };
/** Publishes per second; several for each shape, so that what a commit costs can be told from what a reading costs. */
const RATES: readonly (readonly [Shape, number])[] = [
  ['single', 2_000],
  ['single', 8_000],
  ['gateway', 30],
  ['gateway', 100],
  ['gateway', 200],
];
/** In flight per connection when it goes as fast as acknowledged. */
const FULL_WINDOW: Record<Shape, number> = { single: 20, gateway: 4 };
const WARMUP: typeof RATES = [
  ['single', 8_000],
  ['gateway', 200],
];
const WARMUP_MS = 8_000;
const HISTORY_DAYS = 300;

interface Sample {
  atMs: number;
  serviceUs: number;
  serviceMainUs: number;
  postgresUs: number;
  stored: number;
  messages: number;
  commits: number;
  commitSeconds: number;
}

export async function measureIngestCost(
  postgres: BenchPostgres,
  seconds: number,
  onMeasured: (run: IngestRun) => void,
): Promise<Pick<Costs, 'idle' | 'ingest'>> {
  const settings = { fleet: FLEET, historyDays: HISTORY_DAYS };
  return withLoadedPipeline(postgres, meterwarden, settings, async ({ pid, http, databaseUrl }, load) => {
    const sample = () => takeSample(pid!, http!.url, postgres.postmaster);
    // Before the first reading: districts that fall silent later would raise findings.
    const idle = await idlePerSecond(sample, seconds);
    for (const [shape, ratePerSecond] of WARMUP) await atRate(load, shape, ratePerSecond, WARMUP_MS);
    const ingest: IngestRun[] = [];
    const measure = async (shape: Shape, full: boolean, work: () => Promise<LoadResult>) => {
      await postgres.checkpoint();
      const before = await sample();
      const { p50Ms, p99Ms } = await work();
      const after = await sample();
      const run = { ...runOf(before, after, idle), shape, full, p50Ms, p99Ms };
      onMeasured(run);
      ingest.push(run);
    };
    const measureMs = seconds * 1000;
    for (const [shape, ratePerSecond] of RATES)
      await measure(shape, false, () => atRate(load, shape, ratePerSecond, measureMs));
    for (const shape of ['single', 'gateway'] as const)
      await measure(shape, true, () => load.run({ shape, window: FULL_WINDOW[shape], warmupMs: 0, measureMs }));
    const [found] = await queryOnce(databaseUrl!, 'SELECT count(*)::int AS findings FROM findings');
    if (found?.findings !== 0) throw new Error(`${found?.findings} findings about instruments without a fault`);
    return { idle, ingest };
  });
}

const atRate = (load: Load, shape: Shape, ratePerSecond: number, measureMs: number) =>
  load.run({ shape, window: WINDOW[shape], warmupMs: 0, measureMs, ratePerSecond });

async function idlePerSecond(sample: () => Promise<Sample>, seconds: number): Promise<Costs['idle']> {
  const before = await sample();
  await sleep(seconds * 1000);
  const after = await sample();
  const perSecond = (us: number) => (us * 1000) / (after.atMs - before.atMs);
  return {
    serviceUsPerSecond: perSecond(after.serviceUs - before.serviceUs),
    postgresUsPerSecond: perSecond(after.postgresUs - before.postgresUs),
  };
}

async function takeSample(pid: number, url: string, postmaster: number): Promise<Sample> {
  const metric = await metricsOf(url);
  const { totalUs, mainUs } = await processTime(pid);
  return {
    atMs: performance.now(),
    serviceUs: totalUs,
    serviceMainUs: mainUs,
    postgresUs: await familyUs(postmaster),
    stored: metric('meterwarden_readings_stored_total'),
    messages: metric('meterwarden_mqtt_messages_total'),
    commits: metric('meterwarden_commit_seconds_count'),
    commitSeconds: metric('meterwarden_commit_seconds_sum'),
  };
}

function runOf(before: Sample, after: Sample, idle: Costs['idle']) {
  const of = (name: keyof Sample) => after[name] - before[name];
  const seconds = of('atMs') / 1000;
  return {
    readingsPerSecond: of('stored') / seconds,
    readings: of('stored'),
    messages: of('messages'),
    commits: of('commits'),
    commitSeconds: of('commitSeconds'),
    serviceUs: of('serviceUs') - idle.serviceUsPerSecond * seconds,
    serviceMainUs: of('serviceMainUs') - idle.serviceUsPerSecond * seconds,
    postgresUs: of('postgresUs') - idle.postgresUsPerSecond * seconds,
  };
}
