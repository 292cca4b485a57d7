/** A meter: what it makes of the truth. */

import type { NamedValues } from '../src/fleet/reading.ts';
import { distortion, type Fault } from './faults.ts';
import type { SimulatedInstrument } from './ledger.ts';

/** What really happened at a meter over one interval. */
export interface TrueInterval {
  readonly fromMs: number;
  readonly toMs: number;
  readonly energyKwh: number;
  /** Mean per connected phase. */
  readonly voltageV: readonly number[];
  /** Mean over the connected phases. */
  readonly currentA: number;
}

export interface MeterErrors {
  readonly errorPct: number;
  /** Of each connected phase's voltage channel. */
  readonly voltageGainPct: readonly number[];
  readonly firstRegisterKwh: number;
}

export class Meter {
  readonly id: string;
  readonly #instrument: SimulatedInstrument;
  readonly #errors: MeterErrors;
  readonly #faults: readonly Fault[];
  #registerKwh: number;

  constructor(instrument: SimulatedInstrument, errors: MeterErrors, faults: readonly Fault[]) {
    this.id = instrument.id;
    this.#instrument = instrument;
    this.#errors = errors;
    this.#faults = faults;
    this.#registerKwh = errors.firstRegisterKwh;
  }

  /** Counts one interval and says what leaves the meter at its end; undefined when nothing does. */
  record(truth: TrueInterval): NamedValues | undefined {
    const hours = (truth.toMs - truth.fromMs) / 3_600_000;
    const fault = distortion(this.#faults, { ...truth, limitKwh: this.#limitKwh(hours) });
    const measuredKwh = truth.energyKwh * (1 + (this.#errors.errorPct + fault.errorPct) / 100);
    this.#registerKwh += fault.counted(measuredKwh) - fault.setBackKwh;
    if (fault.muted) return undefined;
    const voltagesV = truth.voltageV.map((trueV, i) => this.#voltageV(trueV * fault.voltageShare, i));
    const values: NamedValues = {
      active_import_kwh: Math.floor(this.#registerKwh * 100) / 100,
      voltage_v: roundTo(voltagesV.reduce((sum, v) => sum + v, 0) / voltagesV.length, 10),
      current_a: roundTo(truth.currentA, 1000),
      active_power_w: hours > 0 ? Math.round((measuredKwh * fault.voltageShare * 1000) / hours) : 0,
    };
    if (voltagesV.length === 3) {
      [values.voltage_l1_v, values.voltage_l2_v, values.voltage_l3_v] = voltagesV as [number, number, number];
    }
    return values;
  }

  #voltageV(trueV: number, phase: number): number {
    return roundTo(trueV * (1 + this.#errors.voltageGainPct[phase]! / 100), 10);
  }

  /** Above this an increment is a runaway: √3·U·Imax·Δt·1.2, with U between lines, which is √3 times that to neutral. */
  #limitKwh(hours: number): number {
    const { nominalVoltageV, maxCurrentA, phase } = this.#instrument;
    return ((phase === 'L123' ? 3 : Math.sqrt(3)) * nominalVoltageV * maxCurrentA * hours * 1.2) / 1000;
  }
}

function roundTo(value: number, perUnit: number): number {
  return Math.round(value * perUnit) / perUnit;
}
