/** Every write to a task: one at a time, with its history, announced on commit. */
import type pg from 'pg';
import type { TaskHistoryEntry, TaskState } from '../fleet/task.ts';
import { transaction } from './postgres.ts';
import { LOCKS } from './postgres-lock.ts';

/** Carries the id of the newest history entry of each commit. */
export const TASK_CHANGES_CHANNEL = 'task_changes';

/** deadlock_detected, serialization_failure, unique_violation: a foreign writer was in the way, the next attempt sees its rows. */
const RACES: ReadonlySet<string> = new Set(['40P01', '40001', '23505']);
const ATTEMPTS = 5;

/** Runs `work` alone among all writers of findings and tasks, again when a race made it fail. */
export async function taskTransaction<T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await transaction(pool, async (client) => {
        await takeTaskTurn(client);
        return work(client);
      });
    } catch (error) {
      if (attempt === ATTEMPTS || !RACES.has((error as { code?: string }).code ?? '')) throw error;
    }
  }
}

/** For a transaction that is about more than tasks: until its end nobody else writes to them. */
export async function takeTaskTurn(client: pg.PoolClient): Promise<void> {
  await client.query('SELECT pg_advisory_xact_lock($1)', [LOCKS.taskHistory]);
}

/** Entries that are no transition: the state stays. */
export type TaskNote =
  | 'raised'
  | 'joined'
  | 'cleared'
  | 'reminded'
  | 'escalated'
  | 'retired'
  | 'returned'
  | 'replace-raised'
  | 'improved'
  | 'not-improved';

/** What fills the placeholders of an entry's sentence. */
export type HistoryParams = Readonly<Record<string, string | number>>;

export interface NewHistoryEntry {
  readonly task: string;
  readonly actor: string;
  readonly action: string;
  readonly from: TaskState | null;
  readonly to: TaskState;
  readonly note?: string;
  readonly params: HistoryParams;
}

/** Only inside `taskTransaction`, or after `takeTaskTurn`. */
export async function appendHistory(
  client: pg.PoolClient,
  entries: readonly NewHistoryEntry[],
  at: Date,
): Promise<void> {
  if (entries.length === 0) return;
  await client.query({
    name: 'append-task-history',
    text: `WITH added AS (
       INSERT INTO task_history (task, at, actor, action, from_state, to_state, note, params)
       SELECT e.task, $2, e.actor, e.action, e."from", e."to", coalesce(e.note, ''), e.params
       FROM jsonb_to_recordset($1::jsonb)
         AS e (task bigint, actor text, action text, "from" text, "to" text, note text, params jsonb)
       RETURNING id, task
     ), touched AS (
       UPDATE tasks SET updated_at = $2 WHERE id IN (SELECT task FROM added)
     )
     SELECT pg_notify('${TASK_CHANGES_CHANNEL}', max(id)::text) FROM added`,
    values: [JSON.stringify(entries), at],
  });
}

export interface HistoryEntry extends TaskHistoryEntry {
  readonly params: HistoryParams;
}

export interface HistoryRow {
  id: string;
  at: Date;
  actor: string;
  action: string;
  from_state: TaskState | null;
  to_state: TaskState;
  note: string;
  params: HistoryParams;
}

export function historyEntry(row: HistoryRow): HistoryEntry {
  return {
    id: row.id,
    at: row.at,
    actor: row.actor,
    action: row.action,
    from: row.from_state,
    to: row.to_state,
    note: row.note,
    params: row.params,
  };
}
