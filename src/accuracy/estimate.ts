/** The running error of every meter of a district, from readings alone. Pure: the same window gives the same estimate. */
import type { AccuracyPolicy, DistrictEstimate, DistrictWindow, MeterEstimate } from './district.ts';
import { judge, undetermined } from './judge.ts';
import { balanceOf, districtNotes } from './notes.ts';
import { prepare } from './prepare.ts';
import { METHOD_VERSION, solveDistrict } from './solution.ts';

const HOUR_MS = 3_600_000;

export function estimateDistrict(window: DistrictWindow, policy: AccuracyPolicy): DistrictEstimate {
  const rows = window.moments - 1;
  const prepared = prepare(window, policy);
  const notes = [...prepared.notes];
  const solution = prepared.solvable ? solveDistrict(prepared) : undefined;
  if (!solution) {
    const reason = prepared.reason ?? { code: 'not_solvable' as const, params: {} };
    const meters = window.users.map((user, i) => undetermined(user.id, prepared.energies[i], rows, reason));
    return { ...unsolved(window, meters), notes };
  }
  const { method, strangers, stuck } = solution;
  for (const i of prepared.used) {
    if (strangers.has(i)) notes.push({ code: 'wrong_district', params: {}, instrument: window.users[i]!.id });
  }
  const stuckReason = (i: number) => {
    const hours = Math.round(((rows - prepared.stillFrom[i]!) * window.periodMs) / HOUR_MS);
    return { code: 'stuck_register', params: { hours } } as const;
  };
  for (const i of stuck) notes.push({ ...stuckReason(i), instrument: window.users[i]!.id });
  notes.push(...districtNotes(prepared, solution));
  const meters = window.users.map((user, i) => {
    const place = prepared.used.indexOf(i);
    const energy = prepared.energies[i];
    const reason = stuck.has(i) ? stuckReason(i) : prepared.reasons[i];
    if (place < 0) return undetermined(user.id, energy, rows, reason ?? { code: 'no_readings', params: {} });
    return judge(prepared, solution, place, policy, reason);
  });
  return { ...spanOf(window), method, balance: balanceOf(prepared, solution), notes, meters };
}

/** Of a window on which the estimator itself fails. */
export function failedEstimate(window: DistrictWindow): DistrictEstimate {
  const reason = { code: 'not_solvable', params: {} } as const;
  const rows = window.moments - 1;
  return unsolved(
    window,
    window.users.map(({ id }) => undetermined(id, undefined, rows, reason)),
  );
}

function unsolved(window: DistrictWindow, meters: readonly MeterEstimate[]): DistrictEstimate {
  return {
    ...spanOf(window),
    method: { version: METHOD_VERSION, loss: 'none', clocks: 'right', voltages: 'none', spreadPct: Number.NaN },
    balance: undefined,
    notes: [],
    meters,
  };
}

function spanOf({ district, fromMs, periodMs, moments }: DistrictWindow) {
  const rows = moments - 1;
  return { district, fromMs, toMs: fromMs + rows * periodMs, rows };
}
