/** Districts of the simulator, made harder: nobody honest is accused in any, and what is no error of a meter is named. */
import { describe, expect, it } from 'vitest';
import { type BenchDistrict, districtOf } from '../../bench/accuracy/district.ts';
import type { FleetOptions } from '../../simulators/fleet.ts';
import { readLondonProfiles } from '../../simulators/london.ts';
import { PRESETS } from '../../simulators/presets.ts';
import type { AccuracyPolicy, DistrictEstimate, DistrictWindow, MeterSeries } from '../../src/accuracy/district.ts';
import { estimateDistrict } from '../../src/accuracy/estimate.ts';
import { parseEstimationPolicy } from '../../src/accuracy/policy.ts';
import { shipped } from '../support/broken-config.ts';

const policy: AccuracyPolicy = parseEstimationPolicy(shipped('accuracy.yaml'));
const profiles = readLondonProfiles();
const DAY = 96;
/** The user something is done to. */
const ODD = 5;
const HONEST_PCT = 1;

type Options = Omit<Partial<FleetOptions>, 'seed' | 'untilMs'>;

const made = new Map<string, BenchDistrict>();

function simulated(options: Options): BenchDistrict {
  const name = JSON.stringify(options);
  const before = made.get(name);
  if (before) return before;
  const common = { network: 'drawn', variation: 'appliances', households: 'development' } as const;
  const district = districtOf(
    {
      ...PRESETS.clean,
      ...common,
      seed: 77,
      metersPerDistrict: 24,
      days: 28,
      stepMs: 300_000,
      untilMs: Date.UTC(2025, 0, 31),
      faults: {},
      ...options,
    },
    profiles,
  );
  made.set(name, district);
  return district;
}

/** Of a register: what it shows at moment `k`, by what it really does, at every moment. */
type Change = (kwh: number, k: number, all: Float64Array) => number;

/** The same window with another register of one meter; `who`: a user's place, -1 = the master. */
function withRegister(window: DistrictWindow, who: number, change: Change): DistrictWindow {
  const changed = (meter: MeterSeries) => ({ ...meter, importKwh: meter.importKwh.map(change) });
  if (who < 0) return { ...window, master: changed(window.master!) };
  return { ...window, users: window.users.map((user, i) => (i === who ? changed(user) : user)) };
}

function withVoltage(window: DistrictWindow, who: number, change: (v: number) => number): DistrictWindow {
  return {
    ...window,
    users: window.users.map((user, i) =>
      i === who ? { ...user, voltagesV: user.voltagesV.map((series) => series.map(change)) } : user,
    ),
  };
}

function accused({ meters }: DistrictEstimate, { window, truth }: BenchDistrict): string[] {
  const honest = window.users.flatMap(({ id }) => {
    const lines = truth.filter(({ instrument, fault }) => instrument === id && fault !== 'wrong-phase');
    return lines.every(({ fault, errorPct }) => !fault && Math.abs(errorPct) < HONEST_PCT) ? [id] : [];
  });
  return meters
    .filter(({ verdict, instrument }) => verdict === 'inaccurate' && honest.includes(instrument))
    .map(({ instrument, errorPct }) => `${instrument} ${errorPct.toFixed(2)}`);
}

/** Of the intervals that are given, those that hold the truth, percent. */
function coverage({ meters }: DistrictEstimate, { truth }: BenchDistrict): number {
  const given = meters.filter(({ lowPct }) => !Number.isNaN(lowPct));
  const held = given.filter(({ instrument, lowPct, highPct }) => {
    const { errorPct } = truth.find((line) => line.instrument === instrument)!;
    return errorPct >= lowPct && errorPct <= highPct;
  });
  return (100 * held.length) / given.length;
}

const register =
  (who: number, change: Change) =>
  ({ window }: BenchDistrict) =>
    withRegister(window, who, change);

const misread =
  (value: number): Change =>
  (kwh, k) =>
    k === 1000 ? value : kwh;

const { voltages, clockOffsetSdS, missingPct } = PRESETS.field;
const field = { voltages, clockOffsetSdS, missingPct };

describe('nobody honest is accused', () => {
  it.each<[string, Options, (district: BenchDistrict) => DistrictWindow]>([
    ['in a district of three', { metersPerDistrict: 3 }, ({ window }) => window],
    ['in a district of ten', { metersPerDistrict: 10 }, ({ window }) => window],
    ['in a district of twenty, clocks off', { ...field, metersPerDistrict: 20 }, ({ window }) => window],
    ['without voltages', { voltages: 'none' }, ({ window }) => window],
    ['with roofs', { solarPct: 60 }, ({ window }) => window],
    ['with users of three phases', { threePhasePct: 30 }, ({ window }) => window],
    ['by registers without rounding', { registerStepKwh: 0 }, ({ window }) => window],
    ['by registers of a tenth kWh', { registerStepKwh: 0.1 }, ({ window }) => window],
    ['when one value is misread low', {}, register(ODD, misread(0))],
    ['when one value is misread high', {}, register(ODD, misread(999_999))],
    ['when the master is misread', {}, register(-1, misread(0))],
    ['when one is reset', {}, register(ODD, (kwh, k, all) => (k < 1000 ? kwh : kwh - all[0]!))],
    [
      'when one is not read for a week',
      field,
      register(ODD, (kwh, k) => (k > 1000 && k < 1000 + 7 * DAY ? Number.NaN : kwh)),
    ],
    [
      'when one is passed on unchanged for days',
      field,
      register(ODD, (kwh, k, all) => (k > 1000 && k < 1000 + 3 * DAY ? all[1000]! : kwh)),
    ],
    ['when the voltage of one is ten times as high', {}, ({ window }) => withVoltage(window, ODD, (v) => 10 * v)],
    ['when the voltage of one never changes', {}, ({ window }) => withVoltage(window, ODD, () => 220)],
  ])('%s', (_, options, change) => {
    const district = simulated(options);
    const estimate = estimateDistrict(change(district), policy);
    expect(estimate.balance, 'it was solved').toBeDefined();
    expect(accused(estimate, district)).toEqual([]);
    expect(coverage(estimate, district)).toBeGreaterThanOrEqual(92);
    expect(estimate.notes.filter(({ code }) => code !== 'register_reset')).toEqual([]);
  });
});

describe('what is no error of a meter is named, and nobody is accused of it', () => {
  const scaled =
    (by: number): Change =>
    (kwh, _, all) =>
      all[0]! + (kwh - all[0]!) * by;
  const stopped: Change = (kwh, _, all) => Math.min(kwh, all[all.length - 5 * DAY]!);

  it.each<[string, Options, (district: BenchDistrict) => DistrictWindow, readonly string[]]>([
    ['a master that is fast', {}, register(-1, scaled(1.03)), ['master_off']],
    ['a master that is slow', {}, register(-1, scaled(0.97)), ['master_off']],
    ['lamps without a meter', { unmeteredW: 500 }, ({ window }) => window, ['unmetered_energy']],
    ['theft in bursts', { theftW: 3000, faults: { theft: 1 } }, ({ window }) => window, ['unmetered_energy']],
    ['a stuck register', {}, register(ODD, stopped), ['stuck_register']],
    ['another district', { faults: { 'wrong-district': 1 } }, ({ window }) => window, ['wrong_district']],
    ['another phase', { faults: { 'wrong-phase': 2 } }, ({ window }) => window, ['wrong_phase', 'wrong_phase']],
  ])('%s', (_, options, change, notes) => {
    const district = simulated(options);
    const estimate = estimateDistrict(change(district), policy);
    expect(estimate.notes.map(({ code }) => code)).toEqual(notes);
    expect(accused(estimate, district)).toEqual([]);
  });

  it('a meter that is not read: the others are suspect at most', () => {
    const district = simulated({});
    const estimate = estimateDistrict(
      withRegister(district.window, ODD, () => Number.NaN),
      policy,
    );
    expect(estimate.meters[ODD]).toMatchObject({ verdict: 'undetermined', reason: { code: 'no_readings' } });
    expect(estimate.meters.filter(({ verdict }) => verdict === 'inaccurate')).toEqual([]);
  });

  it('an empty home is no stuck register', () => {
    const district = simulated({});
    // Gone: neither its meter nor the master counts anything of it.
    const counted = district.window.users[ODD]!.importKwh;
    const since = counted.length - 5 * DAY;
    const away = withRegister(district.window, -1, (kwh, k) => kwh - Math.max(0, counted[k]! - counted[since]!));
    const window = withRegister(away, ODD, stopped);
    const estimate = estimateDistrict(window, policy);
    expect(estimate.notes).toEqual([]);
    expect(accused(estimate, district)).toEqual([]);
  });
});
