import { describe, expect, it } from 'vitest';
import type { AccuracyPolicy, DistrictWindow } from '../../src/accuracy/district.ts';
import { estimateDistrict, failedEstimate } from '../../src/accuracy/estimate.ts';
import { parseEstimationPolicy } from '../../src/accuracy/policy.ts';
import { shipped } from '../support/broken-config.ts';

const policy: AccuracyPolicy = parseEstimationPolicy(shipped('accuracy.yaml'));
const USERS = 20;
const ROWS = 30 * 96;
const V0 = 230;
/** Of each user's own line, per kWh of a row: at 1 kWh, 4 % of the voltage. */
const Z = 0.04;
const T0 = Date.UTC(2026, 2, 1);

interface Odd {
  /** Of the first user's meter, percent. */
  readonly errorPct?: number;
  /** What the first user draws over the window, kWh; undefined = as much as the others. */
  readonly drawnKwh?: number;
  /** The first user is on another district's line. */
  readonly isElsewhere?: boolean;
  readonly hasVoltages?: boolean;
}

/** Homes that idle and now and then boil, each on a line of its own; registers of a thousandth kWh. */
function district({ errorPct = 0, drawnKwh, isElsewhere = false, hasVoltages = true }: Odd): DistrictWindow {
  let state = 7;
  const next = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  const loads = Array.from({ length: USERS }, () =>
    Float64Array.from({ length: ROWS }, () => 0.05 + 0.2 * next() + (next() < 0.15 ? 0.8 * next() : 0)),
  );
  if (drawnKwh !== undefined) {
    const whole = loads[0]!.reduce((sum, kwh) => sum + kwh, 0);
    loads[0] = loads[0]!.map((kwh) => (kwh * drawnKwh) / whole);
  }
  const masterKwh = new Float64Array(ROWS);
  loads.forEach((load, i) => {
    if (i === 0 && isElsewhere) return;
    for (let t = 0; t < ROWS; t++) masterKwh[t]! += load[t]! / (1 - Z * load[t]!);
  });
  const register = (kwh: Float64Array) => {
    let total = 1000;
    return Float64Array.from({ length: ROWS + 1 }, (_, k) => {
      total += k === 0 ? 0 : kwh[k - 1]!;
      return Math.floor(total * 1000) / 1000;
    });
  };
  const volts = (load: Float64Array) =>
    Float64Array.from({ length: ROWS + 1 }, (_, k) => V0 * (1 - Z * (load[k - 1] ?? 0)));
  return {
    district: 'D',
    fromMs: T0,
    periodMs: 900_000,
    moments: ROWS + 1,
    master: {
      id: 'M',
      phase: 'L1',
      importKwh: register(masterKwh),
      exportKwh: undefined,
      voltagesV: hasVoltages ? [new Float64Array(ROWS + 1).fill(V0)] : [],
    },
    users: loads.map((load, i) => ({
      id: `U${i}`,
      phase: 'L1',
      importKwh: register(i === 0 ? load.map((kwh) => kwh * (1 + errorPct / 100)) : load),
      exportKwh: undefined,
      voltagesV: hasVoltages ? [volts(load)] : [],
    })),
    mpePct: loads.map(() => 2),
    siteResults: [],
  };
}

describe('a district of twenty homes, of which the first is odd', () => {
  it.each([
    ['a right meter', {}, 'ok', undefined, [-0.5, 0.5]],
    ['one that is fast', { errorPct: 5 }, 'inaccurate', undefined, [4.5, 5.5]],
    ['one that is slow', { errorPct: -5 }, 'inaccurate', undefined, [-5.5, -4.5]],
    ['a fast one without voltages', { errorPct: 8, hasVoltages: false }, 'suspect', 'no_voltages', [5, 9]],
  ] as const)('%s', (_, odd, verdict, reason, [low, high]) => {
    const { meters, notes } = estimateDistrict(district(odd), policy);
    const [first, ...others] = meters;
    expect(first).toMatchObject({ instrument: 'U0', verdict });
    expect(first!.reason?.code).toBe(reason);
    expect(first!.errorPct).toBeGreaterThan(low);
    expect(first!.errorPct).toBeLessThan(high);
    expect(others.filter((one) => one.verdict === 'inaccurate' || one.verdict === 'suspect')).toEqual([]);
    expect(notes).toEqual([]);
  });

  it.each([
    ['energy of another district', { isElsewhere: true }, 'wrong_district'],
    ['less of it', { isElsewhere: true, drawnKwh: 60 }, 'wrong_district'],
    ['the same without voltages', { isElsewhere: true, hasVoltages: false }, 'wrong_district'],
    ['so little that it could be anything', { isElsewhere: true, drawnKwh: 3 }, 'too_little_energy'],
  ] as const)('%s has no error, and gives none to the others', (_, odd, reason) => {
    const { meters, notes } = estimateDistrict(district(odd), policy);
    const [first, ...others] = meters;
    expect(first).toMatchObject({ errorPct: Number.NaN, verdict: 'undetermined', reason: { code: reason } });
    expect(Math.max(...others.map(({ errorPct }) => Math.abs(errorPct)))).toBeLessThan(1);
    expect(notes.flatMap(({ code, instrument }) => (instrument ? [code] : []))).toEqual(
      reason === 'wrong_district' ? ['wrong_district'] : [],
    );
  });

  const middle = ROWS / 2;
  const stepMs = T0 + middle * 900_000;
  /** The first meter is right until the middle, and 8 % fast after it. */
  const stepped = (siteResults: DistrictWindow['siteResults'] = []): DistrictWindow => {
    const window = district({});
    const { importKwh } = window.users[0]!;
    const register = importKwh.map((kwh, k) => kwh + (k > middle ? 0.08 * (kwh - importKwh[middle]!) : 0));
    return { ...window, users: [{ ...window.users[0]!, importKwh: register }, ...window.users.slice(1)], siteResults };
  };

  it.each([
    ['before the step', -1, 0],
    ['after it', 1, 8],
  ])('a measurement %s is one of the error then', (_, side, errorPct) => {
    const atMs = stepMs + side * 10 * 86_400_000;
    const site = { instrument: 'U0', atMs, errorPct, uncertaintyPct: 0.1 };
    const [first] = estimateDistrict(stepped([site]), policy).meters;
    expect(Math.abs(first!.change!.errorNowPct - 8)).toBeLessThan(1);
    expect(Math.abs(first!.errorPct - 4)).toBeLessThan(1);
  });

  it('a measurement is not held against a master that is off', () => {
    const window = district({});
    const { master } = window;
    const fast = master!.importKwh.map((kwh) => master!.importKwh[0]! + 1.03 * (kwh - master!.importKwh[0]!));
    const siteResults = [{ instrument: 'U0', atMs: T0, errorPct: 0, uncertaintyPct: 0.1 }];
    const { meters } = estimateDistrict({ ...window, master: { ...master!, importKwh: fast }, siteResults }, policy);
    expect(Math.abs(meters[0]!.errorPct)).toBeLessThan(0.5);
    expect(meters.filter(({ verdict }) => verdict === 'inaccurate')).toEqual([]);
  });

  it('tells a step in the middle of the window, and when it came', () => {
    const [first] = estimateDistrict(stepped(), policy).meters;
    expect(first!.change).toMatchObject({ kind: 'step' });
    expect(Math.abs(first!.change!.errorNowPct - 8)).toBeLessThan(1.5);
    expect(first!.change!.onsetLowMs).toBeLessThanOrEqual(stepMs);
    expect(first!.change!.onsetHighMs).toBeGreaterThanOrEqual(stepMs);
  });

  it('the same window gives the same estimate', () => {
    expect(estimateDistrict(district({ errorPct: 3 }), policy)).toEqual(
      estimateDistrict(district({ errorPct: 3 }), policy),
    );
  });

  it('says of every meter that nothing can be said where the estimator fails', () => {
    const { meters, rows, toMs } = failedEstimate(district({}));
    expect(meters).toHaveLength(USERS);
    expect(meters[0]).toMatchObject({ verdict: 'undetermined', rowsUsed: 0, rowsRefused: ROWS });
    expect({ rows, toMs }).toEqual({ rows: ROWS, toMs: T0 + ROWS * 900_000 });
  });
});
