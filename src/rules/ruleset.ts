/** The rules as the evaluator uses them: parsed once, frozen. */
import { checked, wrongConfig } from '../config-part.ts';
import type { EstimateFinding } from '../fleet/estimate.ts';
import type { Severity } from '../fleet/finding.ts';
import type { Kinds } from '../fleet/kind.ts';
import type { TaskKind } from '../fleet/task.ts';
import { oneOf } from '../problems.ts';
import type { Text } from '../texts/text.ts';
import { type DetectorName, type RuleEntry, ruleFileSchema } from './rule-schema.ts';

export type Detecting<D extends DetectorName> = Extract<RuleEntry, { detector: D }>;

export interface Rule {
  readonly id: string;
  readonly name: Text;
  readonly severity: Severity;
  /** null = the finding is recorded and nobody is sent. */
  readonly task: TaskKind | null;
  /** Rules of one cause share one open task per subject. */
  readonly cause: string;
  readonly source: string;
  /** Duration of the condition before it becomes a finding, and of its absence before the finding ends. */
  readonly firesAfterMs: number;
  readonly clearsAfterMs: number;
  /** As in config/rules.yaml; ratios are shares of the instrument's own nominal values. */
  readonly settings: RuleEntry;
}

export interface RuleSet {
  readonly register: { readonly step: number; readonly rolloverAbove: number; readonly rolloverBelow: number };
  /** Report periods without a reading after which what was seen before no longer counts as lasting. */
  readonly holePeriods: number;
  /** Nominal voltages from here on are between two lines, below it between line and neutral. */
  readonly lineVoltageFromV: number;
  readonly settleMs: number;
  readonly startupGraceMs: number;
  readonly rules: ReadonlyMap<string, Rule>;
}

/** config/rules.yaml as parsed YAML; `kinds`, when given, must have every kind that a rule names. Throws invalid_config. */
export function parseRules(raw: unknown, kinds?: Kinds): RuleSet {
  const file = checked(ruleFileSchema, raw, 'rules.yaml', []);
  const rules = new Map(Object.entries(file.rules).map(([id, entry]) => [id, Object.freeze(ruleOf(id, entry))]));
  if (kinds) for (const rule of rules.values()) checkKinds(rule, kinds);
  checkSilences([...rules.values()]);
  checkEstimates([...rules.values()]);
  return Object.freeze({
    register: Object.freeze({
      step: file.register.step,
      rolloverAbove: file.register.rollover_above,
      rolloverBelow: file.register.rollover_below,
    }),
    holePeriods: file.evidence.hole_periods,
    lineVoltageFromV: file.evidence.line_voltage_from_v,
    settleMs: file.district_clock.settle,
    startupGraceMs: file.district_clock.startup_grace,
    rules,
  });
}

export function appliesTo(rule: Rule, kind: string): boolean {
  return rule.settings.kinds === 'all' || rule.settings.kinds.includes(kind);
}

/** The first rule with this detector that applies to a kind. */
export function ruleFor<D extends DetectorName>(
  rules: RuleSet,
  detector: D,
  kind: string,
): (Rule & { readonly settings: Detecting<D> }) | undefined {
  for (const rule of rules.rules.values()) {
    if (rule.settings.detector === detector && appliesTo(rule, kind)) {
      return rule as Rule & { readonly settings: Detecting<D> };
    }
  }
  return undefined;
}

/** What becomes of each finding of an estimate; what no rule names is not recorded. */
export function estimateRules({ rules }: RuleSet): ReadonlyMap<EstimateFinding, Rule> {
  return new Map(
    [...rules.values()].flatMap((rule) =>
      rule.settings.detector === 'estimate' ? [[rule.settings.finds, rule] as const] : [],
    ),
  );
}

/** What becomes of an error confirmed on site. */
export function onSiteRule({ rules }: RuleSet): Rule | undefined {
  return [...rules.values()].find(({ settings }) => settings.detector === 'on-site');
}

function ruleOf(id: string, entry: RuleEntry): Rule {
  const lasting = 'fires_after' in entry ? entry : { fires_after: 0, clears_after: 0 };
  return {
    id,
    name: entry.name,
    severity: entry.severity,
    task: entry.task === 'none' ? null : entry.task,
    cause: entry.cause ?? id,
    source: entry.source,
    firesAfterMs: lasting.fires_after,
    clearsAfterMs: lasting.clears_after,
    settings: entry,
  };
}

function checkKinds({ id, settings }: Rule, kinds: Kinds): void {
  if (settings.kinds === 'all') return;
  for (const [i, kind] of settings.kinds.entries()) {
    if (!kinds.has(kind)) throw wrongConfig(['rules', id, 'kinds', i], oneOf(kind, [...kinds.keys()]));
  }
}

/** One kind is judged silent by one rule; an outage is one, and known before its members are judged one by one. */
function checkSilences(rules: readonly Rule[]): void {
  const outages = rules.filter(({ settings }) => settings.detector === 'outage');
  const [outage, second] = outages;
  if (second) throw wrongConfig(['rules', second.id, 'detector'], { problem: 'second_outage_rule', rule: outage!.id });
  const judged = new Map<string, string>();
  for (const { id, settings } of rules) {
    if (settings.detector !== 'silent') continue;
    for (const kind of settings.kinds === 'all' ? ['all'] : settings.kinds) {
      const rule = judged.get(kind) ?? judged.get('all') ?? (kind === 'all' ? [...judged.values()][0] : undefined);
      if (rule) throw wrongConfig(['rules', id, 'kinds'], { problem: 'second_silent_rule', rule });
      judged.set(kind, id);
    }
    const { missed_periods: limit } = settings;
    if (outage && (outage.settings as Detecting<'outage'>).missed_periods >= limit) {
      const other = `rules.${id}.missed_periods`;
      throw wrongConfig(['rules', outage.id, 'missed_periods'], { problem: 'not_below', other, limit });
    }
  }
}

function checkEstimates(rules: readonly Rule[]): void {
  const first = new Map<string, string>();
  for (const { id, settings } of rules) {
    if (settings.detector !== 'estimate' && settings.detector !== 'on-site') continue;
    const what = settings.detector === 'estimate' ? settings.finds : 'on-site';
    const rule = first.get(what);
    if (rule) throw wrongConfig(['rules', id, 'detector'], { problem: 'second_estimate_rule', rule });
    first.set(what, id);
  }
}
