/** What is handed over: the columns of each dataset, from which the files and their published schema are both made. */
import { SEVERITIES } from '../fleet/finding.ts';
import { ROLES } from '../fleet/instrument.ts';
import type { Kinds } from '../fleet/kind.ts';
import { QUANTITIES, type Quantity, unitOf } from '../fleet/quantity.ts';
import { TASK_KINDS, TASK_STATES, VERDICTS } from '../fleet/task.ts';
import { VERDICT_NAMES } from '../texts/accuracy.ts';
import { COLUMN_TEXTS, DATASET_TEXTS, QUANTITY_TEXTS } from '../texts/handover.ts';
import type { Text } from '../texts/text.ts';

/** Each in the order of its appearance; more may follow. */
export const DATASET_NAMES = ['readings', 'findings', 'tasks', 'estimates'] as const;
export type DatasetName = (typeof DATASET_NAMES)[number];

export type ColumnType = 'VARCHAR' | 'DOUBLE' | 'BIGINT' | 'TIMESTAMP';

export interface Column {
  readonly name: string;
  readonly type: ColumnType;
  readonly about: Text;
  readonly nullable: boolean;
  readonly unit?: string;
  /** What an instrument may report it as. */
  readonly obis?: readonly string[];
  /** No other values stand in it. */
  readonly values?: readonly string[];
}

export interface Dataset {
  readonly name: DatasetName;
  /** Grows with every change of the columns; days written with another one are exported again. */
  readonly version: number;
  readonly about: Text;
  readonly columns: readonly Column[];
}

/** Text as it is; numbers; times in epoch ms; NaN is as good as null. In the order of the columns. */
export type Row = readonly (string | number | null)[];

const SUBJECTS = ['instrument', 'district'] as const;

export function readingsDataset(kinds: Kinds): Dataset {
  const about = COLUMN_TEXTS.readings;
  const columns: Column[] = [
    text('instrument', about.instrument),
    text('kind', about.kind, { values: [...kinds.keys()] }),
    text('role', about.role, { values: ROLES }),
    text('district', about.district),
    time('ts', about.ts),
    ...QUANTITIES.map((name): Column => {
      const obis = obisOf(kinds, name);
      return { name, type: 'DOUBLE', about: QUANTITY_TEXTS[name], nullable: true, unit: unitOf(name), obis };
    }),
  ];
  return { name: 'readings', version: 1, about: DATASET_TEXTS.readings, columns };
}

export function findingsDataset(): Dataset {
  const about = COLUMN_TEXTS.findings;
  const columns: Column[] = [
    number('id', about.id),
    text('rule', about.rule),
    text('subject', about.subject, { values: SUBJECTS }),
    text('instrument', about.instrument, { nullable: true }),
    text('district', about.district),
    text('severity', about.severity, { values: SEVERITIES }),
    text('reason_code', about.reason_code),
    text('reason_params', about.reason_params),
    time('from_ts', about.from_ts),
    time('to_ts', about.to_ts, { nullable: true }),
    number('task', about.task, { nullable: true }),
    time('opened_at', about.opened_at),
    time('cleared_at', about.cleared_at, { nullable: true }),
  ];
  return { name: 'findings', version: 1, about: DATASET_TEXTS.findings, columns };
}

export function tasksDataset(): Dataset {
  const about = COLUMN_TEXTS.tasks;
  const columns: Column[] = [
    number('id', about.id),
    text('kind', about.kind, { values: TASK_KINDS }),
    text('cause', about.cause),
    text('subject', about.subject, { values: SUBJECTS }),
    text('instrument', about.instrument, { nullable: true }),
    text('district', about.district),
    text('severity', about.severity, { values: SEVERITIES }),
    text('state', about.state, { values: TASK_STATES }),
    text('verdict', about.verdict, { nullable: true, values: VERDICTS }),
    text('reason_code', about.reason_code),
    text('reason_params', about.reason_params),
    time('created_at', about.created_at),
    time('updated_at', about.updated_at),
    time('due_at', about.due_at),
    time('escalated_at', about.escalated_at, { nullable: true }),
  ];
  return { name: 'tasks', version: 1, about: DATASET_TEXTS.tasks, columns };
}

export function estimatesDataset(): Dataset {
  const about = COLUMN_TEXTS.estimates;
  const columns: Column[] = [
    number('run', about.run),
    text('instrument', about.instrument),
    text('district', about.district),
    time('from_ts', about.from_ts),
    time('to_ts', about.to_ts),
    time('finished_at', about.finished_at),
    figure('error_pct', '%', about.error_pct),
    figure('sd_pct', '%', about.sd_pct),
    figure('low_pct', '%', about.low_pct),
    figure('high_pct', '%', about.high_pct),
    figure('p_inaccurate', '1', about.p_inaccurate),
    figure('mpe_pct', '%', about.mpe_pct),
    text('verdict', about.verdict, { values: Object.keys(VERDICT_NAMES) }),
    text('reason_code', about.reason_code, { nullable: true }),
    text('reason_params', about.reason_params, { nullable: true }),
    number('rows_used', about.rows_used),
    number('rows_refused', about.rows_refused),
    figure('energy_kwh', 'kWh', about.energy_kwh),
    figure('clock_offset_s', 's', about.clock_offset_s),
    text('change', about.change, { nullable: true }),
    text('method', about.method),
  ];
  return { name: 'estimates', version: 1, about: DATASET_TEXTS.estimates, columns };
}

export function allDatasets(kinds: Kinds): Dataset[] {
  return [readingsDataset(kinds), findingsDataset(), tasksDataset(), estimatesDataset()];
}

type More = Partial<Pick<Column, 'nullable' | 'values'>>;

function text(name: string, about: Text, more: More = {}): Column {
  return { name, type: 'VARCHAR', about, nullable: false, ...more };
}

function number(name: string, about: Text, more: More = {}): Column {
  return { name, type: 'BIGINT', about, nullable: false, ...more };
}

function figure(name: string, unit: string, about: Text): Column {
  return { name, type: 'DOUBLE', about, nullable: true, unit };
}

function time(name: string, about: Text, more: More = {}): Column {
  return { name, type: 'TIMESTAMP', about, nullable: false, ...more };
}

function obisOf(kinds: Kinds, quantity: Quantity): string[] {
  const codes = [...kinds.values()].flatMap(({ names }) =>
    [...names].flatMap(([code, meaning]) => (meaning === quantity && code !== quantity ? [code] : [])),
  );
  return [...new Set(codes)];
}
