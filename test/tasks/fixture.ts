/** A database with a small city: instruments M-1… in districts of 铁西 (220302) and 铁东 (220303), and people to work there. */
import type { Finding, Severity } from '../../src/fleet/finding.ts';
import { type Instrument, MemoryLedger } from '../../src/fleet/instrument.ts';
import { PostgresFindings, type PostgresFindingsOptions } from '../../src/store/postgres-findings.ts';
import { PostgresTaskSteps } from '../../src/store/postgres-task-steps.ts';
import { PostgresTasks } from '../../src/store/postgres-tasks.ts';
import { parseTaskPolicies, type RulePolicy } from '../../src/tasks/policy.ts';
import type { Actor } from '../../src/tasks/workflow.ts';
import { type TestDatabase, testDatabase } from '../support/postgres.ts';

export const T0 = Date.UTC(2024, 4, 1, 8);
export const MINUTE_MS = 60_000;
export const HOUR_MS = 3_600_000;
export const DAY_MS = 86_400_000;

export const chief: Actor = { username: 'chief', role: 'supervisor', region: '220300' };
export const wang: Actor = { username: 'wang', role: 'inspector', region: '220302' };
export const li: Actor = { username: 'li', role: 'inspector', region: '220303' };

export const POLICIES = parseTaskPolicies({
  repair: { accept_within: '24h', remind_before: '4h', done_within: '7d' },
  'verify-on-site': { accept_within: '3d', remind_before: '12h', done_within: '15d' },
  replace: { accept_within: '3d', remind_before: '12h', done_within: '30d' },
  'spot-check': { accept_within: '5d', remind_before: '24h', done_within: '30d' },
});

const RULES: ReadonlyMap<string, RulePolicy> = new Map([
  ['silent', { severity: 'warning', task: 'repair', cause: 'communication' }],
  ['outage', { severity: 'critical', task: 'repair', cause: 'outage' }],
  ['rollback', { severity: 'critical', task: 'verify-on-site', cause: 'register' }],
  ['stopped', { severity: 'warning', task: 'verify-on-site', cause: 'register' }],
  ['clock', { severity: 'info', task: null, cause: 'clock' }],
]);

export interface City extends TestDatabase {
  readonly ledger: MemoryLedger;
  readonly options: PostgresFindingsOptions;
  readonly findings: PostgresFindings;
  readonly tasks: PostgresTasks;
  readonly steps: PostgresTaskSteps;
  /** Rows of a query, for what no method tells. */
  sql<Row>(text: string, params?: unknown[]): Promise<Row[]>;
  /** No findings, tasks and people any more. */
  clear(): Promise<void>;
}

export async function city({
  instruments = 20,
  range,
}: {
  instruments?: number;
  range?: PostgresFindingsOptions['range'];
} = {}): Promise<City> {
  const database = await testDatabase();
  const { pool } = database;
  const ledger = new MemoryLedger(Array.from({ length: instruments }, (_, i) => instrument(i + 1)));
  await pool.query(
    `INSERT INTO instruments (key, id, kind, role, district, region, nominal_voltage_v, max_current_a)
     SELECT key, id, kind, role, district, region, 220, 60
     FROM jsonb_to_recordset($1::jsonb) AS i (key int, id text, kind text, role text, district text, region text)`,
    [JSON.stringify([...ledger.all()])],
  );
  const options: PostgresFindingsOptions = {
    pool,
    ledger,
    policies: POLICIES,
    policyOf: (rule) => RULES.get(rule),
    range: range ?? (async () => []),
  };
  return {
    ...database,
    ledger,
    options,
    findings: new PostgresFindings(options),
    tasks: new PostgresTasks(pool, POLICIES),
    steps: new PostgresTaskSteps(pool, POLICIES),
    sql: async <Row>(text: string, params: unknown[] = []) => (await pool.query(text, params)).rows as Row[],
    clear: async () => {
      await pool.query('TRUNCATE findings, tasks, task_history, task_steps, people RESTART IDENTITY CASCADE');
    },
  };
}

/** Ten instruments a district; the first is its master. Districts alternate between the two regions. */
function instrument(key: number): Instrument {
  const district = Math.floor((key - 1) / 10) + 1;
  return {
    key,
    id: `M-${key}`,
    kind: 'electricity',
    role: key % 10 === 1 ? 'master' : 'user',
    district: `D-${district}`,
    phase: 'L1',
    accuracyClass: '1',
    manufacturer: '',
    model: '',
    batch: '',
    installedOn: '',
    owner: '',
    region: district % 2 === 1 ? '220302' : '220303',
    nominalVoltageV: 220,
    maxCurrentA: 60,
    gateway: '',
    state: 'in-service',
  };
}

export async function employ(city: City, ...people: Actor[]): Promise<void> {
  for (const { username, role, region } of people) {
    await city.pool.query('INSERT INTO people (username, password_hash, role, region) VALUES ($1, $2, $3, $4)', [
      username,
      '',
      role,
      region,
    ]);
  }
}

export function opened(rule: string, key: number, fromMs: number, severity: Severity = 'warning'): Finding {
  return {
    change: 'opened',
    rule,
    subject: { type: 'instrument', key },
    fromMs,
    severity,
    reason: { code: rule, params: { key } },
  };
}

export function cleared(rule: string, key: number, fromMs: number, toMs: number): Finding {
  return { change: 'cleared', rule, subject: { type: 'instrument', key }, fromMs, toMs };
}

export function outage(district: string, fromMs: number): Finding {
  return {
    change: 'opened',
    rule: 'outage',
    subject: { type: 'district', district },
    fromMs,
    severity: 'critical',
    reason: { code: 'outage', params: {} },
  };
}
