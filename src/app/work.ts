/** What has to be done whether or not somebody asks: tasks are dispatched and escalate, old readings leave. */
import { dropOldRejections } from '../store/postgres-rejections.ts';
import { disarmSteps } from '../store/postgres-task-arming.ts';
import { PostgresTaskChanges } from '../store/postgres-task-changes.ts';
import { PostgresTaskSteps } from '../store/postgres-task-steps.ts';
import { TaskQueue } from '../tasks/bullmq.ts';
import { reportTasks } from '../tasks/metrics.ts';
import { startEstimates } from './estimates.ts';
import type { Foundation } from './foundation.ts';
import { every, unlessAborted } from './timers.ts';

const DAY_MS = 86_400_000;
const RETENTION_MS = 3_600_000;
/** Often: a client of nonsense can fill the table within an hour. */
const REJECTIONS_MS = 60_000;
const MAX_REJECTIONS_KEPT = 1_000_000;

export async function startWork(foundation: Foundation): Promise<void> {
  const { settings, domain, registry, databaseUrl, pool, tendReadings, findings, tasks } = foundation;
  const { nowMs, onError, onStop, signal } = foundation;
  every(
    RETENTION_MS,
    async () => {
      await tendReadings(nowMs() - settings.retentionDays * DAY_MS);
    },
    onError,
    onStop,
  );
  every(REJECTIONS_MS, () => dropOldRejections(pool, MAX_REJECTIONS_KEPT), onError, onStop);
  const queue = new TaskQueue({
    backend:
      settings.redisUrl === undefined
        ? { product: 'postgres', url: databaseUrl }
        : { product: 'redis', url: settings.redisUrl, disarm: () => disarmSteps(pool) },
    steps: new PostgresTaskSteps(pool, domain.tasks),
    nowMs,
    onError: (error) => onError('queue', error),
  });
  onStop(() => queue.stop());
  await unlessAborted(signal, queue.start());
  const changes = new PostgresTaskChanges(databaseUrl, () => queue.wake());
  onStop(() => changes.stop());
  await unlessAborted(signal, changes.start());
  await startEstimates(foundation);
  const { to } = settings.handover;
  if (to !== undefined) {
    const { handoverSettings, startHandover } = await import('./handover.ts'); // nobody else waits for its libraries
    startHandover(foundation, handoverSettings(settings, { to, toName: 'HANDOVER_TO', databaseUrl }));
  }
  reportTasks(registry, {
    openFindings: () => findings.openByRule(),
    tasks: () => tasks.counts(),
    queue: () => queue.depths(),
    queueReady: () => queue.ready(),
  });
}
