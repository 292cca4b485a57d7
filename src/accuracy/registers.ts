/** From registers as they were read to the energy of each row, and how well the moments between rows are known. */

export interface Energy {
  /** kWh of each row. */
  readonly kwh: Float64Array;
  /** Variance of the register at each moment beyond its rounding, kWh²: zero where it was read. */
  readonly variance: Float64Array;
  /** Of each row's energy, kWh²: in a long gap it is no more than what the meter counts on the mean. */
  readonly rowVariance: Float64Array;
  /** 1 = the register was read at both ends of the row. */
  readonly isRead: Uint8Array;
  readonly rowsRead: number;
  /** Moments with a reading, of all. */
  readonly collection: number;
  /** The last digit, kWh; 0 = none is seen. */
  readonly stepKwh: number;
  /** What a home feeds back makes a good part of what crosses its meter. */
  readonly feedsBack: boolean;
  /** Moments at which the register was lower than before. */
  readonly resets: readonly number[];
}

const STEPS_KWH = [1, 0.1, 0.01, 0.001] as const;
/** Values looked at to find the last digit. */
const STEP_SAMPLE = 400;
/** A value so near to a whole number of steps is one, in steps; a large number is not known better than so much of itself. */
const WHOLE = 1e-6;
const FLOAT = 1e-12;
/** Of a moment about which nothing is known, kWh². */
const UNKNOWN = 1e4;
/** Of what lies between two readings, at least, kWh². */
const ROUNDING_KWH2 = 1e-6;
/** A register that falls by more was reset; by less, it was read awry. */
const RESET_KWH = 1;
/** A register that is back where it was within so many readings was misread in between. */
const MISREAD_READINGS = 96;
/** Missing readings in a row from which on nothing is known of how the energy fell into them. */
const LONG_GAP_ROWS = 8;
/** A register that stands still for so many rows and then counts so much more in one than in any other was not being read. */
const FROZEN_ROWS = 8;
const CAUGHT_UP = 1.5;
/** Share of what crosses the meter. */
const FEEDS_BACK_FROM = 0.05;

/**
 * What a meter's registers counted in each row, import less export. A missing moment lies on the line between its neighbours, and
 * its variance says how far off that may be.
 */
export function energyOf(imported: Float64Array, exported?: Float64Array): Energy {
  const moments = imported.length;
  // Each register rises by itself; what is left of one when the other is taken off may fall.
  const into = straightened(imported);
  const back = exported && straightened(exported);
  const register = back ? into.values.map((kwh, k) => kwh - back.values[k]!) : into.values;
  dropFrozen(register);
  const resets = [...into.resets, ...(back?.resets ?? [])];
  const values = Float64Array.from(register);
  const variance = new Float64Array(moments);
  const rowVariance = new Float64Array(moments - 1);
  const typical = typicalOf(values);
  let last = -1;
  let count = 0;
  for (let k = 0; k < moments; k++) {
    if (Number.isNaN(register[k]!)) continue;
    count++;
    if (k > last + 1) fill(values, variance, rowVariance, last, k, typical);
    last = k;
  }
  if (last < moments - 1) fill(values, variance, rowVariance, last, moments, typical);
  for (const k of resets) variance[k] = UNKNOWN;
  const kwh = new Float64Array(moments - 1);
  const isRead = new Uint8Array(moments - 1);
  let [rowsRead, backKwh, crossedKwh] = [0, 0, 0];
  for (let t = 0; t < moments - 1; t++) {
    kwh[t] = values[t + 1]! - values[t]!;
    backKwh += Math.max(-kwh[t]!, 0);
    crossedKwh += Math.abs(kwh[t]!);
    if (Number.isNaN(register[t]!) || Number.isNaN(register[t + 1]!)) continue;
    isRead[t] = 1;
    rowsRead++;
  }
  return {
    kwh,
    variance,
    rowVariance,
    isRead,
    rowsRead,
    collection: count / moments,
    stepKwh: stepOf(imported),
    feedsBack: backKwh > FEEDS_BACK_FROM * crossedKwh,
    resets,
  };
}

/** Without misread values; a register that jumps back for good goes on from where it was; what it counted in that row is unknown. */
function straightened(register: Float64Array): { values: Float64Array; resets: number[] } {
  const values = Float64Array.from(register);
  dropMisread(values);
  const resets: number[] = [];
  let lift = 0;
  let before = Number.NaN;
  for (let k = 0; k < values.length; k++) {
    const value = values[k]!;
    if (Number.isNaN(value)) continue;
    if (value + lift < before - RESET_KWH) {
      resets.push(k);
      lift = before - value;
    }
    values[k] = value + lift;
    before = values[k]!;
  }
  return { values, resets };
}

/** Where a register falls, what came before was too high, or what comes now is too low: whichever takes fewer readings to mend. */
function dropMisread(values: Float64Array): void {
  const kept: number[] = [];
  for (let k = 0; k < values.length; k++) {
    const value = values[k]!;
    if (Number.isNaN(value)) continue;
    const before = values[kept.at(-1) ?? k]!;
    if (value < before - RESET_KWH) {
      const high = countHigh(values, kept, value);
      const low = countLow(values, k, before);
      if (low < high) {
        values.fill(Number.NaN, k, k + low);
        continue;
      }
      if (high < Number.POSITIVE_INFINITY) for (const spike of kept.splice(-high)) values[spike] = Number.NaN;
    }
    kept.push(k);
  }
}

/** How many of the newest readings lie above `value`, if they are few. */
function countHigh(values: Float64Array, kept: readonly number[], value: number): number {
  for (let count = 1; count <= MISREAD_READINGS && count < kept.length; count++) {
    if (values[kept[kept.length - 1 - count]!]! <= value) return count;
  }
  return Number.POSITIVE_INFINITY;
}

/** How many moments from `k` on it takes the register to be back at `before`, if they are few. */
function countLow(values: Float64Array, k: number, before: number): number {
  for (let count = 1; count <= MISREAD_READINGS && k + count < values.length; count++) {
    if (values[k + count]! >= before) return count;
  }
  return Number.POSITIVE_INFINITY;
}

/** A register that was passed on unchanged until it caught up in one row was not read meanwhile. */
function dropFrozen(values: Float64Array): void {
  let [largest, second, at] = [0, 0, -1];
  let last = -1;
  for (let k = 0; k < values.length; k++) {
    if (Number.isNaN(values[k]!)) continue;
    const kwh = last < 0 ? 0 : values[k]! - values[last]!;
    if (kwh > largest) [largest, second, at] = [kwh, largest, k];
    else if (kwh > second) second = kwh;
    last = k;
  }
  if (!(largest > CAUGHT_UP * second)) return;
  let from = at - 1;
  while (from > 0 && (Number.isNaN(values[from - 1]!) || values[from - 1]! === values[at - 1]!)) from--;
  if (at - from <= FROZEN_ROWS) return;
  values.fill(Number.NaN, from + 1, at);
}

/** What is typical of the rows that were read. */
interface Typical {
  readonly kwh: number;
  readonly variance: number;
  /** Variance of a row's energy about the mean of its surroundings, for each kWh it has. */
  readonly unrest: number;
}

function typicalOf(values: Float64Array): Typical {
  let [count, total, squares] = [0, 0, 0];
  let [jumps, around] = [0, 0];
  let before = Number.NaN;
  for (let k = 1; k < values.length; k++) {
    const kwh = values[k]! - values[k - 1]!;
    if (!Number.isNaN(kwh)) {
      count++;
      total += kwh;
      squares += kwh * kwh;
      if (!Number.isNaN(before)) {
        jumps += (kwh - before) ** 2 / 2;
        around += Math.abs(kwh + before) / 2;
      }
    }
    before = kwh;
  }
  const mean = total / Math.max(count, 1);
  return {
    kwh: mean,
    variance: count > 0 ? Math.max(squares / count - mean * mean, ROUNDING_KWH2) : UNKNOWN,
    unrest: around > 0 ? jumps / around : 0,
  };
}

/** Moments between `from` and `to`, which are read or the ends of the window. */
function fill(
  values: Float64Array,
  variance: Float64Array,
  rowVariance: Float64Array,
  from: number,
  to: number,
  typical: Typical,
): void {
  const isOpen = from < 0 || to >= values.length;
  const rows = to - from;
  const known = { from: Math.max(from, 0), to: Math.min(to, values.length - 1) };
  const perRow = isOpen ? typical.kwh : (values[to]! - values[from]!) / rows;
  const start = from < 0 ? (values[to] ?? 0) - perRow * rows : values[from]!;
  const isLong = isOpen || rows > LONG_GAP_ROWS;
  for (let k = Math.max(from + 1, 0); k < Math.min(to, values.length); k++) {
    const share = (k - from) / rows;
    values[k] = start + perRow * (k - from);
    if (!isLong) variance[k] = ROUNDING_KWH2 + typical.unrest * Math.abs(perRow) * rows * share * (1 - share);
  }
  if (isLong) rowVariance.fill(typical.variance + (isOpen ? typical.kwh ** 2 : 0), known.from, known.to);
}

function stepOf(register: Float64Array): number {
  const seen: number[] = [];
  for (let k = 0; k < register.length && seen.length < STEP_SAMPLE; k++) {
    if (!Number.isNaN(register[k]!)) seen.push(register[k]!);
  }
  const isMultiple = (step: number) =>
    seen.every((value) => Math.abs(value / step - Math.round(value / step)) < WHOLE + FLOAT * Math.abs(value / step));
  return seen.length < 2 ? 0 : (STEPS_KWH.find(isMultiple) ?? 0);
}
