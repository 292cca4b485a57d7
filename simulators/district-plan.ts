/** One district as it is before time begins: who lives where, on what network, behind which meters. */

import { stretched } from './feeder.ts';
import type { FleetOptions } from './fleet.ts';
import { drawInstruments, drawPhases, type SimulatedInstrument } from './ledger.ts';
import { drawOccupant, householdsFor, Load, type LoadProfiles, type Occupant } from './loads.ts';
import type { MeterErrors } from './meter.ts';
import { type ConnectionPoint, type DistrictNetwork, drawNetwork } from './network.ts';
import { partSeed, Random } from './random.ts';
import { realNetwork } from './real-network.ts';
import { type Consumer, Supply, type SupplyPlan } from './supply.ts';

type Phase = SimulatedInstrument['phase'];

/** Everything of a district that does not change with time. */
export interface DistrictPlan {
  /** The master first, then the users, as they are wired. */
  readonly instruments: readonly SimulatedInstrument[];
  /** By instrument, in the same order. */
  readonly errors: readonly MeterErrors[];
  /** By instrument: how far its clock is ahead. */
  readonly clockOffsetMs: readonly number[];
  readonly wiring: DistrictNetwork;
  /** By user. */
  readonly homes: readonly Home[];
  readonly unmeteredPole: number;
  readonly theft: { readonly node: number; readonly phase: number; readonly seed: number };
  readonly sourceSeed: number;
  readonly missingSeed: number;
  /** Another district's feeder, for meters that are filed here and sit there. */
  readonly neighbourSeed: number;
}

export interface Home {
  /** One per connected phase. */
  readonly occupants: readonly Occupant[];
  /** Reactive power over active power. */
  readonly tanPhi: number;
  /** Rated power of the roof per connected phase. */
  readonly solarW: number;
}

export function planDistrict(options: FleetOptions, allProfiles: LoadProfiles, index: number): DistrictPlan {
  const profiles = householdsFor(allProfiles, options.households);
  const random = (part: number) => new Random(partSeed(options.seed, index, part));
  const userCount = options.metersPerDistrict;
  const wiring =
    options.network === 'drawn'
      ? drawNetwork(random(3), userCount)
      : realNetwork(options.network, random(3), userCount);
  const threePhaseCount = Math.round((userCount * options.threePhasePct) / 100);
  const phases =
    options.network === 'drawn'
      ? drawPhases(random(0), userCount, threePhaseCount)
      : publishedPhases(random(0), wiring.points, threePhaseCount);
  const instruments = drawInstruments(random(1), index, phases, options.untilMs);
  const meters = random(2);
  const homes = drawHomes(random(4), random(9), profiles, phases, options.solarPct);
  const clocks = random(7);
  const theft = random(8);
  const plan: DistrictPlan = {
    instruments,
    errors: instruments.map((instrument, i) => {
      const feedsIn = i === 0 ? homes.some(({ solarW }) => solarW > 0) : homes[i - 1]!.solarW > 0;
      return { ...drawErrors(meters, instrument, options), bidirectional: feedsIn };
    }),
    // The master's clock is kept by the concentrator.
    clockOffsetMs: instruments.map((_, i) =>
      i === 0 ? 0 : 0 + Math.round(clocks.normal(options.clockOffsetSdS * 1000)),
    ),
    wiring,
    homes,
    unmeteredPole: random(5).pick(wiring.poles),
    theft: { node: theft.pick(wiring.poles), phase: theft.below(3), seed: theft.seed() },
    sourceSeed: random(6).seed(),
    missingSeed: random(10).seed(),
    neighbourSeed: random(11).seed(),
  };
  return options.lossPct === null ? plan : withLoss(plan, options, allProfiles, options.lossPct);
}

/** Loads stay on their phases; some of those where all three arrive become three-phase users. */
function publishedPhases(random: Random, points: readonly ConnectionPoint[], threePhaseCount: number): Phase[] {
  const possible = random.shuffled([...points.keys()].filter((user) => points[user]!.threePhase));
  const threePhase = new Set(possible.slice(0, threePhaseCount));
  return points.map(({ phase }, user) => (threePhase.has(user) ? 'L123' : (`L${phase! + 1}` as Phase)));
}

/** No two users live the same weeks of one household, as long as there are weeks left: to any estimator they would be one. */
function apart(drawn: Occupant, profiles: LoadProfiles, lived: Set<string>): Occupant {
  const weeks = Math.floor(profiles.dayCount / 7);
  const household = profiles.halfHourKwh.indexOf(drawn.halfHourKwh);
  for (let later = 0; later < weeks; later++) {
    const shiftDays = (drawn.shiftDays + 7 * later) % (7 * weeks);
    const name = `${household} ${shiftDays}`;
    if (lived.has(name)) continue;
    lived.add(name);
    return { ...drawn, shiftDays };
  }
  return drawn;
}

export function drawHomes(
  random: Random,
  roofs: Random,
  profiles: LoadProfiles,
  phases: readonly Phase[],
  solarPct: number,
): Home[] {
  const roofed = new Set(roofs.shuffled([...phases.keys()]).slice(0, Math.round((phases.length * solarPct) / 100)));
  const phaseCount = (phase: Phase) => (phase === 'L123' ? 3 : 1);
  const lived = new Set<string>();
  const occupants = phases.map((phase) =>
    Array.from({ length: phaseCount(phase) }, () => apart(drawOccupant(random, profiles), profiles, lived)),
  );
  return occupants.map((own, user) => ({
    occupants: own,
    // Power factor 0.95 ± 0.015, kept within what homes show.
    tanPhi: Math.tan(Math.acos(Math.min(0.99, Math.max(0.9, 0.95 + random.normal(0.015))))),
    // What a roof of 15 to 35 m² bears.
    solarW: roofed.has(user) ? roofs.between(3_000, 6_000) / own.length : 0,
  }));
}

function drawErrors(random: Random, instrument: SimulatedInstrument, options: FleetOptions) {
  const sdPct = instrument.role === 'master' ? options.masterErrorSdPct : options.meterErrorSdPct;
  return {
    errorPct: random.normal(sdPct),
    voltageGainPct: Array.from({ length: instrument.phase === 'L123' ? 3 : 1 }, () =>
      random.normal(options.voltageGainSdPct),
    ),
    // Higher than any rollback takes off, far from a 6-digit register's end.
    firstRegisterKwh: random.between(500, 20_000),
  };
}

/** The users of a district as the taps of its network, in order. */
export function consumersOf(
  homes: readonly Home[],
  points: readonly ConnectionPoint[],
  phases: readonly Phase[],
  profiles: LoadProfiles,
  options: FleetOptions,
): Consumer[] {
  return homes.flatMap(({ occupants, tanPhi, solarW }, user) =>
    occupants.map((occupant, i) => ({
      node: points[user]!.node,
      phase: occupants.length === 3 ? i : Number(phases[user]![1]) - 1,
      load: new Load(occupant, profiles, options.stepMs, options.variation),
      tanPhi,
      solarW,
    })),
  );
}

/** Moments of the history whose loss stands for all of it. */
const SAMPLES = 400;

/** Stretches the lines until the district loses about `lossPct` of what it is sent. */
function withLoss(plan: DistrictPlan, options: FleetOptions, profiles: LoadProfiles, lossPct: number): DistrictPlan {
  const phases = plan.instruments.slice(1).map(({ phase }) => phase);
  const consumers = consumersOf(plan.homes, plan.wiring.points, phases, profiles, options);
  let network = plan.wiring.network;
  // Loss grows a little faster than length: the second round mends what the first leaves.
  for (let round = 0; round < 2; round++) {
    const actualPct = sampledLossPct({ ...plan, network, consumers, unmetered: [], stepMs: options.stepMs }, options);
    if (actualPct > 0) network = stretched(network, lossPct / actualPct);
  }
  return { ...plan, wiring: { ...plan.wiring, network } };
}

function sampledLossPct(plan: SupplyPlan, { days, untilMs }: FleetOptions): number {
  let lossKwh = 0;
  let usersKwh = 0;
  for (let sample = 0; sample < SAMPLES; sample++) {
    const atMs = untilMs - ((sample + 0.5) / SAMPLES) * days * 86_400_000;
    const supply = new Supply(plan, atMs);
    supply.extend(atMs, atMs + 1);
    lossKwh += supply.totals.lossKwh;
    usersKwh += supply.totals.usersKwh;
  }
  return (100 * lossKwh) / (lossKwh + usersKwh);
}
