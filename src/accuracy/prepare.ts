/** What of a window can enter the balance, and why the rest cannot. */
import type { AccuracyPolicy, DistrictNote, DistrictWindow, Reason, VerdictReason } from './district.ts';
import { ratioOf } from './ratios.ts';
import { type Energy, energyOf, net } from './registers.ts';
import { round, sum } from './sums.ts';

const STUCK_DAYS = 7;

export interface Prepared {
  readonly window: DistrictWindow;
  readonly policy: AccuracyPolicy;
  readonly solvable: boolean;
  /** Why nothing can be said of any meter. */
  readonly reason: Reason<VerdictReason> | undefined;
  /** Indexes of the users that enter the balance. */
  readonly used: readonly number[];
  readonly energies: readonly (Energy | undefined)[];
  readonly master: Energy | undefined;
  /** By user: why its verdict is no more than undetermined, or less. */
  readonly reasons: readonly (Reason<VerdictReason> | undefined)[];
  /** V/V0 by place in `used`. */
  readonly ratios: readonly (Float64Array | undefined)[];
  readonly notes: readonly DistrictNote[];
}

export function prepare(window: DistrictWindow, policy: AccuracyPolicy): Prepared {
  const { master, users, moments } = window;
  const notes: DistrictNote[] = [];
  const energies = users.map(({ importKwh, exportKwh }) => {
    const register = net(importKwh, exportKwh);
    return hasTwo(register) ? energyOf(register) : undefined;
  });
  const masterRegister = master && net(master.importKwh, master.exportKwh);
  const masterEnergy = masterRegister && hasTwo(masterRegister) ? energyOf(masterRegister) : undefined;
  const used = users.flatMap((_, i) => (energies[i] ? [i] : []));
  const reasons = users.map((_, i) => reasonOf(energies[i], policy));
  users.forEach((user, i) => {
    const energy = energies[i];
    if (!energy) return;
    for (const k of energy.resets) {
      const atText = new Date(window.fromMs + k * window.periodMs).toISOString();
      notes.push({ code: 'register_reset', params: { at: atText }, instrument: user.id });
    }
    const hours = stuckHours(energy, window.periodMs);
    if (hours < STUCK_DAYS * 24) return;
    notes.push({ code: 'stuck_register', params: { hours: Math.round(hours) }, instrument: user.id });
    reasons[i] = { code: 'stuck_register', params: { hours: Math.round(hours) } };
  });
  const ratios = used.map((i) => {
    const found = master && ratioOf(users[i]!, master, moments);
    if (found?.wrong) {
      const params = { ledger: users[i]!.phase ?? '', measured: found.wrong };
      notes.push({ code: 'wrong_phase', params, instrument: users[i]!.id });
    }
    return found?.ratio;
  });
  const few = { rows: masterEnergy?.rowsRead ?? 0, needed: policy.minRows };
  const reason: Reason<VerdictReason> | undefined = !master
    ? { code: 'no_master', params: {} }
    : !masterEnergy || few.rows < policy.minRows || used.length === 0
      ? { code: 'too_few_rows', params: few }
      : undefined;
  return {
    window,
    policy,
    solvable: reason === undefined,
    reason,
    used,
    energies,
    master: masterEnergy,
    reasons,
    ratios,
    notes,
  };
}

function hasTwo(register: Float64Array): boolean {
  let count = 0;
  for (const value of register) if (!Number.isNaN(value) && ++count === 2) return true;
  return false;
}

function reasonOf(energy: Energy | undefined, policy: AccuracyPolicy): Reason<VerdictReason> | undefined {
  if (!energy) return { code: 'no_readings', params: {} };
  const { rowsRead, collection } = energy;
  if (rowsRead < policy.minRows) return { code: 'too_few_rows', params: { rows: rowsRead, needed: policy.minRows } };
  if (isLittle(energy.kwh, policy)) {
    const energyKwh = round(sum(energy.kwh), 3);
    return { code: 'too_little_energy', params: { energyKwh, neededKwh: policy.minEnergyKwh } };
  }
  if (collection < policy.minCollection) {
    return {
      code: 'low_collection',
      params: { collectionPct: round(100 * collection, 2), neededPct: 100 * policy.minCollection },
    };
  }
  return undefined;
}

/** Of so little energy, counted or fed back, anything can be said. */
export function isLittle(kwh: Float64Array, { minEnergyKwh }: Pick<AccuracyPolicy, 'minEnergyKwh'>): boolean {
  return Math.abs(sum(kwh)) < minEnergyKwh;
}

/** Of the rows at the end in which nothing was counted, when something was before. */
function stuckHours({ kwh, isRead }: Energy, periodMs: number): number {
  let still = 0;
  for (let t = kwh.length - 1; t >= 0 && (!isRead[t] || kwh[t] === 0); t--) still++;
  return still === kwh.length ? 0 : (still * periodMs) / 3_600_000;
}
