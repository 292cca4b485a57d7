/** What every role stands on: configuration, the database, the ledger, and where readings, findings and tasks are kept. */
import type pg from 'pg';
import type { Logger } from 'pino';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { type Domain, loadDomain, type Settings } from '../config.ts';
import { MeterwardenError } from '../errors.ts';
import { startEmbeddedPostgres } from '../store/embedded-postgres.ts';
import { InfluxReadings } from '../store/influxdb-readings.ts';
import { migrate, openPool, requireServer } from '../store/postgres.ts';
import { PostgresChanges } from '../store/postgres-changes.ts';
import { PostgresFindings } from '../store/postgres-findings.ts';
import { LEDGER_CHANGES_CHANNEL, PostgresLedger } from '../store/postgres-ledger.ts';
import { claimDatabase } from '../store/postgres-presence.ts';
import { PostgresReadingLog } from '../store/postgres-reading-log.ts';
import { PostgresReadings, type ReceivedBatch } from '../store/postgres-readings.ts';
import { PostgresTasks } from '../store/postgres-tasks.ts';
import type { ReadingStore } from '../store/readings.ts';
import { sayError } from '../texts/errors.ts';
import type { Language } from '../texts/text.ts';
import { type Accuracy, openAccuracy } from './accuracy.ts';
import { LiveCertificates } from './certificates.ts';
import type { OnStop } from './timers.ts';

export interface Foundation {
  readonly settings: Settings;
  readonly domain: Domain;
  readonly registry: Registry;
  readonly databaseUrl: string;
  readonly pool: pg.Pool;
  readonly ledger: PostgresLedger;
  /** Told the key of every instrument whose line in the ledger has changed. */
  readonly instrumentChanged: Set<(key: number) => void>;
  /** Told whose secret is another from now on. */
  readonly credentialChanged: Set<(id: string) => void>;
  readonly readings: Readings;
  /** What is stored is logged, for a judge who puts it back in order; otherwise whoever stores it judges it. */
  readonly isLogged: boolean;
  /** To be called now and then: what is older than `oldestMs` need not be kept. */
  readonly tendReadings: (oldestMs: number) => Promise<void>;
  /** For who stores readings: rejects when the store would take none. */
  readonly checkWriting: () => Promise<void>;
  readonly findings: PostgresFindings;
  readonly tasks: PostgresTasks;
  readonly accuracy: Accuracy;
  /** undefined = no TLS. */
  readonly certificates: LiveCertificates | undefined;
  readonly logger: Logger;
  readonly nowMs: () => number;
  readonly onError: (stage: string, error: unknown) => void;
  readonly onStop: OnStop;
  /** Calls the start off. */
  readonly signal: AbortSignal;
}

/** A store that also gives back what was received after a moment, as it was committed. */
export interface Readings extends ReadingStore {
  /** Receipt time of the newest batch, epoch microseconds. */
  readonly receivedAtUs: number;
  receivedSince(sinceUs: number): AsyncIterable<ReceivedBatch>;
}

/** `alone`: no other process uses the database. */
export async function openFoundation(
  settings: Settings,
  alone: boolean,
  logger: Logger,
  onStop: OnStop,
  signal: AbortSignal,
): Promise<Foundation> {
  const domain = loadDomain(settings.configDir);
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  onStop(() => registry.clear());

  const onError = (stage: string, error: unknown) =>
    logger.error({ stage, error: describe(error, settings.language) }, 'failed');
  const nowMs = Date.now;
  const certificates =
    settings.tls && (await LiveCertificates.open(settings.tls, { registry, logger, nowMs, onError, onStop }));

  if (settings.databaseUrl) await requireServer(settings.databaseUrl, signal);
  const databaseUrl = settings.databaseUrl ?? (await embedded(settings, logger, onStop, signal));
  onStop(await claimDatabase(databaseUrl, alone, signal));
  const pool = openPool(databaseUrl, undefined, signal);
  onStop(() => pool.end());
  await migrate(pool);

  const instrumentChanged = new Set<(key: number) => void>();
  const credentialChanged = new Set<(id: string) => void>();
  const ledger = await PostgresLedger.open(
    pool,
    domain.kinds,
    ({ key }) => {
      for (const changed of instrumentChanged) changed(key);
    },
    (id) => {
      for (const changed of credentialChanged) changed(id);
    },
  );
  if (!alone) await followLedger(databaseUrl, ledger, onError, onStop);
  // By the several connections to a broker of others, a gateway's messages come in any order.
  const isLogged = !alone || settings.mqttUrl !== undefined;
  const { readings, tendReadings, checkWriting } = await openReadings(settings, pool, ledger, isLogged, nowMs, onStop);
  const findings = new PostgresFindings({
    pool,
    ledger: ledger.ledger,
    policyOf: (rule) => domain.rules.rules.get(rule),
    policies: domain.tasks,
    range: (...args) => readings.range(...args),
  });
  const accuracy = openAccuracy(domain, pool, ledger.ledger, findings);
  return {
    settings,
    domain,
    registry,
    databaseUrl,
    pool,
    ledger,
    instrumentChanged,
    credentialChanged,
    readings,
    isLogged,
    tendReadings,
    checkWriting,
    findings,
    tasks: new PostgresTasks(pool, domain.tasks, accuracy.site),
    accuracy,
    certificates,
    logger,
    nowMs,
    onError,
    onStop,
    signal,
  };
}

async function openReadings(
  { influx }: Settings,
  pool: pg.Pool,
  { ledger }: PostgresLedger,
  isLogged: boolean,
  nowMs: () => number,
  onStop: OnStop,
): Promise<Pick<Foundation, 'readings' | 'tendReadings' | 'checkWriting'>> {
  if (!influx) {
    const readings = new PostgresReadings(pool, nowMs);
    const tendReadings = async (oldestMs: number) => {
      await readings.prepareDays();
      await readings.dropDaysBefore(oldestMs);
    };
    await readings.prepareDays();
    return { readings, tendReadings, checkWriting: async () => {} };
  }
  const readings = new InfluxReadings({
    ...influx,
    idOf: (key) => ledger.byKey(key)?.id,
    keys: () => [...ledger.all()].map(({ key }) => key),
    ...(isLogged && { log: new PostgresReadingLog(pool) }),
    nowMs,
  });
  onStop(() => readings.close());
  await readings.check();
  // The bucket's retention does the tending.
  return { readings, tendReadings: async () => {}, checkWriting: () => readings.checkWriting() };
}

/** What other processes change in the ledger is known here within moments. */
async function followLedger(
  databaseUrl: string,
  ledger: PostgresLedger,
  onError: Foundation['onError'],
  onStop: OnStop,
): Promise<void> {
  const refresh = () => void ledger.refresh().catch((error) => onError('ledger', error));
  const changes = new PostgresChanges(databaseUrl, LEDGER_CHANGES_CHANNEL, refresh);
  onStop(() => changes.stop());
  await changes.start();
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

export async function answers(pool: pg.Pool): Promise<boolean> {
  return await pool.query('SELECT 1').then(
    () => true,
    () => false,
  );
}

function describe(error: unknown, language: Language): unknown {
  if (!(error instanceof Error)) return error;
  const { message, stack } = error;
  if (error instanceof MeterwardenError) {
    const { code, params } = error;
    return { message, code, sentence: sayError(error, language), params, stack };
  }
  const { code } = error as { code?: unknown };
  return { message, ...(code === undefined ? {} : { code }), stack };
}
