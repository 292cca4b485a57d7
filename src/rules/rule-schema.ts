/** The shape of config/rules.yaml. */
import { z } from 'zod';
import { duration, names, sentence, word } from '../config-part.ts';
import { ESTIMATE_FINDINGS } from '../fleet/estimate.ts';
import { SEVERITIES } from '../fleet/finding.ts';
import { QUANTITIES } from '../fleet/quantity.ts';
import { TASK_KINDS } from '../fleet/task.ts';
import { REASONS } from '../texts/reasons.ts';

const share = z.number().gt(0).max(1);
const periods = z.int().min(1).max(1000);

/** What a comparison measures: a quantity of the whole instrument, or one per phase under one name. */
export const PER_PHASE = {
  voltage: ['voltage_l1_v', 'voltage_l2_v', 'voltage_l3_v', 'voltage_v'],
  current: ['current_l1_a', 'current_l2_a', 'current_l3_a', 'current_a'],
} as const;

const comparison = z
  .strictObject({
    quantity: z.enum([...(Object.keys(PER_PHASE) as (keyof typeof PER_PHASE)[]), ...QUANTITIES]),
    /** Read when the phase does not report it. */
    fallback: z.enum(QUANTITIES).optional(),
    on: z.enum(['this-phase', 'other-phases']).default('this-phase'),
    below: z.number().optional(),
    above: z.number().optional(),
    of: z.enum(['nominal_voltage', 'max_current']).optional(),
  })
  .refine((c) => (c.below === undefined) !== (c.above === undefined), 'below_or_above');
const condition = z.array(comparison).min(1).max(8);

/** Sentences that say it of the whole instrument and of one phase. */
const reason = z.enum(Object.keys(REASONS).filter((code) => `${code}_on_phase` in REASONS));

const common = {
  name: names,
  kinds: z.union([z.literal('all'), z.array(z.string()).min(1)], { error: 'all_or_list' }),
  severity: z.enum(SEVERITIES),
  task: z.enum([...TASK_KINDS, 'none']),
  cause: z.string().min(1).optional(),
  source: sentence,
};
const lasting = { fires_after: duration, clears_after: duration };

const rule = z.discriminatedUnion('detector', [
  z.strictObject({ ...common, detector: z.literal('silent'), missed_periods: periods }),
  z.strictObject({
    ...common,
    detector: z.literal('outage'),
    missed_periods: periods,
    share,
    at_least: z.int().min(2),
    resumed_share: share,
  }),
  z.strictObject({ ...common, ...lasting, detector: z.literal('register-decrease') }),
  z.strictObject({
    ...common,
    ...lasting,
    detector: z.literal('register-still'),
    power_above_w: z.number().nonnegative(),
    current_above: share,
    assumed_power_factor: share,
    energy_above_kwh: z.number().positive(),
  }),
  z.strictObject({ ...common, ...lasting, detector: z.literal('increment-limit'), factor: z.number().positive() }),
  z.strictObject({
    ...common,
    ...lasting,
    detector: z.literal('threshold'),
    fires_when: condition,
    clears_when: condition,
    reason,
  }),
  z.strictObject({ ...common, detector: z.literal('reading-path') }),
  z.strictObject({ ...common, detector: z.literal('estimate'), finds: z.enum(ESTIMATE_FINDINGS) }),
  z.strictObject({ ...common, detector: z.literal('on-site') }),
]);

export const ruleFileSchema = z.strictObject({
  register: z.strictObject({ step: z.number().positive(), rollover_above: share, rollover_below: share }),
  evidence: z.strictObject({ hole_periods: periods, line_voltage_from_v: z.number().positive() }),
  district_clock: z.strictObject({ settle: duration, startup_grace: duration }),
  rules: z.record(word, rule),
});

export type RuleEntry = z.output<typeof rule>;
export type Comparison = z.output<typeof comparison>;
export type DetectorName = RuleEntry['detector'];
