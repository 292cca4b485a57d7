/** Did the replacement of a meter help: the energy of a district that nothing explains, before and after. */
import type { Balance, MeterEstimate } from './district.ts';

export interface BalancedWindow {
  readonly rows: number;
  readonly balance: Balance | undefined;
  /** Of the meter in that place; undefined = it was not estimated. */
  readonly meter: Pick<MeterEstimate, 'errorPct' | 'verdict'> | undefined;
}

export interface Improvement {
  readonly improved: boolean;
  /** Root mean square of a row without corrections, percent of the master's energy. */
  readonly beforePct: number;
  readonly afterPct: number;
  readonly errorBeforePct: number;
  readonly errorAfterPct: number;
}

/** undefined = it cannot be told yet. */
export function improvement(before: BalancedWindow, after: BalancedWindow): Improvement | undefined {
  const [beforePct, afterPct] = [unexplainedPct(before), unexplainedPct(after)];
  if (beforePct === undefined || afterPct === undefined || !before.meter || !after.meter) return undefined;
  const { verdict } = after.meter;
  if (verdict === 'undetermined') return undefined;
  const good = verdict === 'ok';
  return {
    improved: good && afterPct < beforePct,
    beforePct,
    afterPct,
    errorBeforePct: before.meter.errorPct,
    errorAfterPct: after.meter.errorPct,
  };
}

/** Relative to the load, which changes with the season. */
function unexplainedPct({ rows, balance }: BalancedWindow): number | undefined {
  if (!balance || rows === 0 || !(balance.masterKwh > 0)) return undefined;
  const share = (100 * balance.residualUncorrectedKwh * rows) / balance.masterKwh;
  return Number.isFinite(share) ? share : undefined;
}
