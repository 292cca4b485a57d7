/** The moments at which a district is read, found in the times of its readings. All times in epoch ms. */

/** `moments` moments, the first at `fromMs`, the others every `periodMs`. */
export interface Grid {
  readonly fromMs: number;
  readonly periodMs: number;
  readonly moments: number;
}

const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
/** Closer readings than this tell no more of an error than they cost: registers are rounded. */
const MIN_PERIOD_MS = 5 * MINUTE_MS;
/** A year of five minutes; of longer histories the newest part. */
const MAX_MOMENTS = 105_121;
/** What lies further apart is not one history: a clock that was reset, a register read once years ago. */
const MAX_GAP_MS = 30 * DAY_MS;
/** How far a reading may miss its moment (a device says 10:00:03), as a share of the period and at most. */
const TOLERANCE_SHARE = 0.1;
const MAX_TOLERANCE_MS = 2 * MINUTE_MS;
/** Moments at whole periods are taken unless others are clearly more usual. */
const AS_GOOD_AS = 0.9;

export function toleranceMs(periodMs: number): number {
  return Math.min(TOLERANCE_SHARE * periodMs, MAX_TOLERANCE_MS);
}

/**
 * `master`, `users`: times of readings in order, one series for each meter; no master = empty. A row needs the master and the users
 * at once, so the period is no shorter than the master's. undefined = there are no readings.
 */
export function findGrid(
  master: Float64Array,
  users: readonly Float64Array[],
  usualPeriodMs: number,
  days = Number.POSITIVE_INFINITY,
): Grid | undefined {
  const all = master.length > 0 ? [master, ...users] : users;
  const span = spanOf(master.length > 0 ? master : merged(users));
  if (!span) return undefined;
  const longer = Math.max(usualDistance([master]) ?? 0, usualDistance(all) ?? 0) || usualPeriodMs;
  const periodMs = longer * Math.ceil(MIN_PERIOD_MS / longer);
  const offsetMs = offsetOf(all, periodMs);
  const index = (tsMs: number) => Math.round((tsMs - offsetMs) / periodMs);
  const last = index(span.toMs);
  const earliest = Math.max(last - MAX_MOMENTS + 1, Math.ceil(last - (days * DAY_MS) / periodMs));
  const first = Math.max(index(span.fromMs), earliest);
  return { fromMs: offsetMs + first * periodMs, periodMs, moments: last - first + 1 };
}

function merged(series: readonly Float64Array[]): Float64Array {
  const times = new Float64Array(series.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const one of series) {
    times.set(one, at);
    at += one.length;
  }
  return times.sort();
}

/** First and last of the longest history without a gap: the one with the most readings, the newer of equals. */
function spanOf(times: Float64Array): { fromMs: number; toMs: number } | undefined {
  let best: { fromMs: number; toMs: number; count: number } | undefined;
  let from = 0;
  for (let k = 1; k <= times.length; k++) {
    if (k < times.length && times[k]! - times[k - 1]! <= MAX_GAP_MS) continue;
    const count = k - from;
    if (!best || count >= best.count) best = { fromMs: times[from]!, toMs: times[k - 1]!, count };
    from = k;
  }
  return best;
}

/** What lies between two readings for most of the time: whole minutes, or seconds where it is less; the smallest of equals. */
function usualDistance(series: readonly Float64Array[]): number | undefined {
  const totals = new Map<number, number>();
  for (const times of series) {
    for (let k = 1; k < times.length; k++) {
      const apart = times[k]! - times[k - 1]!;
      const unit = apart > 0.75 * MINUTE_MS ? MINUTE_MS : SECOND_MS;
      const whole = Math.round(apart / unit) * unit;
      // A gap of weeks is not what is usual.
      if (whole > 0) totals.set(whole, (totals.get(whole) ?? 0) + Math.min(whole, DAY_MS));
    }
  }
  const [first] = [...totals].sort(([a, timeA], [b, timeB]) => timeB - timeA || a - b);
  return first?.[0];
}

/** How long after whole periods the readings come. */
function offsetOf(series: readonly Float64Array[], periodMs: number): number {
  const bins = Math.max(1, Math.round(periodMs / toleranceMs(periodMs)));
  const widthMs = periodMs / bins;
  const binOf = (tsMs: number) => Math.round((tsMs % periodMs) / widthMs) % bins;
  const counts = new Array<number>(bins).fill(0);
  for (const times of series) for (const tsMs of times) counts[binOf(tsMs)]!++;
  const most = Math.max(...counts);
  if (counts[0]! >= AS_GOOD_AS * most) return 0;
  const centreMs = counts.indexOf(most) * widthMs;
  const near: number[] = [];
  for (const times of series) {
    for (const tsMs of times) {
      const off = (tsMs % periodMs) - centreMs;
      if (Math.abs(off) <= 1.5 * widthMs) near.push(off);
    }
  }
  const middle = near.sort((a, b) => a - b)[near.length >> 1]!;
  return Math.round((centreMs + middle) / SECOND_MS) * SECOND_MS;
}
