/** instruments.csv of a fleet folder becomes ledger lines, each judged alone: a bad line never spoils its neighbours. */
import { MeterwardenError } from '../errors.ts';
import { PHASES, ROLES, type Phase, type Role } from '../fleet/instrument.ts';
import type { Kind, Kinds } from '../fleet/kind.ts';
import { nearest } from '../nearest.ts';
import type { InstrumentLine, RefusedLine } from '../store/postgres-ledger.ts';
import type { Problem } from '../texts/errors.ts';
import type { Params } from '../texts/text.ts';
import { csvCells, csvLines, MAX_LINE_CHARS } from './csv-lines.ts';
import { idProblem, textProblem } from './names.ts';

export const INSTRUMENT_COLUMNS = [
  'id',
  'kind',
  'role',
  'district',
  'phase',
  'accuracy_class',
  'manufacturer',
  'model',
  'batch',
  'installed_on',
  'owner',
  'region',
  'nominal_voltage_v',
  'max_current_a',
  'gateway',
] as const;
type Column = (typeof INSTRUMENT_COLUMNS)[number];
const REQUIRED_COLUMNS: readonly Column[] = ['id', 'kind', 'role', 'district'];

/** The largest city's meters in one request. */
const MAX_LINES = 1_000_000;
/** Lines handed on at once: one statement, and a few hundred kilobytes in memory. */
const BATCH_LINES = 1_000;
/** Above the highest grid voltage, and above any instrument's current: larger is a slip of the unit. */
const MAX_NOMINAL_VOLTAGE_V = 1_000_000;
const MAX_CURRENT_A = 100_000;

type Cell = (column: Column) => string | undefined;

/** Batches in order of the file. Throws invalid_request when its header makes the whole file unreadable. */
export async function* readInstrumentLines(
  bytes: AsyncIterable<Uint8Array>,
  kinds: Kinds,
): AsyncGenerator<(InstrumentLine | RefusedLine)[]> {
  let header: Header | undefined;
  let batch: (InstrumentLine | RefusedLine)[] = [];
  for await (const { line, text } of csvLines(bytes)) {
    if (text === '') continue;
    if (!header) {
      header = readHeader(text);
      continue;
    }
    if (line > MAX_LINES + 1) throw invalid('', 'too_many_lines', { limit: MAX_LINES });
    batch.push(readLine(line, text, header, kinds));
    if (batch.length < BATCH_LINES) continue;
    yield batch;
    batch = [];
  }
  if (!header) throw invalid('', 'empty_file');
  if (batch.length > 0) yield batch;
}

/** Where each column stands; undefined = the file does not have it. */
interface Header {
  readonly positions: Readonly<Partial<Record<Column, number>>>;
  readonly columns: number;
}

function readHeader(text: string | undefined): Header {
  const cells = text === undefined ? undefined : csvCells(text);
  if (!cells) throw invalid('', 'broken_quotes');
  const positions: Partial<Record<Column, number>> = {};
  for (const [position, cell] of cells.entries()) {
    const column = INSTRUMENT_COLUMNS.find((known) => known === cell);
    if (!column) throw invalid(cell, 'unknown_column', { column: cell, nearest: nearest(cell, INSTRUMENT_COLUMNS) });
    if (positions[column] !== undefined) throw invalid(column, 'repeated_column', { column });
    positions[column] = position;
  }
  const missing = REQUIRED_COLUMNS.find((column) => positions[column] === undefined);
  if (missing) throw invalid(missing, 'missing_column', { column: missing });
  return { positions, columns: cells.length };
}

function invalid(path: string, problem: Problem, params: Record<string, string | number> = {}): MeterwardenError {
  return new MeterwardenError('invalid_request', { path, params: { problem, ...params } });
}

/** Stops reading a line at its first fault. */
class LineFault extends Error {
  readonly refusal: Omit<RefusedLine, 'line'>;

  constructor(refusal: Omit<RefusedLine, 'line'>) {
    super(refusal.code);
    this.refusal = refusal;
  }
}

function fault(path: Column | '', problem: Problem, params: Params = {}): LineFault {
  return new LineFault({ code: 'invalid_line', path, params: { problem, ...params } });
}

function readLine(line: number, text: string | undefined, header: Header, kinds: Kinds): InstrumentLine | RefusedLine {
  try {
    return { line, ...readInstrument(text, header, kinds) };
  } catch (error) {
    if (error instanceof LineFault) return { line, ...error.refusal };
    throw error;
  }
}

function readInstrument(text: string | undefined, { positions, columns }: Header, kinds: Kinds): Omit<InstrumentLine, 'line'> {
  if (text === undefined) throw fault('', 'too_long', { limit: MAX_LINE_CHARS });
  const cells = csvCells(text);
  if (!cells) throw fault('', 'broken_quotes');
  if (cells.length !== columns) {
    throw fault('', cells.length > columns ? 'too_many_cells' : 'too_few_cells', { cells: cells.length, columns });
  }
  const cell: Cell = (column) => (positions[column] === undefined ? undefined : cells[positions[column]]);
  const id = checkedId(cell, 'id')!;
  const kind = knownKind(cell, kinds);
  return {
    id,
    kind: kind.id,
    role: oneOf<Role>(cell, 'role', ROLES)!,
    district: requiredText(cell, 'district'),
    phase: oneOf<Phase>(cell, 'phase', PHASES),
    accuracyClass: checkedText(cell, 'accuracy_class'),
    manufacturer: checkedText(cell, 'manufacturer'),
    model: checkedText(cell, 'model'),
    batch: checkedText(cell, 'batch'),
    installedOn: date(cell, 'installed_on'),
    owner: checkedText(cell, 'owner'),
    region: checkedText(cell, 'region'),
    nominalVoltageV: number(cell, 'nominal_voltage_v', MAX_NOMINAL_VOLTAGE_V, kind.quantities.has('voltage_v')),
    maxCurrentA: number(cell, 'max_current_a', MAX_CURRENT_A, kind.quantities.has('current_a')),
    gateway: checkedId(cell, 'gateway'),
  };
}

function requiredText(cell: Cell, column: Column): string {
  const text = checkedText(cell, column);
  if (!text) throw fault(column, 'required');
  return text;
}

function checkedText(cell: Cell, column: Column): string | null {
  const text = cell(column);
  if (text === undefined) return null;
  const problem = textProblem(text);
  if (problem) throw fault(column, problem.problem, problem.params);
  return text;
}

/** Ids are user names and topic levels too, so they must be speakable in MQTT. A gateway may be left empty, an id may not. */
function checkedId(cell: Cell, column: 'id' | 'gateway'): string | null {
  const text = cell(column);
  if (text === undefined) return null;
  if (text === '' && column === 'gateway') return '';
  const problem = idProblem(text);
  if (problem) throw fault(column, problem.problem, problem.params);
  return text;
}

function oneOf<T extends string>(cell: Cell, column: Column, allowed: readonly T[]): T | null {
  const text = cell(column);
  if (text === undefined) return null;
  const found = allowed.find((value) => value === text);
  if (found === undefined) throw fault(column, 'one_of', { allowed: allowed.filter((value) => value !== '').join(', ') });
  return found;
}

function knownKind(cell: Cell, kinds: Kinds): Kind {
  const kind = requiredText(cell, 'kind');
  const known = kinds.get(kind);
  if (known) return known;
  throw new LineFault({ code: 'unknown_kind', path: 'kind', params: { kind, nearest: nearest(kind, [...kinds.keys()]) } });
}

function date(cell: Cell, column: Column): string | null {
  const text = cell(column);
  if (text === undefined || text === '') return text ?? null;
  const day = /^[12]\d{3}-\d\d-\d\d$/.test(text) ? new Date(`${text}T00:00:00Z`) : undefined;
  // 31 February is accepted by Date and becomes a day of March.
  if (!day || Number.isNaN(day.getTime()) || day.toISOString().slice(0, 10) !== text) throw fault(column, 'not_a_date');
  return text;
}

/** A limit rules calculate with: where the kind measures that quantity, a meter without it could not be judged. */
function number(cell: Cell, column: Column, max: number, needed: boolean): number | null {
  const text = cell(column) ?? '';
  if (text === '') {
    if (needed) throw fault(column, 'required');
    return cell(column) === undefined ? null : 0;
  }
  const value = /^[+-]?\d+(\.\d*)?(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
  if (Number.isNaN(value)) throw new LineFault({ code: 'not_a_number', path: column, params: { value: text.slice(0, 64) } });
  const impossible = value < 0 || value > max || (needed && value === 0);
  if (impossible) throw new LineFault({ code: 'out_of_range', path: column, params: { value, min: 0, max } });
  return value;
}
