import type { Reason, Severity } from './finding.ts';

/** Work with a deadline, raised by findings, walked through an inspector's queue to a closed end. */

export const TASK_KINDS = ['replace', 'verify-on-site', 'spot-check', 'repair'] as const;
export type TaskKind = (typeof TASK_KINDS)[number];

export const TASK_STATES = ['raised', 'assigned', 'accepted', 'done', 'refuted', 'closed'] as const;
export type TaskState = (typeof TASK_STATES)[number];

/** How a task ended: feeds the precision of the rule that raised it. */
export const VERDICTS = ['confirmed', 'refuted', 'no-access'] as const;
export type Verdict = (typeof VERDICTS)[number];

export interface Task {
  readonly id: string;
  readonly kind: TaskKind;
  /** What it is about; one open task per subject and cause. */
  readonly cause: string;
  /** Ledger id of the instrument; null when the task is about a whole district. */
  readonly instrument: string | null;
  readonly district: string;
  readonly region: string;
  readonly severity: Severity;
  readonly state: TaskState;
  readonly assignee: string | null;
  readonly verdict: Verdict | null;
  readonly reason: Reason;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly dueAt: Date;
  readonly escalatedAt: Date | null;
}

export interface TaskHistoryEntry {
  /** Grows in commit order: the position of the live stream. */
  readonly id: string;
  readonly at: Date;
  readonly actor: string;
  readonly action: string;
  readonly from: TaskState | null;
  readonly to: TaskState;
  readonly note: string;
}
