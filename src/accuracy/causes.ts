/** What besides the meters' errors is in a district's balance: columns of the fit, and the shape of its noise. */
import type { Cause, RegisterNoise } from './balance.ts';
import type { Columns } from './matrix.ts';
import type { NoiseShape } from './noise.ts';
import type { Prepared } from './prepare.ts';
import { sum, sumOf } from './sums.ts';
import type { Network } from './voltage.ts';

/** Appliances that switch inside a row: kWh of a quarter hour they would draw. */
const SWITCHED_KWH = 0.3;
/** Without voltages: how far a row's loss lies from its square law, in itself. */
const BLIND_ROW_LOSS = 0.1;
/** Registers without a last digit. */
const LEAST_ROUNDING_KWH2 = 1e-9;
/** Sds before anything is seen: of a fixed load and of the loss by the square, in mean loads; of the whole loss by the voltages, in itself. */
const FIXED_SD = 0.05;
const SQUARE_SD = 0.05;
const LOSS_SD = 0.1;
const OWN_SQUARE_SD = 1;
/** Sd of a clock against the master's, s. */
const CLOCK_SD_S = 45;

/** The energy of the rows, as it is and as it enters the lines. */
export interface Loads {
  readonly kwh: Columns;
  readonly carried: Columns;
  /** Share of a meter's energy that is lost on its way. */
  readonly lossRates: Float64Array;
  /** Of all energy, by the registers alone. */
  readonly lossRate: number;
  readonly network: Network | undefined;
  /** Quarter hours in a row. */
  readonly quarters: number;
}

/** Where in `lossCauses` they are. */
export const FIXED = 0;
export const SWITCHED = 2;

/** Fixed load and losses; without voltages the loss follows the square of the whole load. */
export function lossCauses({ kwh: loads, carried, lossRates, network, quarters }: Loads): Cause[] {
  const total = sumOf(loads);
  const rows = total.length;
  const meanKwh = sum(total) / rows;
  const fixed = { column: new Float64Array(rows).fill(meanKwh), sd: FIXED_SD };
  if (!network) {
    const ofMeters = new Float64Array(loads.length).fill(2);
    return [fixed, { column: total.map((kwh) => (kwh * kwh) / meanKwh), sd: SQUARE_SD, ofMeters }];
  }
  const lost = new Float64Array(rows);
  const switched = new Float64Array(rows);
  const squared = new Float64Array(rows);
  const changed = new Float64Array(rows);
  // What changes from row to row has switched inside them.
  loads.forEach((load, i) => {
    const own = network.own[i]!;
    const into = carried[i]!;
    for (let t = 0; t < rows; t++) {
      const kwh = load[t]!;
      lost[t]! += into[t]! - kwh;
      switched[t]! += own * Math.abs(kwh);
      squared[t]! += own * kwh ** 2;
      changed[t]! += own * (Math.abs((load[t + 1] ?? kwh) - kwh) + Math.abs(kwh - (load[t - 1] ?? kwh)));
    }
  });
  return [
    fixed,
    { column: lost, sd: LOSS_SD, ofMeters: lossRates },
    { column: switched, sd: SWITCHED_KWH * quarters, ofMeters: network.own },
    { column: squared, sd: OWN_SQUARE_SD, ofMeters: network.own.map((own, i) => (2 * own * sum(loads[i]!)) / rows) },
    { column: changed, sd: SWITCHED_KWH * quarters },
  ];
}

/** What a meter that has come to a standstill may not have counted since: a stuck register, or an empty home. */
export function uncountedBy(carried: Float64Array, stillFrom: number, rowsPerDay: number): Cause {
  const day = Math.round(rowsPerDay);
  const typical = new Float64Array(day);
  for (let t = 0; t < stillFrom; t++) typical[t % day]! += carried[t]! / Math.ceil(stillFrom / day);
  return { column: carried.map((_, t) => (t < stillFrom ? 0 : typical[t % day]!)), sd: 1 };
}

/** What each user's clock adds to its register, for each row that it is late, then for each that it is early. */
export function clockCauses(loads: Columns, periodMs: number): Cause[] {
  const sd = (CLOCK_SD_S * 1000) / periodMs;
  const late = loads.map((load) => load.map((kwh, t) => (load[t + 1] ?? kwh) - kwh));
  const early = loads.map((load) => load.map((kwh, t) => (load[t - 1] ?? kwh) - kwh));
  return [...late, ...early].map((column) => ({ column, sd }));
}

/** By user that enters the balance. */
export function registerNoise({ used, energies }: Prepared): RegisterNoise[] {
  return used.map((i) => {
    const { kwh, stepKwh, variance } = energies[i]!;
    return { roundingKwh2: stepKwh ** 2 / 12, known: variance, power: powerAtMoments(kwh) };
  });
}

export function noiseShape(
  { used, energies, master }: Prepared,
  loads: Loads,
  registers: readonly RegisterNoise[],
): Omit<NoiseShape, 'weight'> {
  const meters = [master!, ...used.map((i) => energies[i]!)];
  return {
    roundingKwh2: meters.reduce((variance, { stepKwh }) => variance + stepKwh ** 2 / 12, LEAST_ROUNDING_KWH2),
    known: sumOf(meters.map(({ variance }) => variance)),
    knownRows: sumOf(meters.map(({ rowVariance }) => rowVariance)),
    power: sumOf(registers.map(({ power }) => power)),
    switching: switchingOf(loads),
  };
}

/** Variance of each row's loss by what switches inside it, or by what it is without voltages, kWh². */
function switchingOf({ kwh: loads, network, lossRate, quarters }: Loads): Float64Array {
  const rows = loads[0]!.length;
  const variance = new Float64Array(rows);
  if (network) {
    loads.forEach((load, i) => {
      const sd = network.own[i]! * SWITCHED_KWH * quarters;
      for (let t = 0; t < rows; t++) variance[t]! += (sd * load[t]!) ** 2;
    });
    return variance;
  }
  const total = sumOf(loads);
  const meanKwh = sum(total) / rows;
  return total.map((kwh) => (BLIND_ROW_LOSS * lossRate * (kwh * kwh)) ** 2 / Math.max(meanKwh * meanKwh, 1e-9));
}

/** Share of a meter's energy that is lost on its way, as it weighs in the fit. */
export function weightedLoss(load: Float64Array, carried: Float64Array): number {
  let lost = 0;
  let squares = 0;
  for (let t = 0; t < load.length; t++) {
    lost += (carried[t]! - load[t]!) * load[t]!;
    squares += load[t]! ** 2;
  }
  return squares > 0 ? lost / squares : 0;
}

/** The squared energy of a row about each moment, kWh². */
function powerAtMoments(kwh: Float64Array): Float64Array {
  return Float64Array.from({ length: kwh.length + 1 }, (_, k) => {
    const mean = ((kwh[k - 1] ?? kwh[k]!) + (kwh[k] ?? kwh[k - 1]!)) / 2;
    return mean * mean;
  });
}
