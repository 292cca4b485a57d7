/** Quantities beyond limits, on the whole instrument or on any of its phases. */
import type { Reason } from '../fleet/finding.ts';
import { type Quantity, quantityIndex } from '../fleet/quantity.ts';
import type { ReasonCode } from '../texts/reasons.ts';
import { because, type Detector, shown, type Verdict } from './detectors.ts';
import { FROM_MS, OWN, SINCE_MS } from './layout.ts';
import type { Moment } from './moment.ts';
import { type Comparison, PER_PHASE } from './rule-schema.ts';
import type { Detecting } from './ruleset.ts';

/** Where values stand: three phases, then the instrument as a whole. What is not reported is unknown there. */
const LANES = ['L1', 'L2', 'L3', ''] as const;
const WHOLE = 3;

/** Lanes on which it fired, as bits: 1, 2, 4, 8. Only they decide when it is over. */
const FIRED_LANES = OWN;

interface Compiled {
  readonly name: string;
  /** Index of the quantity by lane. */
  readonly quantities: readonly number[];
  readonly fallback: number;
  readonly onOthers: boolean;
  /** 1 = above the limit, -1 = below it. */
  readonly side: 1 | -1;
  readonly factor: number;
  readonly of: 0 | typeof OF_VOLTAGE | typeof OF_CURRENT;
}

/** What a factor multiplies; 0 = it is the limit itself. */
const OF_VOLTAGE = 1;
const OF_CURRENT = 2;

export class Threshold implements Detector {
  readonly #firesWhen: readonly Compiled[];
  readonly #clearsWhen: readonly Compiled[];
  readonly #reason: string;
  readonly #firstLane: number;

  constructor({ fires_when, clears_when, reason }: Detecting<'threshold'>) {
    this.#firstLane = fires_when.some(({ quantity }) => quantity in PER_PHASE) ? 0 : WHOLE;
    this.#firesWhen = fires_when.map(compile);
    this.#clearsWhen = clears_when.map(compile);
    this.#reason = reason;
  }

  judge(moment: Moment, at: number): Verdict {
    const { row } = moment;
    const isIdle = Number.isNaN(row[at + FROM_MS]!) && Number.isNaN(row[at + SINCE_MS]!);
    const firedBefore = isIdle ? 0 : row[at + FIRED_LANES]! || 0;
    let fired = 0;
    let cleared = 0;
    let known = 0;
    for (let lane = this.#firstLane; lane <= WHOLE; lane++) {
      const fires = holds(this.#firesWhen, moment, lane);
      if (Number.isNaN(fires)) continue;
      known |= 1 << lane;
      if (fires === 1) fired |= 1 << lane;
      else if (holds(this.#clearsWhen, moment, lane) === 1) cleared |= 1 << lane;
    }
    if (fired !== 0) {
      row[at + FIRED_LANES] = firedBefore | fired;
      return 'fires';
    }
    const asked = firedBefore || known;
    if (asked === 0 || (known & asked) !== asked) return 'unknown';
    return (cleared & asked) === asked ? 'clears' : 'between';
  }

  reason(moment: Moment, at: number): Reason {
    const fired = moment.row[at + FIRED_LANES]!;
    const lane = LANES.findIndex(
      (_, i) => i >= this.#firstLane && (fired & (1 << i)) !== 0 && holds(this.#firesWhen, moment, i) === 1,
    );
    const params: Record<string, number | string> = lane === WHOLE ? {} : { phase: LANES[lane]! };
    for (const comparison of this.#firesWhen) {
      if (!comparison.onOthers) params[comparison.name] = shown(valueOn(comparison, moment, lane));
      params[`${comparison.name}_limit`] ??= shown(limitOf(comparison, moment));
    }
    return because((lane === WHOLE ? this.#reason : `${this.#reason}_on_phase`) as ReasonCode, params);
  }
}

function compile(comparison: Comparison): Compiled {
  const { quantity, fallback, on, below, above, of } = comparison;
  const lanes: readonly Quantity[] =
    quantity in PER_PHASE ? PER_PHASE[quantity as keyof typeof PER_PHASE] : LANES.map(() => quantity as Quantity);
  return {
    name: quantity,
    quantities: lanes.map(quantityIndex),
    fallback: fallback === undefined ? -1 : quantityIndex(fallback),
    onOthers: on === 'other-phases',
    side: above === undefined ? -1 : 1,
    factor: above ?? below!,
    of: of === undefined ? 0 : of === 'nominal_voltage' ? OF_VOLTAGE : OF_CURRENT,
  };
}

/** 1 = all of them hold, 0 = one does not, NaN = it cannot be told. */
function holds(condition: readonly Compiled[], moment: Moment, lane: number): number {
  let result = 1;
  for (let i = 0; i < condition.length; i++) {
    const comparison = condition[i]!;
    const one = comparison.onOthers ? holdsOnOthers(comparison, moment, lane) : holdsOn(comparison, moment, lane);
    if (one === 0) return 0;
    if (one !== 1) result = Number.NaN;
  }
  return result;
}

function holdsOnOthers(comparison: Compiled, moment: Moment, lane: number): number {
  if (lane === WHOLE) return Number.NaN;
  let result = 1;
  for (let other = 0; other < WHOLE; other++) {
    if (other === lane) continue;
    const one = holdsOn(comparison, moment, other);
    if (one === 0) return 0;
    if (one !== 1) result = Number.NaN;
  }
  return result;
}

function holdsOn(comparison: Compiled, moment: Moment, lane: number): number {
  const value = valueOn(comparison, moment, lane);
  if (Number.isNaN(value)) return value;
  const limit = limitOf(comparison, moment);
  if (Number.isNaN(limit)) return limit;
  return (comparison.side === 1 ? value > limit : value < limit) ? 1 : 0;
}

function valueOn({ quantities, fallback }: Compiled, { values }: Moment, lane: number): number {
  const value = values[quantities[lane]!]!;
  return Number.isNaN(value) && fallback >= 0 ? values[fallback]! : value;
}

function limitOf({ factor, of }: Compiled, moment: Moment): number {
  if (of === OF_VOLTAGE) return factor * moment.phaseVoltageV;
  if (of === OF_CURRENT) return factor * moment.maxCurrentA;
  return factor;
}
