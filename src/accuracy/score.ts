/** Estimates judged by what is known to be true. */
import type { MeterEstimate, Verdict } from './district.ts';

/** A user meter of which the truth is known. */
export interface JudgedMeter {
  readonly instrument: string;
  /** Mean error over the window, weighted by energy. */
  readonly truePct: number;
  readonly mpePct: number;
  /** What was put in on purpose; empty = nothing. */
  readonly faults: readonly string[];
  /** undefined = there is no line for it. Values that were not given are NaN. */
  readonly estimate:
    | (Pick<MeterEstimate, 'errorPct' | 'sdPct' | 'lowPct' | 'highPct'> & { readonly verdict: Verdict | undefined })
    | undefined;
}

export interface Score {
  readonly meters: number;
  /** Meters with an error; the figures of errors are about these, NaN = there are none. */
  readonly estimated: number;
  readonly rmsePct: number;
  readonly biasPct: number;
  readonly worstPct: number;
  /** Of the meters with an interval, those whose truth lies in it. */
  readonly coveragePct: number;
  readonly meanSdPct: number;
  /** |truth| ≥ GUILTY_FROM_PCT; called suspect or worse; called inaccurate. */
  readonly guilty: number;
  readonly guiltyNoticed: number;
  readonly guiltyCalled: number;
  /** |truth| within the MPE; called suspect, not worse; called inaccurate. */
  readonly innocent: number;
  readonly innocentSuspected: number;
  readonly innocentAccused: number;
  readonly undetermined: number;
  /** Meters without a line. */
  readonly missing: number;
}

/** Beyond doubt for every class of user meter. */
const GUILTY_FROM_PCT = 3;

export function scoreOf(meters: readonly JudgedMeter[]): Score {
  const errors = meters.flatMap(({ estimate, truePct }) => {
    const off = (estimate?.errorPct ?? Number.NaN) - truePct;
    return Number.isFinite(off) ? [off] : [];
  });
  const intervals = meters.filter(({ estimate }) => estimate && Number.isFinite(estimate.lowPct + estimate.highPct));
  const covering = intervals.filter(
    ({ estimate, truePct }) => estimate!.lowPct <= truePct && truePct <= estimate!.highPct,
  );
  const sds = meters.flatMap(({ estimate }) => (Number.isFinite(estimate?.sdPct) ? [estimate!.sdPct] : []));
  const guilty = meters.filter(({ truePct }) => Math.abs(truePct) >= GUILTY_FROM_PCT);
  const innocent = meters.filter(({ truePct, mpePct }) => Math.abs(truePct) <= mpePct);
  const called = (some: readonly JudgedMeter[], ...verdicts: Verdict[]) =>
    some.filter(({ estimate }) => estimate?.verdict !== undefined && verdicts.includes(estimate.verdict)).length;
  return {
    meters: meters.length,
    estimated: errors.length,
    rmsePct: Math.sqrt(mean(errors.map((off) => off * off))),
    biasPct: mean(errors),
    worstPct: errors.length > 0 ? Math.max(...errors.map(Math.abs)) : Number.NaN,
    coveragePct: intervals.length > 0 ? (100 * covering.length) / intervals.length : Number.NaN,
    meanSdPct: mean(sds),
    guilty: guilty.length,
    guiltyNoticed: called(guilty, 'suspect', 'inaccurate'),
    guiltyCalled: called(guilty, 'inaccurate'),
    innocent: innocent.length,
    innocentSuspected: called(innocent, 'suspect'),
    innocentAccused: called(innocent, 'inaccurate'),
    undetermined: called(meters, 'undetermined'),
    missing: meters.filter(({ estimate }) => !estimate).length,
  };
}

/** A group of meters: `all`, `judged` (with a verdict), `none` (no fault), or a fault. */
export interface ScoredGroup {
  readonly group: string;
  readonly score: Score;
}

/** Overall, of those on which a verdict was dared, then by fault; a meter with two faults is in both. */
export function scoreGroups(meters: readonly JudgedMeter[]): ScoredGroup[] {
  const faults = [...new Set(meters.flatMap((meter) => meter.faults))].sort();
  const isJudged = ({ estimate }: JudgedMeter) => estimate !== undefined && estimate.verdict !== 'undetermined';
  const groups: readonly (readonly [string, readonly JudgedMeter[]])[] = [
    ['all', meters],
    ['judged', meters.filter(isJudged)],
    ['none', meters.filter((meter) => meter.faults.length === 0)],
    ...faults.map((fault) => [fault, meters.filter((meter) => meter.faults.includes(fault))] as const),
  ];
  return groups.map(([group, some]) => ({ group, score: scoreOf(some) }));
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
