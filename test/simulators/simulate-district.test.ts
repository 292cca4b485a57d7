import { describe, expect, test } from 'vitest';
import type { FaultKind } from '../../simulators/faults.ts';
import { type FleetOptions, fleetOptions, NETWORKS, simulateFleet } from '../../simulators/fleet.ts';
import { HALF_HOUR_MS, householdsFor, Load } from '../../simulators/loads.ts';
import { readLondonProfiles } from '../../simulators/london.ts';
import { DEVELOPMENT_CASES, JUDGING_CASES, PRESETS } from '../../simulators/presets.ts';
import { type SimulatedDistrict, simulateDistrict } from '../../simulators/simulate-district.ts';
import { solarShare } from '../../simulators/solar.ts';
import { stolenW } from '../../simulators/theft.ts';
import { VARIATIONS } from '../../simulators/variation.ts';

const profiles = readLondonProfiles();
const UNTIL_MS = Date.UTC(2026, 0, 31);
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

/** Every cause switched off. */
const IDEAL = {
  untilMs: UNTIL_MS,
  seed: 5,
  metersPerDistrict: 24,
  days: 3,
  faults: {},
  stepMs: MINUTE_MS,
  threePhasePct: 0,
  meterErrorSdPct: 0,
  masterErrorSdPct: 0,
  voltageGainSdPct: 0,
  registerStepKwh: 0,
  voltageStepV: 0,
} satisfies Partial<FleetOptions>;

function district(chosen: Partial<FleetOptions> = {}): SimulatedDistrict {
  return simulateDistrict(fleetOptions({ ...IDEAL, ...chosen }), profiles);
}

function grownKwh(registerKwh: Float64Array, from = 0, to = registerKwh.length - 1): number {
  return registerKwh[to]! - registerKwh[from]!;
}

/** What users drew between the first and the last reading. */
function usersKwh({ registersKwh }: SimulatedDistrict): number {
  return registersKwh.slice(1).reduce((sum, register) => sum + grownKwh(register), 0);
}

function finite(values: Float64Array): number {
  return values.filter(Number.isFinite).length;
}

const ideal = district();

describe('a district as arrays', () => {
  test('has an array per instrument, a voltage per phase and a line of truth for everyone', () => {
    const { instruments, tsMs, registersKwh, voltagesV, truth } = district({ threePhasePct: 10 });
    expect([tsMs.length, tsMs[0], tsMs.at(-1)]).toEqual([288, UNTIL_MS - 3 * DAY_MS + 15 * MINUTE_MS, UNTIL_MS]);
    expect(registersKwh.every((register) => register.length === tsMs.length)).toBe(true);
    expect(voltagesV.map((phases) => phases.length)).toEqual(
      instruments.map(({ phase }) => (phase === 'L123' ? 3 : 1)),
    );
    expect(truth.map(({ instrument }) => instrument)).toEqual(instruments.map(({ id }) => id));
  });

  test('is the same for the same seed and another for another', () => {
    const again = district();
    expect(again.registersKwh).toEqual(ideal.registersKwh);
    expect(again.voltagesV).toEqual(ideal.voltagesV);
    expect(district({ seed: 6 }).registersKwh[1]).not.toEqual(ideal.registersKwh[1]);
  });

  test('holds what the fleet folder holds', () => {
    const options = fleetOptions({ ...IDEAL, days: 1, registerStepKwh: 0.01, voltageStepV: 0.1, missingPct: 1 });
    const { instruments, registersKwh, voltagesV } = simulateDistrict(options, profiles);
    [...simulateFleet(options, profiles).steps()].forEach(({ rows }, step) => {
      const found = new Map(rows.map(({ instrument, values }) => [instrument, values]));
      instruments.forEach(({ id }, i) => {
        expect(registersKwh[i]![step]).toEqual(found.get(id)?.active_import_kwh ?? Number.NaN);
        if (i > 0) expect(voltagesV[i]![0]![step]).toEqual(found.get(id)?.voltage_v ?? Number.NaN);
      });
    });
  });
});

describe('with every switch off', () => {
  test('the master counts users and losses, and voltages tell the loss', () => {
    expect(ideal.truth.every(({ errorPct, clockOffsetS }) => errorPct === 0 && clockOffsetS === 0)).toBe(true);
    const lossKwh = grownKwh(ideal.registersKwh[0]!) - usersKwh(ideal);
    // The totals begin one interval before the first reading.
    expect((100 * lossKwh) / grownKwh(ideal.registersKwh[0]!)).toBeCloseTo(ideal.lossPct, 1);
    // Tellegen: Σ energy · (V0/V - 1), with one step per interval so that the mean voltage is the voltage.
    const still = district({ stepMs: 15 * MINUTE_MS });
    let toldKwh = 0;
    still.instruments.slice(1).forEach(({ phase }, user) => {
      const [register, voltage] = [still.registersKwh[user + 1]!, still.voltagesV[user + 1]![0]!];
      const bus = still.voltagesV[0]![Number(phase[1]) - 1]!;
      for (let step = 1; step < register.length; step++) {
        toldKwh += grownKwh(register, step - 1, step) * (bus[step]! / voltage[step]! - 1);
      }
    });
    const lostKwh = grownKwh(still.registersKwh[0]!) - usersKwh(still);
    expect(toldKwh / lostKwh).toBeGreaterThan(0.9);
    expect(toldKwh / lostKwh).toBeLessThan(1.15);
  });

  test('energies do not depend on the step, losses do: what varies loses more', () => {
    const still = district({ stepMs: 15 * MINUTE_MS });
    still.registersKwh.slice(1).forEach((register, user) => {
      expect(grownKwh(register)).toBeCloseTo(grownKwh(ideal.registersKwh[user + 1]!), 9);
    });
    expect(ideal.lossPct).toBeGreaterThan(1.1 * still.lossPct);
  });
});

describe('inside the half hour', () => {
  const occupant = { halfHourKwh: profiles.halfHourKwh[1]!, shiftDays: 0, seed: 7 };
  const minutesW = (variation: (typeof VARIATIONS)[number]) => {
    const load = new Load(occupant, profiles, MINUTE_MS, variation);
    return Array.from({ length: 2 * 1440 }, (_, minute) => load.powerW(UNTIL_MS + minute * MINUTE_MS));
  };

  test.each(VARIATIONS)('%s: spikes above a standing load, never above the service', (variation) => {
    const powerW = minutesW(variation);
    const meanW = powerW.reduce((sum, watt) => sum + watt, 0) / powerW.length;
    expect(Math.min(...powerW)).toBeGreaterThan(0);
    expect(Math.max(...powerW)).toBeGreaterThan(5 * meanW);
    expect(Math.max(...powerW)).toBeLessThanOrEqual(11_400 + 1e-6);
  });

  test('the two processes differ', () => {
    expect(minutesW('gamma')).not.toEqual(minutesW('appliances'));
    const perHalfHour = (powerW: readonly number[]) =>
      powerW.slice(0, 30).reduce((sum, watt) => sum + watt / 60_000, 0);
    expect(perHalfHour(minutesW('gamma'))).toBeCloseTo(perHalfHour(minutesW('appliances')), 9);
    expect(HALF_HOUR_MS).toBe(30 * MINUTE_MS);
  });
});

describe('meters', () => {
  test('errors, gains and last digits', () => {
    const { registersKwh, voltagesV, truth } = district({
      meterErrorSdPct: 1,
      masterErrorSdPct: 1,
      voltageGainSdPct: 1,
      registerStepKwh: 0.01,
      voltageStepV: 0.1,
    });
    registersKwh.forEach((register, i) => {
      const exactKwh = grownKwh(ideal.registersKwh[i]!) * (1 + truth[i]!.errorPct / 100);
      expect(Math.abs(grownKwh(register) - exactKwh)).toBeLessThan(0.01);
      expect(register.every((kwh) => Math.abs(kwh * 100 - Math.round(kwh * 100)) < 1e-6)).toBe(true);
    });
    const gains = voltagesV.map(([voltage], i) => voltage![7]! / ideal.voltagesV[i]![0]![7]! - 1);
    expect(Math.max(...gains.map(Math.abs))).toBeGreaterThan(0.01);
    expect(
      voltagesV.flat().every((voltage) => voltage.every((v) => Math.abs(v * 10 - Math.round(v * 10)) < 1e-6)),
    ).toBe(true);
    expect(new Set(truth.map(({ errorPct }) => errorPct)).size).toBe(25);
  });

  test('a clock that is ahead reads what will be, the master’s is right', () => {
    const { registersKwh, voltagesV, truth } = district({ clockOffsetSdS: 90 });
    const fine = district({ periodMs: MINUTE_MS });
    // Power is constant within a minute.
    const atMinute = (register: Float64Array, minute: number) => {
      const whole = Math.floor(minute);
      return register[whole]! + (minute - whole) * (register[whole + 1]! - register[whole]!);
    };
    registersKwh.forEach((register, i) => {
      const ahead = truth[i]!.clockOffsetS / 60;
      const [from, to] = [14 + ahead, 14 + 100 * 15 + ahead];
      const drawnKwh = atMinute(fine.registersKwh[i]!, to) - atMinute(fine.registersKwh[i]!, from);
      expect(grownKwh(register, 0, 100)).toBeCloseTo(drawnKwh, 6);
    });
    expect(truth[0]!.clockOffsetS).toBe(0);
    const sdS = Math.sqrt(truth.reduce((sum, { clockOffsetS }) => sum + clockOffsetS ** 2, 0) / 24);
    expect(sdS).toBeGreaterThan(50);
    expect(sdS).toBeLessThan(140);
    expect(voltagesV[1]).not.toEqual(ideal.voltagesV[1]);
  });

  test('voltages: mean, of the last minute, or none', () => {
    const instant = district({ voltages: 'instant' });
    const fine = district({ periodMs: MINUTE_MS });
    expect(instant.registersKwh).toEqual(ideal.registersKwh);
    const [user, step] = [3, 50];
    const minutes = fine.voltagesV[user]![0]!.slice((step + 1) * 15 - 15, (step + 1) * 15);
    expect(instant.voltagesV[user]![0]![step]).toBeCloseTo(minutes.at(-1)!, 9);
    expect(ideal.voltagesV[user]![0]![step]).toBeCloseTo(minutes.reduce((sum, v) => sum + v, 0) / 15, 9);
    const blind = district({ voltages: 'none' });
    expect(blind.voltagesV.flat()).toEqual([]);
    expect(blind.registersKwh).toEqual(ideal.registersKwh);
    const [first] = simulateFleet(fleetOptions({ ...IDEAL, voltages: 'none' }), profiles).steps();
    expect(Object.keys(first!.rows[1]!.values)).toEqual(['active_import_kwh']);
  });

  test('single readings of single instruments are missing, the master’s too', () => {
    const { registersKwh, voltagesV } = district({ missingPct: 5 });
    const missing = registersKwh.map((register) => register.length - finite(register));
    const share = missing.reduce((sum, count) => sum + count, 0) / (25 * 288);
    expect(share).toBeGreaterThan(0.04);
    expect(share).toBeLessThan(0.06);
    expect(missing.every((count) => count > 0)).toBe(true);
    registersKwh.forEach((register, i) => {
      register.forEach((kwh, step) => {
        expect(Number.isNaN(kwh) || kwh === ideal.registersKwh[i]![step]).toBe(true);
        expect(Number.isNaN(voltagesV[i]![0]![step]!)).toBe(Number.isNaN(kwh));
      });
    });
  });

  test('roofs feed in: export registers, master included, and the balance still holds', () => {
    const noon = district({ solarPct: 75, days: 4 });
    const roofs = noon.exportsKwh.filter((register) => register.length > 0);
    expect(roofs).toHaveLength(1 + 18);
    const fedIn = (i: number) => (noon.exportsKwh[i]!.length > 0 ? grownKwh(noon.exportsKwh[i]!) : 0);
    expect(fedIn(0)).toBeGreaterThan(1);
    const net = noon.registersKwh.map((register, i) => grownKwh(register) - fedIn(i));
    const lossKwh = net[0]! - net.slice(1).reduce((sum, kwh) => sum + kwh, 0);
    const usersGrossKwh = usersKwh(noon);
    expect(lossKwh / usersGrossKwh).toBeGreaterThan(0.002);
    expect(lossKwh / usersGrossKwh).toBeLessThan(0.08);
    // 2 a.m. and noon in Siping.
    expect([solarShare(1, Date.UTC(2026, 5, 20, 18)), solarShare(1, Date.UTC(2026, 5, 20, 4)) > 0.05]).toEqual([
      0,
      true,
    ]);
  });
});

describe('faults', () => {
  const faulty = (kind: FaultKind, chosen: Partial<FleetOptions> = {}) => {
    const made = district({ faults: { [kind]: 1 }, days: 6, ...chosen });
    const line = made.truth.find(({ fault }) => fault === kind)!;
    const i = made.instruments.findIndex(({ id }) => id === line.instrument);
    return { ...made, line, i };
  };
  const healthy = district({ days: 6 });
  const gainedPct = (register: Float64Array, clean: Float64Array, from = 0, to = register.length - 1) =>
    100 * (grownKwh(register, from, to) / grownKwh(clean, from, to) - 1);

  test.each(['constant-error', 'drift', 'step', 'light-load'] as const)(
    '%s: the truth is what the register gained',
    (kind) => {
      const { line, i, registersKwh } = faulty(kind);
      expect(Math.abs(line.errorPct)).toBeGreaterThan(0.2);
      expect(gainedPct(registersKwh[i]!, healthy.registersKwh[i]!)).toBeCloseTo(line.errorPct, 6);
      registersKwh.forEach((register, other) => {
        if (other !== i) expect(register).toEqual(healthy.registersKwh[other]);
      });
    },
  );

  test('step: nothing before its date, the whole error after it', () => {
    const { line, i, tsMs, registersKwh } = faulty('step');
    const onset = tsMs.indexOf(line.fromMs!);
    expect(onset).toBeGreaterThan(100);
    expect(gainedPct(registersKwh[i]!, healthy.registersKwh[i]!, 0, onset - 1)).toBeCloseTo(0, 9);
    expect(Math.abs(gainedPct(registersKwh[i]!, healthy.registersKwh[i]!, onset))).toBeGreaterThan(3);
  });

  test('light load: the less is drawn, the larger the error', () => {
    const { i, registersKwh } = faulty('light-load', { stepMs: 15 * MINUTE_MS });
    const clean = district({ days: 6, stepMs: 15 * MINUTE_MS }).registersKwh[i]!;
    const points = Array.from({ length: clean.length - 1 }, (_, step) => ({
      drawnKwh: grownKwh(clean, step, step + 1),
      errorPct: Math.abs(gainedPct(registersKwh[i]!, clean, step, step + 1)),
    })).sort((a, b) => a.drawnKwh - b.drawnKwh);
    // 5 % of 60 A at 220 V is 660 W, 0.165 kWh in a quarter of an hour.
    expect(points[0]!.errorPct).toBeGreaterThan(2);
    for (const { drawnKwh, errorPct } of points) if (drawnKwh >= 0.165) expect(errorPct).toBeCloseTo(0, 6);
    points.slice(1).forEach(({ errorPct }, k) => {
      expect(errorPct).toBeLessThanOrEqual(points[k]!.errorPct + 1e-6);
    });
  });

  test('theft: bursts of 3 kW that only the master sees, told of the master', () => {
    const { line, i, registersKwh, unmeteredPct, lossPct } = faulty('theft');
    expect([i, line.errorPct]).toEqual([0, 0]);
    expect(unmeteredPct).toBeGreaterThan(1);
    expect(registersKwh.slice(1)).toEqual(healthy.registersKwh.slice(1));
    const more = registersKwh[0]!.map((kwh, step) => kwh - healthy.registersKwh[0]![step]!);
    const steps = Array.from(more.subarray(1), (kwh, step) => kwh - more[step]!);
    expect(Math.max(...steps)).toBeGreaterThan(0.74);
    expect(Math.max(...steps)).toBeLessThan(1);
    const shareOfQuiet = steps.filter((kwh) => Math.abs(kwh) < 1e-3).length / steps.length;
    expect(shareOfQuiet).toBeGreaterThan(0.5);
    expect(lossPct).toBeGreaterThan(healthy.lossPct);
    const minutes = Array.from({ length: 30 * 1440 }, (_, minute) => stolenW(9, 3_000, minute * MINUTE_MS));
    expect(new Set(minutes)).toEqual(new Set([0, 3_000]));
  });

  test('a meter of another district: the master knows nothing of it, its voltage follows another source', () => {
    const { i, registersKwh, voltagesV, line } = faulty('wrong-district');
    expect(line.errorPct).toBe(0);
    expect(registersKwh[i]).toEqual(healthy.registersKwh[i]);
    const missingKwh = grownKwh(healthy.registersKwh[0]!) - grownKwh(registersKwh[0]!);
    expect(missingKwh / grownKwh(registersKwh[i]!)).toBeGreaterThan(1);
    expect(missingKwh / grownKwh(registersKwh[i]!)).toBeLessThan(1.2);
    const correlation = (a: Float64Array, b: Float64Array) => {
      const mean = (values: Float64Array) => values.reduce((sum, v) => sum + v, 0) / values.length;
      const [meanA, meanB] = [mean(a), mean(b)];
      const sum = (f: (k: number) => number) => a.reduce((total, _, k) => total + f(k), 0);
      const covariance = sum((k) => (a[k]! - meanA) * (b[k]! - meanB));
      return covariance / Math.sqrt(sum((k) => (a[k]! - meanA) ** 2) * sum((k) => (b[k]! - meanB) ** 2));
    };
    const bus = Number(healthy.instruments[i]!.phase[1]) - 1;
    expect(correlation(healthy.voltagesV[i]![0]!, healthy.voltagesV[0]![bus]!)).toBeGreaterThan(0.6);
    expect(Math.abs(correlation(voltagesV[i]![0]!, voltagesV[0]![bus]!))).toBeLessThan(0.5);
  });

  test('wrong phase: the ledger is wrong and the readings are right', () => {
    const { i, instruments, registersKwh, voltagesV } = faulty('wrong-phase');
    expect(instruments[i]!.phase).not.toBe(healthy.instruments[i]!.phase);
    expect(registersKwh).toEqual(healthy.registersKwh);
    expect(voltagesV).toEqual(healthy.voltagesV);
  });

  test.each(['silent', 'rollback', 'stopped', 'runaway', 'voltage-loss'] as const)(
    '%s is no error of measurement',
    (kind) => {
      expect(faulty(kind).line.errorPct).toBe(0);
    },
  );
});

describe('networks and presets', () => {
  test.each(NETWORKS)('%s loses what was asked for', (network) => {
    const made = district({ network, metersPerDistrict: network === 'csiro-v' ? 8 : 40, lossPct: 1.8, days: 7 });
    expect(made.lossPct).toBeGreaterThan(1.4);
    expect(made.lossPct).toBeLessThan(2.2);
  });

  test('a real network has its own number of users unless told otherwise', () => {
    expect(fleetOptions({ untilMs: UNTIL_MS, network: 'csiro-n' }).metersPerDistrict).toBe(67);
    expect(fleetOptions({ untilMs: UNTIL_MS, network: 'csiro-n', metersPerDistrict: 9 }).metersPerDistrict).toBe(9);
    const { instruments } = district({ network: 'ieee-eu-lv', metersPerDistrict: 30, threePhasePct: 10 });
    expect(instruments.filter(({ phase, role }) => phase === 'L123' && role === 'user')).toHaveLength(3);
  });

  test('lines that cannot carry the load say so', () => {
    expect(() => district({ network: 'csiro-v', metersPerDistrict: 300 })).toThrow(/network_overloaded/);
  });

  test('every preset has 120 users, seven weeks, seven bad meters and nothing beside its own causes', () => {
    for (const preset of Object.values(PRESETS)) {
      expect(preset).toMatchObject({ metersPerDistrict: 120, days: 49, periodMs: 15 * MINUTE_MS, lossPct: 1.8 });
      expect(preset.faults['constant-error']).toBe(7);
    }
    expect(PRESETS.clean.faults).toEqual({ 'constant-error': 7 });
    expect(PRESETS.field).toMatchObject({ voltages: 'instant', clockOffsetSdS: 45, missingPct: 0.4 });
    expect(PRESETS.messy).toMatchObject({ clockOffsetSdS: 60, missingPct: 2, theftW: 3_000 });
    expect(PRESETS.blind.voltages).toBe('none');
  });

  test.each(Object.entries(PRESETS))('%s, for two days', (_, preset) => {
    const options = fleetOptions({ ...preset, ...JUDGING_CASES['judging-4']!, metersPerDistrict: 40, days: 2 });
    const { truth, lossPct } = simulateDistrict(options, profiles);
    expect(truth.filter(({ fault }) => fault === 'constant-error')).toHaveLength(7);
    expect(lossPct).toBeGreaterThan(1.2);
    expect(lossPct).toBeLessThan(2.6);
  });

  test('what is judged shares neither seeds nor homes with what is developed on', () => {
    const [making, judging] = [Object.values(DEVELOPMENT_CASES), Object.values(JUDGING_CASES)];
    const seeds = [...making, ...judging].map(({ seed }) => seed);
    expect(new Set(seeds).size).toBe(seeds.length);
    expect(new Set(making.map(({ households }) => households))).toEqual(new Set(['development']));
    expect(new Set(judging.map(({ households }) => households))).toEqual(new Set(['judging']));
    expect(new Set(judging.map(({ network }) => network))).toEqual(new Set(['drawn', 'ieee-eu-lv', 'csiro-n']));
    const homes = (use: 'development' | 'judging') => householdsFor(profiles, use).households;
    expect([...homes('development'), ...homes('judging')].sort()).toEqual([...profiles.households].sort());
    expect([homes('development').length, homes('judging').length]).toEqual([50, 50]);
  });
});
