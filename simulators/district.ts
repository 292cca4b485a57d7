/** One district in motion: what its meters report. */

import type { NamedValues } from '../src/fleet/reading.ts';
import { consumersOf, type DistrictPlan, drawHomes } from './district-plan.ts';
import type { Fault, FaultKind } from './faults.ts';
import type { FleetOptions } from './fleet.ts';
import { drawPhases } from './ledger.ts';
import { householdsFor, type LoadProfiles } from './loads.ts';
import { Meter, type TrueInterval } from './meter.ts';
import { drawNetwork } from './network.ts';
import { Random, unitAt } from './random.ts';
import { nothingPassed, type Passed, Supply, type Totals, type Unmetered } from './supply.ts';
import { stolenW } from './theft.ts';

export interface Row {
  readonly instrument: string;
  readonly values: NamedValues;
}

/** `mean` over the interval, `instant` at its end; with `none` registers are all that is reported. */
export const VOLTAGES = ['mean', 'instant', 'none'] as const;
export type Voltages = (typeof VOLTAGES)[number];

/** A meter, and the taps that it measures. */
interface Place {
  readonly meter: Meter;
  readonly supply: Supply;
  readonly firstTap: number;
  /** One past the last. */
  readonly lastTap: number;
  readonly offsetMs: number;
}

/** Homes on the neighbour's feeder beside the meters filed in the wrong district. */
const NEIGHBOURS = 30;

export class District {
  readonly #supplies: readonly Supply[];
  readonly #places: readonly Place[];
  readonly #voltages: Voltages;
  readonly #missingShare: number;
  readonly #missingSeed: number;
  readonly #earliestMs: number;
  readonly #latestMs: number;
  readonly #passed: Passed = nothingPassed();
  #nowMs: number;

  constructor(
    plan: DistrictPlan,
    faults: ReadonlyMap<string, readonly Fault[]>,
    options: FleetOptions,
    allProfiles: LoadProfiles,
    fromMs: number,
  ) {
    const profiles = householdsFor(allProfiles, options.households);
    this.#nowMs = fromMs;
    this.#voltages = options.voltages;
    this.#missingShare = options.missingPct / 100;
    this.#missingSeed = plan.missingSeed;
    this.#earliestMs = Math.min(...plan.clockOffsetMs);
    this.#latestMs = Math.max(...plan.clockOffsetMs);
    const { homeSupply, neighbour, places } = connect(plan, faults, options, profiles, fromMs + this.#earliestMs);
    this.#supplies = neighbour ? [homeSupply, neighbour] : [homeSupply];
    this.#places = places;
  }

  /** Of this district's own feeders. */
  get totals(): Totals {
    return this.#supplies[0]!.totals;
  }

  /** By instrument: what its error was on average since the first reading. */
  get meanErrorsPct(): number[] {
    return this.#places.map(({ meter }) => meter.meanErrorPct);
  }

  /** Lets time pass until `tsMs` and returns what the meters then report. */
  advance(tsMs: number): Row[] {
    const fromMs = this.#nowMs;
    this.#nowMs = tsMs;
    for (const supply of this.#supplies) supply.extend(fromMs + this.#earliestMs, tsMs + this.#latestMs);
    const rows: Row[] = [];
    this.#places.forEach(({ meter, supply, firstTap, lastTap, offsetMs }, i) => {
      supply.measure(firstTap, lastTap, fromMs + offsetMs, tsMs + offsetMs, meter.lightLoadW, this.#passed);
      const values = meter.record(this.#truth(fromMs, tsMs, lastTap - firstTap));
      if (values && !this.#isMissing(tsMs, i)) rows.push({ instrument: meter.id, values });
    });
    return rows;
  }

  #truth(fromMs: number, toMs: number, phases: number): TrueInterval {
    const passed = this.#passed;
    const netWh = passed.importWh - passed.exportWh;
    const interval = {
      fromMs,
      toMs,
      importKwh: passed.importWh / 1000,
      exportKwh: passed.exportWh / 1000,
      lightLoadShare: passed.importWh > 0 ? passed.lightLoadWh / passed.importWh : 0,
    };
    const voltagesV = (all: Float64Array) => Array.from(all.subarray(0, phases));
    switch (this.#voltages) {
      case 'none':
        return { ...interval, voltageV: [], currentA: 0, powerW: 0 };
      case 'instant':
        return {
          ...interval,
          voltageV: voltagesV(passed.lastVoltageV),
          currentA: passed.lastCurrentA,
          powerW: passed.lastPowerW,
        };
      case 'mean':
        return {
          ...interval,
          voltageV: voltagesV(passed.meanVoltageV),
          currentA: passed.meanCurrentA,
          powerW: toMs > fromMs ? (netWh * 3_600_000) / (toMs - fromMs) : 0,
        };
    }
  }

  #isMissing(tsMs: number, instrument: number): boolean {
    return unitAt(this.#missingSeed, Math.floor(tsMs / 1000), instrument) < this.#missingShare;
  }
}

/** Puts every meter where it measures: on its own feeder, or, when it is filed in the wrong district, on the neighbour's. */
function connect(
  plan: DistrictPlan,
  faults: ReadonlyMap<string, readonly Fault[]>,
  options: FleetOptions,
  profiles: LoadProfiles,
  fromMs: number,
) {
  const users = plan.instruments.slice(1);
  const has = (id: string, kind: FaultKind) => (faults.get(id) ?? []).some((fault) => fault.kind === kind);
  const isForeign = users.map(({ id }) => has(id, 'wrong-district'));
  const phasesOf = (foreign: boolean) => users.filter((_, i) => isForeign[i] === foreign).map(({ phase }) => phase);
  const homesOf = (foreign: boolean) => plan.homes.filter((_, i) => isForeign[i] === foreign);
  const points = plan.wiring.points.filter((_, i) => !isForeign[i]);
  const unmetered: Unmetered[] = [{ node: plan.unmeteredPole, phase: 0, powerW: () => options.unmeteredW }];
  if (has(plan.instruments[0]!.id, 'theft')) {
    const { node, phase, seed } = plan.theft;
    unmetered.push({ node, phase, powerW: (atMs) => stolenW(seed, options.theftW, atMs) });
  }
  const consumers = consumersOf(homesOf(false), points, phasesOf(false), profiles, options);
  const { stepMs } = options;
  const { network } = plan.wiring;
  const homeSupply = new Supply({ network, consumers, unmetered, sourceSeed: plan.sourceSeed, stepMs }, fromMs);
  const foreignHomes = homesOf(true);
  const neighbour =
    foreignHomes.length > 0
      ? neighbourSupply(plan.neighbourSeed, foreignHomes, phasesOf(true), options, profiles, fromMs)
      : undefined;
  // A meter's taps follow those of the meter before it on the same feeder.
  const nextTap = { home: 0, neighbour: 0 };
  const places = plan.instruments.map((instrument, i): Place => {
    const resolution = { registerStepKwh: options.registerStepKwh, voltageStepV: options.voltageStepV };
    const meter = new Meter(instrument, plan.errors[i]!, faults.get(instrument.id) ?? [], resolution);
    const offsetMs = plan.clockOffsetMs[i]!;
    if (i === 0) {
      return { meter, supply: homeSupply, firstTap: homeSupply.busTap, lastTap: homeSupply.busTap + 3, offsetMs };
    }
    const feeder = isForeign[i - 1] ? 'neighbour' : 'home';
    const firstTap = nextTap[feeder];
    nextTap[feeder] += plan.homes[i - 1]!.occupants.length;
    const supply = feeder === 'home' ? homeSupply : neighbour!;
    return { meter, supply, firstTap, lastTap: nextTap[feeder], offsetMs };
  });
  return { homeSupply, neighbour, places };
}

/** The foreign homes first, then those that nobody asks about. */
function neighbourSupply(
  seed: number,
  foreign: DistrictPlan['homes'],
  foreignPhases: ReturnType<typeof drawPhases>,
  options: FleetOptions,
  profiles: LoadProfiles,
  fromMs: number,
): Supply {
  const random = new Random(seed);
  const phases = [...foreignPhases, ...drawPhases(random, NEIGHBOURS, 0)];
  const homes = [...foreign, ...drawHomes(random, random, profiles, phases.slice(foreign.length), 0)];
  const { network, points } = drawNetwork(random, phases.length);
  const consumers = consumersOf(homes, points, phases, profiles, options);
  return new Supply({ network, consumers, unmetered: [], sourceSeed: random.seed(), stepMs: options.stepMs }, fromMs);
}
