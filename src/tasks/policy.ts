/** What happens when a rule's finding becomes work: which kind of task, under which cause, and how long it may wait. */
import { z } from 'zod';
import { checked, duration } from '../config-part.ts';
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

const deadlines = z
  .strictObject({ accept_within: duration, remind_before: duration, done_within: duration })
  .refine((d) => d.remind_before < d.accept_within, {
    path: ['remind_before'],
    message: 'not_shorter',
    params: { other: 'accept_within' },
  })
  .refine((d) => d.accept_within <= d.done_within, {
    path: ['accept_within'],
    message: 'not_longer',
    params: { other: 'done_within' },
  })
  .transform((d) => ({
    acceptWithinMs: d.accept_within,
    remindBeforeMs: d.remind_before,
    doneWithinMs: d.done_within,
  }));

const policies = z.strictObject(Object.fromEntries(TASK_KINDS.map((kind) => [kind, deadlines])));

/** config/tasks.yaml as parsed YAML → deadlines by kind; throws invalid_config naming the path. */
export function parseTaskPolicies(raw: unknown): TaskPolicies {
  return Object.freeze(checked(policies, raw, 'tasks')) as TaskPolicies;
}
