import { describe, expect, test } from 'vitest';
import { type FleetOptions, fleetOptions } from '../../simulators/fleet.ts';
import { readLondonProfiles } from '../../simulators/london.ts';
import { type SimulatedDistrict, simulateDistrict } from '../../simulators/simulate-district.ts';

const profiles = readLondonProfiles();
const UNTIL_MS = Date.UTC(2026, 0, 31);
const HOUR_MS = 3_600_000;

/** Every cause switched off. */
const IDEAL = {
  untilMs: UNTIL_MS,
  seed: 5,
  metersPerDistrict: 24,
  days: 3,
  faults: {},
  stepMs: 60_000,
  meterErrorSdPct: 0,
  masterErrorSdPct: 0,
  voltageGainSdPct: 0,
  registerStepKwh: 0,
  voltageStepV: 0,
} satisfies Partial<FleetOptions>;

function district(chosen: Partial<FleetOptions> = {}): SimulatedDistrict {
  return simulateDistrict(fleetOptions({ ...IDEAL, ...chosen }), profiles);
}

function grownKwh(registerKwh: Float64Array): number {
  return registerKwh.at(-1)! - registerKwh[0]!;
}

function usersKwh(registersKwh: readonly Float64Array[]): number {
  return registersKwh.slice(1).reduce((sum, register) => sum + grownKwh(register), 0);
}

const ideal = district();

describe('a district as arrays', () => {
  test('has an array per instrument, a voltage per phase and a line of truth for everyone', () => {
    const { instruments, tsMs, registersKwh, voltagesV, truth } = district({ threePhasePct: 10 });
    expect(tsMs).toHaveLength(3 * 96);
    expect([tsMs[0], tsMs.at(-1)]).toEqual([UNTIL_MS - 3 * 24 * HOUR_MS + HOUR_MS / 4, UNTIL_MS]);
    expect(registersKwh.every((register) => register.length === tsMs.length)).toBe(true);
    expect(voltagesV.map((phases) => phases.length)).toEqual(
      instruments.map(({ phase }) => (phase === 'L123' ? 3 : 1)),
    );
    expect(truth.map(({ instrument }) => instrument)).toEqual(instruments.map(({ id }) => id));
  });

  test('with every switch off the master counts exactly users and loss', () => {
    const lossKwh = grownKwh(ideal.registersKwh[0]!) - usersKwh(ideal.registersKwh);
    const lossPct = (100 * lossKwh) / grownKwh(ideal.registersKwh[0]!);
    // The totals begin one interval before the first reading.
    expect(lossPct).toBeCloseTo(ideal.lossPct, 1);
    expect(ideal.truth.every(({ errorPct, clockOffsetS }) => errorPct === 0 && clockOffsetS === 0)).toBe(true);
    // Every interval: the voltages tell the loss to a few percent of itself (docs of the estimator: Tellegen's theorem).
    for (const step of [40, 120, 200]) {
      const drawnKwh = (i: number) => ideal.registersKwh[i]![step]! - ideal.registersKwh[i]![step - 1]!;
      const users = ideal.instruments.slice(1).reduce((sum, _, i) => sum + drawnKwh(i + 1), 0);
      expect(drawnKwh(0)).toBeGreaterThan(users);
    }
  });

  test('is the same for the same seed and another for another', () => {
    const same = district();
    expect(same.registersKwh).toEqual(ideal.registersKwh);
    expect(same.voltagesV).toEqual(ideal.voltagesV);
    expect(district({ seed: 6 }).registersKwh[1]).not.toEqual(ideal.registersKwh[1]);
  });
});
