/** One line of instruments.csv becomes an instrument, or a refusal naming the column. */
import { INSTRUMENT_STATES, type Instrument, PHASES, ROLES } from './instrument.ts';
import type { Kinds } from './kind.ts';
import { isRegion } from './region.ts';

export type InstrumentLine = Omit<Instrument, 'key'>;

export interface LineRefusal {
  readonly code: 'invalid_line' | 'unknown_kind';
  /** The column. */
  readonly path: string;
  /** `problem` names a sentence of src/texts/errors.ts, which the others fill. */
  readonly params: Readonly<Record<string, string | number>>;
}

export const INSTRUMENT_COLUMNS = {
  id: 'id',
  kind: 'kind',
  role: 'role',
  district: 'district',
  phase: 'phase',
  accuracy_class: 'accuracyClass',
  manufacturer: 'manufacturer',
  model: 'model',
  batch: 'batch',
  installed_on: 'installedOn',
  owner: 'owner',
  region: 'region',
  nominal_voltage_v: 'nominalVoltageV',
  max_current_a: 'maxCurrentA',
  gateway: 'gateway',
  state: 'state',
} as const satisfies Record<string, keyof InstrumentLine>;

export type InstrumentColumn = keyof typeof INSTRUMENT_COLUMNS;
export const REQUIRED_COLUMNS: readonly InstrumentColumn[] = ['id', 'kind', 'role', 'district'];

export function isInstrumentColumn(name: string): name is InstrumentColumn {
  return Object.hasOwn(INSTRUMENT_COLUMNS, name);
}

const MAX_TEXT_CHARS = 200;
const MAX_ID_CHARS = 64;
/** Instrument and gateway ids become topic levels, user names and URL segments. */
const RESERVED = '/ + # $ % ? \\';
const ID = /^[^\s/+#$%?\\]+$/u;
/** Of a household connection in China, where the line says nothing. */
const DEFAULT_NOMINAL_VOLTAGE_V = 220;
const DEFAULT_MAX_CURRENT_A = 60;
const DATE = /^\d{4}-\d\d-\d\d$/;
const DECIMAL = /^\d+(\.\d+)?$/;

/** `columns[i]` names `cells[i]`; missing optional columns and empty cells take their defaults. */
export function parseInstrumentLine(
  columns: readonly InstrumentColumn[],
  cells: readonly string[],
  kinds: Kinds,
): InstrumentLine | LineRefusal {
  if (cells.length !== columns.length) {
    const problem = cells.length > columns.length ? 'too_many_cells' : 'too_few_cells';
    return invalid('', problem, { cells: cells.length, columns: columns.length });
  }
  const cell = (name: InstrumentColumn) => cells[columns.indexOf(name)] ?? '';
  for (const name of columns) {
    if (cell(name).length > MAX_TEXT_CHARS) return invalid(name, 'too_long', { limit: MAX_TEXT_CHARS });
    if (/\p{Cc}/u.test(cell(name))) return invalid(name, 'control_characters');
  }
  for (const name of ['id', 'gateway'] as const) {
    if (cell(name).length > MAX_ID_CHARS) return invalid(name, 'too_long', { limit: MAX_ID_CHARS });
    if (cell(name) !== '' && !ID.test(cell(name)))
      return invalid(name, 'reserved_characters', { characters: RESERVED });
  }
  for (const name of ['id', 'district'] as const) if (cell(name) === '') return invalid(name, 'required');
  const kind = cell('kind');
  if (!kinds.has(kind))
    return { code: 'unknown_kind', path: 'kind', params: { kind, allowed: [...kinds.keys()].join(' | ') } };
  const role = ROLES.find((role) => role === cell('role'));
  if (!role) return invalid('role', 'one_of', { allowed: ROLES.join(' | ') });
  const phase = PHASES.find((phase) => phase === cell('phase'));
  if (phase === undefined) return invalid('phase', 'one_of', { allowed: 'L1 | L2 | L3 | L123' });
  const installedOn = cell('installed_on');
  if (installedOn !== '' && !isDate(installedOn)) return invalid('installed_on', 'not_a_date');
  const nominalVoltageV = positive(cell('nominal_voltage_v'), DEFAULT_NOMINAL_VOLTAGE_V);
  if (nominalVoltageV === undefined) return invalid('nominal_voltage_v', 'not_positive');
  const maxCurrentA = positive(cell('max_current_a'), DEFAULT_MAX_CURRENT_A);
  if (maxCurrentA === undefined) return invalid('max_current_a', 'not_positive');
  if (!isRegion(cell('region'))) return invalid('region', 'not_a_region');
  const state = INSTRUMENT_STATES.find((state) => state === (cell('state') || 'in-service'));
  if (!state) return invalid('state', 'one_of', { allowed: INSTRUMENT_STATES.join(' | ') });
  return {
    id: cell('id'),
    kind,
    role,
    district: cell('district'),
    phase,
    accuracyClass: cell('accuracy_class'),
    manufacturer: cell('manufacturer'),
    model: cell('model'),
    batch: cell('batch'),
    installedOn,
    owner: cell('owner'),
    region: cell('region'),
    nominalVoltageV,
    maxCurrentA,
    gateway: cell('gateway'),
    state,
  };
}

export function isRefusal(parsed: InstrumentLine | LineRefusal): parsed is LineRefusal {
  return 'code' in parsed;
}

function invalid(path: string, problem: string, params: LineRefusal['params'] = {}): LineRefusal {
  return { code: 'invalid_line', path, params: { problem, ...params } };
}

function positive(text: string, fallback: number): number | undefined {
  if (text === '') return fallback;
  return DECIMAL.test(text) && Number(text) > 0 ? Number(text) : undefined;
}

function isDate(text: string): boolean {
  const ms = DATE.test(text) ? Date.parse(text) : Number.NaN;
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(text);
}
