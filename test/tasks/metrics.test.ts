import { Registry } from 'prom-client';
import { expect, it } from 'vitest';
import { reportTasks, type TaskCount } from '../../src/tasks/metrics.ts';

const COUNTS: readonly TaskCount[] = [
  { kind: 'repair', state: 'assigned', count: 3, escalated: 2 },
  { kind: 'repair', state: 'accepted', count: 4, escalated: 0 },
];

async function told(tasks: () => Promise<readonly TaskCount[]>, ready = true): Promise<string[]> {
  const registry = new Registry();
  const failing = () => Promise.reject(new Error('no database'));
  reportTasks(registry, { openFindings: failing, tasks, queue: failing, queueReady: async () => ready });
  return (await registry.metrics()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
}

it('tells tasks and how many of them escalated, by one question', async () => {
  let questions = 0;
  const lines = await told(async () => {
    questions++;
    return COUNTS;
  });
  expect(lines).toEqual([
    'meterwarden_tasks{kind="repair",state="assigned"} 3',
    'meterwarden_tasks{kind="repair",state="accepted"} 4',
    'meterwarden_escalated_tasks{kind="repair",state="assigned"} 2',
    'meterwarden_escalated_tasks{kind="repair",state="accepted"} 0',
    'meterwarden_queue_ready 1',
  ]);
  expect(questions).toBe(1);
});

it('tells nothing without a database, but that its queue is not ready', async () => {
  const lines = await told(() => Promise.reject(new Error('no database')), false);
  expect(lines).toEqual(['meterwarden_queue_ready 0']);
});
