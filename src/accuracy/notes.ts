/** What the district as a whole shows: energy that nobody counts, a master that is off, the balance before and after. */
import type { Balance, DistrictNote } from './district.ts';
import type { Prepared } from './prepare.ts';
import type { Solution } from './solution.ts';
import { round, sum } from './sums.ts';

const DAY_MS = 86_400_000;
/** Energy that rows which nothing explains have too much, a day, before it is told. */
const UNMETERED_KWH_PER_DAY = 1;
/** And that it has to be of what the users count. */
const UNMETERED_SHARE = 0.002;
const MOST_SHARE = 0.8;

export function districtNotes({ window }: Prepared, solution: Solution): DistrictNote[] {
  const notes: DistrictNote[] = [];
  const { fit, isMasterOff, common, steadyKwh } = solution;
  if (isMasterOff) notes.push({ code: 'master_off', params: { shiftPct: round(-100 * common, 2) } });
  let lost = steadyKwh * fit.residual.length;
  const hours = new Float64Array(24).fill(lost / 24);
  let total = 0;
  for (let t = 0; t < fit.residual.length; t++) {
    total += solution.carried.reduce((s, column) => s + column[t]!, 0);
    if (fit.weight[t]! > 0 || fit.residual[t]! > 0) continue;
    lost -= fit.residual[t]!;
    hours[new Date(window.fromMs + t * window.periodMs).getUTCHours()]! -= fit.residual[t]!;
  }
  const days = (fit.residual.length * window.periodMs) / DAY_MS;
  if (lost / days > UNMETERED_KWH_PER_DAY && lost > UNMETERED_SHARE * total) {
    const { from, to } = mostOf(hours);
    notes.push({ code: 'unmetered_energy', params: { kwhPerDay: round(lost / days, 2), fromHour: from, toHour: to } });
  }
  return notes;
}

/** The shortest run of hours of a day with most of what there is. */
function mostOf(hours: Float64Array): { from: number; to: number } {
  const whole = sum(hours);
  for (let length = 1; length <= 24; length++) {
    for (let from = 0; from < 24; from++) {
      let part = 0;
      for (let k = 0; k < length; k++) part += hours[(from + k) % 24]!;
      if (part >= MOST_SHARE * whole) return { from, to: (from + length) % 24 };
    }
  }
  return { from: 0, to: 24 };
}

export function balanceOf({ used, energies, master }: Prepared, { fit, carried }: Solution): Balance {
  const rms = (values: Float64Array) => {
    let squares = 0;
    let count = 0;
    for (let t = 0; t < values.length; t++) {
      if (fit.weight[t]! === 0) continue;
      squares += values[t]! ** 2;
      count++;
    }
    return Math.sqrt(squares / Math.max(count, 1));
  };
  const uncorrected = fit.residual.map(
    (value, t) => value + carried.reduce((s, column, i) => s + column[t]! * fit.meters[i]!, 0),
  );
  const usersKwh = used.reduce((total, i) => total + sum(energies[i]!.kwh), 0);
  const masterKwh = sum(master!.kwh);
  return {
    masterKwh,
    usersKwh,
    lossKwh: carried.reduce((total, column) => total + sum(column), 0) - usersKwh,
    residualKwh: rms(fit.residual),
    residualUncorrectedKwh: rms(uncorrected),
  };
}
