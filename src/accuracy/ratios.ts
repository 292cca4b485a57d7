/** V/V0 of a meter in each row, on the phase that fits: what the ledger says, unless its voltage follows another one. */
import type { Connection, MeterSeries } from './district.ts';

const PHASES = ['L1', 'L2', 'L3'] as const;
/** Another phase fits so much better that the ledger must be wrong. */
const OTHER_PHASE = 0.5;
/** Beyond them it is no voltage of this network. */
const LEAST_RATIO = 0.5;
const MOST_RATIO = 1.5;

/** V/V0 at the end of each row, on the phase that fits. */
export function ratioOf(
  user: MeterSeries,
  master: MeterSeries,
  moments: number,
): { ratio: Float64Array; wrong: Connection | undefined } | undefined {
  const [only] = user.voltagesV;
  if (!only || master.voltagesV.length === 0) return undefined;
  const reference = (phase: number) => master.voltagesV[master.voltagesV.length === 3 ? phase : 0]!;
  if (user.voltagesV.length === 3) {
    const parts = PHASES.map((_, phase) => divide(user.voltagesV[phase]!, reference(phase), moments));
    return usable(
      parts[0]!.map((value, t) => (value + parts[1]![t]! + parts[2]![t]!) / 3),
      undefined,
    );
  }
  if (user.phase === 'L123') {
    const parts = PHASES.map((_, phase) => divide(only, reference(phase), moments));
    return usable(
      parts[0]!.map((value, t) => 3 / (1 / value + 1 / parts[1]![t]! + 1 / parts[2]![t]!)),
      undefined,
    );
  }
  const candidates = PHASES.map((_, phase) => divide(only, reference(phase), moments));
  const unrest = candidates.map(unrestOf);
  const named = PHASES.indexOf(user.phase as (typeof PHASES)[number]);
  const best = unrest.reduce((at, value, phase) => (value < unrest[at]! ? phase : at), Math.max(named, 0));
  const isWrong = named >= 0 && best !== named && unrest[best]! < OTHER_PHASE * unrest[named]!;
  const phase = named < 0 || isWrong ? best : named;
  return usable(candidates[phase]!, isWrong ? PHASES[best]! : undefined);
}

function usable(ratio: Float64Array, wrong: Connection | undefined) {
  let count = 0;
  for (const value of ratio) if (!Number.isNaN(value)) count++;
  return count >= ratio.length / 2 ? { ratio, wrong } : undefined;
}

function divide(voltage: Float64Array, reference: Float64Array, moments: number): Float64Array {
  const ratio = new Float64Array(moments - 1);
  for (let t = 0; t < ratio.length; t++) {
    const value = voltage[t + 1]! / reference[t + 1]!;
    ratio[t] = value > LEAST_RATIO && value < MOST_RATIO ? value : Number.NaN;
  }
  return ratio;
}

/** Mean square of what changes from row to row. */
function unrestOf(ratio: Float64Array): number {
  let squares = 0;
  let count = 0;
  for (let t = 1; t < ratio.length; t++) {
    const step = ratio[t]! - ratio[t - 1]!;
    if (Number.isNaN(step)) continue;
    squares += step * step;
    count++;
  }
  return count > 0 ? squares / count : Number.POSITIVE_INFINITY;
}
