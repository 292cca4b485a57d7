/** A fleet folder as a utility exports it: the ledger at once, the readings as a stream. */
import type { MeterwardenError } from '../errors.ts';
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
import { csvBlocks, presentFile, requireColumns, type Tell, tellOr, wrongLine } from './csv-files.ts';
import type { Line } from './csv-lines.ts';

export interface FleetFolder {
  /** Keys are dense from 1, in order of the file. */
  readonly instruments: readonly Instrument[];
  /** Lines of the ledger that are no instrument; none unless wrong lines are passed over. */
  readonly unreadable: readonly UnreadableLine[];
  /** In blocks of some thousand, sorted by ts unless wrong lines are passed over. Throws MeterwardenError naming file, line and column. */
  readings(): AsyncIterable<readonly Reading[]>;
  /** Complete when the readings have been read. */
  readonly unknownColumns: readonly string[];
  /** Readings left out as the service would refuse them: of instruments not in the ledger or retired, with impossible values. */
  readonly leftOut: { readonly unknownInstrument: number; readonly impossibleValue: number };
}

export interface UnreadableLine {
  readonly id: string;
  readonly district: string;
  readonly role: string;
  readonly kind: string;
  /** What is wrong with it. */
  readonly column: string;
}

/** A line this much older than another before it: the file is sorted by something else than ts. */
const MAX_DISORDER_MS = 86_400_000;

/**
 * With `tell` a wrong line costs itself alone and a wrong value, where it may be missing, no more than itself; readings may come in
 * any order, and a file of readings that is missing or ends badly holds what could be read of it.
 */
export async function openFleetFolder(dir: string, kinds: Kinds, tell?: Tell): Promise<FleetFolder> {
  const unknownColumns = new Set<string>();
  const leftOut = { unknownInstrument: 0, impossibleValue: 0 };
  const { instruments, unreadable } = await readInstruments(dir, kinds, unknownColumns, tell);
  const ledger = new Map(instruments.map((instrument) => [instrument.id, instrument]));
  const readings = () => readReadings(dir, ledger, kinds, unknownColumns, leftOut, tell);
  return {
    instruments,
    unreadable,
    readings: tell ? () => untilBroken(readings(), tell) : readings,
    get unknownColumns() {
      return [...unknownColumns];
    },
    leftOut,
  };
}

async function readInstruments(dir: string, kinds: Kinds, unknownColumns: Set<string>, tell: Tell | undefined) {
  const file = presentFile(dir, 'instruments.csv');
  const instruments: Instrument[] = [];
  const unreadable: UnreadableLine[] = [];
  const lineOf = new Map<string, number>();
  let parser: InstrumentParser | undefined;
  for await (const block of csvBlocks(dir, file, tell)) {
    for (const line of block) {
      if (!parser) {
        requireColumns(file, line, REQUIRED_COLUMNS);
        for (const name of line.cells) if (!isInstrumentColumn(name)) unknownColumns.add(name);
        parser = new InstrumentParser(file, line, kinds, tell);
        continue;
      }
      const id = parser.cell(line, 'id');
      const first = lineOf.get(id);
      if (first !== undefined) {
        tellOr(tell, () => {
          throw wrongLine(file, line, 'id', 'duplicate_line', { id, first });
        });
        continue;
      }
      if (id !== '') lineOf.set(id, line.number);
      const parsed = parser.parse(line);
      if ('column' in parsed) unreadable.push(parsed);
      else instruments.push({ ...parsed, key: instruments.length + 1 });
    }
  }
  return { instruments, unreadable };
}

class InstrumentParser {
  readonly #file: string;
  readonly #kinds: Kinds;
  readonly #tell: Tell | undefined;
  readonly #columns: readonly InstrumentColumn[];
  readonly #places: readonly number[];

  constructor(file: string, header: Line, kinds: Kinds, tell: Tell | undefined) {
    this.#file = file;
    this.#kinds = kinds;
    this.#tell = tell;
    const kept = header.cells.flatMap((column, at) => (isInstrumentColumn(column) ? [{ column, at }] : []));
    this.#columns = kept.map(({ column }) => column);
    this.#places = kept.map(({ at }) => at);
  }

  cell({ cells }: Line, column: InstrumentColumn): string {
    return cells[this.#places[this.#columns.indexOf(column)] ?? -1] ?? '';
  }

  parse(line: Line): Omit<Instrument, 'key'> | UnreadableLine {
    const cells = this.#places.map((at) => line.cells[at] ?? '');
    for (;;) {
      const parsed = parseInstrumentLine(this.#columns, cells, this.#kinds);
      if (!isRefusal(parsed)) return parsed;
      const { code, path, params } = parsed;
      tellOr(this.#tell, () => {
        throw wrongLine(this.#file, line, path, code, params);
      });
      const at = this.#columns.indexOf(path as InstrumentColumn);
      if (at < 0 || cells[at] === '' || REQUIRED_COLUMNS.includes(path as InstrumentColumn)) {
        const [id, district, role, kind] = (['id', 'district', 'role', 'kind'] as const).map((name) =>
          this.cell(line, name),
        );
        return { id: id!, district: district!, role: role!, kind: kind!, column: path };
      }
      cells[at] = '';
    }
  }
}

async function* untilBroken(blocks: AsyncIterable<readonly Reading[]>, tell: Tell): AsyncGenerator<readonly Reading[]> {
  try {
    yield* blocks;
  } catch (error) {
    tellOr(tell, () => {
      throw error;
    });
  }
}

async function* readReadings(
  dir: string,
  ledger: ReadonlyMap<string, Instrument>,
  kinds: Kinds,
  unknownColumns: Set<string>,
  leftOut: { unknownInstrument: number; impossibleValue: number },
  tell: Tell | undefined,
): AsyncGenerator<readonly Reading[]> {
  const file = presentFile(dir, 'readings.csv');
  let parser: ReadingParser | undefined;
  for await (const block of csvBlocks(dir, file, tell)) {
    const readings: Reading[] = [];
    for (const line of block) {
      if (!parser) {
        requireColumns(file, line, ['ts', 'instrument']);
        parser = new ReadingParser(file, line, ledger, kinds, tell);
        for (const name of parser.unknownColumns) unknownColumns.add(name);
        if (tell) tellOr(tell, () => requireRegister(file, line, ledger, kinds));
        continue;
      }
      const { parse } = parser;
      const reading = tellOr(tell, () => parse(line));
      if (typeof reading === 'string') leftOut[reading]++;
      else if (reading) readings.push(reading);
    }
    if (readings.length > 0) yield readings;
  }
}

/** Readings of this ledger without any register say nothing of energy. */
function requireRegister(file: string, header: Line, ledger: ReadonlyMap<string, Instrument>, kinds: Kinds): void {
  const registers = [...new Set([...ledger.values()].map(({ kind }) => kinds.get(kind)!.register))];
  if (!registers.some((register) => header.cells.includes(register)))
    requireColumns(file, header, registers.slice(0, 1));
}

class ReadingParser {
  readonly unknownColumns: readonly string[];
  readonly #file: string;
  readonly #ledger: ReadonlyMap<string, Instrument>;
  readonly #kinds: Kinds;
  readonly #tell: Tell | undefined;
  readonly #tsAt: number;
  readonly #instrumentAt: number;
  readonly #columns: readonly { readonly at: number; readonly index: number }[];
  readonly #width: number;
  #tsText = '';
  #tsMs = Number.NaN;
  #newestMs = Number.NEGATIVE_INFINITY;

  constructor(
    file: string,
    header: Line,
    ledger: ReadonlyMap<string, Instrument>,
    kinds: Kinds,
    tell: Tell | undefined,
  ) {
    this.#file = file;
    this.#ledger = ledger;
    this.#kinds = kinds;
    this.#tell = tell;
    this.#width = header.cells.length;
    this.#tsAt = header.cells.indexOf('ts');
    this.#instrumentAt = header.cells.indexOf('instrument');
    this.#columns = header.cells.flatMap((name, at) => (isQuantity(name) ? [{ at, index: quantityIndex(name) }] : []));
    this.unknownColumns = header.cells.filter((name) => name !== 'ts' && name !== 'instrument' && !isQuantity(name));
  }

  parse = (line: Line): Reading | 'unknownInstrument' | 'impossibleValue' => {
    const { cells } = line;
    if (cells.length !== this.#width) {
      const problem = cells.length < this.#width ? 'too_few_cells' : 'too_many_cells';
      throw wrongLine(this.#file, line, '', 'invalid_line', { problem, cells: cells.length, columns: this.#width });
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
      const isNumber = Number.isFinite(value);
      if (isNumber && isPossible(kind, index, value)) {
        values[index] = value;
      } else if (this.#tell) {
        if (!NOTHING.test(text)) this.#tell(this.#wrongValue(line, kind, index, text));
      } else {
        if (isNumber) return 'impossibleValue';
        throw this.#wrongValue(line, kind, index, text);
      }
    }
    return { key: instrument.key, tsMs, values };
  };

  #wrongValue(line: Line, kind: Kind, index: number, text: string): MeterwardenError {
    const name = QUANTITIES[index]!;
    if (!Number.isFinite(Number(text))) return wrongLine(this.#file, line, name, 'not_a_number', { value: text });
    const { min, max } = kind.quantities.get(name)!;
    return wrongLine(this.#file, line, name, 'out_of_range', { value: text, min, max });
  }

  #time(line: Line): number {
    const text = line.cells[this.#tsAt]!;
    if (text === this.#tsText) return this.#tsMs;
    const tsMs = RFC_3339.test(text) ? Date.parse(text) : Number.NaN;
    if (Number.isNaN(tsMs))
      throw wrongLine(this.#file, line, 'ts', 'invalid_line', { problem: 'not_a_time', value: text });
    if (!this.#tell && tsMs < this.#newestMs - MAX_DISORDER_MS) {
      throw wrongLine(this.#file, line, 'ts', 'invalid_line', { problem: 'not_sorted', value: text });
    }
    this.#tsText = text;
    this.#tsMs = tsMs;
    this.#newestMs = Math.max(this.#newestMs, tsMs);
    return tsMs;
  }
}

/** What others write where nothing was reported. */
const NOTHING = /^(?:null|nan|n\/?a|none|nil|-+|\\N)$/i;

/** With a zone: a local time without one would be guessed. */
const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/i;

function isPossible(kind: Kind, index: number, value: number): boolean {
  const limits = kind.quantities.get(QUANTITIES[index]!);
  return limits === undefined || (value >= limits.min && value <= limits.max);
}
