/** One district as arrays: readings of weeks in seconds, for estimators and their bench. */

import { type FleetOptions, simulateFleet, type Truth } from './fleet.ts';
import type { SimulatedInstrument } from './ledger.ts';
import type { LoadProfiles } from './loads.ts';

export interface SimulatedDistrict {
  /** The master first, then the users; every array below that says so is in this order. */
  readonly instruments: readonly SimulatedInstrument[];
  /** Of the readings, one more than there are intervals. */
  readonly tsMs: Float64Array;
  /** By instrument and reading; NaN = missing. */
  readonly registersKwh: readonly Float64Array[];
  /** By instrument and reading, for those that count what is fed in; empty for others. */
  readonly exportsKwh: readonly Float64Array[];
  /** By instrument: one array for a single phase, three for three phases, none when voltages are not reported. */
  readonly voltagesV: readonly (readonly Float64Array[])[];
  /** One line per instrument and fault, as in truth.csv. */
  readonly truth: readonly Truth[];
  /** Of the energy that users and unmetered loads drew and the lines lost. */
  readonly lossPct: number;
  readonly unmeteredPct: number;
}

const PHASE_VOLTAGES = ['voltage_l1_v', 'voltage_l2_v', 'voltage_l3_v'] as const;

/** The first district of the fleet that `options` describe. */
export function simulateDistrict(options: FleetOptions, profiles: LoadProfiles): SimulatedDistrict {
  const fleet = simulateFleet({ ...options, districts: 1 }, profiles);
  const { instruments, stepCount } = fleet;
  const empty = () => new Float64Array(stepCount).fill(Number.NaN);
  const tsMs = new Float64Array(stepCount);
  const registersKwh = instruments.map(empty);
  const exportsKwh = instruments.map(() => new Float64Array(0));
  const voltagesV = instruments.map(({ phase }) =>
    options.voltages === 'none' ? [] : Array.from({ length: phase === 'L123' ? 3 : 1 }, empty),
  );
  const indexOf = new Map(instruments.map(({ id }, i) => [id, i]));
  const run = fleet.start();
  let step = 0;
  for (const { tsMs: atMs, rows } of run.steps()) {
    tsMs[step] = atMs;
    for (const { instrument, values } of rows) {
      const i = indexOf.get(instrument)!;
      registersKwh[i]![step] = values.active_import_kwh!;
      if (values.active_export_kwh !== undefined) {
        if (exportsKwh[i]!.length === 0) exportsKwh[i] = empty();
        exportsKwh[i]![step] = values.active_export_kwh;
      }
      voltagesV[i]!.forEach((series, phase) => {
        series[step] = values[voltagesV[i]!.length === 3 ? PHASE_VOLTAGES[phase]! : 'voltage_v']!;
      });
    }
    step++;
  }
  const { usersKwh, lossKwh, unmeteredKwh } = run.totals()[0]!;
  const sentKwh = usersKwh + lossKwh + unmeteredKwh;
  return {
    instruments,
    tsMs,
    registersKwh,
    exportsKwh,
    voltagesV,
    truth: run.truth(),
    lossPct: (100 * lossKwh) / sentKwh,
    unmeteredPct: (100 * unmeteredKwh) / sentKwh,
  };
}
