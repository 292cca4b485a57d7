/** Hands readings, findings and tasks over to a folder or to S3, as Parquet. */
import { handoverSettings, runHandoverAlone } from '../app/handover.ts';
import { loadDomain, SETTINGS, type Settings } from '../config.ts';
import { MeterwardenError } from '../errors.ts';
import { isDayName } from '../handover/calendar.ts';
import { allDatasets } from '../handover/datasets.ts';
import type { HandoverProgress } from '../handover/run.ts';
import { schemaDocument } from '../handover/schema.ts';
import { startEmbeddedPostgres } from '../store/embedded-postgres.ts';
import { migrate, openPool, requireServer } from '../store/postgres.ts';
import { EXPORT } from '../texts/handover.ts';
import { say, type Text } from '../texts/text.ts';

export interface ExportOptions {
  /** A folder or s3://bucket/prefix. */
  readonly to?: string | undefined;
  /** Only this day, again. */
  readonly day?: string | undefined;
  /** Nothing earlier. */
  readonly from?: string | undefined;
  /** Print the published schema instead. */
  readonly schema?: boolean | undefined;
}

/** How often a person sees that it goes on. */
const SHOW_MS = 500;
const MB = 1e6;

export async function runExport(options: ExportOptions, settings: Settings): Promise<void> {
  const { language, configDir } = settings;
  if (options.schema) {
    process.stdout.write(schemaDocument(allDatasets(loadDomain(configDir).kinds), settings.handover.zone));
    return;
  }
  const { to = settings.handover.to, day, from } = options;
  const toName = options.to === undefined ? 'HANDOVER_TO' : '--to';
  if (to === undefined) throw refused('--to', '', SETTINGS.HANDOVER_TO.expected);
  for (const [name, value] of Object.entries({ '--day': day, '--from': from }))
    if (value !== undefined && !isDayName(value)) throw refused(name, value, 'YYYY-MM-DD');
  const print = (text: Text, params: Record<string, string | number> = {}) =>
    process.stdout.write(`${say(text, language, params)}\n`);

  const stopping = new AbortController();
  const stop = () => stopping.abort(new MeterwardenError('unavailable'));
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  const startedMs = performance.now();
  const database = await openDatabase(settings, stopping.signal);
  try {
    const summary = await runHandoverAlone(
      handoverSettings(settings, { to, toName, databaseUrl: database.url }),
      { day, from },
      {
        signal: stopping.signal,
        nowMs: Date.now,
        onWait: () => print(EXPORT.waiting),
        onProgress: progressPrinter(print, (text, params) => say(text, language, params)),
      },
    );
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
    const { files, unchanged, rows, bytes } = summary;
    print(EXPORT.done, { files, unchanged, rows, megabytes: (bytes / MB).toFixed(1), to, seconds });
  } finally {
    await database.stop();
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop);
  }
}

function progressPrinter(
  print: (text: Text, params: Record<string, string | number>) => void,
  put: (text: Text, params: Record<string, string | number>) => string,
): (progress: HandoverProgress) => void {
  const { stderr } = process;
  let shownMs = 0;
  return ({ done, bytes, ...progress }) => {
    const params = { ...progress, megabytes: (bytes / MB).toFixed(1) };
    if (done) {
      if (stderr.isTTY) stderr.write('\r\x1b[K');
      print(EXPORT.day, params);
    } else if (stderr.isTTY && performance.now() - shownMs > SHOW_MS) {
      shownMs = performance.now();
      stderr.write(`\r\x1b[K${put(EXPORT.running, params)}`);
    }
  };
}

async function openDatabase(
  { databaseUrl, dataDir }: Settings,
  signal: AbortSignal,
): Promise<{ readonly url: string; stop(): Promise<void> }> {
  if (databaseUrl !== undefined) {
    await requireServer(databaseUrl, signal);
    return { url: databaseUrl, stop: async () => {} };
  }
  const server = await startEmbeddedPostgres({ dataDir, signal, onLog: () => {} });
  const pool = openPool(server.url, 1, signal);
  try {
    await migrate(pool);
    return server;
  } catch (error) {
    await server.stop();
    throw error;
  } finally {
    await pool.end();
  }
}

function refused(path: string, value: string, expected: string): MeterwardenError {
  return new MeterwardenError('invalid_setting', { path, params: { value, expected } });
}
