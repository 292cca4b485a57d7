/** The readings a finding was made of, kept with the task it raises: later corrections and retention cannot change them. */
import type { Balance, ErrorChange, Method, Verdict } from '../accuracy/district.ts';
import type { Reason, Severity } from '../fleet/finding.ts';
import type { ReadingStore, StoredReading } from './readings.ts';

export interface Evidence {
  readonly rule: string;
  /** Epoch ms at which the condition began. */
  readonly fromMs: number;
  readonly severity: Severity;
  readonly reason: Reason;
  /** Whose readings follow: the instrument, or the master of the district; null when it has none. */
  readonly instrument: string | null;
  readonly readings: readonly StoredReading[];
  /** Of a finding that an estimate made. */
  readonly estimate?: EstimateEvidence;
}

/** Why an estimate came to its finding, as it was then. Times in epoch ms. */
export interface EstimateEvidence {
  readonly run: string;
  readonly fromMs: number;
  readonly toMs: number;
  /** Rows of the district, and of them those of this meter that were used and refused. */
  readonly rows: number;
  readonly rowsUsed: number | null;
  readonly rowsRefused: number | null;
  readonly method: Method;
  /** With and without the errors found; null = it could not be balanced. */
  readonly balance: Balance | null;
  /** The band the error has to stay in; null when it is about the district. */
  readonly mpePct: number | null;
  readonly change: ErrorChange | null;
  /** Of this meter, oldest first, this run last. */
  readonly history: readonly EstimatePoint[];
}

export interface EstimatePoint {
  readonly run: string;
  readonly toMs: number;
  /** null = nothing could be said. */
  readonly errorPct: number | null;
  readonly lowPct: number | null;
  readonly highPct: number | null;
  readonly pInaccurate: number | null;
  readonly verdict: Verdict;
}

/** A day at the usual 15 minutes. */
const READINGS_MAX = 96;
/** So many of them may follow the moment of the finding. */
const LATER_MAX = 24;
const WINDOW_MS = 86_400_000;
/** So many are read to keep the nearest: twice what fits, because the window is halved until they are all there is. */
const SCAN_MAX = 2 * READINGS_MAX;
/** Halving a day so often leaves 21 s: whoever sends more than 9 readings a second shows some of that window's first. */
const HALVINGS_MAX = 12;

/** At most 96 readings around `fromMs`: up to a day before and a day after, the nearest ones when there are more. */
export async function readingsAround(
  range: ReadingStore['range'],
  key: number,
  fromMs: number,
): Promise<StoredReading[]> {
  const later = await range(key, fromMs, fromMs + WINDOW_MS, LATER_MAX);
  const room = READINGS_MAX - later.length;
  let earlier: StoredReading[] = [];
  for (let halvings = 0, windowMs = WINDOW_MS; halvings <= HALVINGS_MAX; halvings++, windowMs /= 2) {
    earlier = await range(key, fromMs - windowMs, fromMs, SCAN_MAX);
    if (earlier.length < SCAN_MAX) break;
  }
  return [...earlier.slice(-room), ...later];
}
