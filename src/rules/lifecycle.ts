/** How what a detector sees becomes a finding: only what lasts opens one, only what stays away ends it. */
import type { Finding } from '../fleet/finding.ts';
import type { Detector, Verdict } from './detectors.ts';
import { FROM_MS, SINCE_MS } from './layout.ts';
import type { Moment } from './moment.ts';
import type { Rule } from './ruleset.ts';

/** A rule at work: its numbers begin at `offset` of an instrument's row. */
export interface Watch {
  readonly rule: Rule;
  readonly detector: Detector;
  readonly offset: number;
}

/**
 * | open | verdict | then |
 * |---|---|---|
 * | no  | fires          | opens once it has fired for `fires_after`, from the reading at which it began |
 * | no  | clears, between | begins anew |
 * | yes | clears         | ends once it has cleared for `clears_after`, to the reading at which it was first gone |
 * | yes | fires, between | begins anew |
 * | any | unknown        | nothing |
 */
export function watch({ rule, detector, offset }: Watch, moment: Moment, base: number, found: Finding[]): void {
  const at = base + offset;
  moment.sinceMs = Number.NaN;
  const verdict = detector.judge(moment, at);
  if (verdict === 'unknown') return;
  const { row } = moment;
  const fromMs = row[at + FROM_MS]!;
  if (!Number.isNaN(fromMs)) {
    if (moment.tsMs >= fromMs) end(rule, verdict, moment, at, found);
    return;
  }
  if (verdict !== 'fires') {
    row[at + SINCE_MS] = Number.NaN;
    return;
  }
  const sinceMs = Number.isNaN(moment.sinceMs) ? lastingSince(moment, at) : moment.sinceMs;
  row[at + SINCE_MS] = sinceMs;
  if (moment.tsMs - sinceMs < rule.firesAfterMs) return;
  row[at + FROM_MS] = sinceMs;
  row[at + SINCE_MS] = Number.NaN;
  found.push({
    change: 'opened',
    rule: rule.id,
    subject: { type: 'instrument', key: moment.key },
    fromMs: sinceMs,
    severity: rule.severity,
    reason: detector.reason(moment, at),
  });
}

function end(rule: Rule, verdict: Verdict, moment: Moment, at: number, found: Finding[]): void {
  const { row } = moment;
  if (verdict !== 'clears') {
    row[at + SINCE_MS] = Number.NaN;
    return;
  }
  const toMs = lastingSince(moment, at);
  row[at + SINCE_MS] = toMs;
  if (moment.tsMs - toMs < rule.clearsAfterMs) return;
  const subject = { type: 'instrument', key: moment.key } as const;
  found.push({ change: 'cleared', rule: rule.id, subject, fromMs: row[at + FROM_MS]!, toMs });
  row[at + FROM_MS] = Number.NaN;
  row[at + SINCE_MS] = Number.NaN;
}

function lastingSince({ row, tsMs, previousMs, holeMs }: Moment, at: number): number {
  const sinceMs = row[at + SINCE_MS]!;
  return Number.isNaN(sinceMs) || tsMs - previousMs > holeMs ? tsMs : sinceMs;
}
