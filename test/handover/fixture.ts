/** A database with a history, and what of it a platform was given. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { DuckDBInstance, type Json } from '@duckdb/node-api';
import type { HandoverSettings } from '../../src/app/handover.ts';
import { orderedValues, type Reading } from '../../src/fleet/reading.ts';
import { PostgresReadings } from '../../src/store/postgres-readings.ts';
import type { TestDatabase } from '../support/postgres.ts';

export const CONFIG_DIR = join(import.meta.dirname, '../../config');
export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;
export const ZONE = 'Asia/Shanghai';
/** Local midnight of 2026-03-01. */
export const T0 = Date.UTC(2026, 1, 28, 16);
/** Five in the morning after the third day. */
export const MORNING = T0 + 3 * DAY + 5 * HOUR;

export interface Line {
  readonly id: string;
  readonly region: string;
  readonly district?: string;
}

/** Instruments get keys from 1 in order. */
export async function ledger(db: TestDatabase, lines: readonly Line[]): Promise<void> {
  await db.pool.query(
    `INSERT INTO instruments (key, id, kind, role, district, region, nominal_voltage_v, max_current_a)
     SELECT (SELECT coalesce(max(key), 0) FROM instruments) + n, id, 'electricity', 'user', district, region, 220, 60
     FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS line (id, region, district, n)`,
    [lines.map(({ id }) => id), lines.map(({ region }) => region), lines.map((line) => line.district ?? 'D-1')],
  );
}

export function reading(key: number, tsMs: number): Reading {
  const energy = Math.round((1000 * key + (tsMs - T0) / HOUR) * 100) / 100;
  return { key, tsMs, values: orderedValues({ active_import_kwh: energy, voltage_v: 220 + (key % 7) }) };
}

/** Stores readings as if they had been received then. */
export async function receive(db: TestDatabase, atMs: number, readings: readonly Reading[]): Promise<void> {
  await new PostgresReadings(db.pool, () => atMs).append(readings);
}

export function settingsFor(db: TestDatabase, to: string): HandoverSettings {
  return {
    to,
    toName: 'HANDOVER_TO',
    s3: { endpoint: undefined, region: 'us-east-1', accessKey: undefined, secretKey: undefined, pathStyle: true },
    zone: ZONE,
    graceMs: 4 * HOUR,
    retentionDays: 800,
    configDir: CONFIG_DIR,
    databaseUrl: db.url,
    influx: undefined,
  };
}

const folders: string[] = [];

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'meterwarden-test-handover-'));
  folders.push(folder);
  return folder;
}

export function removeFolders(): void {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
}

/** Every file below a folder with what it holds. */
export function filesOf(folder: string): Map<string, string> {
  const found = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return new Map(
    found
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => [relative(folder, path), createHash('sha256').update(readFileSync(path)).digest('hex')] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

export function parquetOf(folder: string): Map<string, string> {
  return new Map([...filesOf(folder)].filter(([path]) => path.endsWith('.parquet')));
}

export function placesOf(folder: string): Map<string, number> {
  return new Map([...parquetOf(folder).keys()].map((path) => [path, statSync(join(folder, path)).ino]));
}

/** As a reader of the platform would ask. */
export async function ask(sql: string): Promise<Record<string, Json>[]> {
  const instance = await DuckDBInstance.create(':memory:', { autoinstall_known_extensions: 'false' });
  const connection = await instance.connect();
  await connection.run("SET TimeZone = 'UTC'");
  const answer = await connection.runAndReadAll(sql);
  const rows = answer.getRowObjectsJson();
  connection.closeSync();
  instance.closeSync();
  return rows;
}
