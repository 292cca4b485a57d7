import { describe, expect, test } from 'vitest';
import { District } from '../../simulators/district.ts';
import { planDistrict } from '../../simulators/district-plan.ts';
import { FAULT_KINDS, type FaultKind } from '../../simulators/faults.ts';
import { type Fleet, type FleetOptions, fleetOptions, type Step, simulateFleet } from '../../simulators/fleet.ts';
import { HALF_HOUR_MS, Load } from '../../simulators/loads.ts';
import { fillFromOtherDays, parseProfiles, readLondonProfiles } from '../../simulators/london.ts';
import { VARIATIONS } from '../../simulators/variation.ts';
import type { NamedValues } from '../../src/fleet/reading.ts';

const profiles = readLondonProfiles();
const UNTIL_MS = Date.UTC(2026, 0, 31);
const PERIOD_MS = 15 * 60_000;

function options(chosen: Partial<FleetOptions> = {}): FleetOptions {
  return fleetOptions({ untilMs: UNTIL_MS, metersPerDistrict: 30, days: 3, faults: {}, ...chosen });
}

const PERFECT = { meterErrorSdPct: 0, masterErrorSdPct: 0, voltageGainSdPct: 0 };

function byInstrument(steps: Iterable<Step>): Map<string, { tsMs: number; values: NamedValues }[]> {
  const series = new Map<string, { tsMs: number; values: NamedValues }[]>();
  for (const { tsMs, rows } of steps) {
    for (const { instrument, values } of rows) {
      if (!series.has(instrument)) series.set(instrument, []);
      series.get(instrument)!.push({ tsMs, values });
    }
  }
  return series;
}

describe('load curves', () => {
  test('gaps are filled from other days of the same household', () => {
    const curve = new Float64Array(3 * 48).fill(0.2);
    curve[5] = Number.NaN;
    curve[48 + 5] = 0.7;
    curve[96 + 5] = 0.7;
    fillFromOtherDays(curve);
    expect(curve[5]).toBe(0.7);
  });

  test('the London set has 100 households and no gap left', () => {
    expect(profiles.households).toHaveLength(100);
    expect(profiles.halfHourKwh.every((curve) => curve.length === 365 * 48 && curve.every(Number.isFinite))).toBe(true);
  });

  test('cells are read as they stand', () => {
    const lines = Array.from({ length: 48 }, (_, i) => `t${i},${i === 3 ? '' : '1.25'},0.0`);
    const read = parseProfiles(new TextEncoder().encode(`t,A,B\n${lines.join('\n')}\n`), 0);
    expect(read.households).toEqual(['A', 'B']);
    expect(read.halfHourKwh[0]![0]).toBe(1.25);
    expect(read.halfHourKwh[1]![47]).toBe(0);
  });

  test.each([1, 5, 15, 30].flatMap((minutes) => VARIATIONS.map((variation) => ({ minutes, variation }))))(
    'steps of $minutes min keep the energy of each half hour ($variation)',
    ({ minutes, variation }) => {
      const stepMs = minutes * 60_000;
      const occupant = { halfHourKwh: profiles.halfHourKwh[1]!, shiftDays: 0, seed: 7 };
      const load = new Load(occupant, profiles, stepMs, variation);
      // 2013-06-04T16:00Z is midnight of 06-05 in Siping: row 155 · 48 of a curve that begins on 01-01.
      const fromMs = Date.UTC(2013, 5, 4, 16);
      for (let halfHour = 0; halfHour < 48; halfHour++) {
        let energyKwh = 0;
        for (let atMs = 0; atMs < HALF_HOUR_MS; atMs += stepMs) {
          energyKwh += (load.powerW(fromMs + halfHour * HALF_HOUR_MS + atMs) * stepMs) / 3.6e9;
        }
        expect(energyKwh).toBeCloseTo(occupant.halfHourKwh[155 * 48 + halfHour]!, 9);
      }
    },
  );
});

describe('a fleet', () => {
  test('is the same for the same seed and another for another', () => {
    const small = { metersPerDistrict: 20, days: 1, districts: 2 };
    const make = (seed: number) => {
      const fleet = simulateFleet(fleetOptions({ untilMs: UNTIL_MS, seed, ...small }), profiles);
      return JSON.stringify([fleet.instruments, fleet.faults, [...fleet.steps()]]);
    };
    const first = make(5);
    expect(make(5) === first, 'seed 5 twice').toBe(true);
    expect(make(6) === first, 'seed 5 and 6').toBe(false);
  });

  test('starts afresh with every run, and another district does not move the first', () => {
    const one = simulateFleet(options(), profiles);
    const two = simulateFleet(options({ districts: 2 }), profiles);
    const first = [...one.steps()];
    expect([...one.steps()]).toEqual(first);
    expect(two.instruments.slice(0, 31)).toEqual(one.instruments);
    const firstOfTwo = [...two.steps()].at(-1)!.rows.filter((row) => row.instrument.startsWith('D001'));
    expect(firstOfTwo).toEqual(first.at(-1)!.rows);
  });

  test('has one master per district, ledger data and one step per period', () => {
    const fleet = simulateFleet(options({ districts: 3 }), profiles);
    const steps = [...fleet.steps()];
    expect(fleet.instruments.filter((one) => one.role === 'master').map((one) => one.id)).toEqual([
      'D001-M000',
      'D002-M000',
      'D003-M000',
    ]);
    expect(new Set(fleet.instruments.map((one) => one.phase))).toEqual(new Set(['L1', 'L2', 'L3', 'L123']));
    expect(fleet.instruments[32]).toMatchObject({ district: 'D002', gateway: 'GW-D002', region: '220303' });
    expect(steps).toHaveLength(3 * 96);
    expect(fleet.stepCount).toBe(steps.length);
    expect(steps.at(-1)!.tsMs).toBe(UNTIL_MS);
    expect(steps.every((step, i) => i === 0 || step.tsMs - steps[i - 1]!.tsMs === PERIOD_MS)).toBe(true);
    expect(steps.every((step) => step.rows.length === fleet.instruments.length)).toBe(true);
  });

  test('goes on after its history in steps of any length', () => {
    const run = simulateFleet(options({ metersPerDistrict: 10, days: 1 }), profiles).start();
    const before = [...run.steps()].at(-1)!;
    const after = run.advance(UNTIL_MS + 3_000);
    const hour = run.advance(UNTIL_MS + 3_603_000);
    const register = (step: Step) => step.rows[0]!.values.active_import_kwh!;
    expect(register(after)).toBeGreaterThanOrEqual(register(before));
    expect(register(hour)).toBeGreaterThan(register(after) + 0.5);
  });
});

describe('physics', () => {
  test.each([1, 2, 3, 4])('master = users + losses + unmetered, losses are believable (seed %i)', (seed) => {
    const chosen = options({ seed, days: 3, unmeteredW: 120, ...PERFECT });
    const district = new District(
      planDistrict(chosen, profiles, 0),
      new Map(),
      chosen,
      profiles,
      UNTIL_MS - 3 * 86_400_000,
    );
    const start = district.advance(UNTIL_MS - 3 * 86_400_000 + PERIOD_MS);
    const atStart = { ...district.totals };
    let end = start;
    let before = atStart;
    for (let tsMs = UNTIL_MS - 3 * 86_400_000 + 2 * PERIOD_MS; tsMs <= UNTIL_MS; tsMs += PERIOD_MS) {
      end = district.advance(tsMs);
      const now = { ...district.totals };
      const sumKwh = now.usersKwh + now.lossKwh + now.unmeteredKwh;
      const sumBeforeKwh = before.usersKwh + before.lossKwh + before.unmeteredKwh;
      // Tellegen: the power the busbar sends is the power the loads and wires take, at every step.
      const busKwh = now.busKwh - before.busKwh;
      expect(Math.abs(busKwh / (sumKwh - sumBeforeKwh) - 1), `seed ${seed}`).toBeLessThan(1e-6);
      before = now;
    }
    const grown = (i: number) => end[i]!.values.active_import_kwh! - start[i]!.values.active_import_kwh!;
    const users = end.slice(1).reduce((sum, _, i) => sum + grown(i + 1), 0);
    const lossKwh = district.totals.lossKwh - atStart.lossKwh;
    const unmeteredKwh = district.totals.unmeteredKwh - atStart.unmeteredKwh;
    // Each difference of two registers rounded down to 0.01 kWh is off by less than 0.01 kWh.
    expect(Math.abs(grown(0) - users - lossKwh - unmeteredKwh), `seed ${seed}`).toBeLessThan(0.01 * end.length);
    const lossPct = (100 * lossKwh) / grown(0);
    expect(lossPct, `seed ${seed}`).toBeGreaterThan(0.5);
    expect(lossPct, `seed ${seed}`).toBeLessThan(6);
  });

  test('voltages sag with load', () => {
    const seed = 3;
    const fleet = simulateFleet(options({ seed, days: 7, threePhasePct: 0, ...PERFECT }), profiles);
    const series = byInstrument(fleet.steps());
    const master = series.get('D001-M000')!;
    for (const { id, phase } of fleet.instruments.slice(1)) {
      const key = `voltage_${phase.toLowerCase()}_v` as 'voltage_l1_v';
      const rows = series.get(id)!.map(({ values }, i) => ({
        dropV: master[i]!.values[key]! - values.voltage_v!,
        currentA: values.current_a!,
      }));
      rows.sort((a, b) => a.currentA - b.currentA);
      const mean = (part: typeof rows) => part.reduce((sum, row) => sum + row.dropV, 0) / part.length;
      const quarter = Math.floor(rows.length / 4);
      // A vacant home does not load its line.
      if (rows.at(-quarter)!.currentA < 2) continue;
      expect(mean(rows.slice(-quarter)), `${id}, seed ${seed}`).toBeGreaterThan(mean(rows.slice(0, quarter)));
    }
  });

  test('without faults registers never fall, and nothing looks like a fault', () => {
    const seed = 4;
    const fleet = simulateFleet(options({ seed, districts: 2 }), profiles);
    const limitKwh = (maxA: number) => (Math.sqrt(3) * 220 * maxA * 0.25 * 1.2) / 1000;
    for (const [id, rows] of byInstrument(fleet.steps())) {
      const { maxCurrentA } = fleet.instruments.find((one) => one.id === id)!;
      rows.forEach(({ values }, i) => {
        expect(values.voltage_v!, `${id}, seed ${seed}`).toBeGreaterThan(0.78 * 220);
        if (i === 0) return;
        const stepKwh = values.active_import_kwh! - rows[i - 1]!.values.active_import_kwh!;
        expect(stepKwh, `${id}, seed ${seed}`).toBeGreaterThanOrEqual(0);
        expect(stepKwh, `${id}, seed ${seed}`).toBeLessThan(limitKwh(maxCurrentA));
      });
    }
  });

  test('registers show whole 0.01 kWh, voltages 0.1 V, currents 0.001 A, power whole watts', () => {
    const [step] = simulateFleet(options(), profiles).steps();
    for (const { values } of step!.rows) {
      expect(String(values.active_import_kwh)).toMatch(/^\d+(\.\d{1,2})?$/);
      expect(String(values.voltage_v)).toMatch(/^\d+(\.\d)?$/);
      expect(String(values.current_a)).toMatch(/^\d+(\.\d{1,3})?$/);
      expect(Number.isInteger(values.active_power_w)).toBe(true);
    }
    expect(step!.rows[0]!.values).toHaveProperty('voltage_l3_v');
  });
});

describe('faults', () => {
  const seed = 11;
  const counts = Object.fromEntries(FAULT_KINDS.map((kind) => [kind, kind === 'outage' || kind === 'theft' ? 1 : 2]));
  const fleet = simulateFleet(options({ seed, districts: 2, days: 8, faults: counts }), profiles);
  const series = byInstrument(fleet.steps());
  const clean = byInstrument(simulateFleet(options({ seed, districts: 2, days: 8 }), profiles).steps());

  function each(kind: FaultKind, check: (affected: Affected, message: string) => void): void {
    const lines = fleet.faults.filter((injected) => injected.fault === kind);
    expect(lines, `${kind}, seed ${seed}`).toHaveLength(kind === 'outage' ? 31 : 2);
    for (const { instrument, fromMs, toMs } of lines) {
      const inside = (tsMs: number) => tsMs >= fromMs! && (toMs === null || tsMs < toMs);
      const rows = series.get(instrument)!;
      const steps = rows.slice(1).map((row, i) => ({
        ...row,
        stepKwh: row.values.active_import_kwh! - rows[i]!.values.active_import_kwh!,
      }));
      const affected = { instrument, inside, rows, steps: steps.filter((step) => inside(step.tsMs)) };
      check(affected, `${kind} of ${instrument}, seed ${seed}`);
    }
  }

  interface Affected {
    instrument: string;
    inside: (tsMs: number) => boolean;
    rows: { tsMs: number; values: NamedValues }[];
    steps: { tsMs: number; values: NamedValues; stepKwh: number }[];
  }

  test('silent and outage: no reading inside, every reading outside', () => {
    const mutes = fleet.faults.filter(({ fault }) => fault === 'silent' || fault === 'outage');
    for (const { instrument } of mutes) {
      const windows = mutes.filter((mute) => mute.instrument === instrument);
      const isMuted = (tsMs: number) =>
        windows.some(({ fromMs, toMs }) => tsMs >= fromMs! && (toMs === null || tsMs < toMs));
      const times = clean.get(instrument)!.map((row) => row.tsMs);
      expect(times.some(isMuted), `${instrument}, seed ${seed}`).toBe(true);
      expect(
        series.get(instrument)!.map((row) => row.tsMs),
        `${instrument}, seed ${seed}`,
      ).toEqual(times.filter((tsMs) => !isMuted(tsMs)));
    }
    expect(mutes.filter(({ fault }) => fault === 'silent')).toHaveLength(2);
    const dark = mutes.filter(({ fault }) => fault === 'outage').map(({ instrument }) => instrument.slice(0, 4));
    expect([dark.length, new Set(dark).size]).toEqual([31, 1]);
  });

  test('rollback: the register falls once', () => {
    each('rollback', ({ rows, inside }, message) => {
      const falls = rows.filter(
        (row, i) => i > 0 && row.values.active_import_kwh! < rows[i - 1]!.values.active_import_kwh!,
      );
      expect(falls, message).toHaveLength(1);
      expect(inside(falls[0]!.tsMs), message).toBe(true);
    });
  });

  test('stopped: the register stands still while current flows', () => {
    each('stopped', ({ steps }, message) => {
      expect(steps.length, message).toBeGreaterThan(48);
      expect(
        steps.every((step) => step.stepKwh === 0),
        message,
      ).toBe(true);
      const flowing = steps.filter((step) => step.values.current_a! > 0.025);
      expect(flowing.length, message).toBeGreaterThan(0.95 * steps.length);
    });
  });

  test('runaway: every increment is beyond √3·U·Imax·Δt·1.2', () => {
    each('runaway', ({ steps }, message) => {
      expect(steps.length, message).toBeGreaterThan(0);
      expect(Math.min(...steps.map((step) => step.stepKwh)), message).toBeGreaterThan(1.732 * 0.22 * 60 * 0.25 * 1.2);
    });
  });

  test('voltage-loss: below 78 % of nominal while current flows', () => {
    each('voltage-loss', ({ steps }, message) => {
      expect(steps.length, message).toBeGreaterThan(0);
      expect(Math.max(...steps.map((step) => step.values.voltage_v!)), message).toBeLessThan(0.78 * 220);
      expect(
        steps.some((step) => step.values.current_a! > 0.025),
        message,
      ).toBe(true);
    });
  });

  test('constant-error and drift: the register gains what the truth says', () => {
    for (const kind of ['constant-error', 'drift'] as const) {
      each(kind, ({ instrument, rows, inside }, message) => {
        const registerAt = new Map(clean.get(instrument)!.map((row) => [row.tsMs, row.values.active_import_kwh!]));
        const first = rows.find((row) => inside(row.tsMs))!;
        const last = rows.at(-1)!;
        const grownKwh = last.values.active_import_kwh! - first.values.active_import_kwh!;
        const gainedPct = 100 * (grownKwh / (registerAt.get(last.tsMs)! - registerAt.get(first.tsMs)!) - 1);
        // A drift that reaches 3 to 6 % has added about half of that since it began.
        const [lowPct, highPct] = kind === 'drift' ? [1, 5] : [2.8, 10.2];
        expect(Math.abs(gainedPct), message).toBeGreaterThan(lowPct);
        expect(Math.abs(gainedPct), message).toBeLessThan(highPct);
      });
    }
  });

  test('every instrument has its line of truth, and too many faults are refused', () => {
    const run = fleet.start();
    expect([...run.steps()]).toHaveLength(fleet.stepCount);
    expect(new Set(run.truth().map((truth) => truth.instrument)).size).toBe(62);
    const asked = () => simulateFleet(options({ metersPerDistrict: 3, faults: { silent: 4 } }), profiles);
    expect(asked).toThrow(/too_many_faults.*silent/);
    const fromDefault: Fleet = simulateFleet(fleetOptions({ untilMs: UNTIL_MS, days: 1 }), profiles);
    expect(fromDefault.faults.filter(({ fault }) => fault === 'constant-error')).toHaveLength(3);
  });
});
