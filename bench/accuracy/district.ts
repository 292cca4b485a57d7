/** A simulated district as an estimator gets it, with its truth. */

import { type FleetOptions, fleetOptions } from '../../simulators/fleet.ts';
import type { LoadProfiles } from '../../simulators/loads.ts';
import { type SimulatedDistrict, simulateDistrict } from '../../simulators/simulate-district.ts';
import type { DistrictWindow, MeterSeries } from '../../src/accuracy/district.ts';
import type { JudgedMeter } from '../../src/accuracy/score.ts';

/** Class 2. */
const MPE_PCT = 2;

export interface BenchDistrict {
  readonly window: DistrictWindow;
  readonly truth: SimulatedDistrict['truth'];
}

export function districtOf(options: Parameters<typeof fleetOptions>[0], profiles: LoadProfiles): BenchDistrict {
  const full: FleetOptions = fleetOptions(options);
  const { instruments, tsMs, registersKwh, exportsKwh, voltagesV, truth } = simulateDistrict(full, profiles);
  const series = (i: number): MeterSeries => ({
    id: instruments[i]!.id,
    phase: instruments[i]!.phase || undefined,
    importKwh: registersKwh[i]!,
    exportKwh: exportsKwh[i]!.length > 0 ? exportsKwh[i] : undefined,
    voltagesV: voltagesV[i]!,
  });
  const users = instruments.slice(1).map((_, i) => series(i + 1));
  return {
    window: {
      district: instruments[0]!.district,
      fromMs: tsMs[0]!,
      periodMs: full.periodMs,
      moments: tsMs.length,
      master: series(0),
      users,
      mpePct: users.map(() => MPE_PCT),
      siteResults: [],
    },
    truth,
  };
}

/** User meters of this district beside what was said of them; a stray is not one. */
export function judged(
  { window, truth }: BenchDistrict,
  estimates: readonly NonNullable<JudgedMeter['estimate']>[],
): JudgedMeter[] {
  const strays = new Set(strayOf(truth));
  return window.users.flatMap(({ id }, i) => {
    const lines = truth.filter(({ instrument }) => instrument === id);
    if (strays.has(id)) return [];
    const faults = lines.flatMap(({ fault }) => (fault ? [fault] : []));
    return [{ instrument: id, truePct: lines[0]!.errorPct, mpePct: MPE_PCT, faults, estimate: estimates[i] }];
  });
}

export function strayOf(truth: SimulatedDistrict['truth']): string[] {
  return truth.filter(({ fault }) => fault === 'wrong-district').map(({ instrument }) => instrument);
}
