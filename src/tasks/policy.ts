/** What happens when a rule's finding becomes work: which kind of task, under which cause, and how long it may wait. */
import { z } from 'zod';
import { MeterwardenError } from '../errors.ts';
import { parseDurationMs } from '../fleet/duration.ts';
import type { Severity } from '../fleet/finding.ts';
import { TASK_KINDS, type TaskKind } from '../fleet/task.ts';

/** What a rule's findings raise; findings with one cause share one open task per subject. */
export interface RulePolicy {
  readonly severity: Severity;
  /** null = the finding is recorded and nobody is sent. */
  readonly task: TaskKind | null;
  readonly cause: string;
}

/** undefined = a finding no rule made (the reading path, an estimate): recorded, raises nothing. */
export type TaskPolicyOf = (rule: string) => RulePolicy | undefined;

export interface TaskDeadlines {
  /** Not accepted within this time of its creation, a task escalates. */
  readonly acceptWithinMs: number;
  /** The assignee is reminded this long before that. */
  readonly remindBeforeMs: number;
  readonly doneWithinMs: number;
}

export type TaskPolicies = Readonly<Record<TaskKind, TaskDeadlines>>;

const duration = z
  .string()
  .refine((text) => parseDurationMs(text) !== undefined, 'must be a duration such as 90s, 15m, 24h or 7d')
  .transform((text) => parseDurationMs(text)!);

const deadlines = z
  .strictObject({ accept_within: duration, remind_before: duration, done_within: duration })
  .refine((d) => d.remind_before < d.accept_within, {
    path: ['remind_before'],
    message: 'must be shorter than accept_within',
  })
  .refine((d) => d.accept_within <= d.done_within, { path: ['accept_within'], message: 'must not exceed done_within' })
  .transform((d) => ({
    acceptWithinMs: d.accept_within,
    remindBeforeMs: d.remind_before,
    doneWithinMs: d.done_within,
  }));

const policies = z.strictObject(Object.fromEntries(TASK_KINDS.map((kind) => [kind, deadlines])));

/** config/tasks.yaml as parsed YAML → deadlines by kind; throws invalid_config naming the path. */
export function parseTaskPolicies(raw: unknown): TaskPolicies {
  const parsed = policies.safeParse(raw);
  if (parsed.success) return Object.freeze(parsed.data) as TaskPolicies;
  const [issue] = parsed.error.issues;
  throw new MeterwardenError('invalid_config', {
    path: ['tasks', ...issue!.path].join('.'),
    params: { problem: issue!.message },
  });
}
