/** The running error of every meter of a district, from readings alone. Pure: the same window gives the same estimate. */
import type { AccuracyPolicy, DistrictEstimate, DistrictWindow } from './district.ts';
import { judge, undetermined } from './judge.ts';
import { balanceOf, districtNotes } from './notes.ts';
import { prepare } from './prepare.ts';
import { METHOD_VERSION, solveDistrict } from './solution.ts';

export function estimateDistrict(window: DistrictWindow, policy: AccuracyPolicy): DistrictEstimate {
  const rows = window.moments - 1;
  const prepared = prepare(window, policy);
  const notes = [...prepared.notes];
  const at = (row: number) => window.fromMs + row * window.periodMs;
  const base = {
    district: window.district,
    fromMs: window.fromMs,
    toMs: at(rows),
    rows,
  };
  const solution = prepared.solvable ? solveDistrict(prepared) : undefined;
  if (!solution) {
    const reason = prepared.reason ?? { code: 'not_solvable' as const, params: {} };
    return {
      ...base,
      method: { version: METHOD_VERSION, loss: 'none', clocks: 'right', voltages: 'none', spreadPct: Number.NaN },
      balance: undefined,
      notes,
      meters: window.users.map((user, i) => undetermined(user.id, prepared.energies[i], rows, reason)),
    };
  }
  const { method, strangers } = solution;
  for (const i of prepared.used) {
    if (strangers.has(i)) notes.push({ code: 'wrong_district', params: {}, instrument: window.users[i]!.id });
  }
  notes.push(...districtNotes(prepared, solution));
  const meters = window.users.map((user, i) => {
    const place = prepared.used.indexOf(i);
    const energy = prepared.energies[i];
    const reason = prepared.reasons[i];
    if (place < 0) return undetermined(user.id, energy, rows, reason ?? { code: 'no_readings', params: {} });
    return judge(prepared, solution, place, policy, reason);
  });
  return { ...base, method, balance: balanceOf(prepared, solution), notes, meters };
}
