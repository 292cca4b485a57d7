/** The fleet folder: instruments.csv, readings.csv and truth.csv, written and read as streams. */

import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip, gunzipSync } from 'node:zlib';
import { type CsvError, parse as parseStream } from 'csv-parse';
import { parse } from 'csv-parse/sync';
import { csvCell } from '../src/fleet/csv-cell.ts';
import { PHASES, ROLES } from '../src/fleet/instrument.ts';
import { isQuantity, type Quantity } from '../src/fleet/quantity.ts';
import type { NamedValues } from '../src/fleet/reading.ts';
import type { Row } from './district.ts';
import { SimulatorError } from './errors.ts';
import { FAULT_KINDS } from './faults.ts';
import type { Step, Truth } from './fleet.ts';
import type { SimulatedInstrument } from './ledger.ts';

const INSTRUMENT_COLUMNS = [
  ['id', 'id'],
  ['kind', 'kind'],
  ['role', 'role'],
  ['district', 'district'],
  ['phase', 'phase'],
  ['accuracy_class', 'accuracyClass'],
  ['manufacturer', 'manufacturer'],
  ['model', 'model'],
  ['batch', 'batch'],
  ['installed_on', 'installedOn'],
  ['owner', 'owner'],
  ['region', 'region'],
  ['nominal_voltage_v', 'nominalVoltageV'],
  ['max_current_a', 'maxCurrentA'],
  ['gateway', 'gateway'],
] as const satisfies readonly (readonly [string, keyof SimulatedInstrument])[];

const READING_COLUMNS: readonly Quantity[] = [
  'active_import_kwh',
  'voltage_v',
  'current_a',
  'active_power_w',
  'voltage_l1_v',
  'voltage_l2_v',
  'voltage_l3_v',
];

/** Only where somebody feeds in. */
const FEED_IN_COLUMN: Quantity = 'active_export_kwh';

const TRUTH_COLUMNS = ['instrument', 'error_pct', 'fault', 'fault_from', 'fault_to', 'clock_offset_s'] as const;

export interface FolderContent {
  readonly instruments: readonly SimulatedInstrument[];
  readonly feedsIn?: boolean;
  steps(): Iterable<Step> | AsyncIterable<Step>;
  /** Asked after the last step; empty = not known: no truth.csv. */
  truth(): readonly Truth[];
}

/** A folder as it is read: never all readings at once. */
export interface Folder extends FolderContent {
  steps(): AsyncIterable<Step>;
}

export interface WriteOptions {
  /** readings.csv.gz instead of readings.csv. */
  readonly gzip?: boolean;
  /** Called after every step with the readings written so far. */
  readonly onStep?: (readings: number) => void;
}

export function instrumentsCsv(instruments: readonly SimulatedInstrument[]): string {
  const rows = instruments.map((one) => INSTRUMENT_COLUMNS.map(([, field]) => String(one[field])));
  return csvText([INSTRUMENT_COLUMNS.map(([column]) => column), ...rows]);
}

/** Replaces what the folder held; returns the number of readings. */
export async function writeFolder(dir: string, content: FolderContent, options: WriteOptions = {}): Promise<number> {
  await mkdir(dir, { recursive: true });
  for (const name of ['instruments.csv.gz', 'readings.csv', 'readings.csv.gz', 'truth.csv', 'truth.csv.gz'])
    await rm(join(dir, name), { force: true });
  await writeFile(join(dir, 'instruments.csv'), instrumentsCsv(content.instruments));
  const columns = content.feedsIn ? [...READING_COLUMNS, FEED_IN_COLUMN] : READING_COLUMNS;
  let readings = 0;
  async function* chunks(): AsyncGenerator<string> {
    yield csvText([['ts', 'instrument', ...columns]]);
    for await (const step of content.steps()) {
      yield stepText(step, columns);
      readings += step.rows.length;
      options.onStep?.(readings);
    }
  }
  const file = createWriteStream(join(dir, options.gzip ? 'readings.csv.gz' : 'readings.csv'));
  if (options.gzip) await pipeline(Readable.from(chunks()), createGzip(), file);
  else await pipeline(Readable.from(chunks()), file);
  const truth = content.truth();
  if (truth.length > 0) await writeFile(join(dir, 'truth.csv'), csvText([TRUTH_COLUMNS, ...truth.map(truthCells)]));
  return readings;
}

function stepText(step: Step, columns: readonly Quantity[]): string {
  const ts = timeText(step.tsMs);
  let text = '';
  for (const { instrument, values } of step.rows) {
    text += `${ts},${csvCell(instrument)}`;
    for (const column of columns) {
      const value = values[column];
      text += value === undefined ? ',' : `,${column.endsWith('_kwh') ? registerText(value) : value}`;
    }
    text += '\n';
  }
  return text;
}

/** Registers keep their two decimals, as a display shows them. */
function registerText(registerKwh: number): string {
  const shown = registerKwh.toFixed(2);
  return Number(shown) === registerKwh ? shown : String(registerKwh);
}

function truthCells(truth: Truth): string[] {
  const { instrument, errorPct, fault, fromMs, toMs, clockOffsetS } = truth;
  return [
    instrument,
    errorPct.toFixed(4),
    fault,
    fromMs === null ? '' : timeText(fromMs),
    toMs === null ? '' : timeText(toMs),
    String(clockOffsetS),
  ];
}

function csvText(lines: readonly (readonly string[])[]): string {
  return lines.map((cells) => `${cells.map(csvCell).join(',')}\n`).join('');
}

/** RFC 3339 in UTC, without the milliseconds that whole seconds do not need. */
export function timeText(tsMs: number): string {
  return new Date(tsMs).toISOString().replace('.000Z', 'Z');
}

/** Instruments and truth at once, readings as a stream. */
export async function readFolder(dir: string): Promise<Folder> {
  const instruments = (await readRecords(dir, 'instruments.csv')).map(toInstrument);
  const truth = present(dir, 'truth.csv') ? (await readRecords(dir, 'truth.csv')).map(toTruth) : [];
  const known = new Set(instruments.map((instrument) => instrument.id));
  return { instruments, truth: () => truth, steps: () => readSteps(dir, known) };
}

type CsvRecord = Readonly<Record<string, string>>;

async function readRecords(dir: string, name: string): Promise<CsvRecord[]> {
  const file = required(dir, name);
  try {
    const bytes = await readFile(join(dir, file));
    const text = file.endsWith('.gz') ? gunzipSync(bytes) : bytes;
    return parse<CsvRecord>(text, { columns: true, bom: true, skip_empty_lines: true });
  } catch (error) {
    throw malformed(file, error);
  }
}

/** The file as it stands in the folder: plain, or compressed. */
function present(dir: string, name: string): string | undefined {
  return [name, `${name}.gz`].find((file) => existsSync(join(dir, file)));
}

function required(dir: string, name: string): string {
  const file = present(dir, name);
  if (file === undefined) throw new SimulatorError('missing_file', { file: join(dir, name) });
  return file;
}

function malformed(file: string, error: unknown): unknown {
  const { code, lines, message } = error as Partial<CsvError>;
  if (!code?.startsWith('CSV_')) return error;
  return new SimulatorError('invalid_cell', { file, line: Number(lines ?? 0), column: code, value: message ?? '' });
}

function cell(record: CsvRecord, file: string, column: string): string {
  const value = record[column];
  if (value === undefined) throw new SimulatorError('missing_column', { file, column });
  return value;
}

function oneOf<T extends string>(choices: readonly T[], file: string, line: number, column: string, value: string): T {
  const found = choices.find((choice) => choice === value);
  if (found === undefined) throw new SimulatorError('invalid_cell', { file, line, column, value });
  return found;
}

function toNumber(file: string, line: number, column: string, value: string): number {
  const number = Number(value);
  if (value.trim() === '' || !Number.isFinite(number)) {
    throw new SimulatorError('invalid_cell', { file, line, column, value });
  }
  return number;
}

function toTimeMs(file: string, line: number, column: string, value: string): number {
  const tsMs = /^\d{4}-\d\d-\d\dT.+(Z|[+-]\d\d:\d\d)$/.test(value) ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(tsMs)) throw new SimulatorError('invalid_cell', { file, line, column, value });
  return tsMs;
}

function toInstrument(record: CsvRecord, index: number): SimulatedInstrument {
  const file = 'instruments.csv';
  const line = index + 2;
  const text = (column: string) => cell(record, file, column);
  return {
    id: text('id'),
    kind: text('kind'),
    role: oneOf(ROLES, file, line, 'role', text('role')),
    district: text('district'),
    phase: oneOf(PHASES, file, line, 'phase', text('phase')),
    accuracyClass: text('accuracy_class'),
    manufacturer: text('manufacturer'),
    model: text('model'),
    batch: text('batch'),
    installedOn: text('installed_on'),
    owner: text('owner'),
    region: text('region'),
    nominalVoltageV: toNumber(file, line, 'nominal_voltage_v', text('nominal_voltage_v')),
    maxCurrentA: toNumber(file, line, 'max_current_a', text('max_current_a')),
    gateway: text('gateway'),
  };
}

function toTruth(record: CsvRecord, index: number): Truth {
  const file = 'truth.csv';
  const line = index + 2;
  const time = (column: string) => {
    const value = cell(record, file, column);
    return value === '' ? null : toTimeMs(file, line, column, value);
  };
  const fault = cell(record, file, 'fault');
  // Folders of others need not tell it.
  const clockOffsetS = toNumber(file, line, 'clock_offset_s', record.clock_offset_s ?? '0');
  return {
    instrument: cell(record, file, 'instrument'),
    errorPct: toNumber(file, line, 'error_pct', cell(record, file, 'error_pct')),
    fault: fault === '' ? '' : oneOf(FAULT_KINDS, file, line, 'fault', fault),
    fromMs: time('fault_from'),
    toMs: time('fault_to'),
    clockOffsetS,
  };
}

async function* readSteps(dir: string, known: ReadonlySet<string>): AsyncGenerator<Step> {
  const file = required(dir, 'readings.csv');
  const parser = parseStream({ bom: true, skip_empty_lines: true });
  const source = createReadStream(join(dir, file));
  const flow = file.endsWith('.gz') ? pipeline(source, createGunzip(), parser) : pipeline(source, parser);
  flow.catch((error: unknown) => parser.destroy(error as Error));
  try {
    yield* groupByTime(parser, file, known);
  } catch (error) {
    throw malformed(file, error);
  }
}

async function* groupByTime(
  lines: AsyncIterable<string[]>,
  file: string,
  known: ReadonlySet<string>,
): AsyncGenerator<Step> {
  let columns: ReadingColumns | undefined;
  let tsText = '';
  let tsMs = Number.NEGATIVE_INFINITY;
  let rows: Row[] = [];
  let line = 0;
  for await (const cells of lines) {
    line++;
    if (!columns) {
      columns = readingColumns(cells, file);
      continue;
    }
    const text = cells[columns.ts]!;
    if (text !== tsText) {
      const nextMs = toTimeMs(file, line, 'ts', text);
      if (nextMs < tsMs) throw new SimulatorError('not_sorted', { file, line, ts: text });
      if (nextMs > tsMs && rows.length > 0) {
        yield { tsMs, rows };
        rows = [];
      }
      tsText = text;
      tsMs = nextMs;
    }
    const instrument = cells[columns.instrument]!;
    if (!known.has(instrument)) throw new SimulatorError('unknown_instrument', { file, line, instrument });
    rows.push({ instrument, values: readValues(cells, columns, file, line) });
  }
  if (rows.length > 0) yield { tsMs, rows };
}

interface ReadingColumns {
  readonly ts: number;
  readonly instrument: number;
  readonly quantities: readonly (readonly [index: number, quantity: Quantity])[];
}

function readingColumns(header: readonly string[], file: string): ReadingColumns {
  const quantities: [number, Quantity][] = [];
  header.forEach((column, index) => {
    if (isQuantity(column)) quantities.push([index, column]);
    else if (column !== 'ts' && column !== 'instrument') throw new SimulatorError('unknown_column', { file, column });
  });
  for (const column of ['ts', 'instrument']) {
    if (!header.includes(column)) throw new SimulatorError('missing_column', { file, column });
  }
  return { ts: header.indexOf('ts'), instrument: header.indexOf('instrument'), quantities };
}

function readValues(cells: readonly string[], columns: ReadingColumns, file: string, line: number): NamedValues {
  const values: NamedValues = {};
  for (const [index, quantity] of columns.quantities) {
    const value = cells[index]!;
    if (value !== '') values[quantity] = toNumber(file, line, quantity, value);
  }
  return values;
}
