/** The rules as the evaluator uses them: parsed once, frozen. */
import type { z } from 'zod';
import { MeterwardenError } from '../errors.ts';
import type { Severity } from '../fleet/finding.ts';
import type { Kinds } from '../fleet/kind.ts';
import type { TaskKind } from '../fleet/task.ts';
import { nearest } from '../nearest.ts';
import type { Text } from '../texts/text.ts';
import { type Comparison, type DetectorName, type RuleEntry, type RuleFile, ruleFileSchema } from './rule-schema.ts';

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
  const parsed = ruleFileSchema.safeParse(raw);
  if (!parsed.success) throw refusal(raw, parsed.error.issues[0]!);
  const file = parsed.data;
  const rules = new Map(Object.entries(file.rules).map(([id, entry]) => [id, Object.freeze(ruleOf(id, entry))]));
  if (kinds) for (const rule of rules.values()) checkKinds(rule, kinds);
  checkSilences([...rules.values()]);
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
  for (const kind of settings.kinds) {
    if (!kinds.has(kind))
      throw invalid(`rules.${id}.kinds`, `unknown kind "${kind}"`, nearest(kind, [...kinds.keys()]));
  }
}

/** One kind is judged silent by one rule; an outage is one, and known before its members are judged one by one. */
function checkSilences(rules: readonly Rule[]): void {
  const outages = rules.filter(({ settings }) => settings.detector === 'outage');
  if (outages.length > 1) throw invalid(`rules.${outages[1]!.id}`, 'there may be only one outage rule');
  const seen = new Set<string>();
  for (const { id, settings } of rules) {
    if (settings.detector !== 'silent') continue;
    const kinds = settings.kinds === 'all' ? ['all'] : settings.kinds;
    if (kinds.some((kind) => seen.has(kind)) || seen.has('all') || (kinds[0] === 'all' && seen.size > 0)) {
      throw invalid(`rules.${id}.kinds`, 'another silent rule applies to the same kind');
    }
    for (const kind of kinds) seen.add(kind);
    const outage = outages[0]?.settings as Detecting<'outage'> | undefined;
    if (outage && outage.missed_periods >= settings.missed_periods) {
      throw invalid(`rules.${outages[0]!.id}.missed_periods`, `must be less than ${settings.missed_periods} of ${id}`);
    }
  }
}

/** The first thing wrong, with its path and, for a name, the nearest right one. */
function refusal(raw: unknown, issue: z.core.$ZodIssue): MeterwardenError {
  const at = issue.path.map(String);
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0]!;
    return invalid([...at, key].join('.'), `unknown key "${key}"`, nearest(key, knownKeys(raw, at)));
  }
  const got = valueAt(raw, at);
  if (issue.code === 'invalid_value' || issue.code === 'invalid_union') {
    const values = 'values' in issue ? issue.values.map(String) : DETECTORS;
    return invalid(at.join('.'), `must be one of ${values.join(', ')}`, nearest(String(got), values));
  }
  return invalid(at.join('.'), issue.message);
}

const ruleSchema = ruleFileSchema.shape.rules.valueType;
const DETECTORS = ruleSchema.options.map(({ shape }) => String(shape.detector.value));

/** Keys the schema knows where the unknown one stands. */
function knownKeys(raw: unknown, at: readonly string[]): string[] {
  if (at.length === 0) return Object.keys(ruleFileSchema.shape);
  const [section, id, field] = at;
  if (section !== 'rules') {
    return Object.keys(ruleFileSchema.shape[section as Exclude<keyof RuleFile, 'rules'>]?.shape ?? {});
  }
  if (field === 'name') return ['zh-CN', 'en'];
  if (field !== undefined) return COMPARISON_KEYS;
  const detector = valueAt(raw, ['rules', id!, 'detector']);
  const option = ruleSchema.options.find(({ shape }) => String(shape.detector.value) === detector);
  return Object.keys(option?.shape ?? {});
}

const COMPARISON_KEYS: (keyof Comparison)[] = ['quantity', 'fallback', 'on', 'below', 'above', 'of'];

function valueAt(raw: unknown, at: readonly string[]): unknown {
  return at.reduce<unknown>((value, step) => (value as Record<string, unknown> | undefined)?.[step], raw);
}

function invalid(path: string, problem: string, suggestion?: string): MeterwardenError {
  return new MeterwardenError('invalid_config', {
    path,
    params: { problem: suggestion ? `${problem}, did you mean "${suggestion}"?` : problem, nearest: suggestion ?? '' },
  });
}
