import { describe, expect, it } from 'vitest';
import { findGrid } from '../../src/accuracy/grid.ts';
import { DistrictCollector, type WindowOptions } from '../../src/accuracy/window.ts';
import type { Instrument } from '../../src/fleet/instrument.ts';
import { type NamedValues, orderedValues } from '../../src/fleet/reading.ts';
import { parseKinds } from '../../src/kinds.ts';
import { shipped } from '../support/broken-config.ts';

const S = 1_000;
const MIN = 60 * S;
const HOUR = 60 * MIN;
const DAY = 24 * HOUR;
const T0 = Date.UTC(2026, 2, 1);
const NONE = Number.NaN;

/** `count` times from `from` on. */
function every(periodMs: number, count: number, from = T0): Float64Array {
  return Float64Array.from({ length: count }, (_, k) => from + k * periodMs);
}
const late = (times: Float64Array, byMs: (k: number) => number) => times.map((tsMs, k) => tsMs + byMs(k));

describe('the grid of moments', () => {
  const quarter = every(15 * MIN, 97);
  it.each<[string, Float64Array, Float64Array[], { fromMs: number; periodMs: number; moments: number }]>([
    ['quarter hours', quarter, [quarter, quarter], { fromMs: T0, periodMs: 15 * MIN, moments: 97 }],
    ['half hours', every(30 * MIN, 49), [every(30 * MIN, 49)], { fromMs: T0, periodMs: 30 * MIN, moments: 49 }],
    ['hours', every(HOUR, 25), [every(HOUR, 25)], { fromMs: T0, periodMs: HOUR, moments: 25 }],
    ['days, by local midnight', every(DAY, 9, T0 - 8 * HOUR), [], { fromMs: T0 - 8 * HOUR, periodMs: DAY, moments: 9 }],
    [
      'a few seconds late',
      late(quarter, (k) => (k % 5) * S),
      [late(quarter, () => 3 * S)],
      { fromMs: T0, periodMs: 15 * MIN, moments: 97 },
    ],
    [
      'always at seven minutes past',
      late(quarter, (k) => 7 * MIN + (k % 3) * S),
      [late(quarter, () => 7 * MIN + 1 * S)],
      { fromMs: T0 + 7 * MIN + 1 * S, periodMs: 15 * MIN, moments: 97 },
    ],
    [
      'users by the quarter hour, master by the hour',
      every(HOUR, 25),
      [quarter, quarter],
      { fromMs: T0, periodMs: HOUR, moments: 25 },
    ],
    [
      'master by the quarter hour, most users by the hour',
      quarter,
      [every(HOUR, 25), every(HOUR, 25), every(HOUR, 25), quarter],
      { fromMs: T0, periodMs: HOUR, moments: 25 },
    ],
    ['one minute', every(MIN, 1441), [every(MIN, 1441)], { fromMs: T0, periodMs: 5 * MIN, moments: 289 }],
    ['seconds', every(S, 3601), [every(S, 3601)], { fromMs: T0, periodMs: 5 * MIN, moments: 13 }],
    [
      'every fourth missing',
      quarter.filter((_, k) => k % 4 !== 1),
      [quarter],
      { fromMs: T0, periodMs: 15 * MIN, moments: 97 },
    ],
    [
      'an outage for most of the time',
      Float64Array.from([...quarter, ...late(quarter, () => 20 * DAY)]),
      [Float64Array.from([...quarter, ...late(quarter, () => 20 * DAY)])],
      { fromMs: T0, periodMs: 15 * MIN, moments: 96 * 21 + 1 },
    ],
    ['one reading', every(DAY, 1), [quarter], { fromMs: T0, periodMs: 15 * MIN, moments: 1 }],
    ['no master', every(DAY, 0), [quarter, every(15 * MIN, 4)], { fromMs: T0, periodMs: 15 * MIN, moments: 97 }],
    [
      'a clock that once said 1970, and once 2099',
      Float64Array.from([0, ...quarter, Date.UTC(2099, 0, 1)]),
      [quarter],
      { fromMs: T0, periodMs: 15 * MIN, moments: 97 },
    ],
  ])('%s', (_, master, users, expected) => {
    expect(findGrid(master, users, 15 * MIN)).toEqual(expected);
  });

  it('takes the newest days when told to, and a year of five minutes at most', () => {
    const long = every(15 * MIN, 96 * 10 + 1);
    expect(findGrid(long, [long], 15 * MIN, 3)).toEqual({
      fromMs: T0 + 7 * DAY,
      periodMs: 15 * MIN,
      moments: 96 * 3 + 1,
    });
    const longer = every(5 * MIN, 120_000);
    expect(findGrid(longer, [], 15 * MIN)).toMatchObject({ moments: 105_121, fromMs: longer[120_000 - 105_121] });
  });

  it('of no readings there is none', () => {
    expect(findGrid(new Float64Array(), [new Float64Array()], 15 * MIN)).toBeUndefined();
  });
});

describe('the window of a district', () => {
  const kinds = parseKinds(shipped('kinds.yaml'));
  const options: WindowOptions = { kinds, policy: { defaultMpePct: 2 } };
  let nextKey = 1;
  const meter = (id: string, more: Partial<Instrument> = {}): Instrument => ({
    key: nextKey++,
    id,
    kind: 'electricity',
    role: 'user',
    district: 'D',
    phase: 'L1',
    accuracyClass: '',
    manufacturer: '',
    model: '',
    batch: '',
    installedOn: '',
    owner: '',
    region: '',
    nominalVoltageV: 220,
    maxCurrentA: 60,
    gateway: '',
    state: 'in-service',
    ...more,
  });
  const total = meter('M', { role: 'master', phase: 'L123' });
  const user = meter('U');

  /** Lines of moment (in quarter hours), instrument, values. */
  function collect(
    instruments: readonly Instrument[],
    lines: readonly (readonly [number, Instrument, NamedValues])[],
    more: Partial<WindowOptions> = {},
  ) {
    const collector = new DistrictCollector('D', instruments);
    for (const [at, { key }, values] of lines)
      collector.add({ key, tsMs: T0 + at * 15 * MIN, values: orderedValues(values) });
    return collector.collect({ ...options, ...more });
  }
  const kwh = (active_import_kwh: number): NamedValues => ({ active_import_kwh });
  const frame = [0, 1, 2, 3].map((k) => [k, total, kwh(10 * k)] as const);

  it('has one value for each moment, and none where none was read', () => {
    const { window, masters, leftOut } = collect(
      [total, user],
      [...frame, [0, user, kwh(1)], [1, user, kwh(2)], [3, user, kwh(4)]],
      { siteResults: [{ instrument: 'U', atMs: T0, errorPct: 1, uncertaintyPct: 0.1 }] },
    );
    expect(window).toEqual({
      district: 'D',
      fromMs: T0,
      periodMs: 15 * MIN,
      moments: 4,
      master: {
        id: 'M',
        phase: 'L123',
        importKwh: Float64Array.of(0, 10, 20, 30),
        exportKwh: undefined,
        voltagesV: [],
      },
      users: [{ id: 'U', phase: 'L1', importKwh: Float64Array.of(1, 2, NONE, 4), exportKwh: undefined, voltagesV: [] }],
      mpePct: [2],
      siteResults: [{ instrument: 'U', atMs: T0, errorPct: 1, uncertaintyPct: 0.1 }],
    });
    expect(masters).toEqual(['M']);
    expect(leftOut).toEqual({ offGrid: 0, outside: 0, repeated: 0, contradicting: 0 });
  });

  const three = { voltage_l1_v: 231, voltage_l2_v: 232, voltage_l3_v: 233 };
  it.each<[string, NamedValues, number[]]>([
    ['nothing', {}, []],
    ['one', { voltage_v: 230 }, [230]],
    ['three', three, [231, 232, 233]],
    ['three and their mean', { voltage_v: 232, ...three }, [231, 232, 233]],
    [
      'one, and noughts for the phases it has not',
      { voltage_v: 230, voltage_l1_v: 0, voltage_l2_v: 0, voltage_l3_v: 0 },
      [230],
    ],
    ['its own phase', { voltage_l2_v: 232 }, [232]],
    ['two of three', { voltage_l1_v: 231, voltage_l3_v: 233, voltage_v: 77 }, [231, NONE, 233]],
    ['a nought', { voltage_v: 0 }, []],
  ])('has the voltages of a meter that reports %s', (_, values, voltages) => {
    const { window } = collect([total, user], [...frame, [1, user, { ...kwh(1), ...values }]]);
    expect(window.users[0]!.voltagesV.map((series) => series[1])).toEqual(voltages);
    for (const series of window.users[0]!.voltagesV) expect(series[0]).toBeNaN();
  });

  it('knows a register of energy fed back where one is', () => {
    const { window } = collect(
      [total, user],
      [...frame, [1, user, { ...kwh(1), active_export_kwh: 5 }], [2, user, kwh(2)]],
    );
    expect(window.users[0]!.exportKwh).toEqual(Float64Array.of(NONE, 5, NONE, NONE));
    expect(window.master!.exportKwh).toBeUndefined();
  });

  it.each<[string, (readonly [number, Instrument, NamedValues])[], number[], object]>([
    ['three seconds late', [[1 + 3 / 900, user, kwh(7)]], [NONE, 7, NONE, NONE], {}],
    ['far from any moment', [[1.4, user, kwh(7)]], [NONE, NONE, NONE, NONE], { offGrid: 1 }],
    [
      'twice near a moment: the nearer one',
      [
        [1 - 20 / 900, user, kwh(6)],
        [1 + 3 / 900, user, kwh(7)],
        [1 + 50 / 900, user, kwh(8)],
      ],
      [NONE, 7, NONE, NONE],
      { offGrid: 2 },
    ],
    [
      'the same twice',
      [
        [1, user, kwh(7)],
        [1, user, kwh(7)],
      ],
      [NONE, 7, NONE, NONE],
      { repeated: 1 },
    ],
    [
      'contradicting itself: the first',
      [
        [1, user, kwh(7)],
        [1, user, kwh(8)],
      ],
      [NONE, 7, NONE, NONE],
      { contradicting: 1 },
    ],
    [
      'out of order',
      [
        [3, user, kwh(9)],
        [0, user, kwh(6)],
      ],
      [6, NONE, NONE, 9],
      {},
    ],
    [
      'before and after the master',
      [
        [-1, user, kwh(5)],
        [0, user, kwh(6)],
        [4, user, kwh(10)],
      ],
      [6, NONE, NONE, NONE],
      { outside: 2 },
    ],
  ])('of readings %s', (_, lines, importKwh, leftOut) => {
    const found = collect([total, user], [...frame, ...lines]);
    expect(found.window.users[0]!.importKwh).toEqual(Float64Array.from(importKwh));
    expect(found.leftOut).toEqual({ offGrid: 0, outside: 0, repeated: 0, contradicting: 0, ...leftOut });
  });

  it('has no place for the retired and for other kinds, and no master when there are two', () => {
    const retired = meter('R', { state: 'retired' });
    const water = meter('W', { kind: 'water' });
    const second = meter('M2', { role: 'master' });
    const gone = meter('M3', { role: 'master', state: 'retired' });
    const all = [total, second, gone, retired, water, user];
    const { window, masters } = collect(all, [...frame, [1, retired, kwh(1)], [1, water, kwh(1)], [1, user, kwh(1)]]);
    expect(masters).toEqual(['M', 'M2']);
    expect(window.master).toBeUndefined();
    expect(window.users.map(({ id }) => id)).toEqual(['U']);
    expect(collect([total, gone, user], frame).window.master?.id).toBe('M');
  });

  it('holds each meter to its class, to the usual one where that is unknown', () => {
    const users = ['1', '0.5S', '', 'first'].map((accuracyClass, i) => meter(`C${i}`, { accuracyClass, phase: '' }));
    const { window } = collect([total, ...users], frame);
    expect(window.mpePct).toEqual([1, 0.5, 2, 2]);
    expect(window.users[0]!.phase).toBeUndefined();
  });

  it('of a district without a reading is empty', () => {
    const { window } = collect([total, user], []);
    expect(window).toMatchObject({ moments: 1, periodMs: 15 * MIN });
    expect(window.users[0]!.importKwh).toEqual(Float64Array.of(NONE));
  });

  it('takes no more room than there are readings', () => {
    const collector = new DistrictCollector('D', [total, user]);
    for (let k = 0; k < 5_000; k++)
      collector.add({ key: user.key, tsMs: T0 + k * 15 * MIN, values: orderedValues(kwh(k)) });
    collector.add({ key: 999, tsMs: T0, values: orderedValues(kwh(1)) });
    expect(collector.readings).toBe(5_000);
    const { window } = collector.collect(options);
    expect(window.users[0]!.importKwh[4_999]).toBe(4_999);
  });
});
