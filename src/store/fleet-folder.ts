/** A fleet folder as a utility exports it: the ledger at once, the readings as a stream. */
import { createReadStream, existsSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { MeterwardenError } from '../errors.ts';
import type { Instrument } from '../fleet/instrument.ts';
import {
  type InstrumentColumn,
  isInstrumentColumn,
  isRefusal,
  parseInstrumentLine,
  REQUIRED_COLUMNS,
} from '../fleet/instrument-line.ts';
import type { Kind, Kinds } from '../fleet/kind.ts';
import { isQuantity, QUANTITIES, quantityIndex } from '../fleet/quantity.ts';
import { emptyValues, type Reading } from '../fleet/reading.ts';
import { type Line, lines, MAX_LINE_CHARS } from './csv-lines.ts';

export interface FleetFolder {
  /** Keys are dense from 1, in order of the file. */
  readonly instruments: readonly Instrument[];
  /** Sorted by ts, in blocks of some thousand; throws MeterwardenError naming file, line and column. */
  readings(): AsyncIterable<readonly Reading[]>;
  /** Complete when the readings have been read. */
  readonly unknownColumns: readonly string[];
  /** Readings left out as the service would refuse them: of instruments not in the ledger or retired, with impossible values. */
  readonly leftOut: { readonly unknownInstrument: number; readonly impossibleValue: number };
}

/** A line this much older than another before it: the file is sorted by something else than ts. */
const MAX_DISORDER_MS = 86_400_000;

export async function openFleetFolder(dir: string, kinds: Kinds): Promise<FleetFolder> {
  const unknownColumns = new Set<string>();
  const leftOut = { unknownInstrument: 0, impossibleValue: 0 };
  const instruments = await readInstruments(dir, kinds, unknownColumns);
  const ledger = new Map(instruments.map((instrument) => [instrument.id, instrument]));
  return {
    instruments,
    readings: () => readReadings(dir, ledger, kinds, unknownColumns, leftOut),
    get unknownColumns() {
      return [...unknownColumns];
    },
    leftOut,
  };
}

async function readInstruments(dir: string, kinds: Kinds, unknownColumns: Set<string>): Promise<Instrument[]> {
  const file = present(dir, 'instruments.csv');
  const instruments: Instrument[] = [];
  const lineOf = new Map<string, number>();
  let kept: { column: InstrumentColumn; at: number }[] | undefined;
  for await (const block of open(dir, file)) {
    for (const line of block) {
      if (!kept) {
        requireColumns(file, line, REQUIRED_COLUMNS);
        for (const name of line.cells) if (!isInstrumentColumn(name)) unknownColumns.add(name);
        kept = line.cells.flatMap((column, at) => (isInstrumentColumn(column) ? [{ column, at }] : []));
        continue;
      }
      const columns = kept.map(({ column }) => column);
      const cells = kept.map(({ at }) => line.cells[at] ?? '');
      const parsed = parseInstrumentLine(columns, cells, kinds);
      if (isRefusal(parsed)) throw wrong(file, line, parsed.path, parsed.code, parsed.params);
      const first = lineOf.get(parsed.id);
      if (first !== undefined) throw wrong(file, line, 'id', 'duplicate_line', { id: parsed.id, first });
      lineOf.set(parsed.id, line.number);
      instruments.push({ ...parsed, key: instruments.length + 1 });
    }
  }
  if (!kept) throw new MeterwardenError('invalid_line', { path: file, params: { problem: 'empty_file', file } });
  return instruments;
}

async function* readReadings(
  dir: string,
  ledger: ReadonlyMap<string, Instrument>,
  kinds: Kinds,
  unknownColumns: Set<string>,
  leftOut: { unknownInstrument: number; impossibleValue: number },
): AsyncGenerator<readonly Reading[]> {
  const file = present(dir, 'readings.csv');
  let parser: ReadingParser | undefined;
  for await (const block of open(dir, file)) {
    const readings: Reading[] = [];
    for (const line of block) {
      if (!parser) {
        requireColumns(file, line, ['ts', 'instrument']);
        parser = new ReadingParser(file, line, ledger, kinds);
        for (const name of parser.unknownColumns) unknownColumns.add(name);
        continue;
      }
      const reading = parser.parse(line);
      if (typeof reading === 'string') leftOut[reading]++;
      else readings.push(reading);
    }
    if (readings.length > 0) yield readings;
  }
  if (!parser) throw new MeterwardenError('invalid_line', { path: file, params: { problem: 'empty_file', file } });
}

class ReadingParser {
  readonly unknownColumns: readonly string[];
  readonly #file: string;
  readonly #ledger: ReadonlyMap<string, Instrument>;
  readonly #kinds: Kinds;
  readonly #tsAt: number;
  readonly #instrumentAt: number;
  readonly #columns: readonly { readonly at: number; readonly index: number }[];
  readonly #width: number;
  #tsText = '';
  #tsMs = Number.NaN;
  #newestMs = Number.NEGATIVE_INFINITY;

  constructor(file: string, header: Line, ledger: ReadonlyMap<string, Instrument>, kinds: Kinds) {
    this.#file = file;
    this.#ledger = ledger;
    this.#kinds = kinds;
    this.#width = header.cells.length;
    this.#tsAt = header.cells.indexOf('ts');
    this.#instrumentAt = header.cells.indexOf('instrument');
    this.#columns = header.cells.flatMap((name, at) => (isQuantity(name) ? [{ at, index: quantityIndex(name) }] : []));
    this.unknownColumns = header.cells.filter((name) => name !== 'ts' && name !== 'instrument' && !isQuantity(name));
  }

  parse(line: Line): Reading | 'unknownInstrument' | 'impossibleValue' {
    const { cells } = line;
    if (cells.length !== this.#width) {
      const problem = cells.length < this.#width ? 'too_few_cells' : 'too_many_cells';
      throw wrong(this.#file, line, '', 'invalid_line', { problem, cells: cells.length, columns: this.#width });
    }
    const tsMs = this.#time(line);
    const instrument = this.#ledger.get(cells[this.#instrumentAt]!);
    if (instrument?.state !== 'in-service') return 'unknownInstrument';
    const kind = this.#kinds.get(instrument.kind)!;
    const values = emptyValues();
    for (let i = 0; i < this.#columns.length; i++) {
      const { at, index } = this.#columns[i]!;
      const text = cells[at]!;
      if (text === '') continue;
      const value = Number(text);
      if (!Number.isFinite(value)) throw wrong(this.#file, line, QUANTITIES[index]!, 'not_a_number', { value: text });
      if (!isPossible(kind, index, value)) return 'impossibleValue';
      values[index] = value;
    }
    return { key: instrument.key, tsMs, values };
  }

  #time(line: Line): number {
    const text = line.cells[this.#tsAt]!;
    if (text === this.#tsText) return this.#tsMs;
    const tsMs = RFC_3339.test(text) ? Date.parse(text) : Number.NaN;
    if (Number.isNaN(tsMs)) throw wrong(this.#file, line, 'ts', 'invalid_line', { problem: 'not_a_time', value: text });
    if (tsMs < this.#newestMs - MAX_DISORDER_MS) {
      throw wrong(this.#file, line, 'ts', 'invalid_line', { problem: 'not_sorted', value: text });
    }
    this.#tsText = text;
    this.#tsMs = tsMs;
    this.#newestMs = Math.max(this.#newestMs, tsMs);
    return tsMs;
  }
}

/** With a zone: a local time without one would be guessed. */
const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/i;

function isPossible(kind: Kind, index: number, value: number): boolean {
  const limits = kind.quantities.get(QUANTITIES[index]!);
  return limits === undefined || (value >= limits.min && value <= limits.max);
}

function requireColumns(file: string, header: Line, names: readonly string[]): void {
  const column = names.find((name) => !header.cells.includes(name));
  if (column) throw wrong(file, header, column, 'invalid_line', { problem: 'missing_column', column });
}

function wrong(
  file: string,
  { number }: Line,
  column: string,
  code: 'invalid_line' | 'duplicate_line' | 'unknown_kind' | 'not_a_number',
  params: Readonly<Record<string, string | number>>,
): MeterwardenError {
  const path = column ? `${file}:${number}:${column}` : `${file}:${number}`;
  return new MeterwardenError(code, { path, params: { ...params, file, line: number } });
}

/** The file as it stands in the folder: plain, or compressed. */
function present(dir: string, file: string): string {
  const found = [file, `${file}.gz`].find((name) => existsSync(join(dir, name)));
  if (found) return found;
  if (!existsSync(dir)) throw new MeterwardenError('missing_folder', { path: dir });
  throw new MeterwardenError('missing_file', { path: join(dir, file), params: { file } });
}

async function* open(dir: string, file: string): AsyncGenerator<readonly Line[]> {
  const bytes = createReadStream(join(dir, file), { highWaterMark: 256 * 1024 });
  try {
    for await (const block of lines(file.endsWith('.gz') ? pipeline(bytes, createGunzip(), () => {}) : bytes)) {
      const broken = block.find(({ problem }) => problem);
      if (broken) throw wrong(file, broken, '', 'invalid_line', { problem: broken.problem!, limit: MAX_LINE_CHARS });
      yield block;
    }
  } catch (error) {
    if (error instanceof TypeError) {
      throw new MeterwardenError('invalid_line', { path: file, params: { problem: 'not_utf8', file }, cause: error });
    }
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (!code.startsWith('Z_')) throw error;
    throw new MeterwardenError('invalid_line', { path: file, params: { problem: 'broken_gzip', file }, cause: error });
  } finally {
    bytes.destroy();
  }
}
