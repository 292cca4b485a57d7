/** Findings become work: one open task per subject and cause, which further findings join. */
import type pg from 'pg';
import { SEVERITIES, type Severity } from '../fleet/finding.ts';
import type { TaskState } from '../fleet/task.ts';
import type { RulePolicy, TaskPolicies, TaskPolicyOf } from '../tasks/policy.ts';
import { SYSTEM } from '../tasks/workflow.ts';
import { identity, iso, type NewFinding } from './postgres-finding-rows.ts';
import type { NewHistoryEntry, TaskNote } from './postgres-task-history.ts';
import { acceptanceSteps } from './postgres-task-rows.ts';
import type { Evidence } from './task-evidence.ts';

/** Findings of one task that keep their readings; the first ones explain it best. */
const EVIDENCE_MAX = 8;

interface Raising {
  readonly policyOf: TaskPolicyOf;
  readonly policies: TaskPolicies;
}

/** New findings of one subject with one cause. */
interface Group {
  readonly subject: string;
  readonly policy: RulePolicy;
  readonly findings: NewFinding[];
}

interface OpenTask {
  id: string;
  subject: string;
  cause: string;
  state: TaskState;
  severity: Severity;
}

/** Joins or creates the tasks of these findings; what happened, for their history. */
export async function raiseTasks(
  client: pg.PoolClient,
  findings: readonly NewFinding[],
  evidence: ReadonlyMap<string, Evidence>,
  { policyOf, policies }: Raising,
  at: Date,
): Promise<NewHistoryEntry[]> {
  const groups = group(findings, policyOf);
  if (groups.size === 0) return [];
  const open = await openTasks(client, [...groups.values()]);
  const joined = open.map((task) => ({ task, group: groups.get(slot(task.subject, task.cause))! }));
  for (const { task } of joined) groups.delete(slot(task.subject, task.cause));
  const created = await create(client, [...groups.values()], evidence, policies, at);
  if (joined.length > 0) await join(client, joined, evidence);
  const links = [...joined, ...created];
  await client.query(
    'UPDATE findings f SET task = l.task FROM unnest($1::bigint[], $2::bigint[]) AS l (finding, task) WHERE f.id = l.finding',
    [
      links.flatMap(({ group: { findings } }) => findings.map(({ id }) => id)),
      links.flatMap(({ group: { findings }, task }) => findings.map(() => task.id)),
    ],
  );
  return [
    ...joined.flatMap(({ task, group }) => group.findings.flatMap((finding) => told(task, 'joined', finding))),
    ...created.flatMap(({ task, group }) =>
      group.findings.flatMap((finding, i) => told(task, i === 0 ? 'raised' : 'joined', finding)),
    ),
  ];
}

/** History of open tasks whose findings have just ended. */
export async function clearedEntries(
  client: pg.PoolClient,
  cleared: readonly { readonly task: string | null; readonly rule: string }[],
): Promise<NewHistoryEntry[]> {
  const tasks = [...new Set(cleared.flatMap(({ task }) => task ?? []))];
  if (tasks.length === 0) return [];
  const { rows } = await client.query<{ id: string; state: TaskState }>(
    `SELECT id, state FROM tasks WHERE id = ANY ($1::bigint[]) AND state <> 'closed'`,
    [tasks],
  );
  const open = new Map(rows.map((row) => [row.id, row]));
  return cleared.flatMap(({ task, rule }) => {
    const found = open.get(task ?? '');
    return found ? [entry(found, 'cleared', { rule })] : [];
  });
}

function group(findings: readonly NewFinding[], policyOf: TaskPolicyOf): Map<string, Group> {
  const groups = new Map<string, Group>();
  for (const finding of findings) {
    const policy = policyOf(finding.rule)!;
    const key = slot(finding.subjectId, policy.cause);
    const existing = groups.get(key);
    if (existing) existing.findings.push(finding);
    else groups.set(key, { subject: finding.subjectId, policy, findings: [finding] });
  }
  return groups;
}

function slot(subject: string, cause: string): string {
  return `${cause} ${subject}`;
}

async function openTasks(client: pg.PoolClient, groups: readonly Group[]): Promise<OpenTask[]> {
  const { rows } = await client.query<OpenTask>(
    `SELECT t.id, t.subject, t.cause, t.state, t.severity
     FROM unnest($1::text[], $2::text[]) AS wanted (subject, cause)
     JOIN tasks t ON t.subject = wanted.subject AND t.cause = wanted.cause AND t.state <> 'closed'`,
    [groups.map(({ subject }) => subject), groups.map(({ policy }) => policy.cause)],
  );
  return rows;
}

async function create(
  client: pg.PoolClient,
  groups: readonly Group[],
  evidence: ReadonlyMap<string, Evidence>,
  policies: TaskPolicies,
  at: Date,
): Promise<{ task: { id: string; state: TaskState }; group: Group }[]> {
  if (groups.length === 0) return [];
  const { rows } = await client.query<{ id: string; subject: string; cause: string }>(
    `INSERT INTO tasks (kind, cause, subject, instrument, district, region, severity, state, reason_code, reason_params,
       evidence, created_at, updated_at, due_at)
     SELECT n.kind, n.cause, n.subject, n.instrument, n.district, n.region, n.severity, 'raised', n.code, n.params,
       n.evidence, $2, $2, n.due_at
     FROM jsonb_to_recordset($1::jsonb) AS n (kind text, cause text, subject text, instrument int, district text, region text,
       severity text, code text, params jsonb, evidence jsonb, due_at timestamptz)
     RETURNING id, subject, cause`,
    [JSON.stringify(groups.map((group) => insertable(group, evidence, policies, at))), at],
  );
  const bySlot = new Map(rows.map(({ id, subject, cause }) => [slot(subject, cause), id]));
  const created = groups.map((group) => ({
    task: { id: bySlot.get(slot(group.subject, group.policy.cause))!, state: 'raised' as const },
    group,
  }));
  await schedule(client, created, policies, at);
  return created;
}

function insertable(
  { subject, policy, findings }: Group,
  evidence: ReadonlyMap<string, Evidence>,
  policies: TaskPolicies,
  at: Date,
): object {
  const [first] = findings;
  const kind = policy.task!;
  return {
    kind,
    cause: policy.cause,
    subject,
    instrument: first!.key,
    district: first!.district,
    region: first!.region,
    severity: highest(findings.map(({ severity }) => severity)),
    code: first!.reason.code,
    params: first!.reason.params,
    evidence: shown(findings, evidence, EVIDENCE_MAX),
    due_at: iso(at.getTime() + policies[kind].doneWithinMs),
  };
}

async function schedule(
  client: pg.PoolClient,
  created: readonly { readonly task: { readonly id: string }; readonly group: Group }[],
  policies: TaskPolicies,
  at: Date,
): Promise<void> {
  const steps = created.flatMap(({ task, group }) => {
    const { reminder, deadline } = acceptanceSteps(policies, group.policy.task!, at);
    return Object.entries({ dispatch: at, reminder, deadline }).map(([step, runAt]) => ({
      task: task.id,
      step,
      runAt,
    }));
  });
  await client.query(
    `INSERT INTO task_steps (task, step, run_at)
     SELECT * FROM unnest($1::bigint[], $2::text[], $3::timestamptz[])`,
    [steps.map(({ task }) => task), steps.map(({ step }) => step), steps.map(({ runAt }) => runAt)],
  );
}

async function join(
  client: pg.PoolClient,
  joined: readonly { readonly task: OpenTask; readonly group: Group }[],
  evidence: ReadonlyMap<string, Evidence>,
): Promise<void> {
  await client.query(
    `UPDATE tasks t SET severity = j.severity,
       evidence = CASE WHEN jsonb_array_length(t.evidence) < ${EVIDENCE_MAX} THEN t.evidence || j.evidence ELSE t.evidence END
     FROM jsonb_to_recordset($1::jsonb) AS j (task bigint, severity text, evidence jsonb) WHERE t.id = j.task`,
    [
      JSON.stringify(
        joined.map(({ task, group: { findings } }) => ({
          task: task.id,
          severity: highest([task.severity, ...findings.map(({ severity }) => severity)]),
          // One window per call keeps the array within its maximum.
          evidence: shown(findings, evidence, 1),
        })),
      ),
    ],
  );
}

function shown(findings: readonly NewFinding[], evidence: ReadonlyMap<string, Evidence>, most: number): Evidence[] {
  return findings.slice(0, most).flatMap((finding) => evidence.get(identity(finding)) ?? []);
}

function highest(severities: readonly Severity[]): Severity {
  return SEVERITIES.findLast((severity) => severities.includes(severity))!;
}

function told(
  task: { readonly id: string; readonly state: TaskState },
  note: TaskNote,
  finding: NewFinding,
): NewHistoryEntry[] {
  const { id, rule, toMs } = finding;
  const entries = [entry(task, note, { rule, finding: id })];
  if (toMs !== null) entries.push(entry(task, 'cleared', { rule }));
  return entries;
}

function entry(
  task: { readonly id: string; readonly state: TaskState },
  action: TaskNote,
  params: NewHistoryEntry['params'],
): NewHistoryEntry {
  const from = action === 'raised' ? null : task.state;
  return { task: task.id, actor: SYSTEM.username, action, from, to: task.state, params };
}
