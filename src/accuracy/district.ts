/** What an estimate of a district's running errors is made from, and what comes out. Percent of true energy, positive = fast. */

/** Phases a meter is connected to, as the ledger has it; undefined = unknown. */
export type Connection = 'L1' | 'L2' | 'L3' | 'L123';

/** What one meter reported over the window: one value for each moment of the window, NaN = no reading. */
export interface MeterSeries {
  readonly id: string;
  readonly phase: Connection | undefined;
  /** Register of energy in kWh. */
  readonly importKwh: Float64Array;
  /** Register of energy fed back; undefined = it has none. */
  readonly exportKwh: Float64Array | undefined;
  /** V, one series, or one for each of L1, L2, L3; none = not reported. */
  readonly voltagesV: readonly Float64Array[];
}

/** A measurement of a meter's error on site, against a standard. */
export interface SiteResult {
  readonly instrument: string;
  readonly atMs: number;
  readonly errorPct: number;
  /** Standard uncertainty, k = 1. */
  readonly uncertaintyPct: number;
}

export interface DistrictWindow {
  readonly district: string;
  /** The first moment; the others follow every `periodMs`. Epoch ms. */
  readonly fromMs: number;
  readonly periodMs: number;
  /** Moments in the window: one more than there are rows. */
  readonly moments: number;
  /** undefined = the district has none, or more than one. */
  readonly master: MeterSeries | undefined;
  readonly users: readonly MeterSeries[];
  /** The maximum permissible error of each user meter, percent; as long as `users`. */
  readonly mpePct: readonly number[];
  readonly siteResults: readonly SiteResult[];
}

/** What an operator decides (config/accuracy.yaml). */
export interface AccuracyPolicy {
  /** Rows that must have been read at both ends. */
  readonly minRows: number;
  /** Share of a meter's readings that must be there. */
  readonly minCollection: number;
  /** Below this energy in the window nothing can be said, kWh. */
  readonly minEnergyKwh: number;
  /** P(|error| > MPE) from which a meter is called so. */
  readonly inaccurateFrom: number;
  readonly suspectFrom: number;
  /** Standard uncertainty of the master meter, percent: a floor under every interval. */
  readonly masterUncertaintyPct: number;
  /** How far ahead a crossing of the MPE is told, days. */
  readonly horizonDays: number;
}

export const VERDICTS = ['ok', 'suspect', 'inaccurate', 'undetermined'] as const;
export type Verdict = (typeof VERDICTS)[number];

/** Why a verdict is no more than it is. */
export type VerdictReason =
  | 'no_master'
  | 'no_readings'
  | 'too_few_rows'
  | 'low_collection'
  | 'too_little_energy'
  | 'stuck_register'
  | 'wrong_district'
  | 'wide_interval'
  | 'no_voltages'
  | 'feeds_back'
  | 'unexplained_balance'
  | 'not_solvable';

export interface Reason<Code extends string> {
  readonly code: Code;
  /** Numbers with their unit at the end of the name; names. */
  readonly params: Readonly<Record<string, number | string>>;
}

/** How an error moved inside the window. */
export interface ErrorChange {
  readonly kind: 'drift' | 'step';
  /** When it began, and the 95 % interval of that. Epoch ms. */
  readonly onsetMs: number;
  readonly onsetLowMs: number;
  readonly onsetHighMs: number;
  /** At the end of the window. */
  readonly errorNowPct: number;
  /** Of a drift, with its standard deviation; of a step, its height and that. */
  readonly sizePct: number;
  readonly sizeSdPct: number;
  /** Of a drift: when the MPE is crossed at this pace, and the 95 % interval; undefined = not within the horizon. */
  readonly crossing: { readonly atMs: number; readonly lowMs: number; readonly highMs: number } | undefined;
}

export interface MeterEstimate {
  readonly instrument: string;
  /** Posterior mean over the window, its standard deviation and 95 % interval; NaN when nothing can be said. */
  readonly errorPct: number;
  readonly sdPct: number;
  readonly lowPct: number;
  readonly highPct: number;
  /** P(|error| > MPE). */
  readonly pInaccurate: number;
  readonly verdict: Verdict;
  /** Of `undetermined` always. */
  readonly reason: Reason<VerdictReason> | undefined;
  /** Rows of the district that this meter was read for at both ends, and the others. */
  readonly rowsUsed: number;
  readonly rowsRefused: number;
  readonly energyKwh: number;
  /** Of its clock against the master's, s, positive = late; undefined = not estimated. */
  readonly clockOffsetS: number | undefined;
  readonly change: ErrorChange | undefined;
}

/** What the district shows that is no error of a meter. `instrument` where it is about one. */
export type DistrictNote = Reason<
  'wrong_district' | 'wrong_phase' | 'unmetered_energy' | 'master_off' | 'stuck_register' | 'register_reset'
> & { readonly instrument?: string };

/** Energy of the district over the window, kWh. */
export interface Balance {
  readonly masterKwh: number;
  readonly usersKwh: number;
  /** Line loss as the model has it. */
  readonly lossKwh: number;
  /** What remains, before and after the errors found are taken out: root mean square of a row. */
  readonly residualKwh: number;
  readonly residualUncorrectedKwh: number;
}

/** How it was come by. */
export interface Method {
  readonly version: string;
  readonly loss: 'voltages' | 'load-squared' | 'none';
  readonly clocks: 'right' | 'estimated';
  readonly voltages: 'mean' | 'instantaneous' | 'none';
  /** Of good meters, as this district shows it. */
  readonly spreadPct: number;
}

export interface DistrictEstimate {
  readonly district: string;
  readonly fromMs: number;
  readonly toMs: number;
  readonly rows: number;
  readonly method: Method;
  readonly balance: Balance | undefined;
  readonly notes: readonly DistrictNote[];
  /** In the order of the window's users, one for each, always. */
  readonly meters: readonly MeterEstimate[];
}
