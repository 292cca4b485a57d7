/**
 * What becomes of an estimate: findings that open once the same was seen in as many windows as the policy asks for, one after the
 * other, and end when it was as often not seen. A window that cannot tell leaves things as they are.
 */
import type { EstimateFinding } from '../fleet/estimate.ts';
import type { Finding, Reason, Severity, Subject } from '../fleet/finding.ts';
import { subjectId } from '../fleet/finding.ts';
import type { DistrictNote, MeterEstimate, Verdict } from './district.ts';

/** One window of a district, as far as conclusions go. */
export interface Seen {
  readonly toMs: number;
  /** Could energy be balanced: without that there is nothing to note. */
  readonly balanced: boolean;
  readonly meters: readonly SeenMeter[];
  readonly notes: readonly DistrictNote[];
}

export type SeenMeter = Pick<MeterEstimate, 'instrument' | 'verdict' | 'change' | 'errorPct' | 'lowPct' | 'highPct'> &
  Pick<MeterEstimate, 'pInaccurate'> & { readonly mpePct: number };

export interface ConclusionRule {
  readonly id: string;
  readonly severity: Severity;
}

export interface OpenConclusion {
  readonly rule: string;
  readonly subject: Subject;
  readonly fromMs: number;
}

export interface Concluding {
  readonly district: string;
  readonly now: Seen;
  /** Newest first, windows before `now`; fewer than needed = not confirmed. */
  readonly past: readonly Seen[];
  /** Of this district and these rules. */
  readonly open: readonly OpenConclusion[];
  readonly rules: ReadonlyMap<EstimateFinding, ConclusionRule>;
  /** Windows in which it must be seen, this one included. */
  readonly confirmations: number;
  readonly keyOf: (instrument: string) => number | undefined;
}

/** Two windows that end within so long are one: somebody asked in between. */
export const MIN_APART_MS = 20 * 3_600_000;

/** Windows that count one after the other, newest first, at most `count`. */
export function apart<Window extends { readonly toMs: number }>(
  nowMs: number,
  past: readonly Window[],
  count: number,
): Window[] {
  const counted: Window[] = [];
  let beforeMs = nowMs;
  for (const window of past) {
    if (counted.length === count) break;
    if (beforeMs - window.toMs < MIN_APART_MS) continue;
    counted.push(window);
    beforeMs = window.toMs;
  }
  return counted;
}

/** true = seen, false = not so, undefined = it cannot be told. */
type Sign = boolean | undefined;

export function conclude(given: Concluding): Finding[] {
  const { now, past, open, rules, confirmations, district, keyOf } = given;
  const windows = [now, ...apart(now.toMs, past, confirmations - 1)];
  const found: Finding[] = [];
  const known = new Map(open.map((one) => [`${one.rule} ${subjectId(one.subject)}`, one]));
  const judge = (what: EstimateFinding, subject: Subject, sign: (seen: Seen) => Sign, reason: () => Reason) => {
    const rule = rules.get(what);
    if (!rule) return;
    const slot = `${rule.id} ${subjectId(subject)}`;
    const before = known.get(slot);
    known.delete(slot);
    const all = (wanted: boolean) => windows.length === confirmations && windows.every((seen) => sign(seen) === wanted);
    const identity = { rule: rule.id, subject, fromMs: before?.fromMs ?? now.toMs };
    if (!before && all(true)) found.push({ change: 'opened', ...identity, severity: rule.severity, reason: reason() });
    if (before && all(false)) found.push({ change: 'cleared', ...identity, toMs: now.toMs });
  };
  for (const meter of now.meters) {
    const key = keyOf(meter.instrument);
    if (key === undefined) continue;
    const subject: Subject = { type: 'instrument', key };
    const of = (seen: Seen) => seen.meters.find(({ instrument }) => instrument === meter.instrument);
    judge(
      'inaccurate',
      subject,
      (seen) => isInaccurate(of(seen)?.verdict),
      () => beyond(meter, confirmations),
    );
    judge(
      'crossing-mpe',
      subject,
      (seen) => crosses(of(seen)),
      () => crossing(meter),
    );
  }
  for (const what of Object.keys(NOTES) as (keyof typeof NOTES)[]) {
    const rule = rules.get(what);
    const code = NOTES[what];
    const subjects = new Map<string, Subject>();
    for (const note of now.notes) {
      const subject = note.code === code ? subjectOf(note, district, keyOf) : undefined;
      if (subject) subjects.set(subjectId(subject), subject);
    }
    for (const one of open) if (one.rule === rule?.id) subjects.set(subjectId(one.subject), one.subject);
    for (const [id, subject] of subjects) {
      const noted = ({ notes }: Seen) =>
        notes.find((note) => note.code === code && idOf(subjectOf(note, district, keyOf)) === id);
      const sign = (seen: Seen): Sign => noted(seen) !== undefined || (seen.balanced ? false : undefined);
      judge(what, subject, sign, () => ({ code, params: noted(now)!.params }));
    }
  }
  // What is open about a meter that is no longer here ends.
  for (const { rule, subject, fromMs } of known.values()) {
    if (subject.type === 'instrument') found.push({ change: 'cleared', rule, subject, fromMs, toMs: now.toMs });
  }
  return found;
}

/** Of nothing that is estimated one can be surer. */
const MOST_SURE_PCT = 99.99;

const NOTES = {
  'wrong-district': 'wrong_district',
  'wrong-phase': 'wrong_phase',
  'unmetered-energy': 'unmetered_energy',
  'master-off': 'master_off',
  'stuck-register': 'stuck_register',
  'register-reset': 'register_reset',
} as const satisfies Partial<Record<EstimateFinding, DistrictNote['code']>>;

function isInaccurate(verdict: Verdict | undefined): Sign {
  if (verdict === 'inaccurate') return true;
  return verdict === 'ok' ? false : undefined;
}

/** Once it is inaccurate it has crossed. */
function crosses(meter: SeenMeter | undefined): Sign {
  if (!meter || meter.verdict === 'undetermined') return undefined;
  return meter.change?.crossing !== undefined && meter.verdict !== 'inaccurate';
}

function subjectOf(note: DistrictNote, district: string, keyOf: Concluding['keyOf']): Subject | undefined {
  if (note.instrument === undefined) return { type: 'district', district };
  const key = keyOf(note.instrument);
  return key === undefined ? undefined : { type: 'instrument', key };
}

function idOf(subject: Subject | undefined): string | undefined {
  return subject && subjectId(subject);
}

function beyond({ errorPct, lowPct, highPct, pInaccurate, mpePct }: SeenMeter, windows: number): Reason {
  return because('error_beyond_mpe', {
    error_pct: rounded(errorPct),
    low_pct: rounded(lowPct),
    high_pct: rounded(highPct),
    mpe_pct: mpePct,
    probability_pct: Math.min(rounded(100 * pInaccurate), MOST_SURE_PCT),
    windows,
  });
}

function crossing({ change, mpePct, errorPct }: SeenMeter): Reason {
  const { errorNowPct, crossing: crossed } = change!;
  if (Math.abs(errorNowPct) >= mpePct) {
    const mean_pct = rounded(errorPct);
    return because('error_has_crossed_mpe', { error_pct: rounded(errorNowPct), mpe_pct: mpePct, mean_pct });
  }
  return because('error_will_cross_mpe', {
    error_pct: rounded(errorNowPct),
    mpe_pct: mpePct,
    at: day(crossed!.atMs),
    low_at: day(crossed!.lowMs),
    high_at: day(crossed!.highMs),
  });
}

function because(code: string, params: Reason['params']): Reason {
  return { code, params };
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}

function day(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
