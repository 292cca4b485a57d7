/** Steps of tasks in PostgreSQL: due, armed, carried out once. */
import type pg from 'pg';
import { SEVERITIES } from '../fleet/finding.ts';
import { regionCovers } from '../fleet/region.ts';
import { chooseInspector } from '../tasks/dispatch.ts';
import type { TaskPolicies } from '../tasks/policy.ts';
import type { Step, StepOutcome, TaskSteps, WaitingStep } from '../tasks/steps.ts';
import { SYSTEM, transition } from '../tasks/workflow.ts';
import { Conditions } from './postgres-paging.ts';
import { appendHistory, type HistoryParams, type TaskNote, taskTransaction } from './postgres-task-history.ts';
import { applyTransition, type PlacedTask, placedTask } from './postgres-task-rows.ts';

/** An overdue step is armed again after this long: its job failed for good, was lost, or found nobody to send. */
export const REARM_AFTER_MS = 30_000;

export class PostgresTaskSteps implements TaskSteps {
  readonly #pool: pg.Pool;
  readonly #policies: TaskPolicies;

  constructor(pool: pg.Pool, policies: TaskPolicies) {
    this.#pool = pool;
    this.#policies = policies;
  }

  async waiting(at: Date, limit: number): Promise<WaitingStep[]> {
    const inspectors = await activeInspectors(this.#pool);
    const conditions = new Conditions()
      .add('s.run_at <= ?', at)
      .add('s.armed_at < ?', new Date(at.getTime() - REARM_AFTER_MS));
    // A dispatch nobody could take yet is left alone: waking it would only keep the queue busy.
    const covered = new Conditions(conditions.params).within('t.region', [
      ...new Set(inspectors.map(({ region }) => region)),
    ]);
    const { rows } = await this.#pool.query<{ task: string; step: Step; run_at: Date }>(
      `SELECT s.task, s.step, s.run_at FROM task_steps s JOIN tasks t ON t.id = s.task
       WHERE s.done_at IS NULL AND (s.armed_at IS NULL OR (${conditions}))
         AND (s.step <> 'dispatch' OR t.state <> 'raised' OR ${covered})
       ORDER BY s.run_at LIMIT ${limit}`,
      covered.params,
    );
    return rows.map(({ task, step, run_at }) => ({ task, step, runAt: run_at }));
  }

  async armed(steps: readonly WaitingStep[], at: Date): Promise<void> {
    if (steps.length === 0) return;
    // A step that was started anew since it was read has another time, and must be armed for that one.
    await this.#pool.query(
      `UPDATE task_steps s SET armed_at = $4
       FROM unnest($1::bigint[], $2::text[], $3::timestamptz[]) AS a (task, step, run_at)
       WHERE s.task = a.task AND s.step = a.step AND s.run_at = a.run_at AND s.done_at IS NULL`,
      [steps.map(({ task }) => task), steps.map(({ step }) => step), steps.map(({ runAt }) => runAt), at],
    );
  }

  run(id: string, step: Step, at: Date): Promise<StepOutcome> {
    return taskTransaction(this.#pool, async (client) => {
      const { rows } = await client.query<{ run_at: Date; done_at: Date | null }>(
        'SELECT run_at, done_at FROM task_steps WHERE task = $1 AND step = $2',
        [id, step],
      );
      const [row] = rows;
      const task = row && (await placedTask(client, id));
      if (!task) return 'not-needed';
      if (row.done_at !== null) return 'done-before';
      if (row.run_at > at) return 'early';
      const outcome = await this.#carryOut(client, task, step, at);
      if (outcome !== 'nobody') {
        await client.query('UPDATE task_steps SET done_at = $3 WHERE task = $1 AND step = $2', [id, step, at]);
      }
      return outcome;
    });
  }

  async #carryOut(client: pg.PoolClient, task: PlacedTask, step: Step, at: Date): Promise<StepOutcome> {
    if (step === 'dispatch') return task.state === 'raised' ? this.#dispatch(client, task, at) : 'not-needed';
    if (step === 'reminder') {
      if (task.state !== 'assigned') return 'not-needed';
      await note(client, task, 'reminded', { assignee: task.assignee! }, at);
      return 'reminded';
    }
    const accepted = task.state !== 'raised' && task.state !== 'assigned';
    if (accepted || task.escalatedAt !== null) return 'not-needed';
    await escalate(client, task, at);
    return 'escalated';
  }

  async #dispatch(client: pg.PoolClient, task: PlacedTask, at: Date): Promise<StepOutcome> {
    const inspector = chooseInspector(await candidates(client, task));
    if (inspector === undefined) return 'nobody';
    const decided = transition(task, 'assign', SYSTEM, { assignee: inspector });
    await applyTransition(client, task, 'assign', SYSTEM, decided, this.#policies, at);
    return 'assigned';
  }
}

async function escalate(client: pg.PoolClient, task: PlacedTask, at: Date): Promise<void> {
  const severity = SEVERITIES[Math.min(SEVERITIES.indexOf(task.severity) + 1, SEVERITIES.length - 1)]!;
  await client.query('UPDATE tasks SET severity = $2, escalated_at = $3 WHERE id = $1', [task.id, severity, at]);
  await note(client, task, 'escalated', { severity }, at);
}

async function note(
  client: pg.PoolClient,
  task: PlacedTask,
  action: TaskNote,
  params: HistoryParams,
  at: Date,
): Promise<void> {
  const { id, state } = task;
  await appendHistory(client, [{ task: id, actor: SYSTEM.username, action, from: state, to: state, params }], at);
}

interface ActiveInspector {
  username: string;
  region: string;
}

async function activeInspectors(client: pg.Pool | pg.PoolClient): Promise<ActiveInspector[]> {
  const { rows } = await client.query<ActiveInspector>({
    name: 'active-inspectors',
    text: `SELECT username, region FROM people WHERE role = 'inspector' AND disabled_at IS NULL`,
  });
  return rows;
}

async function candidates(client: pg.PoolClient, task: PlacedTask): Promise<{ username: string; openTasks: number }[]> {
  const near = (await activeInspectors(client)).filter(({ region }) => regionCovers(region, task.region));
  const { rows } = await client.query<{ username: string; open_tasks: number }>({
    name: 'dispatch-candidates',
    text: `SELECT username, (SELECT count(*)::int FROM tasks WHERE assignee = username AND state IN ('assigned', 'accepted')) AS open_tasks
     FROM unnest($2::text[]) AS near (username)
     WHERE username NOT IN (SELECT actor FROM task_history WHERE task = $1 AND action = 'decline')`,
    values: [task.id, near.map(({ username }) => username)],
  });
  return rows.map(({ username, open_tasks }) => ({ username, openTasks: open_tasks }));
}
