/**
 * Findings, tasks and queues as gauges, read when somebody asks. Without a database they are absent, and the other metrics
 * are there all the more.
 */
import { Gauge, type Registry } from 'prom-client';
import type { TaskKind, TaskState } from '../fleet/task.ts';
import type { QueueDepths } from './bullmq.ts';

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
}

export function reportTasks(registry: Registry, counts: TaskCounts): void {
  const registers = [registry];
  let asked: ReturnType<TaskCounts['tasks']> | undefined;
  // Gauges are collected at once: one question answers two of them.
  const tasks = () => {
    asked ??= counts
      .tasks()
      .catch(() => [])
      .finally(() => {
        asked = undefined;
      });
    return asked;
  };
  new Gauge({
    name: 'meterwarden_open_findings',
    help: 'Findings that have not cleared, by rule',
    labelNames: ['rule'],
    registers,
    async collect() {
      const byRule = await counts.openFindings().catch(() => new Map<string, number>());
      this.reset();
      for (const [rule, count] of byRule) this.set({ rule }, count);
    },
  });
  new Gauge({
    name: 'meterwarden_tasks',
    help: 'Tasks by kind and state',
    labelNames: ['kind', 'state'],
    registers,
    async collect() {
      const byKind = await tasks();
      this.reset();
      for (const { kind, state, count } of byKind) this.set({ kind, state }, count);
    },
  });
  new Gauge({
    name: 'meterwarden_escalated_tasks',
    help: 'Tasks that were not accepted in time and are not closed, by kind and state',
    labelNames: ['kind', 'state'],
    registers,
    async collect() {
      const byKind = await tasks();
      this.reset();
      for (const { kind, state, escalated } of byKind) this.set({ kind, state }, escalated);
    },
  });
  new Gauge({
    name: 'meterwarden_queue_depth',
    help: 'Jobs of the task queue by state',
    labelNames: ['state'],
    registers,
    async collect() {
      const depths = await counts.queue().catch(() => ({}));
      this.reset();
      for (const [state, count] of Object.entries(depths)) this.set({ state }, count);
    },
  });
}
