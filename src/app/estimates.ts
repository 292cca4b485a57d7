/** Running errors are estimated every night and on demand; every process that does so takes its share. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { type DistrictEstimate, VERDICTS } from '../accuracy/district.ts';
import type { Settings } from '../config.ts';
import { type EstimateOrder, Estimating } from '../estimating.ts';
import { Calendar } from '../handover/calendar.ts';
import type { PostgresEstimateRuns } from '../store/postgres-estimate-runs.ts';
import { EstimateQueue } from '../tasks/bullmq-estimates.ts';
import { openThreads, type Threads } from '../threads.ts';
import type { Foundation } from './foundation.ts';
import { every, unlessAborted } from './timers.ts';

const DAY_MS = 86_400_000;
const TEND_MS = 600_000;
/** Of one district, with reading its window; a thread that takes longer is given up. */
const CALCULATION_TIMEOUT_MS = 15 * 60_000;
/** A thread with nothing to do gives its memory back. */
const IDLE_MS = 60_000;
/** A district of some hundred meters over 49 days takes a tenth; arrays of numbers lie beside it. */
const MAX_HEAP_MB = 2_048;

/** Nothing but data: it passes to a thread of its own. */
export interface EstimateThreadSettings extends Pick<Settings, 'influx' | 'configDir'> {
  readonly databaseUrl: string;
}

/** One, begun when it is first needed; orders take turns. */
export function openEstimateThread(settings: EstimateThreadSettings): Threads<EstimateOrder, DistrictEstimate> {
  return openThreads({
    file: new URL('./estimate-thread.ts', import.meta.url),
    count: 1,
    workerData: settings,
    maxHeapMb: MAX_HEAP_MB,
    timeoutMs: CALCULATION_TIMEOUT_MS,
    idleMs: IDLE_MS,
  });
}

export async function startEstimates(foundation: Foundation): Promise<void> {
  const { settings, domain, registry, databaseUrl, ledger, findings, accuracy } = foundation;
  const { logger, nowMs, onError, onStop, signal } = foundation;
  const { influx, configDir, handover, redisUrl, retentionDays } = settings;
  const { runs, estimates, site } = accuracy;
  const metrics = new EstimateMetrics(registry, runs, nowMs);
  const thread = openEstimateThread({ databaseUrl, influx, configDir });
  const estimating = new Estimating({
    ledger: ledger.ledger,
    kinds: domain.kinds,
    rules: domain.rules,
    policy: domain.accuracy,
    calendar: new Calendar(handover.zone),
    runs,
    estimates,
    site,
    findings,
    calculate: (order) => metrics.timed(() => thread.run(order)),
    onEstimate: (estimate) => metrics.made(estimate),
    onFailure: () => metrics.failures.inc(),
  });
  const queue = new EstimateQueue({
    place: redisUrl === undefined ? { product: 'postgres', url: databaseUrl } : { product: 'redis', url: redisUrl },
    runs: estimating,
    nowMs,
    onNight: async (night) => logger.info({ night, ...(await runs.night(night)) }, 'districts estimated'),
    onError: (error) => onError('estimates', error),
  });
  onStop(async () => {
    estimating.stop();
    await Promise.all([thread.stop(), queue.stop()]);
  });
  await unlessAborted(signal, queue.start());
  every(TEND_MS, () => estimates.tend(nowMs(), nowMs() - retentionDays * DAY_MS), onError, onStop);
}

class EstimateMetrics {
  readonly failures: Counter;
  readonly #made: Counter;
  readonly #seconds: Histogram;
  readonly #verdicts: Counter<'verdict'>;

  constructor(registry: Registry, runs: PostgresEstimateRuns, nowMs: () => number) {
    const registers = [registry];
    this.#made = new Counter({
      name: 'meterwarden_estimates_total',
      help: 'Districts estimated by this process',
      registers,
    });
    this.failures = new Counter({
      name: 'meterwarden_estimate_failures_total',
      help: 'Estimates that failed; each is tried again, three times in all',
      registers,
    });
    this.#seconds = new Histogram({
      name: 'meterwarden_estimate_seconds',
      help: 'Time to read the window of a district and estimate it',
      buckets: [0.1, 0.3, 1, 3, 10, 30, 100, 300],
      registers,
    });
    this.#verdicts = new Counter({
      name: 'meterwarden_estimate_verdicts_total',
      help: 'Verdicts on meters, by verdict',
      labelNames: ['verdict'],
      registers,
    });
    for (const verdict of VERDICTS) this.#verdicts.inc({ verdict }, 0);
    reportBacklog(registry, runs, nowMs);
  }

  async timed<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#seconds.startTimer();
    const result = await work();
    done();
    return result;
  }

  made({ meters }: DistrictEstimate): void {
    this.#made.inc();
    for (const { verdict } of meters) this.#verdicts.inc({ verdict });
  }
}

function reportBacklog(registry: Registry, runs: PostgresEstimateRuns, nowMs: () => number): void {
  let backlog: ReturnType<PostgresEstimateRuns['backlog']> | undefined;
  const asked = () => {
    backlog ??= runs.backlog().finally(() => {
      backlog = undefined;
    });
    return backlog.catch(() => undefined);
  };
  new Gauge({
    name: 'meterwarden_estimates_waiting',
    help: 'Districts that are to be estimated',
    registers: [registry],
    async collect() {
      const found = await asked();
      this.reset();
      if (found) this.set(found.waiting);
    },
  });
  new Gauge({
    name: 'meterwarden_estimates_waiting_seconds',
    help: 'How long the first of them has waited',
    registers: [registry],
    async collect() {
      const found = await asked();
      this.reset();
      if (found) this.set(found.oldest ? (nowMs() - found.oldest.getTime()) / 1000 : 0);
    },
  });
}
