/** What was measured on site says of a meter's running error: an observation of d = e / (1 + e), all results of it multiplied. */
import type { SiteResult } from './district.ts';
import type { Normal } from './prior.ts';

const YEAR_MS = 365.25 * 86_400_000;
/** A class A (2) meter that uses up its MPE of 2 % in the 8 years to its next verification (JJG 596-2012) drifts 0.25 %/a (assumed). */
const DRIFT_PCT_PER_YEAR = 0.3;
/** Measured at some load of one hour; over the loads of a window an error is another by some tenths (IEC 62053-21). */
const MIN_SD_PCT = 0.1;
/** Beyond that it is stopped, connected wrongly or mistyped: the task is decided, but no running error is measured. */
const MAX_ERROR_PCT = 30;

/** Standard uncertainty of what a result says of the meter so long after, or before, percent. */
export function agedUncertaintyPct(uncertaintyPct: number, ageMs: number): number {
  return Math.hypot(uncertaintyPct, (DRIFT_PCT_PER_YEAR * ageMs) / YEAR_MS);
}

/**
 * Of `results`, in the order in which they were measured; undefined = nothing was measured of this meter. `shiftAt`: by how much the
 * d that is estimated lies beside the one that could be measured at a time.
 */
export function measuredOf(
  results: readonly SiteResult[],
  instrument: string,
  shiftAt: (atMs: number) => number = () => 0,
): Normal | undefined {
  const own = results.filter((result) => result.instrument === instrument);
  // What was measured before it failed does not tell of the meter that failed.
  const failed = own.findLastIndex(({ errorPct }) => !(Math.abs(errorPct) <= MAX_ERROR_PCT));
  const observed = own.slice(failed + 1).map((result) => observationOf(result, shiftAt(result.atMs)));
  if (observed.length === 0) return undefined;
  const precision = observed.reduce((total, { variance }) => total + 1 / variance, 0);
  const mean = observed.reduce((total, one) => total + one.mean / one.variance, 0) / precision;
  const squares = observed.reduce((total, one) => total + (one.mean - mean) ** 2 / one.variance, 0);
  // Results that contradict each other say less than they claim (Birge 1932).
  const contradiction = Math.max(1, squares / Math.max(observed.length - 1, 1));
  return { mean, variance: contradiction / precision };
}

function observationOf({ errorPct, uncertaintyPct }: SiteResult, shift: number): Normal {
  const error = errorPct / 100;
  const sd = Math.max(uncertaintyPct, MIN_SD_PCT) / 100 / (1 + error) ** 2;
  return { mean: error / (1 + error) + shift, variance: sd * sd };
}
