/** What happens to a task by itself as time passes. The store carries a step out, a queue only wakes it at the right moment. */

export const STEPS = ['dispatch', 'reminder', 'deadline'] as const;
export type Step = (typeof STEPS)[number];

export interface WaitingStep {
  readonly task: string;
  readonly step: Step;
  readonly runAt: Date;
}

/**
 * `assigned`, `reminded`, `escalated`: it happened now. `nobody`: no inspector could take the task, it is tried again.
 * `early`: its moment has moved, it is woken again. `not-needed`: the task has moved on. `done-before`: a repeated wake-up.
 */
export type StepOutcome = 'assigned' | 'reminded' | 'escalated' | 'nobody' | 'early' | 'not-needed' | 'done-before';

export interface TaskSteps {
  /** Steps nobody has been told to wake, and steps overdue although somebody was; soonest first. */
  waiting(at: Date, limit: number): Promise<WaitingStep[]>;
  /** A queue will wake these. */
  armed(steps: readonly WaitingStep[], at: Date): Promise<void>;
  /** Carries a step out if it is due; repeated or concurrent calls do it once. */
  run(task: string, step: Step, at: Date): Promise<StepOutcome>;
}
