/** From registers as they were read to the energy of each row, and how well the moments between rows are known. */

export interface Energy {
  /** kWh of each row. */
  readonly kwh: Float64Array;
  /** Variance of the register at each moment beyond its rounding, kWh²: zero where it was read. */
  readonly variance: Float64Array;
  /** 1 = the register was read at both ends of the row. */
  readonly isRead: Uint8Array;
  readonly rowsRead: number;
  /** Moments with a reading, of all. */
  readonly collection: number;
  /** The last digit, kWh; 0 = none is seen. */
  readonly stepKwh: number;
  /** Moments at which the register was lower than before. */
  readonly resets: readonly number[];
}

const STEPS_KWH = [1, 0.1, 0.01, 0.001] as const;
/** Values looked at to find the last digit. */
const STEP_SAMPLE = 400;
/** So near to a whole number of steps, and so much nearer than that is no number: it was written with fewer digits. */
const WHOLE = 1e-6;
const FLOAT = 1e-12;
/** Of a moment about which nothing is known, kWh². */
const UNKNOWN = 1e4;
/** Of what lies between two readings, at least, kWh². */
const ROUNDING_KWH2 = 1e-6;
/** A register that falls by more was reset; by less, it was read awry. */
const RESET_KWH = 1;

/** What the register counted in each row. A missing moment lies on the line between its neighbours, and its variance says how far off that may be. */
export function energyOf(register: Float64Array): Energy {
  const moments = register.length;
  const values = Float64Array.from(register);
  const resets = straighten(values);
  const variance = new Float64Array(moments);
  const unrest = unrestOf(values);
  let last = -1;
  let count = 0;
  for (let k = 0; k < moments; k++) {
    if (Number.isNaN(register[k]!)) continue;
    count++;
    if (k > last + 1) fill(values, variance, last, k, unrest);
    last = k;
  }
  if (last < moments - 1) fill(values, variance, last, moments, unrest);
  for (const k of resets) variance[k] = UNKNOWN;
  const kwh = new Float64Array(moments - 1);
  const isRead = new Uint8Array(moments - 1);
  let rowsRead = 0;
  for (let t = 0; t < moments - 1; t++) {
    kwh[t] = values[t + 1]! - values[t]!;
    if (Number.isNaN(register[t]!) || Number.isNaN(register[t + 1]!)) continue;
    isRead[t] = 1;
    rowsRead++;
  }
  return { kwh, variance, isRead, rowsRead, collection: count / moments, stepKwh: stepOf(register), resets };
}

/** Import less export: what crossed the meter; both registers must have been read. */
export function net(imported: Float64Array, exported: Float64Array | undefined): Float64Array {
  return exported ? imported.map((kwh, k) => kwh - exported[k]!) : imported;
}

/** A register that jumps back goes on from where it was; what it counted in that row is unknown. */
function straighten(values: Float64Array): number[] {
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
  return resets;
}

/** Variance of a row's energy about the mean of its surroundings, for each kWh it has. */
function unrestOf(values: Float64Array): number {
  let squares = 0;
  let sum = 0;
  for (let k = 1; k < values.length - 1; k++) {
    const before = values[k]! - values[k - 1]!;
    const after = values[k + 1]! - values[k]!;
    if (Number.isNaN(before) || Number.isNaN(after)) continue;
    squares += (after - before) ** 2 / 2;
    sum += Math.abs(after + before) / 2;
  }
  return sum > 0 ? squares / sum : 0;
}

/** Moments between `from` and `to`, which are read or the ends of the window. */
function fill(values: Float64Array, variance: Float64Array, from: number, to: number, unrest: number): void {
  const isOpen = from < 0 || to >= values.length;
  const before = from < 0 ? values[to]! : values[from]!;
  const after = to >= values.length ? before : values[to]!;
  const rows = to - from;
  const kwhPerRow = Math.abs(after - before) / rows;
  for (let k = from + 1; k < to; k++) {
    const share = (k - from) / rows;
    values[k] = Number.isNaN(before) ? 0 : before + share * (after - before);
    variance[k] = isOpen ? UNKNOWN : ROUNDING_KWH2 + unrest * kwhPerRow * rows * share * (1 - share);
  }
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
