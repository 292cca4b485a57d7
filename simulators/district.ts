/** One district: who lives where, what they draw, what its meters report. */

import type { NamedValues } from '../src/fleet/reading.ts';
import type { Fault } from './faults.ts';
import { PowerFlow, type Tap } from './feeder.ts';
import type { FleetOptions } from './fleet.ts';
import { drawInstruments, drawPhases, type SimulatedInstrument } from './ledger.ts';
import { drawOccupant, HALF_HOUR_MS, Load, type LoadProfiles, type Occupant, slotEndMs } from './loads.ts';
import { Meter, type MeterErrors } from './meter.ts';
import { type DistrictNetwork, drawNetwork } from './network.ts';
import { partSeed, Random, unitAt } from './random.ts';

export interface Row {
  readonly instrument: string;
  readonly values: NamedValues;
}

/** Everything of a district that does not change with time. */
export interface DistrictPlan {
  /** The master first, then the users. */
  readonly instruments: readonly SimulatedInstrument[];
  /** By instrument, in the same order. */
  readonly errors: readonly MeterErrors[];
  readonly wiring: DistrictNetwork;
  /** Per user, one occupant per connected phase. */
  readonly occupants: readonly (readonly Occupant[])[];
  /** Per user: reactive power over active power. */
  readonly tanPhi: readonly number[];
  readonly unmeteredPole: number;
  readonly sourceSeed: number;
}

export function planDistrict(options: FleetOptions, profiles: LoadProfiles, index: number): DistrictPlan {
  const random = (part: number) => new Random(partSeed(options.seed, index, part));
  const userCount = options.metersPerDistrict;
  const phases = drawPhases(random(0), userCount, Math.round((userCount * options.threePhasePct) / 100));
  const instruments = drawInstruments(random(1), index, phases, options.untilMs);
  const meters = random(2);
  const wiring = drawNetwork(random(3), userCount);
  const homes = random(4);
  return {
    instruments,
    errors: instruments.map((instrument) => drawErrors(meters, instrument, options)),
    wiring,
    occupants: phases.map((phase) =>
      Array.from({ length: phase === 'L123' ? 3 : 1 }, () => drawOccupant(homes, profiles)),
    ),
    // Power factor 0.95 ± 0.015, kept within what homes show.
    tanPhi: phases.map(() => Math.tan(Math.acos(Math.min(0.99, Math.max(0.9, 0.95 + homes.normal(0.015)))))),
    unmeteredPole: random(5).pick(wiring.poles),
    sourceSeed: random(6).seed(),
  };
}

function drawErrors(random: Random, instrument: SimulatedInstrument, options: FleetOptions): MeterErrors {
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

/** A district in motion. */
export class District {
  /** Totals since the start, for checking the balance. */
  readonly totals = { masterKwh: 0, usersKwh: 0, lossKwh: 0, unmeteredKwh: 0, busKwh: 0 };

  readonly #slotMs: number;
  readonly #meters: readonly Meter[];
  readonly #flow: PowerFlow;
  readonly #loads: readonly Load[];
  readonly #tapTanPhi: Float64Array;
  readonly #tapW: Float64Array;
  readonly #tapVar: Float64Array;
  readonly #unmeteredW: number;
  /** First tap of each user, and one past the last. */
  readonly #firstTap: Int32Array;
  readonly #sourceSeed: number;
  readonly #sourceV = new Float64Array(3);
  /** Sums over the interval under way; taps first, then the busbar's phases. */
  readonly #energyWh: Float64Array;
  readonly #voltageVMs: Float64Array;
  readonly #currentAMs: Float64Array;
  #nowMs: number;

  constructor(
    plan: DistrictPlan,
    faults: ReadonlyMap<string, readonly Fault[]>,
    options: FleetOptions,
    profiles: LoadProfiles,
    fromMs: number,
  ) {
    this.#nowMs = fromMs;
    this.#slotMs = Math.min(options.periodMs, HALF_HOUR_MS);
    this.#meters = plan.instruments.map(
      (instrument, i) => new Meter(instrument, plan.errors[i]!, faults.get(instrument.id) ?? []),
    );
    this.#firstTap = firstTaps(plan.occupants);
    this.#loads = plan.occupants.flat().map((occupant) => new Load(occupant, profiles, this.#slotMs));
    this.#unmeteredW = options.unmeteredW;
    const taps = [...userTaps(plan), { node: plan.unmeteredPole, phase: 0 }];
    this.#flow = new PowerFlow(plan.wiring.network, taps);
    this.#tapTanPhi = Float64Array.from([...plan.occupants.flatMap((o, i) => o.map(() => plan.tanPhi[i]!)), 0]);
    this.#tapW = new Float64Array(taps.length);
    this.#tapVar = new Float64Array(taps.length);
    this.#sourceSeed = plan.sourceSeed;
    this.#energyWh = new Float64Array(taps.length + 1);
    this.#voltageVMs = new Float64Array(taps.length + 3);
    this.#currentAMs = new Float64Array(taps.length + 3);
  }

  /** Lets time pass until `tsMs` and returns what the meters then report. */
  advance(tsMs: number): Row[] {
    const fromMs = this.#nowMs;
    this.#energyWh.fill(0);
    this.#voltageVMs.fill(0);
    this.#currentAMs.fill(0);
    while (this.#nowMs < tsMs) {
      const untilMs = Math.min(tsMs, slotEndMs(this.#nowMs, this.#slotMs));
      this.#pass(untilMs - this.#nowMs);
      this.#nowMs = untilMs;
    }
    return this.#read(fromMs, tsMs);
  }

  /** Constant power for `durationMs`. */
  #pass(durationMs: number): void {
    for (let tap = 0; tap < this.#loads.length; tap++) {
      this.#tapW[tap] = this.#loads[tap]!.powerW(this.#nowMs);
      this.#tapVar[tap] = this.#tapW[tap]! * this.#tapTanPhi[tap]!;
    }
    this.#tapW[this.#loads.length] = this.#unmeteredW;
    for (let phase = 0; phase < 3; phase++) {
      this.#sourceV[phase] = sourceVoltageV(this.#sourceSeed, phase, this.#nowMs + durationMs / 2);
    }
    this.#flow.solve(this.#tapW, this.#tapVar, this.#sourceV);
    this.#sum(durationMs);
  }

  #sum(durationMs: number): void {
    const flow = this.#flow;
    const hours = durationMs / 3_600_000;
    const taps = this.#tapW.length;
    let loadWh = 0;
    for (let tap = 0; tap < taps; tap++) {
      const energyWh = this.#tapW[tap]! * hours;
      loadWh += energyWh;
      this.#energyWh[tap]! += energyWh;
      this.#voltageVMs[tap]! += flow.tapVoltageV[tap]! * durationMs;
      this.#currentAMs[tap]! += flow.tapCurrentA[tap]! * durationMs;
    }
    this.#energyWh[taps]! += loadWh + flow.lossW * hours;
    for (let phase = 0; phase < 3; phase++) {
      this.#voltageVMs[taps + phase]! += flow.busVoltageV[phase]! * durationMs;
      this.#currentAMs[taps + phase]! += flow.busCurrentA[phase]! * durationMs;
    }
    this.totals.masterKwh += (loadWh + flow.lossW * hours) / 1000;
    this.totals.usersKwh += (loadWh - this.#unmeteredW * hours) / 1000;
    this.totals.lossKwh += (flow.lossW * hours) / 1000;
    this.totals.unmeteredKwh += (this.#unmeteredW * hours) / 1000;
    this.totals.busKwh += (flow.busPowerW * hours) / 1000;
  }

  #read(fromMs: number, toMs: number): Row[] {
    const taps = this.#tapW.length;
    const rows: Row[] = [];
    this.#meters.forEach((meter, i) => {
      const first = i === 0 ? taps : this.#firstTap[i - 1]!;
      const last = i === 0 ? taps + 3 : this.#firstTap[i]!;
      const durationMs = toMs - fromMs || 1;
      let energyWh = 0;
      let currentA = 0;
      const voltageV: number[] = [];
      for (let at = first; at < last; at++) {
        energyWh += this.#energyWh[at] ?? 0;
        voltageV.push(this.#voltageVMs[at]! / durationMs);
        currentA += this.#currentAMs[at]! / durationMs / (last - first);
      }
      const values = meter.record({ fromMs, toMs, energyKwh: energyWh / 1000, voltageV, currentA });
      if (values) rows.push({ instrument: meter.id, values });
    });
    return rows;
  }
}

function firstTaps(occupants: readonly (readonly Occupant[])[]): Int32Array {
  const first = new Int32Array(occupants.length + 1);
  occupants.forEach((own, i) => {
    first[i + 1] = first[i]! + own.length;
  });
  return first;
}

function userTaps(plan: DistrictPlan): Tap[] {
  return plan.occupants.flatMap((own, i) => {
    const node = plan.wiring.userNode[i]!;
    const only = Number(plan.instruments[i + 1]!.phase[1]) - 1;
    return own.map((_, phase) => ({ node, phase: own.length === 3 ? phase : only }));
  });
}

/** Medium voltage wanders by about 1 % over hours and 0.3 % over minutes, the phases by 0.2 % on their own. */
function sourceVoltageV(seed: number, phase: number, atMs: number): number {
  const HOURS = 3 * 3_600_000;
  const MINUTES = 10 * 60_000;
  const percent =
    1.5 * wander(seed, 0, atMs, HOURS) +
    0.5 * wander(seed, 1, atMs, MINUTES) +
    0.3 * wander(seed, 2 + phase, atMs, HOURS);
  // The usual tap setting: 5 % above nominal, so that the far end stays within -10 %.
  return 231 * (1 + percent / 100);
}

/** Smooth noise in [-1, 1] with a knot every `knotMs`. */
function wander(seed: number, part: number, atMs: number, knotMs: number): number {
  const knot = Math.floor(atMs / knotMs);
  const share = atMs / knotMs - knot;
  const ease = share * share * (3 - 2 * share);
  return 2 * (unitAt(seed, knot, part) * (1 - ease) + unitAt(seed, knot + 1, part) * ease) - 1;
}
