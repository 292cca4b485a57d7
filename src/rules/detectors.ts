/** What can be seen in the readings of one instrument. Few and general: limits, conditions and quantities are data. */
import type { Reason } from '../fleet/finding.ts';
import { quantityIndex } from '../fleet/quantity.ts';
import type { ReasonCode } from '../texts/reasons.ts';
import { OWN } from './layout.ts';
import type { Moment } from './moment.ts';
import type { Detecting, RuleSet } from './ruleset.ts';

/** The condition holds; it is gone; neither; it cannot be told. */
export type Verdict = 'fires' | 'clears' | 'between' | 'unknown';

export interface Detector {
  /** `at`: where the rule's numbers begin in the row of the moment. */
  judge(moment: Moment, at: number): Verdict;
  /** Why it fires, right after it did. */
  reason(moment: Moment, at: number): Reason;
}

/** A register lower than before, by more than one step. */
export class RegisterDecrease implements Detector {
  readonly #step: number;

  constructor(rules: RuleSet) {
    this.#step = rules.register.step;
  }

  judge({ increment }: Moment): Verdict {
    if (Number.isNaN(increment)) return 'unknown';
    if (increment >= 0) return 'clears';
    return Math.round(-increment / this.#step) > 1 ? 'fires' : 'clears';
  }

  reason({ previousRegister, register, unit }: Moment): Reason {
    const drop = shown(previousRegister - register);
    return because('register_decreased', { before: shown(previousRegister), after: shown(register), drop, unit });
  }
}

const STILL_MS = OWN;
const EXPECTED_KWH = OWN + 1;
const POWER_W = quantityIndex('active_power_w');
const VOLTAGE_V = quantityIndex('voltage_v');
const CURRENT_A = quantityIndex('current_a');
const PHASE_VOLTAGES_V = [quantityIndex('voltage_l1_v'), quantityIndex('voltage_l2_v'), quantityIndex('voltage_l3_v')];
const PHASE_CURRENTS_A = [quantityIndex('current_l1_a'), quantityIndex('current_l2_a'), quantityIndex('current_l3_a')];

/** A register that stands although energy is drawn: what it should have counted meanwhile is added up. */
export class RegisterStill implements Detector {
  readonly #settings: Detecting<'register-still'>;
  readonly #step: number;
  #powerW = Number.NaN;

  constructor(settings: Detecting<'register-still'>, rules: RuleSet) {
    this.#settings = settings;
    this.#step = rules.register.step;
  }

  judge(moment: Moment, at: number): Verdict {
    const { row, register, increment, tsMs, previousRegisterMs, holeMs } = moment;
    if (Number.isNaN(register)) return 'unknown';
    const moved = Math.abs(increment) >= this.#step / 2;
    if (moved || Number.isNaN(increment) || Number.isNaN(row[at + STILL_MS]!)) {
      row[at + STILL_MS] = tsMs;
      row[at + EXPECTED_KWH] = 0;
      return moved ? 'clears' : 'unknown';
    }
    this.#powerW = this.#drawnW(moment);
    const elapsedMs = tsMs - previousRegisterMs;
    if (this.#powerW > 0 && elapsedMs <= holeMs) row[at + EXPECTED_KWH]! += (this.#powerW * elapsedMs) / 3.6e9;
    moment.sinceMs = row[at + STILL_MS]!;
    return row[at + EXPECTED_KWH]! > this.#settings.energy_above_kwh ? 'fires' : 'unknown';
  }

  reason({ row, register, unit, tsMs }: Moment, at: number): Reason {
    return because('register_still', {
      register: shown(register),
      unit,
      hours: shown((tsMs - row[at + STILL_MS]!) / 3_600_000),
      expected_kwh: shown(row[at + EXPECTED_KWH]!),
      power_w: Math.round(this.#powerW),
    });
  }

  /** 0 where a good meter may stand still, NaN when nothing is reported to tell. */
  #drawnW(moment: Moment): number {
    const { values } = moment;
    const powerW = values[POWER_W]!;
    if (!Number.isNaN(powerW)) return powerW > this.#settings.power_above_w ? powerW : 0;
    if (!Number.isNaN(values[CURRENT_A]!)) return this.#apparentW(moment, CURRENT_A, VOLTAGE_V) * moment.phases;
    let sumW = Number.NaN;
    for (let phase = 0; phase < 3; phase++) {
      const phaseW = this.#apparentW(moment, PHASE_CURRENTS_A[phase]!, PHASE_VOLTAGES_V[phase]!);
      if (!Number.isNaN(phaseW)) sumW = (Number.isNaN(sumW) ? 0 : sumW) + phaseW;
    }
    return sumW;
  }

  #apparentW({ values, maxCurrentA, phaseVoltageV }: Moment, currentIndex: number, voltageIndex: number): number {
    const currentA = values[currentIndex]!;
    if (currentA <= this.#settings.current_above * maxCurrentA) return 0;
    const voltageV = values[voltageIndex]!;
    return currentA * (Number.isNaN(voltageV) ? phaseVoltageV : voltageV) * this.#settings.assumed_power_factor;
  }
}

/** More energy between two registers than nominal voltage and maximum current allow. */
export class IncrementLimit implements Detector {
  readonly #factor: number;
  readonly #step: number;

  constructor({ factor }: Detecting<'increment-limit'>, rules: RuleSet) {
    this.#factor = factor;
    this.#step = rules.register.step;
  }

  judge(moment: Moment): Verdict {
    const limit = this.#limitKwh(moment);
    if (Number.isNaN(moment.increment) || Number.isNaN(limit)) return 'unknown';
    return moment.increment > limit ? 'fires' : 'clears';
  }

  reason(moment: Moment): Reason {
    return because('increment_above_limit', {
      increment: shown(moment.increment),
      limit: shown(this.#limitKwh(moment)),
      unit: moment.unit,
      minutes: shown((moment.tsMs - moment.previousRegisterMs) / 60_000),
    });
  }

  /** √3·U·Imax with U between lines is 3·U·Imax with U to neutral; one step is what rounding may add. */
  #limitKwh({ phases, phaseVoltageV, maxCurrentA, tsMs, previousRegisterMs }: Moment): number {
    const powerW = phases * phaseVoltageV * maxCurrentA;
    return (powerW * this.#factor * (tsMs - previousRegisterMs)) / 3.6e9 + this.#step;
  }
}

export function because(code: ReasonCode, params: Reason['params']): Reason {
  return { code, params };
}

/** As a person writes it: at most three decimals. */
export function shown(value: number): number {
  return Math.round(value * 1000) / 1000;
}
