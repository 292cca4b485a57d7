/** When a meter may be judged, what it is then called, and how often: what an operator decides about estimates. */
import { z } from 'zod';
import { checked } from '../config-part.ts';
import type { Instrument } from '../fleet/instrument.ts';
import type { Kinds } from '../fleet/kind.ts';
import type { AccuracyPolicy } from './district.ts';

/** Errors of these are estimated; others have no master to be held against. */
export const ESTIMATED_KIND = 'electricity';

export interface EstimationPolicy extends AccuracyPolicy {
  /** Readings of this many days enter an estimate. */
  readonly windowDays: number;
  /** When the nightly run begins, 0…23. */
  readonly nightlyHour: number;
  /** Estimates in a row that must call a meter inaccurate before it is a finding. */
  readonly confirmations: number;
  /** Of a meter whose class is unknown. */
  readonly defaultMpePct: number;
}

/** As long as readings are kept at most. */
const MAX_DAYS = 3_650;

const probability = z.number().gt(0).max(1);

const schema = z
  .strictObject({
    window_days: z.int().min(1).max(MAX_DAYS),
    nightly_hour: z.int().min(0).max(23),
    min_rows: z.int().min(2),
    min_collection: z.number().min(0).max(1),
    min_energy_kwh: z.number().min(0),
    inaccurate_from: probability,
    suspect_from: probability,
    confirmations: z.int().min(1).max(100),
    master_uncertainty_pct: z.number().min(0).max(10),
    default_mpe_pct: z.number().gt(0).max(100),
    horizon_days: z.int().min(0).max(MAX_DAYS),
  })
  .superRefine(({ suspect_from, inaccurate_from }, context) => {
    if (suspect_from < inaccurate_from) return;
    const params = { other: 'inaccurate_from', limit: inaccurate_from };
    context.addIssue({ code: 'custom', path: ['suspect_from'], message: 'not_below', params });
  });

/** config/accuracy.yaml as parsed YAML; throws invalid_config naming the path. */
export function parseEstimationPolicy(raw: unknown): EstimationPolicy {
  const file = checked(schema, raw, 'accuracy');
  return Object.freeze({
    windowDays: file.window_days,
    nightlyHour: file.nightly_hour,
    minRows: file.min_rows,
    minCollection: file.min_collection,
    minEnergyKwh: file.min_energy_kwh,
    inaccurateFrom: file.inaccurate_from,
    suspectFrom: file.suspect_from,
    confirmations: file.confirmations,
    masterUncertaintyPct: file.master_uncertainty_pct,
    defaultMpePct: file.default_mpe_pct,
    horizonDays: file.horizon_days,
  });
}

/** The maximum permissible error of a meter by its class, percent. */
export function mpePctOf(
  { kind, accuracyClass }: Pick<Instrument, 'kind' | 'accuracyClass'>,
  kinds: Kinds,
  policy: Pick<EstimationPolicy, 'defaultMpePct'>,
): number {
  return kinds.get(kind)?.mpePct.get(accuracyClass) ?? policy.defaultMpePct;
}
