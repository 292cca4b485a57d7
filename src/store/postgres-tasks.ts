/** Tasks in PostgreSQL: the queue people see, what they do with it, and the stream of changes. */
import type pg from 'pg';
import { MeterwardenError } from '../errors.ts';
import type { Severity } from '../fleet/finding.ts';
import { regionCovers } from '../fleet/region.ts';
import type { Task, TaskKind, TaskState, Verdict } from '../fleet/task.ts';
import type { TaskCount } from '../tasks/metrics.ts';
import type { TaskPolicies } from '../tasks/policy.ts';
import { type Action, type ActionInput, type Actor, transition } from '../tasks/workflow.ts';
import {
  FINDING_COLUMNS,
  FINDING_TABLES,
  type FindingRecord,
  type FindingRow,
  findingOf,
} from './postgres-finding-rows.ts';
import { Conditions, isId, type Page, type PageRequest, page, pageLimit } from './postgres-paging.ts';
import type { PostgresSiteResults } from './postgres-site-results.ts';
import { type HistoryEntry, type HistoryRow, historyEntry, taskTransaction } from './postgres-task-history.ts';
import {
  applyTransition,
  type PlacedTask,
  placedTask,
  TASK_COLUMNS,
  TASK_TABLES,
  type TaskRow,
  taskOf,
} from './postgres-task-rows.ts';
import type { Evidence } from './task-evidence.ts';

export interface TaskFilter extends PageRequest {
  readonly kinds?: readonly TaskKind[] | undefined;
  readonly states?: readonly TaskState[] | undefined;
  readonly severities?: readonly Severity[] | undefined;
  /** Codes ending in 00 cover what lies in them. */
  readonly regions?: readonly string[] | undefined;
  readonly assignee?: string | undefined;
  /** Ledger id. */
  readonly instrument?: string | undefined;
  readonly visibleRegion?: string | undefined;
}

/** Everything there is to know of a task; what the workflow needs included, so `allowedActions` takes it as it is. */
export interface TaskDetail extends PlacedTask {
  readonly evidence: readonly Evidence[];
  /** Newest first, at most 200. */
  readonly findings: readonly FindingRecord[];
  /** Oldest first, the last 500. */
  readonly history: readonly HistoryEntry[];
}

/** One entry of the live stream: `entry.id` is its position, `task` is as it stands when read. */
export interface TaskChange {
  readonly task: Task;
  readonly entry: HistoryEntry;
}

const DETAIL_FINDINGS_MAX = 200;
const DETAIL_HISTORY_MAX = 500;
export const CHANGES_MAX = 1_000;
const HISTORY_COLUMNS = 'h.at, h.actor, h.action, h.from_state, h.to_state, h.note, h.params';

export class PostgresTasks {
  readonly #pool: pg.Pool;
  readonly #policies: TaskPolicies;
  readonly #site: PostgresSiteResults | undefined;

  /** `site`: what is measured and replaced there; without it nothing is measured. */
  constructor(pool: pg.Pool, policies: TaskPolicies, site?: PostgresSiteResults) {
    this.#pool = pool;
    this.#policies = policies;
    this.#site = site;
  }

  async list(filter: TaskFilter = {}): Promise<Page<Task>> {
    const limit = pageLimit(filter.limit);
    const conditions = new Conditions()
      .add('t.kind = ANY (?)', filter.kinds)
      .add('t.state = ANY (?)', filter.states)
      .add('t.severity = ANY (?)', filter.severities)
      .add('t.assignee = ?', filter.assignee)
      .add('i.id = ?', filter.instrument)
      .within('t.region', filter.regions)
      .within('t.region', filter.visibleRegion === undefined ? undefined : [filter.visibleRegion])
      .before('t.id', filter.cursor);
    const { rows } = await this.#pool.query<TaskRow>(
      `SELECT ${TASK_COLUMNS} FROM ${TASK_TABLES} WHERE ${conditions} ORDER BY t.id DESC LIMIT ${limit + 1}`,
      conditions.params,
    );
    return page(rows.map(taskOf), limit);
  }

  /** Throws not_found, also for a task outside `visibleRegion`. */
  async get(id: string, visibleRegion = ''): Promise<TaskDetail> {
    const task = isId(id) ? await this.#placed(this.#pool, id) : undefined;
    if (!task || !regionCovers(visibleRegion, task.region)) throw notFound(id);
    const [evidence, findings, history] = await Promise.all([
      this.#pool.query<{ evidence: Evidence[] }>('SELECT evidence FROM tasks WHERE id = $1', [id]),
      this.#pool.query<FindingRow>(
        `SELECT ${FINDING_COLUMNS} FROM ${FINDING_TABLES} WHERE f.task = $1 ORDER BY f.id DESC LIMIT ${DETAIL_FINDINGS_MAX}`,
        [id],
      ),
      this.#pool.query<HistoryRow>(
        `SELECT h.id, ${HISTORY_COLUMNS} FROM task_history h WHERE h.task = $1 ORDER BY h.id DESC LIMIT ${DETAIL_HISTORY_MAX}`,
        [id],
      ),
    ]);
    return {
      ...task,
      evidence: evidence.rows[0]!.evidence,
      findings: findings.rows.map(findingOf),
      history: history.rows.map(historyEntry).reverse(),
    };
  }

  /**
   * Does `action` as the workflow allows, and returns the task as it is then. Throws not_found, forbidden, conflict,
   * transition_not_allowed or invalid_request.
   */
  async act(id: string, action: Action, actor: Actor, input: ActionInput, at: Date): Promise<PlacedTask> {
    if (!isId(id)) throw notFound(id);
    return taskTransaction(this.#pool, async (client) => {
      const task = await this.#placed(client, id);
      if (!task || !regionCovers(actor.region, task.region)) throw notFound(id);
      const decided = transition(task, action, actor, input);
      if (action === 'assign' || action === 'reassign') await requireInspector(client, decided.assignee!, task.region);
      await applyTransition(client, task, action, actor, decided, this.#policies, at);
      await this.#followUp(client, task, action, actor, input, decided.verdict, at);
      return (await this.#placed(client, id))!;
    });
  }

  async #placed(client: pg.Pool | pg.PoolClient, id: string): Promise<PlacedTask | undefined> {
    const task = await placedTask(client, id);
    return task && { ...task, mpePct: this.#site?.mpeOf(task.instrument) ?? null };
  }

  async #followUp(
    client: pg.PoolClient,
    task: PlacedTask,
    action: Action,
    actor: Actor,
    { measurement, replacement }: ActionInput,
    verdict: Verdict | null,
    at: Date,
  ): Promise<void> {
    if (action === 'measure' && measurement && (verdict === 'confirmed' || verdict === 'refuted'))
      await this.#site?.measured(client, task, measurement, verdict, actor, at);
    if (action === 'replace' && replacement) await this.#site?.replaced(client, task, replacement, actor, at);
  }

  /** What happened after a history id in the regions one may see, oldest first. */
  async changesAfter(historyId: string, limit: number, visibleRegion = ''): Promise<TaskChange[]> {
    if (!isId(historyId))
      throw new MeterwardenError('invalid_request', { path: 'Last-Event-ID', params: { problem: 'not_a_position' } });
    const conditions = new Conditions().add('h.id > ?::bigint', historyId).within('t.region', [visibleRegion]);
    const { rows } = await this.#pool.query<TaskRow & Omit<HistoryRow, 'id'> & { history_id: string }>(
      `SELECT ${TASK_COLUMNS}, h.id AS history_id, ${HISTORY_COLUMNS}
       FROM task_history h JOIN (${TASK_TABLES}) ON t.id = h.task
       WHERE ${conditions} ORDER BY h.id LIMIT ${Math.min(limit, CHANGES_MAX)}`,
      conditions.params,
    );
    return rows.map((row) => ({ task: taskOf(row), entry: historyEntry({ ...row, id: row.history_id }) }));
  }

  /** The newest history id: where a stream begins that asks for nothing past. */
  async latestChange(): Promise<string> {
    const { rows } = await this.#pool.query<{ id: string }>(
      'SELECT coalesce(max(id), 0)::text AS id FROM task_history',
    );
    return rows[0]!.id;
  }

  /** Tasks not closed, by state and kind, for metrics. */
  async counts(): Promise<TaskCount[]> {
    const { rows } = await this.#pool.query<TaskCount>(
      `SELECT state, kind, count(*)::int AS count, count(escalated_at)::int AS escalated
       FROM tasks WHERE state <> 'closed' GROUP BY state, kind`,
    );
    return rows;
  }
}

async function requireInspector(client: pg.PoolClient, username: string, region: string): Promise<void> {
  const { rows } = await client.query<{ region: string }>(
    `SELECT region FROM people WHERE username = $1 AND role = 'inspector' AND disabled_at IS NULL`,
    [username],
  );
  const [person] = rows;
  if (person && regionCovers(person.region, region)) return;
  const params = person ? { problem: 'other_region', region } : { problem: 'not_an_inspector' };
  throw new MeterwardenError('invalid_request', { path: 'assignee', params });
}

function notFound(id: string): MeterwardenError {
  return new MeterwardenError('not_found', { params: { task: id } });
}
