/**
 * A radial four-wire low-voltage network and its power flow.
 * Backward/forward sweep on phase currents with the neutral carried explicitly: Shirmohammadi et al., IEEE Trans.
 * Power Systems 3(2), 1988; four-wire form by Ciric, Padilha, Ochoa, IEEE Trans. Power Systems 18(4), 2003.
 */

import { SimulatorError } from './errors.ts';

/** L1, L2, L3, neutral. */
export const CONDUCTORS = 4;
const NEUTRAL = 3;
const PAIRS = CONDUCTORS * CONDUCTORS;

/** Node 0 is the busbar, where the master meter sits; a node's parent always has a smaller number. */
export interface Network {
  readonly parent: Int32Array;
  /** Of the wires between a node and its parent, by node and conductor. */
  readonly resistanceOhm: Float64Array;
  /** Self and mutual, by node, conductor and the conductor whose current causes the drop. */
  readonly reactanceOhm: Float64Array;
  /** Between the stiff source and the busbar, upstream of the master meter. */
  readonly transformerOhm: number;
}

/** A single-phase load between a phase (0, 1, 2) and the neutral; a three-phase user has three taps at one node. */
export interface Tap {
  readonly node: number;
  readonly phase: number;
}

/** The same lines `factor` times as long. */
export function stretched(network: Network, factor: number): Network {
  return {
    ...network,
    resistanceOhm: network.resistanceOhm.map((ohm) => ohm * factor),
    reactanceOhm: network.reactanceOhm.map((ohm) => ohm * factor),
  };
}

/** 0.1 mV in 220 V leaves an energy imbalance of less than one part in 10^6, far below the registers' 0.01 kWh. */
const CONVERGED_V = 1e-4;
/** A feeder loaded within its rating converges in 3 to 6 rounds; more than this is a collapsing voltage. */
const MAX_ROUNDS = 60;

export class PowerFlow {
  /** Per tap, of the last solution. */
  readonly tapVoltageV: Float64Array;
  readonly tapCurrentA: Float64Array;
  /** Per phase at the busbar. */
  readonly busVoltageV = new Float64Array(3);
  readonly busCurrentA = new Float64Array(3);
  /** Into the feeders, by the busbar's voltages and currents. */
  readonly busPowerW = new Float64Array(3);
  /** All I²R downstream of the busbar, neutral included. */
  lossW = 0;

  readonly #network: Network;
  /** Wires act on each other. */
  readonly #coupled: boolean;
  /** Places (node and conductor) below the busbar that may carry current, parents first, and the place each hangs on. */
  readonly #wireAt: Int32Array;
  readonly #wireFrom: Int32Array;
  readonly #tapAt: Int32Array;
  readonly #tapNeutral: Int32Array;
  readonly #voltageRe: Float64Array;
  readonly #voltageIm: Float64Array;
  readonly #currentRe: Float64Array;
  readonly #currentIm: Float64Array;

  constructor(network: Network, taps: readonly Tap[]) {
    this.#network = network;
    this.#coupled = network.reactanceOhm.some((ohm, i) => ohm !== 0 && (i % PAIRS) % (CONDUCTORS + 1) !== 0);
    this.#tapAt = Int32Array.from(taps, (tap) => tap.node * CONDUCTORS + tap.phase);
    this.#tapNeutral = Int32Array.from(taps, (tap) => tap.node * CONDUCTORS + NEUTRAL);
    this.#wireAt = liveWires(network, [...this.#tapAt, ...this.#tapNeutral]);
    this.#wireFrom = this.#wireAt.map(
      (at) => network.parent[Math.floor(at / CONDUCTORS)]! * CONDUCTORS + (at % CONDUCTORS),
    );
    const size = network.parent.length * CONDUCTORS;
    this.#voltageRe = new Float64Array(size);
    this.#voltageIm = new Float64Array(size);
    this.#currentRe = new Float64Array(size);
    this.#currentIm = new Float64Array(size);
    this.tapVoltageV = new Float64Array(taps.length);
    this.tapCurrentA = new Float64Array(taps.length);
    for (let phase = 0; phase < 3; phase++) this.#setPhase(phase, 220);
  }

  /** Constant power `tapW` + j `tapVar` at every tap, behind a source of `sourceV` per phase. */
  solve(tapW: Float64Array, tapVar: Float64Array, sourceV: Float64Array): void {
    for (let round = 0; round < MAX_ROUNDS; round++) {
      this.#injectLoads(tapW, tapVar);
      this.#sweepBackward();
      if (this.#sweepForward(sourceV) < CONVERGED_V) {
        this.#report(tapW, tapVar);
        return;
      }
    }
    throw new SimulatorError('network_overloaded');
  }

  /** A flat start: every node at the same voltage. */
  #setPhase(phase: number, magnitudeV: number): void {
    const angle = (-2 * Math.PI * phase) / 3;
    for (let at = phase; at < this.#voltageRe.length; at += CONDUCTORS) {
      this.#voltageRe[at] = magnitudeV * Math.cos(angle);
      this.#voltageIm[at] = magnitudeV * Math.sin(angle);
    }
  }

  #injectLoads(tapW: Float64Array, tapVar: Float64Array): void {
    const currentRe = this.#currentRe;
    const currentIm = this.#currentIm;
    currentRe.fill(0);
    currentIm.fill(0);
    for (let tap = 0; tap < tapW.length; tap++) {
      const at = this.#tapAt[tap]!;
      const neutral = this.#tapNeutral[tap]!;
      const uRe = this.#voltageRe[at]! - this.#voltageRe[neutral]!;
      const uIm = this.#voltageIm[at]! - this.#voltageIm[neutral]!;
      const squared = uRe * uRe + uIm * uIm;
      // I = conj(S / U)
      const iRe = (tapW[tap]! * uRe + tapVar[tap]! * uIm) / squared;
      const iIm = (tapW[tap]! * uIm - tapVar[tap]! * uRe) / squared;
      currentRe[at]! += iRe;
      currentIm[at]! += iIm;
      currentRe[neutral]! -= iRe;
      currentIm[neutral]! -= iIm;
    }
  }

  #sweepBackward(): void {
    const currentRe = this.#currentRe;
    const currentIm = this.#currentIm;
    for (let wire = this.#wireAt.length - 1; wire >= 0; wire--) {
      const at = this.#wireAt[wire]!;
      const from = this.#wireFrom[wire]!;
      currentRe[from]! += currentRe[at]!;
      currentIm[from]! += currentIm[at]!;
    }
  }

  /** Returns the largest change of any conductor's voltage. */
  #sweepForward(sourceV: Float64Array): number {
    const { resistanceOhm, reactanceOhm, transformerOhm } = this.#network;
    const voltageRe = this.#voltageRe;
    const voltageIm = this.#voltageIm;
    const currentRe = this.#currentRe;
    const currentIm = this.#currentIm;
    const coupled = this.#coupled;
    const wireAt = this.#wireAt;
    const wireFrom = this.#wireFrom;
    let largest = 0;
    for (let phase = 0; phase < 3; phase++) {
      const angle = (-2 * Math.PI * phase) / 3;
      // A transformer is almost purely reactive.
      const re = sourceV[phase]! * Math.cos(angle) + transformerOhm * currentIm[phase]!;
      const im = sourceV[phase]! * Math.sin(angle) - transformerOhm * currentRe[phase]!;
      largest = Math.max(largest, Math.abs(re - voltageRe[phase]!), Math.abs(im - voltageIm[phase]!));
      voltageRe[phase] = re;
      voltageIm[phase] = im;
    }
    for (let wire = 0; wire < wireAt.length; wire++) {
      const at = wireAt[wire]!;
      const from = wireFrom[wire]!;
      const pairs = at * CONDUCTORS;
      const conductor = at % CONDUCTORS;
      const r = resistanceOhm[at]!;
      const x = reactanceOhm[pairs + conductor]!;
      let re = voltageRe[from]! - r * currentRe[at]! + x * currentIm[at]!;
      let im = voltageIm[from]! - r * currentIm[at]! - x * currentRe[at]!;
      if (coupled) {
        for (let other = 0; other < CONDUCTORS; other++) {
          if (other === conductor) continue;
          re += reactanceOhm[pairs + other]! * currentIm[at - conductor + other]!;
          im -= reactanceOhm[pairs + other]! * currentRe[at - conductor + other]!;
        }
      }
      const change = Math.abs(re - voltageRe[at]!) + Math.abs(im - voltageIm[at]!);
      if (change > largest) largest = change;
      voltageRe[at] = re;
      voltageIm[at] = im;
    }
    return largest;
  }

  #report(tapW: Float64Array, tapVar: Float64Array): void {
    for (let tap = 0; tap < tapW.length; tap++) {
      const at = this.#tapAt[tap]!;
      const neutral = this.#tapNeutral[tap]!;
      const uRe = this.#voltageRe[at]! - this.#voltageRe[neutral]!;
      const uIm = this.#voltageIm[at]! - this.#voltageIm[neutral]!;
      const voltageV = Math.sqrt(uRe * uRe + uIm * uIm);
      this.tapVoltageV[tap] = voltageV;
      this.tapCurrentA[tap] = Math.sqrt(tapW[tap]! ** 2 + tapVar[tap]! ** 2) / voltageV;
    }
    for (let phase = 0; phase < 3; phase++) {
      const [uRe, uIm] = [this.#voltageRe[phase]!, this.#voltageIm[phase]!];
      const [iRe, iIm] = [this.#currentRe[phase]!, this.#currentIm[phase]!];
      this.busVoltageV[phase] = Math.hypot(uRe, uIm);
      this.busCurrentA[phase] = Math.hypot(iRe, iIm);
      this.busPowerW[phase] = uRe * iRe + uIm * iIm;
    }
    this.lossW = 0;
    for (const at of this.#wireAt) {
      const squared = this.#currentRe[at]! ** 2 + this.#currentIm[at]! ** 2;
      this.lossW += squared * this.#network.resistanceOhm[at]!;
    }
  }
}

/** Between the busbar and the taps; a single-phase service has two of its four. */
function liveWires({ parent }: Network, taps: readonly number[]): Int32Array {
  const live = new Set<number>();
  for (const tap of taps) {
    const conductor = tap % CONDUCTORS;
    for (let node = (tap - conductor) / CONDUCTORS; node > 0; node = parent[node]!)
      live.add(node * CONDUCTORS + conductor);
  }
  return Int32Array.from(live).sort();
}
