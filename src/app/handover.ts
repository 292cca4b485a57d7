/** The hand-over to a big-data platform: once by command, or every night by whichever process is first. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { Counter, Gauge } from 'prom-client';
import { type HandoverPlace, loadDomain, type Settings } from '../config.ts';
import { MeterwardenError } from '../errors.ts';
import type { Instrument } from '../fleet/instrument.ts';
import { Calendar } from '../handover/calendar.ts';
import { DuckdbParquet } from '../handover/duckdb-parquet.ts';
import { FolderTarget } from '../handover/folder.ts';
import { type HandoverOptions, type HandoverProgress, type HandoverSummary, handOver } from '../handover/run.ts';
import {
  boundsOf,
  changesOf,
  estimatesSource,
  findingsSource,
  lateReadings,
  ReadingsSource,
  type ReadingsSourceOptions,
  tasksSource,
} from '../handover/sources.ts';
import { placeOf, type Target } from '../handover/target.ts';
import { InfluxReadings } from '../store/influxdb-readings.ts';
import { openPool } from '../store/postgres.ts';
import { PostgresHandover } from '../store/postgres-handover.ts';
import { PostgresLedger } from '../store/postgres-ledger.ts';
import { asSoleOwner, LOCKS } from '../store/postgres-lock.ts';
import { PostgresReadings } from '../store/postgres-readings.ts';
import type { HANDOVER_PROBLEMS } from '../texts/handover.ts';
import type { Foundation } from './foundation.ts';

const DAY_MS = 86_400_000;
/** A day that retention drops within that time is not begun. */
const RETENTION_MARGIN_MS = 6 * 3_600_000;
const RETRY_MS = 600_000;
/** The clock may be set meanwhile. */
const LOOK_MS = 60_000;
/** Two pages of rows; the ledger and the lists of changes take turns. */
const CONNECTIONS = 3;
const STOP_TIMEOUT_MS = 5_000;
/** MB of rows that have just been read and are written at once: more would only fill memory. */
const CHILD_OPTIONS = ['--max-semi-space-size=8'];

/** Nothing but data: it passes to a process of its own. */
export interface HandoverSettings
  extends Omit<HandoverPlace, 'to'>,
    Pick<Settings, 'influx' | 'retentionDays' | 'configDir'> {
  /** A folder or s3://bucket/prefix. */
  readonly to: string;
  /** What it was given by, for whoever has to mend it. */
  readonly toName: 'HANDOVER_TO' | '--to';
  readonly databaseUrl: string;
}

export function handoverSettings(
  settings: Settings,
  where: Pick<HandoverSettings, 'to' | 'toName' | 'databaseUrl'>,
): HandoverSettings {
  const { handover, influx, retentionDays, configDir } = settings;
  return { ...handover, influx, retentionDays, configDir, ...where };
}

export interface HandoverCalls {
  readonly signal: AbortSignal;
  readonly nowMs: () => number;
  readonly onProgress: (progress: HandoverProgress) => void;
}

/** One hand-over in this process. The caller holds the lock of the hand-over. */
export async function runHandover(
  settings: HandoverSettings,
  options: HandoverOptions,
  { signal, nowMs, onProgress }: HandoverCalls,
): Promise<HandoverSummary> {
  const undo: (() => Promise<unknown> | unknown)[] = [];
  try {
    const target = await openTarget(settings);
    undo.push(() => target.close());
    const pool = openPool(settings.databaseUrl, CONNECTIONS, signal);
    undo.push(() => pool.end());
    const kept = new PostgresHandover(pool);
    const readings = await openReadings(settings, pool, kept, nowMs, (step) => void undo.push(step));
    const parquet = await DuckdbParquet.open(target.workDir);
    undo.push(() => parquet.close());
    return await handOver(
      {
        sources: [readings, findingsSource(kept), tasksSource(kept), estimatesSource(kept)],
        target,
        parquet,
        calendar: new Calendar(settings.zone),
        graceMs: settings.graceMs,
        keptSinceMs: () => nowMs() - settings.retentionDays * DAY_MS + RETENTION_MARGIN_MS,
        nowMs,
        signal,
        onProgress,
      },
      options,
    );
  } finally {
    for (const step of undo.reverse()) await step();
  }
}

async function openTarget({ to, toName, s3 }: HandoverSettings): Promise<Target> {
  const place = placeOf(to);
  if (place === 'folder') return FolderTarget.open(to, toName);
  if (place === 's3') {
    const { S3Target } = await import('../handover/s3.ts'); // nobody else waits for its libraries
    return S3Target.open(to, toName, s3);
  }
  const problem: keyof typeof HANDOVER_PROBLEMS = 'not_a_place';
  throw new MeterwardenError('unusable_setting', { path: toName, params: { value: to, problem } });
}

async function openReadings(
  { configDir, influx }: HandoverSettings,
  pool: ReturnType<typeof openPool>,
  kept: PostgresHandover,
  nowMs: () => number,
  onStop: (step: () => Promise<unknown>) => void,
): Promise<ReadingsSource> {
  const { kinds } = loadDomain(configDir);
  let known: readonly Instrument[] | undefined;
  const ledger = await PostgresLedger.open(pool, kinds, () => {
    known = undefined;
  });
  const shared: Pick<ReadingsSourceOptions, 'kinds' | 'instruments'> = {
    kinds,
    instruments: async () => {
      await ledger.refresh();
      known ??= [...ledger.ledger.all()];
      return known;
    },
  };
  if (!influx) {
    const store = new PostgresReadings(pool, nowMs);
    return new ReadingsSource({
      ...shared,
      window: (...args) => store.window(...args),
      firstMs: () => kept.firstReadingMs(),
      changes: async (days, sinceMs) => changesOf(days, await kept.changedReadings(boundsOf(days), sinceMs)),
    });
  }
  const { byKey, all } = { byKey: (key: number) => ledger.ledger.byKey(key), all: () => ledger.ledger.all() };
  const store = new InfluxReadings({
    ...influx,
    idOf: (key) => byKey(key)?.id,
    keys: () => [...all()].map(({ key }) => key),
    nowMs,
  });
  onStop(() => store.close());
  await store.check();
  return new ReadingsSource({
    ...shared,
    window: (...args) => store.window(...args),
    firstMs: async () => {
      const knownSinceMs = await kept.firstInstrumentMs();
      return Number.isFinite(knownSinceMs) ? await store.firstMs(knownSinceMs) : knownSinceMs;
    },
    changes: (days, sinceMs) => {
      const span = { fromMs: days[0]!.fromMs, toMs: days.at(-1)!.toMs };
      return lateReadings(store.receivedIn(span, sinceMs * 1000), (key) => byKey(key)?.region, days);
    },
  });
}

/** Holds the lock of the hand-over while it works; `onWait` when another process has it. */
export async function runHandoverAlone(
  settings: HandoverSettings,
  options: HandoverOptions,
  calls: HandoverCalls & { readonly onWait: () => void },
): Promise<HandoverSummary> {
  const done = new AbortController();
  const callOff = () => done.abort();
  calls.signal.addEventListener('abort', callOff);
  const waiting = setTimeout(calls.onWait, 2_000);
  let result: { readonly summary: HandoverSummary } | undefined;
  let failure: unknown;
  await asSoleOwner(
    {
      url: settings.databaseUrl,
      lock: LOCKS.handover,
      signal: done.signal,
      onError: (error) => {
        failure = error;
        done.abort();
      },
    },
    async (signal) => {
      clearTimeout(waiting);
      try {
        result = { summary: await runHandover(settings, options, { ...calls, signal }) };
      } finally {
        done.abort();
      }
    },
  );
  clearTimeout(waiting);
  calls.signal.removeEventListener('abort', callOff);
  if (result) return result.summary;
  throw failure ?? calls.signal.reason;
}

/** Every night, in a process of its own: neither its work nor its end is felt by what takes in readings. */
export function startHandover(
  {
    databaseUrl,
    registry,
    logger,
    nowMs,
    onError,
    onStop,
  }: Pick<Foundation, 'databaseUrl' | 'registry' | 'logger' | 'nowMs' | 'onError' | 'onStop'>,
  settings: HandoverSettings,
): void {
  const stopping = new AbortController();
  const calendar = new Calendar(settings.zone);
  const finished = new Gauge({
    name: 'meterwarden_handover_finished_timestamp_seconds',
    help: 'When the newest hand-over by this process was complete; 0 = none was',
    registers: [registry],
  });
  const failures = new Counter({
    name: 'meterwarden_handover_failures_total',
    help: 'Hand-overs that failed; each is tried again',
    registers: [registry],
  });
  const nights = async (signal: AbortSignal) => {
    while (!signal.aborted) {
      let nextMs = nowMs() + RETRY_MS;
      try {
        const summary = await inOwnProcess({ settings, options: {} }, signal, ({ done, ...progress }) => {
          if (done) logger.info(progress, 'handed over');
        });
        logger.info(summary, 'hand-over complete');
        finished.set(nowMs() / 1000);
        nextMs = calendar.nextClosingMs(nowMs(), settings.graceMs);
      } catch (error) {
        if (signal.aborted) return;
        failures.inc();
        onError('handover', error);
      }
      while (nowMs() < nextMs && !signal.aborted)
        await delay(Math.min(LOOK_MS, nextMs - nowMs()), undefined, { signal }).catch(() => {});
    }
  };
  const owning = asSoleOwner(
    {
      url: databaseUrl,
      lock: LOCKS.handover,
      signal: stopping.signal,
      onError: (error) => onError('handover', error),
    },
    nights,
  );
  onStop(async () => {
    stopping.abort();
    await owning;
  });
}

export interface HandoverTask {
  readonly settings: HandoverSettings;
  readonly options: HandoverOptions;
}

export type HandoverMessage =
  | { readonly progress: HandoverProgress }
  | { readonly summary: HandoverSummary }
  | { readonly failure: { readonly message: string; readonly code?: string; readonly params?: object } };

async function inOwnProcess(
  task: HandoverTask,
  signal: AbortSignal,
  onProgress: HandoverCalls['onProgress'],
): Promise<HandoverSummary> {
  const child = fork(new URL('./handover-process.ts', import.meta.url), {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    execArgv: CHILD_OPTIONS,
  });
  const ended = once(child, 'exit');
  let outcome: Exclude<HandoverMessage, { progress: HandoverProgress }> | undefined;
  child.on('message', (message: HandoverMessage) => {
    if ('progress' in message) onProgress(message.progress);
    else outcome = message;
  });
  const stop = () => {
    child.kill('SIGTERM');
    setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS).unref();
  };
  signal.addEventListener('abort', stop);
  try {
    child.send(task);
    const [code, killedBy] = await ended;
    if (outcome && 'summary' in outcome) return outcome.summary;
    throw Object.assign(
      new Error(outcome?.failure.message ?? `the process of the hand-over ended (${killedBy ?? code})`),
      {
        ...(outcome && { code: outcome.failure.code, params: outcome.failure.params }),
      },
    );
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
