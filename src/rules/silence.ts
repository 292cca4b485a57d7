/**
 * Who is silent, judged by the clock of the district. Gaps between readings are swept in order of measurement time, so that
 * it makes no difference whether they are seen as they happen, in a backfill or in a replay.
 */
import type { Finding } from '../fleet/finding.ts';
import { because } from './detectors.ts';
import type { District, Gap } from './district.ts';
import { AWAITED_MS, LAST_MS, LATE_UNTIL_MS, MISSING, SILENT_FROM_MS } from './layout.ts';
import type { Moment } from './moment.ts';
import type { KindPlan, Roster } from './roster.ts';
import type { Detecting, Rule, RuleSet } from './ruleset.ts';
import type { RuleState } from './state.ts';
import { type SweptGap, sweep } from './sweep.ts';

/** How long one that sends late is waited for: until its next report, and one more for what delays that. */
const LATE_PERIODS = 2;

/** Wall-clock time in which the service heard nothing because it did not run. */
interface Deafness {
  readonly fromMs: number;
  readonly toMs: number;
}

export class Silence {
  readonly #roster: Roster;
  readonly #state: RuleState;
  readonly #settleMs: number;
  readonly #graceMs: number;
  readonly #outage: (Rule & { readonly settings: Detecting<'outage'> }) | undefined;
  #listeningSinceMs = Number.NEGATIVE_INFINITY;
  #deaf: Deafness | undefined;

  constructor(rules: RuleSet, roster: Roster, state: RuleState) {
    this.#roster = roster;
    this.#state = state;
    this.#settleMs = rules.settleMs;
    this.#graceMs = rules.startupGraceMs;
    for (const rule of rules.rules.values()) {
      if (rule.settings.detector === 'outage') this.#outage = rule as Rule & { readonly settings: Detecting<'outage'> };
    }
  }

  listen(sinceMs: number): void {
    this.#listeningSinceMs = sinceMs;
    if (Number.isFinite(this.#state.aliveMs)) this.#deaf = { fromMs: this.#state.aliveMs, toMs: sinceMs };
  }

  /** A reading newer than all before it of its instrument: a silence ends, or a gap has been. */
  heard(moment: Moment, base: number, plan: KindPlan, nowMs: number, found: Finding[]): void {
    const { key, tsMs, row, previousMs } = moment;
    const periodMs = plan.kind.reportPeriodMs;
    const neverHeard = Number.isNaN(previousMs);
    const district = this.#roster.districtOf(key);
    this.#advance(district, tsMs, nowMs, neverHeard);
    this.#roster.heard(key, district.turn);
    // Behind the others by as much as silence lasts: what it sends takes its time to arrive.
    const isLate = tsMs < district.clockMs - plan.silentMs;
    row[base + LATE_UNTIL_MS] = isLate ? nowMs + LATE_PERIODS * periodMs : Number.NaN;
    const lastMs = neverHeard ? row[base + AWAITED_MS]! - periodMs : previousMs;
    const allowedMs = neverHeard ? plan.silentMs + periodMs : Math.min(plan.silentMs, plan.missingMs);
    const silentFromMs = row[base + SILENT_FROM_MS]!;
    // A replay may pass readings from before what is on record.
    const wasSilent = tsMs > silentFromMs - periodMs;
    const missing = row[base + MISSING] === 1 && !(tsMs <= district.outageFromMs - periodMs);
    if (!wasSilent && !missing && !(tsMs - lastMs > allowedMs)) return;
    if (wasSilent && plan.silent) {
      const identity = { rule: plan.silent.id, subject: { type: 'instrument', key }, fromMs: silentFromMs } as const;
      found.push({ change: 'cleared', ...identity, toMs: Math.max(silentFromMs, tsMs) });
    }
    if (wasSilent) row[base + SILENT_FROM_MS] = Number.NaN;
    row[base + MISSING] = Number.NaN;
    district.gaps.push({ key, lastMs, nextMs: tsMs, neverHeard, missing, found: wasSilent });
  }

  #advance(district: District, tsMs: number, nowMs: number, neverHeard: boolean): void {
    district.changed = true;
    district.receivedAtMs = nowMs;
    if (neverHeard) district.joinedAtMs = nowMs;
    if (tsMs <= district.clockMs) return;
    const isFirst = Number.isNaN(district.clockMs);
    district.clockMs = tsMs;
    // The district begins to report: from now on all its instruments should.
    if (isFirst) this.#roster.expect(district);
  }

  tick(nowMs: number, found: Finding[]): void {
    for (const district of this.#state.districts()) {
      district.turnClock(nowMs, this.#settleMs);
      if (nowMs - this.#listeningSinceMs < this.#graceMs) continue;
      const members = this.#roster.members(district);
      if (members.length === 0) this.#endOutage(district, found);
      const clockMs = this.#clockMs(district, nowMs);
      if (Number.isNaN(clockMs)) continue;
      if (district.gaps.length > 0 || clockMs > district.dueMs) this.#judge(district, members, clockMs, nowMs, found);
      if (district.memberLeft) this.#recount(district, members, found);
    }
  }

  /** An outage whose missing members have left ends without anybody coming back. */
  #recount(district: District, members: Int32Array, found: Finding[]): void {
    district.memberLeft = false;
    const asked = members.filter((key) => {
      const isCounted = isAsked(this.#roster.plans[this.#roster.kindOf(key)]!, district);
      return isCounted && !Number.isNaN(this.#row(key, LAST_MS)) && Number.isNaN(this.#row(key, SILENT_FROM_MS));
    });
    const missing = asked.filter((key) => this.#row(key, MISSING) === 1).length;
    const share = this.#outage?.settings.resumed_share ?? 0;
    if (missing === 0 || missing < share * asked.length) this.#endOutage(district, found);
  }

  #endOutage(district: District, found: Finding[]): void {
    const { outageFromMs: fromMs, clockMs } = district;
    if (Number.isNaN(fromMs) || !this.#outage) return;
    const subject = { type: 'district', district: district.id } as const;
    const toMs = Number.isNaN(clockMs) ? fromMs : Math.max(fromMs, clockMs);
    found.push({ change: 'cleared', rule: this.#outage.id, subject, fromMs, toMs });
    district.outageFromMs = Number.NaN;
    district.backMs = toMs;
    district.dueMs = Number.NEGATIVE_INFINITY;
    district.changed = true;
  }

  /** The time up to which silence can be judged; NaN = not at all. */
  #clockMs(district: District, nowMs: number): number {
    if (Number.isNaN(district.clockMs)) return Number.NaN;
    const quietMs = nowMs - Math.max(district.receivedAtMs, this.#listeningSinceMs);
    const isQuiet = quietMs >= this.#settleMs && nowMs - district.clockMs > this.#missingMs(district);
    return isQuiet ? nowMs : district.settledMs;
  }

  #missingMs({ periodMs }: District): number {
    return (this.#outage?.settings.missed_periods ?? 1) * periodMs;
  }

  #judge(district: District, members: Int32Array, clockMs: number, nowMs: number, found: Finding[]): void {
    const ended = district.gaps.map((gap) => this.#swept(gap, district));
    const current: SweptGap[] = [];
    let reporting = 0;
    district.dueMs = Number.POSITIVE_INFINITY;
    for (const key of members) {
      if (!Number.isNaN(this.#row(key, SILENT_FROM_MS))) continue;
      const plan = this.#roster.plans[this.#roster.kindOf(key)]!;
      if (isAsked(plan, district)) reporting++;
      const gap = this.#current(key, plan, district, clockMs, nowMs);
      if (gap) current.push(gap);
    }
    const gaps = [...ended, ...current];
    if (gaps.length === 0) return;
    sweep({
      district,
      gaps,
      untilMs: clockMs,
      reporting,
      outage: this.#outage,
      due: (fromMs, durationMs) => this.#due(fromMs, durationMs),
      found: (gap) => this.#found(gap, found),
      told: (finding) => found.push(finding),
    });
    this.#keep(district, ended, current, clockMs);
  }

  #keep(district: District, ended: readonly SweptGap[], current: readonly SweptGap[], clockMs: number): void {
    district.gaps = ended.map(({ gap }) => gap).filter(({ nextMs }) => !(nextMs <= clockMs));
    district.changed = true;
    for (const { gap, dueMs } of current) {
      if (gap.found) continue;
      if (gap.missing) this.#set(gap.key, MISSING, 1);
      // While the outage lasts nothing becomes due; its end is a reading, which brings the district here again.
      if (Number.isNaN(district.outageFromMs)) district.dueMs = Math.min(district.dueMs, dueMs);
    }
  }

  /** The gap a member is in, when it has to be judged now; otherwise the district is told when it may have to be. */
  #current(key: number, plan: KindPlan, district: District, clockMs: number, nowMs: number): SweptGap | undefined {
    const readMs = this.#row(key, LAST_MS);
    const neverHeard = Number.isNaN(readMs);
    const lastMs = neverHeard ? this.#row(key, AWAITED_MS) - plan.kind.reportPeriodMs : readMs;
    const missing = this.#row(key, MISSING) === 1;
    const soonestMs = lastMs + Math.min(plan.silentMs, plan.missingMs);
    if (Number.isNaN(lastMs)) return undefined;
    if (!missing && soonestMs >= clockMs) return this.#later(district, soonestMs);
    const gap = { key, lastMs, nextMs: Number.POSITIVE_INFINITY, neverHeard, missing, found: false };
    const swept = this.#swept(gap, district);
    const dueMs = Math.min(swept.missingMs, swept.dueMs);
    if (missing || (dueMs < clockMs && !this.#mayStillCome(gap, plan, district, nowMs))) return swept;
    return this.#later(district, dueMs);
  }

  #later(district: District, dueMs: number): undefined {
    district.dueMs = Math.min(district.dueMs, dueMs);
  }

  #swept(gap: Gap, district: District): SweptGap {
    const plan = this.#roster.plans[this.#roster.kindOf(gap.key)];
    if (!plan)
      return {
        gap,
        asked: false,
        counts: false,
        periodMs: 0,
        silentMs: Infinity,
        missingMs: Infinity,
        dueMs: Infinity,
      };
    const { lastMs, neverHeard } = gap;
    const { silentMs, kind } = plan;
    const asked = isAsked(plan, district);
    const counts = asked && !neverHeard;
    const missingMs = counts ? this.#due(lastMs, plan.missingMs) : Number.POSITIVE_INFINITY;
    const expectedMs = neverHeard ? lastMs + kind.reportPeriodMs : lastMs;
    // An outage that ended while it was silent excuses it so far.
    const dueMs = this.#due(district.backMs > lastMs ? district.backMs : expectedMs, silentMs);
    return { gap, asked, counts, periodMs: kind.reportPeriodMs, silentMs, missingMs, dueMs };
  }

  /** End of a duration of silence; what the service could not hear does not count. */
  #due(fromMs: number, durationMs: number): number {
    const dueMs = fromMs + durationMs;
    const deaf = this.#deaf;
    if (!deaf || fromMs >= deaf.toMs || dueMs <= deaf.fromMs) return dueMs;
    // Less than half of the duration cannot make a good instrument silent; a restart alone must change nothing.
    if ((deaf.toMs - deaf.fromMs) * 2 < durationMs) return dueMs;
    return dueMs + Math.max(0, deaf.toMs - Math.max(deaf.fromMs, fromMs));
  }

  /** Delivering old readings, or in a district whose instruments are just being heard for the first time. */
  #mayStillCome({ key, neverHeard }: Gap, { silentMs }: KindPlan, district: District, nowMs: number): boolean {
    // A district may enter the ledger with a history that takes its gateway hours to deliver, instrument by instrument.
    const joiningMs = Math.max(this.#graceMs, silentMs);
    if (neverHeard) return nowMs - Math.max(district.joinedAtMs, this.#listeningSinceMs) < joiningMs;
    return this.#roster.isDelivering(key, district.turn) || nowMs < this.#row(key, LATE_UNTIL_MS);
  }

  #found(gap: Gap, found: Finding[]): void {
    const plan = this.#roster.plans[this.#roster.kindOf(gap.key)]!;
    const rule = plan.silent!;
    const fromMs = gap.lastMs + plan.kind.reportPeriodMs;
    const subject = { type: 'instrument', key: gap.key } as const;
    const reason = silenceReason(gap, plan);
    found.push({ change: 'opened', rule: rule.id, subject, fromMs, severity: rule.severity, reason });
    if (Number.isFinite(gap.nextMs)) {
      found.push({ change: 'cleared', rule: rule.id, subject, fromMs, toMs: Math.max(fromMs, gap.nextMs) });
    } else {
      this.#set(gap.key, SILENT_FROM_MS, fromMs);
      this.#set(gap.key, MISSING, Number.NaN);
    }
  }

  #row(key: number, field: number): number {
    return this.#state.chunk(key)[this.#state.offset(key) + field]!;
  }

  #set(key: number, field: number, value: number): void {
    this.#state.chunk(key)[this.#state.offset(key) + field] = value;
    this.#state.touch(key);
  }
}

/** Who reports less often than others cannot tell yet whether the district is silent. */
function isAsked(plan: KindPlan, { periodMs }: District): boolean {
  return plan.outage !== undefined && plan.kind.reportPeriodMs === periodMs;
}

function silenceReason({ neverHeard }: Gap, { missedPeriods, kind }: KindPlan) {
  const params = { periods: missedPeriods, period_min: kind.reportPeriodMs / 60_000 };
  return because(neverHeard ? 'never_heard' : 'no_reading', params);
}
