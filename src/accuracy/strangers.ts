/** Meters that may not be of the district at all. */
import type { AccuracyPolicy } from './district.ts';
import type { Columns } from './matrix.ts';
import { isLittle } from './prepare.ts';
import { medianOf } from './sums.ts';
import type { Network } from './voltage.ts';

/** Probability that a meter is not of this district: without voltages; with a voltage of its own; with the district's. */
const STRANGER_SHARE = 0.0005;
const FOREIGN_SHARE = 0.01;
const LOCAL_SHARE = 1e-7;
/** A voltage is the more foreign the less the loads explain it: this much more is left than at a typical meter. */
const FOREIGN_FROM = 1.3;
/** Of a meter that the first solution or its voltages call a stranger. */
const SUSPECTED_SHARE = 0.5;
/** A meter whose voltage leaves so many times the typical is a stranger until its energy says otherwise. */
const FOREIGN_VOLTAGE = 4;

/** By place: the probability before the balance is seen; `suspected`: what an earlier look calls strangers. */
export function strangerShares(
  network: Network | undefined,
  loads: Columns,
  suspected: ReadonlySet<number>,
  policy: AccuracyPolicy,
): Float64Array {
  const typical = network ? typicalResidual(network) : Number.NaN;
  return Float64Array.from(loads, (load, place) => {
    if (isLittle(load, policy)) return 0;
    if (suspected.has(place)) return SUSPECTED_SHARE;
    const sd = network?.residualSd[place] ?? Number.NaN;
    if (Number.isNaN(sd)) return STRANGER_SHARE;
    return sd > FOREIGN_FROM * typical ? FOREIGN_SHARE : LOCAL_SHARE;
  });
}

/** Meters whose voltage has little to do with the district's loads. */
export function foreignVoltages(network: Network | undefined): number[] {
  if (!network) return [];
  const typical = typicalResidual(network);
  return [...network.residualSd].flatMap((sd, place) => (sd > FOREIGN_VOLTAGE * typical ? [place] : []));
}

/** What the loads leave of a voltage, at most meters. */
export function typicalResidual({ residualSd }: Network): number {
  return medianOf(residualSd.filter((sd) => !Number.isNaN(sd)));
}
