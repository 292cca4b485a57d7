/** What households draw: half-hourly curves brought to finer steps without losing or inventing energy. */

import type { Random } from './random.ts';
import { MINUTES, PROCESSES, type Variation } from './variation.ts';

export const HALF_HOURS_PER_DAY = 48;
export const HALF_HOUR_MS = 1_800_000;

/** Siping's clock, UTC+8 all year: evening peaks must fall in its evening. */
const LOCAL_OFFSET_MS = 8 * 3_600_000;

export interface LoadProfiles {
  /** Days since 1970-01-01 of the first row, to keep weekdays weekdays. */
  readonly firstDay: number;
  readonly dayCount: number;
  readonly households: readonly string[];
  /** Per household, kWh in each half hour of the local clock; no gaps. */
  readonly halfHourKwh: readonly Float64Array[];
}

/** Which household stands behind a load, moved by how many days, and the seed of its pattern inside the half hour. */
export interface Occupant {
  readonly halfHourKwh: Float64Array;
  readonly shiftDays: number;
  readonly seed: number;
}

/** Whole weeks of shift keep weekdays weekdays, and make 52 different users of one household. */
export function drawOccupant(random: Random, profiles: LoadProfiles): Occupant {
  return {
    halfHourKwh: random.pick(profiles.halfHourKwh),
    shiftDays: 7 * random.below(Math.floor(profiles.dayCount / 7)),
    seed: random.seed(),
  };
}

/** What a 60 A service carries when its voltage sags to 200 V at power factor 0.95. */
const SERVICE_LIMIT_KW = 11.4;

/** The load of one occupant: power is constant within a step; steps are whole minutes and divide the half hour. */
export class Load {
  readonly #occupant: Occupant;
  readonly #firstDay: number;
  /** Days after which the curve repeats, whole weeks. */
  readonly #cycleDays: number;
  readonly #stepMs: number;
  readonly #variation: Variation;
  readonly #minuteKwh = new Float64Array(MINUTES);
  readonly #stepW: Float64Array;
  /** A home that ever draws more than its service carries is scaled down to it (2 of the 100). */
  readonly #scale: number;
  #splitHalfHour = Number.NaN;

  constructor(occupant: Occupant, profiles: LoadProfiles, stepMs: number, variation: Variation) {
    this.#occupant = occupant;
    this.#firstDay = profiles.firstDay;
    this.#cycleDays = Math.floor(profiles.dayCount / 7) * 7;
    this.#stepMs = stepMs;
    this.#variation = variation;
    this.#stepW = new Float64Array(HALF_HOUR_MS / stepMs);
    const peakKwh = occupant.halfHourKwh.reduce((peak, kwh) => Math.max(peak, kwh), 0);
    this.#scale = Math.min(1, (SERVICE_LIMIT_KW * HALF_HOUR_MS) / 3.6e6 / peakKwh);
  }

  /** Mean power in the step that contains `atMs`. */
  powerW(atMs: number): number {
    const localMs = atMs + LOCAL_OFFSET_MS;
    const halfHour = Math.floor(localMs / HALF_HOUR_MS);
    if (halfHour !== this.#splitHalfHour) this.#split(halfHour);
    return this.#stepW[Math.floor((localMs - halfHour * HALF_HOUR_MS) / this.#stepMs)]!;
  }

  #halfHourKwh(halfHour: number): number {
    const day = Math.floor(halfHour / HALF_HOURS_PER_DAY);
    const sinceFirst = day - this.#firstDay + this.#occupant.shiftDays;
    const cycled = sinceFirst - Math.floor(sinceFirst / this.#cycleDays) * this.#cycleDays;
    return this.#scale * this.#occupant.halfHourKwh[(cycled - day) * HALF_HOURS_PER_DAY + halfHour]!;
  }

  /** The minutes are the same whatever the step: a longer step only sees their mean. */
  #split(halfHour: number): void {
    this.#splitHalfHour = halfHour;
    const energyKwh = this.#halfHourKwh(halfHour);
    const standingKwh = Math.min(energyKwh, this.#halfHourKwh(halfHour - 1), this.#halfHourKwh(halfHour + 1));
    const minuteKwh = this.#minuteKwh;
    const { seed } = this.#occupant;
    PROCESSES[this.#variation](minuteKwh, { energyKwh, standingKwh, seed, position: halfHour });
    levelAbove(minuteKwh, energyKwh, SERVICE_LIMIT_KW / 60);
    const minutesPerStep = MINUTES / this.#stepW.length;
    for (let step = 0; step < this.#stepW.length; step++) {
      let stepKwh = 0;
      for (let minute = 0; minute < minutesPerStep; minute++) stepKwh += minuteKwh[step * minutesPerStep + minute]!;
      this.#stepW[step] = (stepKwh * 60_000) / minutesPerStep;
    }
  }
}

/** Moves energy above the limit to minutes with room, in proportion to the room; evenly when there is none. */
function levelAbove(minuteKwh: Float64Array, energyKwh: number, limitKwh: number): void {
  if (energyKwh >= minuteKwh.length * limitKwh) {
    minuteKwh.fill(energyKwh / minuteKwh.length);
    return;
  }
  let excessKwh = 0;
  let roomKwh = 0;
  for (const kwh of minuteKwh) {
    excessKwh += Math.max(0, kwh - limitKwh);
    roomKwh += Math.max(0, limitKwh - kwh);
  }
  if (excessKwh === 0) return;
  for (let minute = 0; minute < minuteKwh.length; minute++) {
    const gapKwh = limitKwh - minuteKwh[minute]!;
    minuteKwh[minute] = gapKwh <= 0 ? limitKwh : minuteKwh[minute]! + (excessKwh * gapKwh) / roomKwh;
  }
}

/** An occupied home, so that a fault of its meter shows: 2 kWh a day and at most 0.1 % idle half hours. */
export function isOccupied(halfHourKwh: Float64Array): boolean {
  let sumKwh = 0;
  let idle = 0;
  for (const energyKwh of halfHourKwh) {
    sumKwh += energyKwh;
    if (energyKwh < 0.005) idle++;
  }
  return (sumKwh * HALF_HOURS_PER_DAY) / halfHourKwh.length >= 2 && idle <= halfHourKwh.length / 1000;
}

export const HOUSEHOLDS = ['all', 'development', 'judging'] as const;
export type Households = (typeof HOUSEHOLDS)[number];

/** Every other household for development, the others for judging: nothing is judged on homes it was made with. */
export function householdsFor(profiles: LoadProfiles, use: Households): LoadProfiles {
  if (use === 'all') return profiles;
  const remainder = use === 'development' ? 0 : 1;
  const chosen = <T>(items: readonly T[]) => items.filter((_, i) => i % 2 === remainder);
  return { ...profiles, households: chosen(profiles.households), halfHourKwh: chosen(profiles.halfHourKwh) };
}
