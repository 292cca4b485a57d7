/**
 * What a measurement on site says of a meter. JJF 1094-2002, 5.3: with an expanded uncertainty of at most a third of the MPE the
 * measured error alone decides; with a larger one it has to lie clear of the limit by the uncertainty (operator to confirm).
 */
import type { Verdict } from '../fleet/task.ts';

export interface Measurement {
  readonly errorPct: number;
  /** k = 2. */
  readonly expandedUncertaintyPct: number;
  /** Which one it was measured against: name, number. */
  readonly standard: string;
  /** Epoch ms; undefined = when it is entered. */
  readonly measuredAtMs?: number | undefined;
}

export type SiteVerdict = Exclude<Verdict, 'no-access'>;

const DECISIVE_SHARE = 1 / 3;

/** undefined = it does not decide. */
export function judgeMeasurement(
  { errorPct, expandedUncertaintyPct }: Pick<Measurement, 'errorPct' | 'expandedUncertaintyPct'>,
  mpePct: number,
): SiteVerdict | undefined {
  const error = Math.abs(errorPct);
  const margin = expandedUncertaintyPct <= DECISIVE_SHARE * mpePct ? 0 : expandedUncertaintyPct;
  if (error > mpePct + margin) return 'confirmed';
  return error <= mpePct - margin ? 'refuted' : undefined;
}
