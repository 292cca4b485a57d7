/** One pass over the gaps of a district in order of measurement time: who is missing when, and what follows. */
import type { Finding } from '../fleet/finding.ts';
import { because } from './detectors.ts';
import type { District, Gap } from './district.ts';
import type { Detecting, Rule } from './ruleset.ts';

export interface SweptGap {
  readonly gap: Gap;
  /** Whether it is asked when the district is judged, and whether its silence can count there. */
  readonly asked: boolean;
  readonly counts: boolean;
  readonly periodMs: number;
  /** Silence after which it is a finding of its own. */
  readonly silentMs: number;
  /** When it counts as missing, and when it becomes a finding of its own unless the district is silent. */
  readonly missingMs: number;
  dueMs: number;
}

export interface Sweep {
  readonly district: District;
  readonly gaps: readonly SweptGap[];
  /** What lies later is not known yet. */
  readonly untilMs: number;
  /** Members not silent on their own, those in `gaps` included. */
  readonly reporting: number;
  readonly outage: (Rule & { readonly settings: Detecting<'outage'> }) | undefined;
  readonly due: (fromMs: number, durationMs: number) => number;
  /** A gap becomes a finding of its own. */
  readonly found: (gap: Gap) => void;
  readonly told: (finding: Finding) => void;
}

/** Order of steps at one moment: who is back is back before anybody is missing, and the district is judged before its members. */
const BACK = 0;
const MISSING = 1;
const DUE = 2;

interface Step {
  readonly atMs: number;
  readonly kind: typeof BACK | typeof MISSING | typeof DUE;
  readonly swept: SweptGap;
}

export function sweep(run: Sweep): void {
  const missing = new Set(run.gaps.filter(({ gap }) => gap.missing && !gap.found));
  // A gap that has become a finding and has ended: silent on its own until its last moment.
  let reporting = run.reporting - run.gaps.filter(({ gap, asked }) => asked && gap.found).length;
  const steps = run.gaps.flatMap((swept) => stepsOf(swept, run.untilMs)).sort(inOrder);
  for (let i = 0; i < steps.length; i++) {
    const { atMs, kind, swept } = steps[i]!;
    const { gap } = swept;
    if (kind === MISSING) {
      gap.missing = true;
      missing.add(swept);
    } else if (kind === BACK) {
      missing.delete(swept);
      if (gap.found && swept.asked) reporting++;
    } else if (swept.dueMs === atMs && Number.isNaN(run.district.outageFromMs)) {
      gap.found = true;
      run.found(gap);
      missing.delete(swept);
      if (swept.asked) reporting--;
    }
    const next = steps[i + 1];
    if (next?.atMs === atMs && next.kind === kind) continue;
    if (kind === MISSING) begin(run, missing, reporting);
    if (kind === BACK && end(run, missing, reporting, atMs)) {
      steps.push(...excused(run, atMs));
      steps.splice(i + 1, steps.length, ...steps.slice(i + 1).sort(inOrder));
    }
  }
}

function stepsOf(swept: SweptGap, untilMs: number): Step[] {
  const { gap, counts, missingMs, dueMs } = swept;
  const steps: Step[] = [];
  const isOver = (atMs: number) => atMs >= untilMs || atMs >= gap.nextMs;
  if (counts && !gap.missing && !gap.found && !isOver(missingMs)) steps.push({ atMs: missingMs, kind: MISSING, swept });
  if (!gap.found && !isOver(dueMs)) steps.push({ atMs: dueMs, kind: DUE, swept });
  if (gap.nextMs <= untilMs) steps.push({ atMs: gap.nextMs, kind: BACK, swept });
  return steps;
}

function inOrder(a: Step, b: Step): number {
  return a.atMs - b.atMs || a.kind - b.kind || a.swept.gap.key - b.swept.gap.key;
}

/** From the moment at which so many were missing as make an outage, however late it is noticed. */
function begin({ district, outage, told }: Sweep, missing: ReadonlySet<SweptGap>, reporting: number): void {
  if (!outage || !Number.isNaN(district.outageFromMs)) return;
  const { share, at_least, missed_periods } = outage.settings;
  const needed = Math.max(at_least, Math.ceil(share * reporting - 1e-9));
  if (missing.size < needed) return;
  const lastsMs = [...missing].map(({ gap, periodMs }) => gap.lastMs + periodMs).sort((a, b) => a - b);
  const fromMs = lastsMs[needed - 1]!;
  district.outageFromMs = fromMs;
  told({
    change: 'opened',
    rule: outage.id,
    subject: { type: 'district', district: district.id },
    fromMs,
    severity: outage.severity,
    reason: because('district_silent', { silent: missing.size, instruments: reporting, periods: missed_periods }),
  });
}

function end(
  { district, outage, told }: Sweep,
  missing: ReadonlySet<SweptGap>,
  reporting: number,
  atMs: number,
): boolean {
  const fromMs = district.outageFromMs;
  // Whoever was back before it began says nothing about its end.
  if (!outage || !(atMs > fromMs - district.periodMs) || missing.size >= outage.settings.resumed_share * reporting)
    return false;
  const toMs = Math.max(fromMs, atMs);
  told({ change: 'cleared', rule: outage.id, subject: { type: 'district', district: district.id }, fromMs, toMs });
  district.outageFromMs = Number.NaN;
  district.backMs = toMs;
  return true;
}

/** Those still silent when the district is back have as long again to come back as well. */
function excused({ gaps, due, untilMs }: Sweep, backMs: number): Step[] {
  const steps: Step[] = [];
  for (const swept of gaps) {
    const { gap, silentMs } = swept;
    if (gap.found || gap.lastMs >= backMs) continue;
    swept.dueMs = due(backMs, silentMs);
    if (swept.dueMs < untilMs && swept.dueMs < gap.nextMs) steps.push({ atMs: swept.dueMs, kind: DUE, swept });
  }
  return steps;
}
