/** Findings, tasks and queues as gauges, read when somebody asks. */
import { Gauge, type Registry } from 'prom-client';
import type { TaskKind, TaskState } from '../fleet/task.ts';
import type { QueueDepths } from './bullmq.ts';

export interface TaskCounts {
  readonly openFindings: () => Promise<ReadonlyMap<string, number>>;
  readonly tasks: () => Promise<readonly { state: TaskState; kind: TaskKind; count: number }[]>;
  readonly queue: () => Promise<QueueDepths>;
}

export function reportTasks(registry: Registry, counts: TaskCounts): void {
  const registers = [registry];
  new Gauge({
    name: 'meterwarden_open_findings',
    help: 'Findings that have not cleared, by rule',
    labelNames: ['rule'],
    registers,
    async collect() {
      this.reset();
      for (const [rule, count] of await counts.openFindings()) this.set({ rule }, count);
    },
  });
  new Gauge({
    name: 'meterwarden_tasks',
    help: 'Tasks by kind and state',
    labelNames: ['kind', 'state'],
    registers,
    async collect() {
      this.reset();
      for (const { kind, state, count } of await counts.tasks()) this.set({ kind, state }, count);
    },
  });
  new Gauge({
    name: 'meterwarden_queue_depth',
    help: 'Jobs of the task queue by state',
    labelNames: ['state'],
    registers,
    async collect() {
      for (const [state, count] of Object.entries(await counts.queue())) this.set({ state }, count);
    },
  });
}
