/** A task as its row says, and what a transition makes of it. */
import type pg from 'pg';
import type { Severity } from '../fleet/finding.ts';
import type { Task, TaskKind, TaskState, Verdict } from '../fleet/task.ts';
import type { TaskPolicies } from '../tasks/policy.ts';
import { ACTIONS, type Action, type Actor, type TaskPosition, type Transition } from '../tasks/workflow.ts';
import { appendHistory } from './postgres-task-history.ts';

export const TASK_COLUMNS = `t.id, t.kind, t.cause, i.id AS instrument, t.district, t.region, t.severity, t.state, t.assignee,
  t.verdict, t.reason_code, t.reason_params, t.created_at, t.updated_at, t.due_at, t.escalated_at`;
export const TASK_TABLES = 'tasks t LEFT JOIN instruments i ON i.key = t.instrument';

export interface TaskRow {
  id: string;
  kind: TaskKind;
  cause: string;
  instrument: string | null;
  district: string;
  region: string;
  severity: Severity;
  state: TaskState;
  assignee: string | null;
  verdict: Verdict | null;
  reason_code: string;
  reason_params: Record<string, number | string>;
  created_at: Date;
  updated_at: Date;
  due_at: Date;
  escalated_at: Date | null;
}

export function taskOf(row: TaskRow): Task {
  return {
    id: row.id,
    kind: row.kind,
    cause: row.cause,
    instrument: row.instrument,
    district: row.district,
    region: row.region,
    severity: row.severity,
    state: row.state,
    assignee: row.assignee,
    verdict: row.verdict,
    reason: { code: row.reason_code, params: row.reason_params },
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    dueAt: row.due_at,
    escalatedAt: row.escalated_at,
  };
}

/** A task and what the workflow needs to know of it, but for the MPE of its meter, which the ledger does not hold. */
export type PlacedTask = Task & TaskPosition;

interface PlacedRow extends TaskRow {
  last_action: string | null;
  last_actor: string | null;
  later_findings: number;
}

/** Inside `taskTransaction` nobody else can change it meanwhile; undefined when there is none. */
export async function placedTask(client: pg.Pool | pg.PoolClient, id: string): Promise<PlacedTask | undefined> {
  const { rows } = await client.query<PlacedRow>({
    name: 'placed-task',
    text: `SELECT ${TASK_COLUMNS}, last.action AS last_action, last.actor AS last_actor,
       CASE WHEN t.state IN ('done', 'refuted') THEN (
         SELECT count(DISTINCT f.id)::int FROM findings f
         JOIN task_history joined ON joined.task = t.id AND joined.action = 'joined' AND joined.id > last.id
           AND (joined.params ->> 'finding')::bigint = f.id
         WHERE f.task = t.id AND f.to_ts IS NULL) ELSE 0 END AS later_findings
     FROM ${TASK_TABLES}
     LEFT JOIN LATERAL (SELECT id, action, actor FROM task_history h
                        WHERE h.task = t.id AND h.action = ANY ($2) ORDER BY id DESC LIMIT 1) AS last ON true
     WHERE t.id = $1`,
    values: [id, ACTIONS],
  });
  const [row] = rows;
  if (!row) return undefined;
  const last = row.last_action === null ? null : { action: row.last_action, actor: row.last_actor! };
  return { ...taskOf(row), mpePct: null, last, laterFindings: row.later_findings };
}

/** Writes what `transition` decided. Only inside `taskTransaction`. */
export async function applyTransition(
  client: pg.PoolClient,
  task: Task,
  action: Action,
  actor: Actor,
  decided: Transition,
  policies: TaskPolicies,
  at: Date,
): Promise<void> {
  await client.query('UPDATE tasks SET state = $2, assignee = $3, verdict = $4 WHERE id = $1', [
    task.id,
    decided.to,
    decided.assignee,
    decided.verdict,
  ]);
  const params = {
    ...(decided.assignee !== task.assignee && decided.assignee !== null && { assignee: decided.assignee }),
    ...(decided.verdict !== null && { verdict: decided.verdict }),
    ...decided.told,
  };
  await appendHistory(
    client,
    [{ task: task.id, actor: actor.username, action, from: task.state, to: decided.to, note: decided.note, params }],
    at,
  );
  if (decided.starts.includes('dispatch')) await restart(client, task.id, { dispatch: at });
  if (decided.starts.includes('acceptance')) await restart(client, task.id, acceptanceSteps(policies, task.kind, at));
  if (decided.to === 'closed') {
    await client.query('UPDATE task_steps SET done_at = $2 WHERE task = $1 AND done_at IS NULL', [task.id, at]);
  }
}

/** When the assignee is reminded and when the task escalates, if the time to accept it begins at `from`. */
export function acceptanceSteps(
  policies: TaskPolicies,
  kind: TaskKind,
  from: Date,
): { reminder: Date; deadline: Date } {
  const { acceptWithinMs, remindBeforeMs } = policies[kind];
  const deadlineMs = from.getTime() + acceptWithinMs;
  return { reminder: new Date(deadlineMs - remindBeforeMs), deadline: new Date(deadlineMs) };
}

async function restart(client: pg.PoolClient, task: string, steps: Readonly<Record<string, Date>>): Promise<void> {
  await client.query(
    `UPDATE task_steps s SET run_at = again.run_at, armed_at = NULL, done_at = NULL
     FROM unnest($2::text[], $3::timestamptz[]) AS again (step, run_at)
     WHERE s.task = $1 AND s.step = again.step`,
    [task, Object.keys(steps), Object.values(steps)],
  );
}
