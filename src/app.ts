/** The only wiring: starts every part in order, unwinds what was started when one fails, stops safely twice. */
import type pg from 'pg';
import { type Logger, pino } from 'pino';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { listening, requireAddresses } from './addresses.ts';
import { type DeviceBroker, startAedes } from './broker/aedes.ts';
import { loadDomain, type Settings } from './config.ts';
import { IngestMetrics } from './ingest/metrics.ts';
import { refusalNotice } from './ingest/notice.ts';
import { buildServer } from './inspector/server.ts';
import { Pipeline } from './pipeline.ts';
import { conflictFindings } from './rules/conflict.ts';
import { Evaluator } from './rules/evaluator.ts';
import { RuleState } from './rules/state.ts';
import { startEmbeddedPostgres } from './store/embedded-postgres.ts';
import { migrate, openPool, requireServer } from './store/postgres.ts';
import { PostgresFindings } from './store/postgres-findings.ts';
import { PostgresLedger } from './store/postgres-ledger.ts';
import { PostgresPeople } from './store/postgres-people.ts';
import { PostgresReadings } from './store/postgres-readings.ts';
import { databaseRefusal } from './store/postgres-refusals.ts';
import { countRejections, dropOldRejections, insertRejections, listRejections } from './store/postgres-rejections.ts';
import { loadRuleState, saveRuleState, takeSnapshot } from './store/postgres-rule-state.ts';
import { PostgresTaskChanges } from './store/postgres-task-changes.ts';
import { PostgresTaskSteps } from './store/postgres-task-steps.ts';
import { PostgresTasks } from './store/postgres-tasks.ts';
import { TaskQueue } from './tasks/bullmq.ts';
import { reportTasks } from './tasks/metrics.ts';

export interface App {
  readonly httpPort: number;
  readonly mqttPort: number;
  /** Made up at the first start when none was given; told once. */
  readonly adminPassword: string | undefined;
  readonly databaseUrl: string;
  stop(): Promise<void>;
}

const MAX_PAYLOAD_BYTES = 256 * 1024;
const MAX_FUTURE_MS = 5 * 60_000;
const DAY_MS = 86_400_000;
const TICK_MS = 5_000;
/** What a crash costs at the next start is a replay of at most this much. */
const SNAPSHOT_MS = 30_000;
const RETENTION_MS = 3_600_000;
const MAX_REJECTIONS_KEPT = 1_000_000;
const READY_STALL_MS = 10_000;

export interface AppOptions {
  readonly logger?: Logger;
  /** Calls the start off; once it is through, only `stop` ends the app. */
  readonly signal?: AbortSignal;
}

type OnStop = (step: () => Promise<unknown> | unknown) => void;

export async function startApp(settings: Settings, options: AppOptions = {}): Promise<App> {
  const { logger = pino({ level: settings.logLevel }), signal } = options;
  const undo: Parameters<OnStop>[0][] = [];
  let stopping: Promise<void> | undefined;
  const unwind = async () => {
    for (const step of undo.splice(0).reverse()) {
      try {
        await step();
      } catch (error) {
        logger.error({ error }, 'while stopping');
      }
    }
  };
  const starting = new AbortController();
  const callOff = () => starting.abort();
  signal?.addEventListener('abort', callOff);
  try {
    const app = await start(settings, logger, (step) => void undo.push(step), starting.signal);
    return {
      ...app,
      stop: () => {
        stopping ??= unwind();
        return stopping;
      },
    };
  } catch (error) {
    await unwind();
    throw (settings.databaseUrl && databaseRefusal(error, settings.databaseUrl)) || error;
  } finally {
    signal?.removeEventListener('abort', callOff);
  }
}

async function start(settings: Settings, logger: Logger, onStop: OnStop, signal: AbortSignal) {
  const nowMs = Date.now;
  const onError = (stage: string, error: unknown) => logger.error({ stage, error: describe(error) }, 'failed');
  const domain = loadDomain(settings.configDir);
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  onStop(() => registry.clear());

  await unlessAborted(signal, requireAddresses(settings));
  if (settings.databaseUrl) await requireServer(settings.databaseUrl, signal);
  const databaseUrl = settings.databaseUrl ?? (await embedded(settings, logger, onStop, signal));
  const pool = openPool(databaseUrl, undefined, signal);
  onStop(() => pool.end());
  await migrate(pool);

  const people = new PostgresPeople(pool);
  const adminPassword = await people.ensureAdmin(settings.adminPassword);
  const readings = new PostgresReadings(pool, nowMs);
  let evaluator: Evaluator | undefined;
  const ledger = await PostgresLedger.open(pool, domain.kinds, ({ key }) => evaluator?.instrumentChanged(key));
  const policyOf = (rule: string) => domain.rules.rules.get(rule);
  const findings = new PostgresFindings({
    pool,
    ledger: ledger.ledger,
    policyOf,
    policies: domain.tasks,
    range: (...args) => readings.range(...args),
  });
  const tasks = new PostgresTasks(pool, domain.tasks);

  const state = new RuleState(domain.rules);
  const snapshotUs = await loadRuleState(pool, state);
  const rules = new Evaluator(domain.rules, domain.kinds, ledger.ledger, state);
  evaluator = rules;
  rules.reopened(await findings.open());

  let evaluatedUs = snapshotUs;
  const pipeline = new Pipeline({
    ledger: ledger.ledger,
    kinds: domain.kinds,
    profiles: domain.profiles,
    limits: {
      maxPayloadBytes: MAX_PAYLOAD_BYTES,
      maxFutureMs: MAX_FUTURE_MS,
      maxAgeMs: settings.retentionDays * DAY_MS,
    },
    store: readings,
    reject: (rejections) => insertRejections(pool, rejections),
    record: (found) => findings.record(found, new Date(nowMs())),
    evaluate: (batch, atMs) => {
      const found = rules.read(batch, atMs);
      evaluatedUs = readings.receivedAtUs;
      return found;
    },
    conflictFindings: (conflicts) => conflictFindings(domain.rules, conflicts),
    metrics: new IngestMetrics(registry),
    nowMs,
    onError,
  });

  const snapshot = async () => {
    const taken = takeSnapshot(state, evaluatedUs);
    await pipeline.recorded();
    try {
      await saveRuleState(pool, taken);
    } catch (error) {
      state.spoil(taken.chunks.map(([name]) => name));
      throw error;
    }
  };
  let restored = false;
  onStop(async () => {
    await pipeline.stop();
    if (restored) await snapshot();
  });

  // What was stored after the newest snapshot goes through the rules again, exactly as it was committed.
  let replayed = 0;
  for await (const batch of readings.receivedSince(snapshotUs)) {
    signal.throwIfAborted();
    pipeline.found(rules.read(batch.readings, batch.receivedAtUs / 1000));
    replayed += batch.readings.length;
    evaluatedUs = batch.receivedAtUs;
  }
  await unlessAborted(signal, pipeline.recorded());
  restored = true;
  if (replayed > 0) logger.info({ readings: replayed }, 'rule state restored');

  rules.listen(nowMs());
  every(TICK_MS, async () => pipeline.found(rules.tick(nowMs())), onError, onStop);
  every(SNAPSHOT_MS, snapshot, onError, onStop);
  every(
    RETENTION_MS,
    async () => {
      await readings.dropDaysBefore(nowMs() - settings.retentionDays * DAY_MS);
      await dropOldRejections(pool, MAX_REJECTIONS_KEPT);
    },
    onError,
    onStop,
  );

  const queue = new TaskQueue({
    backend: { product: 'postgres', url: databaseUrl },
    steps: new PostgresTaskSteps(pool, domain.tasks),
    nowMs,
    onError: (error) => onError('queue', error),
  });
  onStop(() => queue.stop());
  await unlessAborted(signal, queue.start());
  reportTasks(registry, {
    openFindings: () => findings.openByRule(),
    tasks: () => tasks.counts(),
    queue: () => queue.depths(),
  });

  const http = buildServer({
    ledger,
    people,
    readings,
    findings,
    tasks,
    rejections: { list: (filter) => listRejections(pool, filter), counts: () => countRejections(pool) },
    changes: (wake) =>
      new PostgresTaskChanges(databaseUrl, () => {
        queue.wake();
        wake();
      }),
    kinds: domain.kinds,
    language: settings.language,
    rules: domain.rules.rules,
    registry,
    health: () => ({ process: true }),
    readiness: async () => ({ database: await answers(pool), ingest: pipeline.stalledMs < READY_STALL_MS }),
    nowMs,
    onError,
  });
  onStop(() => http.close());
  await listening('HTTP_PORT', settings, (host, port) => http.listen({ host, port }));
  const broker: DeviceBroker = await listening('MQTT_PORT', settings, (host, port) =>
    startAedes({
      host,
      port,
      registry,
      verify: (id, secret) => ledger.verifyGateway(id, secret),
      receive: (message, settle) => pipeline.receive(message, settle),
      refusalTopics: domain.profiles.refusalTopics,
      refusalNotice: (decoded) => refusalNotice(decoded, settings.language),
      maxPayloadBytes: MAX_PAYLOAD_BYTES,
      nowMs,
      onError,
    }),
  );
  onStop(() => broker.stop());
  const { port: httpPort } = http.server.address() as { port: number };
  return { httpPort, mqttPort: broker.port, adminPassword, databaseUrl };
}

async function embedded(settings: Settings, logger: Logger, onStop: OnStop, signal: AbortSignal): Promise<string> {
  const server = await startEmbeddedPostgres({
    dataDir: settings.dataDir,
    signal,
    onLog: (line) => logger.debug({ postgres: line }),
    onNote: (note) => logger.info(note),
  });
  onStop(() => server.stop());
  return server.url;
}

async function answers(pool: pg.Pool): Promise<boolean> {
  return await pool.query('SELECT 1').then(
    () => true,
    () => false,
  );
}

/** Rejects when the start is called off, whatever `work` is waiting for. */
async function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  let fail = () => {};
  const aborted = new Promise<never>((_, reject) => {
    fail = () => reject(signal.reason);
  });
  signal.addEventListener('abort', fail);
  if (signal.aborted) fail();
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', fail);
  }
}

/** Runs `work` again and again, never twice at once; stopping waits for a running one. */
function every(
  periodMs: number,
  work: () => Promise<unknown>,
  onError: (stage: string, error: unknown) => void,
  onStop: (step: () => Promise<unknown>) => void,
): void {
  let running: Promise<unknown> | undefined;
  const timer = setInterval(() => {
    running ??= work()
      .catch((error) => onError('timer', error))
      .finally(() => {
        running = undefined;
      });
  }, periodMs);
  onStop(async () => {
    clearInterval(timer);
    await running;
  });
}

function describe(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { code } = error as { code?: unknown };
  return { message: error.message, ...(code === undefined ? {} : { code }), stack: error.stack };
}
