/** Draws the low-voltage network of one district: feeders, poles, service lines, sized as a planner sizes them. */

import { CONDUCTORS, type Network } from './feeder.ts';
import type { Random } from './random.ts';

/** A feeder takes about this many users before a planner builds the next one. */
const USERS_PER_FEEDER = 40;
const USERS_PER_POLE = 4;
/** How often a pole continues the line; otherwise it starts a branch somewhere on it. */
const STRAIGHT_ON = 0.85;

/** Service line, 16 mm² aluminium: 1.91 Ω/km (IEC 60228). */
const SERVICE_OHM_PER_KM = 1.91;
/** Overhead bundle, 70-120 mm²: about a quarter of its resistance. */
const REACTANCE_RATIO = 0.25;

/** Voltage drop of the main line at design load, within the -10 % of GB/T 12325; losses then come out near 2 %. */
const DESIGN_DROP = { low: 0.06, high: 0.1 };

/** Transformer ratings in kVA (GB/T 6451 series) at 4 % short-circuit impedance and 400 V: Z = 6.4 Ω / kVA. */
const RATINGS_KVA = [50, 100, 160, 200, 250, 315, 400, 500, 630, 800, 1000, 1250, 1600, 2000, 2500];
const KVA_PER_USER = 2;

/** Where a user is connected. */
export interface ConnectionPoint {
  readonly node: number;
  /** Undefined = whichever phase the ledger draws. */
  readonly phase?: number;
  readonly threePhase: boolean;
}

export interface DistrictNetwork {
  readonly network: Network;
  /** By user. */
  readonly points: readonly ConnectionPoint[];
  /** Where a lamp or a thief can tap all three phases. */
  readonly poles: readonly number[];
}

export function drawNetwork(random: Random, userCount: number): DistrictNetwork {
  const parent = [-1];
  const resistanceOhm = [0];
  const poles: number[] = [];
  const poleOfUser: number[] = [];
  const feederCount = Math.max(1, Math.round(userCount / USERS_PER_FEEDER));
  for (let feeder = 0; feeder < feederCount; feeder++) {
    const first = Math.floor((feeder * userCount) / feederCount);
    const last = Math.floor(((feeder + 1) * userCount) / feederCount);
    const own = drawFeeder(random, last - first, parent, resistanceOhm);
    poles.push(...own);
    for (let user = first; user < last; user++) poleOfUser.push(random.pick(own));
  }
  const points = poleOfUser.map((pole) => {
    parent.push(pole);
    resistanceOhm.push((SERVICE_OHM_PER_KM * random.between(10, 40)) / 1000);
    return { node: parent.length - 1, threePhase: true };
  });
  return { network: toNetwork(parent, resistanceOhm, userCount), points, poles };
}

/** Appends one feeder's poles to the tree and returns them. */
function drawFeeder(random: Random, userCount: number, parent: number[], resistanceOhm: number[]): number[] {
  const poles: number[] = [];
  const lengths: number[] = [];
  for (let i = 0; i < Math.ceil(userCount / USERS_PER_POLE); i++) {
    const before = i === 0 ? 0 : random.chance(STRAIGHT_ON) ? poles[i - 1]! : random.pick(poles);
    parent.push(before);
    poles.push(parent.length - 1);
    lengths.push(random.between(0.7, 1.3));
  }
  const scaleOhm = ohmPerLength(poles, lengths, parent, userCount) * random.between(DESIGN_DROP.low, DESIGN_DROP.high);
  for (const length of lengths) resistanceOhm.push(length * scaleOhm);
  return poles;
}

/** The resistance per unit of length at which the far end of the line drops by its whole voltage at design load. */
function ohmPerLength(poles: readonly number[], lengths: readonly number[], parent: readonly number[], users: number) {
  const below = new Array<number>(poles.length).fill(users / poles.length);
  const indexOf = new Map(poles.map((pole, index) => [pole, index]));
  for (let i = poles.length - 1; i > 0; i--) below[indexOf.get(parent[poles[i]!]!)!]! += below[i]!;
  let worst = 0;
  const drop: number[] = [];
  for (let i = 0; i < poles.length; i++) {
    const before = i === 0 ? 0 : drop[indexOf.get(parent[poles[i]!]!)!]!;
    drop.push(before + (lengths[i]! * designW(below[i]!)) / 220);
    worst = Math.max(worst, drop[i]!);
  }
  return 220 / worst;
}

/**
 * Coincident peak of n homes as one phase and its neutral feel it: a common part, and a spread that grows with √n
 * (Velander's formula) and, being unbalanced, returns through the neutral.
 */
function designW(userCount: number): number {
  // One home alone still cooks: below two a phase, diversity no longer helps.
  const perPhase = Math.max(2, userCount / 3);
  return 600 * perPhase + 2 * 5000 * Math.sqrt(perPhase);
}

/** Four wires of one size; how they influence each other is within the quarter that `REACTANCE_RATIO` is. */
function toNetwork(parent: readonly number[], wireOhm: readonly number[], userCount: number): Network {
  const network: Network = {
    parent: Int32Array.from(parent),
    resistanceOhm: new Float64Array(parent.length * CONDUCTORS),
    reactanceOhm: new Float64Array(parent.length * CONDUCTORS * CONDUCTORS),
    transformerOhm: transformerOhm(userCount),
  };
  wireOhm.forEach((ohm, node) => {
    for (let conductor = 0; conductor < CONDUCTORS; conductor++) {
      const at = node * CONDUCTORS + conductor;
      network.resistanceOhm[at] = ohm;
      network.reactanceOhm[at * CONDUCTORS + conductor] = ohm * REACTANCE_RATIO;
    }
  });
  return network;
}

/** The transformer of a known rating, or the one a planner buys. */
export function transformerOhm(userCount: number, ratingKva?: number): number {
  const wantedKva = userCount * KVA_PER_USER;
  return 6.4 / (ratingKva ?? RATINGS_KVA.find((rating) => rating >= wantedKva) ?? RATINGS_KVA.at(-1)!);
}
