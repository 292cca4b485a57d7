/** A network under load: what flows in it, step by step, and the last steps kept for meters that read late or early. */

import { type Network, PowerFlow, type Tap } from './feeder.ts';
import type { Load } from './loads.ts';
import { smoothAt } from './random.ts';
import { solarShare } from './solar.ts';

export interface Consumer extends Tap {
  readonly load: Load;
  /** Reactive power over active power. */
  readonly tanPhi: number;
  /** Rated power of the roof; 0 = none. */
  readonly solarW: number;
}

/** A load that no meter counts. */
export interface Unmetered extends Tap {
  powerW(atMs: number): number;
}

export interface SupplyPlan {
  readonly network: Network;
  readonly consumers: readonly Consumer[];
  readonly unmetered: readonly Unmetered[];
  readonly sourceSeed: number;
  /** Power and voltage are constant within a step. */
  readonly stepMs: number;
}

/** One step: by tap, and after the last tap the three phases of the busbar. */
export interface SupplyStep {
  fromMs: number;
  readonly powerW: Float64Array;
  readonly voltageV: Float64Array;
  readonly currentA: Float64Array;
}

/** What passed a meter between two of its readings. */
export interface Passed {
  importWh: number;
  exportWh: number;
  /** Sum of imported energy × (1 - load / light load), where the load is lighter. */
  lightLoadWh: number;
  readonly meanVoltageV: Float64Array;
  meanCurrentA: number;
  readonly lastVoltageV: Float64Array;
  lastCurrentA: number;
  lastPowerW: number;
}

export function nothingPassed(): Passed {
  return {
    importWh: 0,
    exportWh: 0,
    lightLoadWh: 0,
    meanVoltageV: new Float64Array(3),
    meanCurrentA: 0,
    lastVoltageV: new Float64Array(3),
    lastCurrentA: 0,
    lastPowerW: 0,
  };
}

export interface Totals {
  usersKwh: number;
  lossKwh: number;
  unmeteredKwh: number;
  /** Energy into the feeders by the busbar's voltages and currents. */
  busKwh: number;
}

export class Supply {
  /** Since the start, for checking the balance. */
  readonly totals: Totals = { usersKwh: 0, lossKwh: 0, unmeteredKwh: 0, busKwh: 0 };
  readonly busTap: number;
  readonly #plan: SupplyPlan;
  readonly #flow: PowerFlow;
  readonly #tapW: Float64Array;
  readonly #tapVar: Float64Array;
  readonly #sourceV = new Float64Array(3);
  /** Oldest first, without gaps. */
  readonly #steps: SupplyStep[] = [];
  readonly #spare: SupplyStep[] = [];
  #untilMs: number;

  constructor(plan: SupplyPlan, fromMs: number) {
    this.#plan = plan;
    const taps: readonly Tap[] = [...plan.consumers, ...plan.unmetered];
    this.busTap = taps.length;
    this.#flow = new PowerFlow(plan.network, taps);
    this.#tapW = new Float64Array(taps.length);
    this.#tapVar = new Float64Array(taps.length);
    this.#untilMs = Math.floor(fromMs / plan.stepMs) * plan.stepMs;
  }

  /** Simulates until `untilMs` and forgets what ended before `neededFromMs`. */
  extend(neededFromMs: number, untilMs: number): void {
    const { stepMs } = this.#plan;
    while (this.#steps.length > 0 && this.#steps[0]!.fromMs + stepMs <= neededFromMs) {
      this.#spare.push(this.#steps.shift()!);
    }
    while (this.#untilMs < untilMs) {
      const step = this.#spare.pop() ?? emptyStep(this.busTap + 3);
      this.#simulate(step);
      this.#steps.push(step);
      this.#untilMs += stepMs;
    }
  }

  #simulate(step: SupplyStep): void {
    const { consumers, unmetered, sourceSeed, stepMs } = this.#plan;
    const flow = this.#flow;
    const fromMs = this.#untilMs;
    const middleMs = fromMs + stepMs / 2;
    let usersW = 0;
    let unmeteredW = 0;
    let sunShare = -1;
    for (let tap = 0; tap < consumers.length; tap++) {
      const { load, tanPhi, solarW } = consumers[tap]!;
      const loadW = load.powerW(fromMs);
      this.#tapW[tap] = loadW;
      this.#tapVar[tap] = loadW * tanPhi;
      if (solarW > 0) {
        if (sunShare < 0) sunShare = solarShare(sourceSeed, middleMs);
        this.#tapW[tap]! -= solarW * sunShare;
      }
      usersW += this.#tapW[tap]!;
    }
    for (let i = 0; i < unmetered.length; i++) {
      const powerW = unmetered[i]!.powerW(fromMs);
      this.#tapW[consumers.length + i] = powerW;
      unmeteredW += powerW;
    }
    for (let phase = 0; phase < 3; phase++) this.#sourceV[phase] = sourceVoltageV(sourceSeed, phase, middleMs);
    flow.solve(this.#tapW, this.#tapVar, this.#sourceV);

    step.fromMs = fromMs;
    step.powerW.set(this.#tapW);
    step.powerW.set(flow.busPowerW, this.busTap);
    step.voltageV.set(flow.tapVoltageV);
    step.voltageV.set(flow.busVoltageV, this.busTap);
    step.currentA.set(flow.tapCurrentA);
    step.currentA.set(flow.busCurrentA, this.busTap);
    const kiloHours = stepMs / 3.6e9;
    this.totals.usersKwh += usersW * kiloHours;
    this.totals.unmeteredKwh += unmeteredW * kiloHours;
    this.totals.lossKwh += flow.lossW * kiloHours;
    this.totals.busKwh += (flow.busPowerW[0]! + flow.busPowerW[1]! + flow.busPowerW[2]!) * kiloHours;
  }

  /** What taps `first` to `last` (excluded), the phases of one meter, saw between two moments that `extend` has kept. */
  measure(first: number, last: number, fromMs: number, toMs: number, lightLoadW: number, into: Passed): void {
    const { stepMs } = this.#plan;
    const phases = last - first;
    let currentAMs = 0;
    into.importWh = into.exportWh = into.lightLoadWh = 0;
    into.meanVoltageV.fill(0);
    // A moment has no mean; it lies in the step that ends with it or contains it.
    const at = fromMs < toMs ? fromMs : toMs - 1e-6;
    for (let i = Math.max(0, Math.floor((at - this.#steps[0]!.fromMs) / stepMs)); i < this.#steps.length; i++) {
      const step = this.#steps[i]!;
      if (step.fromMs >= toMs) break;
      const durationMs = Math.min(toMs, step.fromMs + stepMs) - Math.max(fromMs, step.fromMs);
      let powerW = 0;
      let currentA = 0;
      for (let tap = first; tap < last; tap++) {
        powerW += step.powerW[tap]!;
        currentA += step.currentA[tap]!;
        into.meanVoltageV[tap - first]! += (step.voltageV[tap]! * durationMs) / (toMs - fromMs || 1);
        into.lastVoltageV[tap - first] = step.voltageV[tap]!;
      }
      currentAMs += (currentA / phases) * durationMs;
      into.lastCurrentA = currentA / phases;
      into.lastPowerW = powerW;
      const energyWh = (powerW * durationMs) / 3_600_000;
      if (powerW < 0) into.exportWh -= energyWh;
      else {
        into.importWh += energyWh;
        if (powerW < lightLoadW) into.lightLoadWh += energyWh * (1 - powerW / lightLoadW);
      }
    }
    into.meanCurrentA = currentAMs / (toMs - fromMs || 1);
  }
}

function emptyStep(size: number): SupplyStep {
  return {
    fromMs: 0,
    powerW: new Float64Array(size),
    voltageV: new Float64Array(size),
    currentA: new Float64Array(size),
  };
}

/** Medium voltage wanders by about 1 % over hours and 0.3 % over minutes, the phases by 0.2 % on their own. */
function sourceVoltageV(seed: number, phase: number, atMs: number): number {
  const HOURS = 3 * 3_600_000;
  const MINUTES = 10 * 60_000;
  const percent =
    1.5 * smoothAt(seed, 0, atMs, HOURS) +
    0.5 * smoothAt(seed, 1, atMs, MINUTES) +
    0.3 * smoothAt(seed, 2 + phase, atMs, HOURS);
  // The usual tap setting: 5 % above nominal, so that the far end stays within -10 %.
  return 231 * (1 + percent / 100);
}
