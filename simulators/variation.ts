/** How a home's half hour looks from minute to minute: two processes, so that nothing is fitted to one of them. */

import { unitAt } from './random.ts';

export const MINUTES = 30;

export interface HalfHour {
  readonly energyKwh: number;
  /** What the neighbouring half hours also draw. */
  readonly standingKwh: number;
  readonly seed: number;
  /** Number of the half hour since 1970. */
  readonly position: number;
}

/** Fills the minutes of a half hour; their sum is its energy. */
type Process = (minuteKwh: Float64Array, halfHour: HalfHour) => void;

/** Standing load runs evenly; the rest is a kettle, an oven, a heater: one power, some minutes, again and again. */
const appliances: Process = (minuteKwh, { energyKwh, standingKwh, seed, position }) => {
  const ownShare = 0.4 + 0.5 * unitAt(seed, -1, 0);
  const pulseKwh = (1 + 2 * unitAt(seed, -1, 1)) / 60;
  const longest = 3 + 12 * unitAt(seed, -1, 2);
  minuteKwh.fill((ownShare * standingKwh) / MINUTES);
  let leftKwh = energyKwh - ownShare * standingKwh;
  for (let draw = 0; leftKwh > 0; draw += 2) {
    const first = Math.floor(MINUTES * unitAt(seed, position, draw));
    const minutes = 1 + Math.floor(longest * unitAt(seed, position, draw + 1));
    for (let minute = first; minute < first + minutes && leftKwh > 0; minute++) {
      const kwh = Math.min(leftKwh, pulseKwh);
      minuteKwh[minute % MINUTES]! += kwh;
      leftKwh -= kwh;
    }
  }
};

/** What stands above the standing load is weighted thrice: by quarter hour, five minutes and minute, each time by a gamma variable of shape 1. */
const gamma: Process = (minuteKwh, { energyKwh, standingKwh, seed, position }) => {
  const weight = (part: number) => -Math.log(unitAt(seed, position, part));
  let weightSum = 0;
  for (let minute = 0; minute < MINUTES; minute++) {
    const quarter = weight(Math.floor(minute / 15));
    const five = weight(2 + Math.floor(minute / 5));
    minuteKwh[minute] = quarter * five * weight(8 + minute);
    weightSum += minuteKwh[minute]!;
  }
  for (let minute = 0; minute < MINUTES; minute++) {
    minuteKwh[minute] = standingKwh / MINUTES + ((energyKwh - standingKwh) * minuteKwh[minute]!) / weightSum;
  }
};

export const PROCESSES = { appliances, gamma } as const satisfies Readonly<Record<string, Process>>;
export type Variation = keyof typeof PROCESSES;
export const VARIATIONS = Object.keys(PROCESSES) as readonly Variation[];
