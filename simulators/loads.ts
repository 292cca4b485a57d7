/** What households draw: half-hourly curves brought to finer slots without losing or inventing energy. */

import { type Random, unitAt } from './random.ts';

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

/** The load of one occupant: power is constant within a slot, and slots divide the half hour. */
export class Load {
  readonly #occupant: Occupant;
  readonly #firstDay: number;
  /** Days after which the curve repeats, whole weeks. */
  readonly #cycleDays: number;
  readonly #slotMs: number;
  readonly #slotKwh: Float64Array;
  /** A home that ever draws more than its service carries is scaled down to it (2 of the 100). */
  readonly #scale: number;
  #splitHalfHour = Number.NaN;

  constructor(occupant: Occupant, profiles: LoadProfiles, slotMs: number) {
    this.#occupant = occupant;
    this.#firstDay = profiles.firstDay;
    this.#cycleDays = Math.floor(profiles.dayCount / 7) * 7;
    this.#slotMs = slotMs;
    this.#slotKwh = new Float64Array(HALF_HOUR_MS / slotMs);
    const peakKwh = occupant.halfHourKwh.reduce((peak, kwh) => Math.max(peak, kwh), 0);
    this.#scale = Math.min(1, (SERVICE_LIMIT_KW * HALF_HOUR_MS) / 3.6e6 / peakKwh);
  }

  /** Mean power in the slot that contains `atMs`. */
  powerW(atMs: number): number {
    const localMs = atMs + LOCAL_OFFSET_MS;
    const halfHour = Math.floor(localMs / HALF_HOUR_MS);
    if (halfHour !== this.#splitHalfHour) this.#split(halfHour);
    const slot = Math.floor((localMs - halfHour * HALF_HOUR_MS) / this.#slotMs);
    return (this.#slotKwh[slot]! * 3.6e9) / this.#slotMs;
  }

  #halfHourKwh(halfHour: number): number {
    const day = Math.floor(halfHour / HALF_HOURS_PER_DAY);
    const sinceFirst = day - this.#firstDay + this.#occupant.shiftDays;
    const cycled = sinceFirst - Math.floor(sinceFirst / this.#cycleDays) * this.#cycleDays;
    return this.#scale * this.#occupant.halfHourKwh[(cycled - day) * HALF_HOURS_PER_DAY + halfHour]!;
  }

  /**
   * What the neighbouring half hours also draw is standing load and runs evenly; what stands above them is an
   * appliance and falls into slots by exponential weights (a flat Dirichlet split).
   */
  #split(halfHour: number): void {
    this.#splitHalfHour = halfHour;
    const slots = this.#slotKwh;
    const energyKwh = this.#halfHourKwh(halfHour);
    const standingKwh = Math.min(energyKwh, this.#halfHourKwh(halfHour - 1), this.#halfHourKwh(halfHour + 1));
    let weightSum = 0;
    for (let slot = 0; slot < slots.length; slot++) {
      slots[slot] = -Math.log(unitAt(this.#occupant.seed, halfHour, slot));
      weightSum += slots[slot]!;
    }
    for (let slot = 0; slot < slots.length; slot++) {
      slots[slot] = standingKwh / slots.length + ((energyKwh - standingKwh) * slots[slot]!) / weightSum;
    }
    levelAbove(slots, energyKwh, (SERVICE_LIMIT_KW * this.#slotMs) / 3.6e6);
  }
}

/** Moves energy above the limit to slots with room, in proportion to the room; evenly when there is none. */
function levelAbove(slots: Float64Array, energyKwh: number, limitKwh: number): void {
  if (energyKwh >= slots.length * limitKwh) {
    slots.fill(energyKwh / slots.length);
    return;
  }
  let excessKwh = 0;
  let roomKwh = 0;
  for (const slotKwh of slots) {
    excessKwh += Math.max(0, slotKwh - limitKwh);
    roomKwh += Math.max(0, limitKwh - slotKwh);
  }
  if (excessKwh === 0) return;
  for (let slot = 0; slot < slots.length; slot++) {
    const gapKwh = limitKwh - slots[slot]!;
    slots[slot] = gapKwh <= 0 ? limitKwh : slots[slot]! + (excessKwh * gapKwh) / roomKwh;
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

/** Where the slot that contains `atMs` ends. */
export function slotEndMs(atMs: number, slotMs: number): number {
  return (Math.floor(atMs / slotMs) + 1) * slotMs;
}
