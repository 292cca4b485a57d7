/** A meter: what it makes of the truth. */

import type { NamedValues } from '../src/fleet/reading.ts';
import { distortion, type Fault } from './faults.ts';
import type { SimulatedInstrument } from './ledger.ts';

/** What really happened at a meter over one interval. */
export interface TrueInterval {
  readonly fromMs: number;
  readonly toMs: number;
  readonly importKwh: number;
  readonly exportKwh: number;
  /** Of the imported energy, weighted by how light the load was. */
  readonly lightLoadShare: number;
  /** Per connected phase; empty = voltage, current and power are not reported. */
  readonly voltageV: readonly number[];
  /** Mean over the connected phases. */
  readonly currentA: number;
  readonly powerW: number;
}

export interface MeterErrors {
  readonly errorPct: number;
  /** Of each connected phase's voltage channel. */
  readonly voltageGainPct: readonly number[];
  readonly firstRegisterKwh: number;
  /** Counts what is fed in, too. */
  readonly bidirectional: boolean;
}

/** The last digit of what a meter shows; 0 = all digits. */
export interface Resolution {
  readonly registerStepKwh: number;
  readonly voltageStepV: number;
}

/** Below this share of Imax a load is light: 0.05 Imax, where class 2 meters must already be within their limits. */
const LIGHT_LOAD = 0.05;

export class Meter {
  readonly id: string;
  /** Below this many watts the error of a light-load fault begins. */
  readonly lightLoadW: number;
  readonly #instrument: SimulatedInstrument;
  readonly #errors: MeterErrors;
  readonly #faults: readonly Fault[];
  readonly #resolution: Resolution;
  #importKwh: number;
  #exportKwh = 0;
  /** Sums since the first reading, for the mean error. */
  readonly #sums = { readings: 0, errorPct: 0, trueKwh: 0, errorPctKwh: 0 };

  constructor(
    instrument: SimulatedInstrument,
    errors: MeterErrors,
    faults: readonly Fault[],
    resolution: Resolution = { registerStepKwh: 0.01, voltageStepV: 0.1 },
  ) {
    this.id = instrument.id;
    this.#instrument = instrument;
    this.#errors = errors;
    this.#faults = faults;
    this.#resolution = resolution;
    this.#importKwh = errors.firstRegisterKwh;
    const { nominalVoltageV, maxCurrentA, phase } = instrument;
    this.lightLoadW = LIGHT_LOAD * nominalVoltageV * maxCurrentA * (phase === 'L123' ? 3 : 1);
  }

  /** Mean since the first reading, weighted by true energy; registers that stop, jump or fall are no error of measurement. */
  get meanErrorPct(): number {
    const { readings, errorPct, trueKwh, errorPctKwh } = this.#sums;
    if (trueKwh > 0) return errorPctKwh / trueKwh;
    return readings > 1 ? errorPct / (readings - 1) : this.#errors.errorPct;
  }

  /** Counts one interval and says what leaves the meter at its end; undefined when nothing does. */
  record(truth: TrueInterval): NamedValues | undefined {
    const hours = (truth.toMs - truth.fromMs) / 3_600_000;
    const fault = distortion(this.#faults, { ...truth, limitKwh: this.#limitKwh(hours) });
    const errorPct = this.#errors.errorPct + fault.errorPct;
    const factor = 1 + errorPct / 100;
    this.#importKwh += truth.importKwh * factor * fault.energyShare + fault.addedKwh - fault.setBackKwh;
    this.#exportKwh += truth.exportKwh * factor * fault.energyShare;
    this.#remember(errorPct, truth.importKwh);
    if (fault.muted) return undefined;
    const values: NamedValues = { active_import_kwh: this.#shown(this.#importKwh) };
    if (this.#errors.bidirectional) values.active_export_kwh = this.#shown(this.#exportKwh);
    if (truth.voltageV.length === 0) return values;
    const voltagesV = truth.voltageV.map((trueV, i) => this.#voltageV(trueV * fault.voltageShare, i));
    values.voltage_v = nearest(
      voltagesV.reduce((sum, v) => sum + v, 0) / voltagesV.length,
      this.#resolution.voltageStepV,
    );
    values.current_a = nearest(truth.currentA, 0.001);
    values.active_power_w = Math.round(truth.powerW * factor * fault.voltageShare);
    if (voltagesV.length === 3) {
      [values.voltage_l1_v, values.voltage_l2_v, values.voltage_l3_v] = voltagesV as [number, number, number];
    }
    return values;
  }

  #remember(errorPct: number, trueKwh: number): void {
    // What passed before the first reading shows nowhere.
    if (this.#sums.readings > 0) {
      this.#sums.errorPct += errorPct;
      this.#sums.trueKwh += trueKwh;
      this.#sums.errorPctKwh += errorPct * trueKwh;
    }
    this.#sums.readings++;
  }

  /** A register shows the digits it has, never one it has not reached. */
  #shown(registerKwh: number): number {
    const { registerStepKwh } = this.#resolution;
    return registerStepKwh > 0 ? stepped(Math.floor, registerKwh, registerStepKwh) : registerKwh;
  }

  #voltageV(trueV: number, phase: number): number {
    return nearest(trueV * (1 + this.#errors.voltageGainPct[phase]! / 100), this.#resolution.voltageStepV);
  }

  /** Above this an increment is a runaway: √3·U·Imax·Δt·1.2, with U between lines, which is √3 times that to neutral. */
  #limitKwh(hours: number): number {
    const { nominalVoltageV, maxCurrentA, phase } = this.#instrument;
    return ((phase === 'L123' ? 3 : Math.sqrt(3)) * nominalVoltageV * maxCurrentA * hours * 1.2) / 1000;
  }
}

function nearest(value: number, step: number): number {
  return step > 0 ? stepped(Math.round, value, step) : value;
}

/** Divides by the steps in one unit, so that decimals stay short. */
function stepped(round: (value: number) => number, value: number, step: number): number {
  const perUnit = 1 / step;
  return round(value * perUnit) / perUnit;
}
