/** One line of instruments.csv becomes an instrument, or a refusal naming the column. */
import { type Instrument, PHASES, ROLES } from './instrument.ts';
import type { Kinds } from './kind.ts';

export type InstrumentLine = Omit<Instrument, 'key' | 'state'>;

export interface LineRefusal {
  readonly code: 'invalid_line' | 'unknown_kind';
  /** The column. */
  readonly path: string;
  readonly params: Readonly<Record<string, string>>;
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
} as const satisfies Record<string, keyof InstrumentLine>;

export type InstrumentColumn = keyof typeof INSTRUMENT_COLUMNS;
export const REQUIRED_COLUMNS: readonly InstrumentColumn[] = ['id', 'kind', 'role', 'district'];

export function isInstrumentColumn(name: string): name is InstrumentColumn {
  return Object.hasOwn(INSTRUMENT_COLUMNS, name);
}

const MAX_TEXT_CHARS = 200;
const MAX_ID_CHARS = 64;
/** Ids become topic levels and URL segments: no separators, wildcards or control characters. */
const ID = /^[^\s/+#$%?\\\p{C}]+$/u;
/** Of a household connection in China, where the line says nothing. */
const DEFAULT_NOMINAL_VOLTAGE_V = 220;
const DEFAULT_MAX_CURRENT_A = 60;
const DATE = /^\d{4}-\d\d-\d\d$/;

/** `columns[i]` names `cells[i]`; missing optional columns and empty cells take their defaults. */
export function parseInstrumentLine(
  columns: readonly InstrumentColumn[],
  cells: readonly string[],
  kinds: Kinds,
): InstrumentLine | LineRefusal {
  if (cells.length !== columns.length) {
    return invalid('', `${columns.length} columns`, `${cells.length}`);
  }
  const cell = (name: InstrumentColumn) => (cells[columns.indexOf(name)] ?? '').trim();
  for (const name of columns) {
    if (cell(name).length > MAX_TEXT_CHARS || /\p{Cc}/u.test(cell(name))) return invalid(name, `≤ ${MAX_TEXT_CHARS} characters`, cell(name));
  }
  const kind = cell('kind');
  if (!kinds.has(kind)) return { code: 'unknown_kind', path: 'kind', params: { value: kind, expected: [...kinds.keys()].join(' | ') } };
  for (const name of ['id', 'district', 'gateway'] as const) {
    if (name === 'gateway' && cell(name) === '') continue;
    if (!ID.test(cell(name)) || cell(name).length > MAX_ID_CHARS) {
      return invalid(name, `1…${MAX_ID_CHARS} characters without space / + # $ % ? \\`, cell(name));
    }
  }
  const role = ROLES.find((role) => role === cell('role'));
  if (!role) return invalid('role', ROLES.join(' | '), cell('role'));
  const phase = PHASES.find((phase) => phase === cell('phase'));
  if (phase === undefined) return invalid('phase', 'L1 | L2 | L3 | L123 | (empty)', cell('phase'));
  const installedOn = cell('installed_on');
  if (installedOn !== '' && !isDate(installedOn)) return invalid('installed_on', 'YYYY-MM-DD', installedOn);
  const nominalVoltageV = positive(cell('nominal_voltage_v'), DEFAULT_NOMINAL_VOLTAGE_V);
  if (nominalVoltageV === undefined) return invalid('nominal_voltage_v', '> 0', cell('nominal_voltage_v'));
  const maxCurrentA = positive(cell('max_current_a'), DEFAULT_MAX_CURRENT_A);
  if (maxCurrentA === undefined) return invalid('max_current_a', '> 0', cell('max_current_a'));
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
  };
}

export function isRefusal(parsed: InstrumentLine | LineRefusal): parsed is LineRefusal {
  return 'code' in parsed;
}

function invalid(path: string, expected: string, value: string): LineRefusal {
  return { code: 'invalid_line', path, params: { expected, value: value.slice(0, MAX_TEXT_CHARS) } };
}

function positive(text: string, fallback: number): number | undefined {
  if (text === '') return fallback;
  const value = Number(text);
  return Number.isFinite(value) && value > 0 ? value : undefined;
}

function isDate(text: string): boolean {
  const ms = DATE.test(text) ? Date.parse(text) : Number.NaN;
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(text);
}
