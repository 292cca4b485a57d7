/** What has been handed over, as it is recorded beside the files: a list of files per dataset and day, and how far a dataset has come. */
import { z } from 'zod';
import { MeterwardenError } from '../errors.ts';
import { dayAfter, dayBefore, isDayName } from './calendar.ts';
import type { DatasetName } from './datasets.ts';

export const PARTITION_PATTERN = 'DATASET/day=YYYY-MM-DD/region=REGION/part-0.parquet';
export const MANIFEST_PATTERN = '_manifest/DATASET/YYYY-MM-DD.json';
export const SCHEMA_PATH = '_manifest/schema.json';
/** As Hive, Spark and DuckDB name the partition of rows without a value. */
export const NO_REGION = '__HIVE_DEFAULT_PARTITION__';

export function partitionPath(dataset: DatasetName, day: string, region: string): string {
  return `${dataset}/day=${day}/region=${region === '' ? NO_REGION : encodeURIComponent(region)}/part-0.parquet`;
}

export function manifestPath(dataset: DatasetName, day: string): string {
  return `_manifest/${dataset}/${day}.json`;
}

export function progressPath(dataset: DatasetName): string {
  return `_manifest/${dataset}.json`;
}

const instant = z.iso.datetime().transform((text) => Date.parse(text));
const day = z.string().refine(isDayName);

const partitionSchema = z.strictObject({
  region: z.string(),
  path: z.string(),
  rows: z.int().positive(),
  bytes: z.int().positive(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  schemaVersion: z.int(),
  /** Everything received or changed before this moment is in it. */
  changesBefore: instant,
  /** Which region each instrument of the ledger had, where that decides what lies in it. */
  ledger: z.strictObject({ instruments: z.int(), digest: z.string() }).optional(),
});

/** One file that was handed over. */
export type Partition = z.output<typeof partitionSchema>;
/** Regions of the first so many instruments of the ledger. */
export type LedgerMark = NonNullable<Partition['ledger']>;

const manifestSchema = z.strictObject({
  dataset: z.string(),
  day,
  zone: z.string(),
  from: instant,
  to: instant,
  partitions: z.array(partitionSchema),
});

/** The files of one day. */
export type Manifest = z.output<typeof manifestSchema>;

const progressSchema = z.strictObject({
  dataset: z.string(),
  zone: z.string(),
  schemaVersion: z.int(),
  /** Nothing earlier is wanted; null = all there is. */
  from: day.nullable(),
  /** Every day from here… */
  firstDay: day,
  /** …to here is handed over, with all that was received or changed before `changesBefore`. */
  closedThrough: day,
  changesBefore: instant,
});

export type Progress = z.output<typeof progressSchema>;

export function parseManifest(path: string, text: string): Manifest {
  return parsed(path, text, manifestSchema);
}

export function parseProgress(path: string, text: string): Progress {
  return parsed(path, text, progressSchema);
}

/** Manifests and progress, for people and programs alike: times in ISO 8601. */
export function recordText(record: Manifest | Progress): string {
  const times: ReadonlySet<string> = new Set(['from', 'to', 'changesBefore']);
  const shown = (name: string, value: unknown) =>
    times.has(name) && typeof value === 'number' ? new Date(value).toISOString() : value;
  return `${JSON.stringify(record, shown, 2)}\n`;
}

/** Progress with one more day at either end of it. */
export function withDay(progress: Progress, name: string): Progress {
  if (name === dayBefore(progress.firstDay)) return { ...progress, firstDay: name };
  if (name === dayAfter(progress.closedThrough)) return { ...progress, closedThrough: name };
  return progress;
}

function parsed<S extends z.ZodType>(path: string, text: string, schema: S): z.output<S> {
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw new MeterwardenError('invalid_config', { path, params: { problem: 'not_a_manifest' }, cause });
  }
}
