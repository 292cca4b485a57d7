/** What a rule (or the estimator) concluded, with its reason. */

export const SEVERITIES = ['info', 'warning', 'critical'] as const;
export type Severity = (typeof SEVERITIES)[number];

/** What a finding is about: one instrument, or a whole district. */
export type Subject =
  | { readonly type: 'instrument'; readonly key: number }
  | { readonly type: 'district'; readonly district: string };

/** A word of the reason catalogue (src/texts) and the numbers of this case, in the unit of their name. */
export interface Reason {
  readonly code: string;
  readonly params: Readonly<Record<string, number | string>>;
}

/**
 * A transition of one finding. `fromMs` is its identity together with subject and rule: a fold over the same readings
 * yields the same transitions, so they can be recorded twice without harm.
 */
export type Finding =
  | {
      readonly change: 'opened';
      readonly rule: string;
      readonly subject: Subject;
      /** Event time at which the condition began, epoch ms. */
      readonly fromMs: number;
      readonly severity: Severity;
      readonly reason: Reason;
    }
  | {
      readonly change: 'cleared';
      readonly rule: string;
      readonly subject: Subject;
      readonly fromMs: number;
      /** Event time at which the condition ended, epoch ms. */
      readonly toMs: number;
    };

export function subjectId(subject: Subject): string {
  return subject.type === 'instrument' ? `instrument:${subject.key}` : `district:${subject.district}`;
}
