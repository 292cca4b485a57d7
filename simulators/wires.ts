/** Impedances of a kilometre of line, from sequence values or from where its wires hang. */

import { CONDUCTORS } from './feeder.ts';
import { property, type Statement } from './opendss.ts';

export interface Impedance {
  /** By conductor. */
  readonly resistanceOhm: Float64Array;
  /** By conductor and conductor. */
  readonly reactanceOhm: Float64Array;
}

const NEUTRAL = CONDUCTORS - 1;
/** ωμ₀/2π at 50 Hz. */
const OHM_PER_KM = 0.0628319;

export function noImpedance(): Impedance {
  return {
    resistanceOhm: new Float64Array(CONDUCTORS),
    reactanceOhm: new Float64Array(CONDUCTORS * CONDUCTORS),
  };
}

export function addImpedance(sum: Impedance, perKm: Impedance, lengthKm: number): void {
  perKm.resistanceOhm.forEach((ohm, i) => {
    sum.resistanceOhm[i]! += ohm * lengthKm;
  });
  perKm.reactanceOhm.forEach((ohm, i) => {
    sum.reactanceOhm[i]! += ohm * lengthKm;
  });
}

/**
 * Sequence impedances as a phase wire and a neutral that carries the sum: Z1 in each phase, (Z0 - Z1)/3 in the neutral.
 * One code gives a neutral less than nothing; it gets none.
 */
export function fromSequence(code: Statement): Impedance {
  const [r1, x1, r0, x0] = ['r1', 'x1', 'r0', 'x0'].map((name) => Number(property(code, name)));
  const impedance = noImpedance();
  for (let conductor = 0; conductor < CONDUCTORS; conductor++) {
    const isPhase = conductor !== NEUTRAL;
    impedance.resistanceOhm[conductor] = isPhase ? r1! : Math.max(0, (r0! - r1!) / 3);
    impedance.reactanceOhm[conductor * (CONDUCTORS + 1)] = isPhase ? x1! : Math.max(0, (x0! - x1!) / 3);
  }
  return impedance;
}

/**
 * Wires in parallel, X = ωμ₀/2π · ln(1 m / distance), for a wire's own the geometric mean radius (Carson, 1926, without
 * earth: the currents of all wires sum to nothing). `conductors` are those of the bus, in the order of the geometry.
 */
export function fromGeometry(
  geometry: Statement,
  wires: ReadonlyMap<string, Statement>,
  conductors: readonly number[],
): Impedance {
  const places: { wire: Statement; xM: number; yM: number }[] = [];
  for (const [name, value] of geometry.values) {
    if (name === 'wire') places.push({ wire: wires.get(value.toLowerCase())!, xM: 0, yM: 0 });
    if (name === 'x') places.at(-1)!.xM = Number(value) / 1000;
    if (name === 'h') places.at(-1)!.yM = Number(value) / 1000;
  }
  const impedance = noImpedance();
  places.forEach((place, i) => {
    const at = conductors[i]! - 1;
    impedance.resistanceOhm[at] = Number(property(place.wire, 'rac'));
    places.forEach((other, j) => {
      const gmrM = Number(property(place.wire, 'gmrac')) / 1000;
      const distanceM = i === j ? gmrM : Math.hypot(place.xM - other.xM, place.yM - other.yM);
      impedance.reactanceOhm[at * CONDUCTORS + conductors[j]! - 1] = -OHM_PER_KM * Math.log(distanceM);
    });
  });
  return impedance;
}
