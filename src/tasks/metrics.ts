/**
 * Findings, tasks and queues as gauges, read when somebody asks. Without a database they are absent, and the other metrics
 * are there all the more.
 */
import { Gauge, type Registry } from 'prom-client';
import type { TaskKind, TaskState } from '../fleet/task.ts';
import type { QueueDepths } from './bullmq-connection.ts';

export interface TaskCount {
  readonly state: TaskState;
  readonly kind: TaskKind;
  readonly count: number;
  /** Of these, the ones that were not accepted in time. */
  readonly escalated: number;
}

export interface TaskCounts {
  readonly openFindings: () => Promise<ReadonlyMap<string, number>>;
  readonly tasks: () => Promise<readonly TaskCount[]>;
  readonly queue: () => Promise<QueueDepths>;
  /** Does the server of the queue answer, and keep what it is told? */
  readonly queueReady: () => Promise<boolean>;
}

export function reportTasks(registry: Registry, counts: TaskCounts): void {
  type Values = readonly (readonly [labels: Record<string, string>, value: number])[];
  const gauge = (name: string, help: string, labelNames: string[], values: () => Promise<Values>) =>
    new Gauge({
      name,
      help,
      labelNames,
      registers: [registry],
      async collect() {
        const told = await values().catch(() => []);
        this.reset();
        for (const [labels, value] of told) this.set(labels, value);
      },
    });
  let asked: ReturnType<TaskCounts['tasks']> | undefined;
  // Gauges are collected at once: one question answers two of them.
  const tasks = () => {
    asked ??= counts.tasks().finally(() => {
      asked = undefined;
    });
    return asked;
  };
  gauge('meterwarden_open_findings', 'Findings that have not cleared, by rule', ['rule'], async () =>
    [...(await counts.openFindings())].map(([rule, count]) => [{ rule }, count]),
  );
  gauge('meterwarden_tasks', 'Tasks by kind and state', ['kind', 'state'], async () =>
    (await tasks()).map(({ kind, state, count }) => [{ kind, state }, count]),
  );
  gauge(
    'meterwarden_escalated_tasks',
    'Tasks that were not accepted in time and are not closed, by kind and state',
    ['kind', 'state'],
    async () => (await tasks()).map(({ kind, state, escalated }) => [{ kind, state }, escalated]),
  );
  gauge('meterwarden_queue_depth', 'Jobs of the task queue by state', ['state'], async () =>
    Object.entries(await counts.queue()).map(([state, count]) => [{ state }, count]),
  );
  gauge(
    'meterwarden_queue_ready',
    '1 = the server of the task queue answers and keeps what it is told',
    [],
    async () => [[{}, Number(await counts.queueReady())]],
  );
}
