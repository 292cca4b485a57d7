/** What was injected against what was found: pure. */
import type { FaultKind } from './faults.ts';
import type { Fleet } from './fleet.ts';

export interface FoundFinding {
  readonly id: string;
  readonly rule: string;
  readonly ruleName: string;
  readonly instrument: string | null;
  readonly district: string;
  readonly from: string;
  readonly task: string | null;
  readonly sentence: string;
}

export interface FoundTask {
  readonly id: string;
  readonly kindName: string;
  readonly stateName: string;
  readonly assignee: string | null;
}

export interface ComparedFault {
  readonly fault: FaultKind;
  /** Ledger id of the instrument, or the district of an outage. */
  readonly subject: string;
  readonly fromMs: number;
  readonly byRules: boolean;
  readonly finding: FoundFinding | undefined;
  readonly task: FoundTask | undefined;
}

export interface Comparison {
  /** Faults for the rules first. */
  readonly rows: readonly ComparedFault[];
  /** Findings that belong to no injected fault. */
  readonly others: readonly FoundFinding[];
  readonly expected: number;
  readonly found: number;
  readonly tasks: number;
}

/** Faults of the measurement itself and of the ledger: an estimate finds them, no rule on single readings can. */
const NOT_BY_RULES: ReadonlySet<FaultKind> = new Set([
  'constant-error',
  'drift',
  'step',
  'light-load',
  'theft',
  'wrong-district',
  'wrong-phase',
]);

export function compare(
  fleet: Pick<Fleet, 'instruments' | 'faults'>,
  findings: readonly FoundFinding[],
  tasks: readonly FoundTask[],
): Comparison {
  const districtOf = new Map(fleet.instruments.map(({ id, district }) => [id, district]));
  const taskById = new Map(tasks.map((task) => [task.id, task]));
  const used = new Set<string>();
  const rows = new Map<string, ComparedFault>();
  for (const { instrument, fault, fromMs } of fleet.faults) {
    const subject = fault === 'outage' ? districtOf.get(instrument)! : instrument;
    const name = `${fault} ${subject}`;
    if (rows.has(name)) continue; // an outage is listed for each of its instruments
    const ofSubject = findings.filter(
      (one) =>
        one.rule === fault &&
        (fault === 'outage' ? one.instrument === null && one.district === subject : one.instrument === subject),
    );
    for (const { id } of ofSubject) used.add(id);
    const distanceMs = (one: FoundFinding) => Math.abs(Date.parse(one.from) - fromMs);
    const [finding] = ofSubject.toSorted((a, b) => distanceMs(a) - distanceMs(b));
    rows.set(name, {
      fault,
      subject,
      fromMs,
      byRules: !NOT_BY_RULES.has(fault),
      finding,
      task: finding?.task ? taskById.get(finding.task) : undefined,
    });
  }
  const judged = [...rows.values()].filter(({ byRules }) => byRules);
  const measured = [...rows.values()].filter(({ byRules }) => !byRules);
  return {
    rows: [...judged, ...measured],
    others: findings.filter(({ id }) => !used.has(id)),
    expected: judged.length,
    found: judged.filter(({ finding }) => finding).length,
    tasks: tasks.length,
  };
}
