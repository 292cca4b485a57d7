/** Named districts for judging estimators: how bad the data are, and which seeds are for making and which for judging. */

import type { FleetOptions } from './fleet.ts';

type Preset = Omit<Partial<FleetOptions>, 'seed' | 'untilMs'>;

/** What all have in common: seven weeks of quarter hours that lose 1.8 % on the way to 120 homes, 7 of whose meters are bad. */
const COMMON = {
  metersPerDistrict: 120,
  days: 49,
  periodMs: 15 * 60_000,
  stepMs: 60_000,
  lossPct: 1.8,
  threePhasePct: 0,
  meterErrorSdPct: 0.3,
  masterErrorSdPct: 0.1,
  voltageGainSdPct: 0.2,
  registerStepKwh: 0.01,
  voltageStepV: 0.1,
  faults: { 'constant-error': 7 },
} as const satisfies Preset;

export const PRESETS = {
  /** Clocks right, voltages the mean of the interval. */
  clean: { ...COMMON, voltages: 'mean' },
  /** What a good collection delivers. */
  field: {
    ...COMMON,
    voltages: 'instant',
    clockOffsetSdS: 45,
    missingPct: 0.4,
    faults: { ...COMMON.faults, drift: 1 },
  },
  /** What is not in the ledger, either. */
  messy: {
    ...COMMON,
    voltages: 'instant',
    clockOffsetSdS: 60,
    missingPct: 2,
    theftW: 3_000,
    faults: { ...COMMON.faults, theft: 1, 'wrong-district': 1 },
  },
  /** Registers alone. */
  blind: { ...COMMON, voltages: 'none' },
} as const satisfies Readonly<Record<string, Preset>>;

export type PresetName = keyof typeof PRESETS;
export const PRESET_NAMES = Object.keys(PRESETS) as readonly PresetName[];

type Case = Pick<FleetOptions, 'seed' | 'untilMs' | 'network' | 'variation' | 'households'>;

/** A case is the same whenever it is run. */
const UNTIL_MS = Date.UTC(2025, 0, 31);

function making(seed: number): Case {
  return { seed, untilMs: UNTIL_MS, network: 'drawn', variation: 'appliances', households: 'development' };
}

function judging(seed: number, network: Case['network'], variation: Case['variation']): Case {
  return { seed, untilMs: UNTIL_MS, network, variation, households: 'judging' };
}

/** To look at while an estimator is made. */
export const DEVELOPMENT_CASES: Readonly<Record<string, Case>> = {
  'development-1': making(101),
  'development-2': making(102),
  'development-3': making(103),
  'development-4': making(104),
  'development-5': making(105),
  'development-6': making(106),
};

/** To be run when it is made: other seeds, other homes, other networks, another process inside the interval. */
export const JUDGING_CASES: Readonly<Record<string, Case>> = {
  'judging-1': judging(901, 'drawn', 'gamma'),
  'judging-2': judging(902, 'drawn', 'gamma'),
  'judging-3': judging(903, 'drawn', 'gamma'),
  'judging-4': judging(904, 'ieee-eu-lv', 'gamma'),
  'judging-5': judging(905, 'ieee-eu-lv', 'appliances'),
  'judging-6': judging(906, 'csiro-n', 'gamma'),
  'judging-7': judging(907, 'csiro-n', 'appliances'),
  'judging-8': judging(908, 'ieee-eu-lv', 'gamma'),
};
