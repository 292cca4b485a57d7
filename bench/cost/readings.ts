/** Instruments and readings in memory, of districts of a hundred, like those the load generator publishes. */
import type { Instrument } from '../../src/fleet/instrument.ts';
import { orderedValues, type Reading } from '../../src/fleet/reading.ts';
import { STEP_MS } from '../publishes.ts';

export const INSTRUMENTS_PER_DISTRICT = 100;
export const START_MS = Date.UTC(2024, 0, 1);

export function instrumentOf(index: number): Instrument {
  const district = Math.floor(index / INSTRUMENTS_PER_DISTRICT);
  return {
    key: index + 1,
    id: `BENCH-${index}`,
    kind: 'electricity',
    role: 'user',
    district: `BENCH-D-${district}`,
    phase: 'L1',
    accuracyClass: 'B',
    manufacturer: 'bench',
    model: 'b1',
    batch: '1',
    installedOn: '2024-01-01',
    owner: '',
    region: '220302',
    nominalVoltageV: 230,
    maxCurrentA: 60,
    gateway: `BENCH-GW-${district}`,
    state: 'in-service',
  };
}

/** One reading of each of `count` instruments, 15 minutes after those of the step before. */
export function readingsOfStep(firstKey: number, count: number, step: number): Reading[] {
  return Array.from({ length: count }, (_, i) => ({
    key: firstKey + i,
    tsMs: START_MS + step * STEP_MS,
    values: orderedValues({
      active_import_kwh: 100_000 + step * 0.25,
      voltage_v: 230,
      current_a: 4.348,
      active_power_w: 1000,
    }),
  }));
}
