import { describe, expect, it } from 'vitest';
import { parseKinds } from '../src/kinds.ts';
import { changed, refusalOf, shipped } from './support/broken-config.ts';

const QUANTITY = { obis: [], unit: 'kWh', min: 0, max: 1 };
const LISTED = 'name | report_period | register | digits | quantities | mpe_pct | source';
const electricity = (...steps: string[]) => ['electricity', ...steps].join('/');
const of = (quantity: string, field: string) => electricity('quantities', quantity, field);

describe('config/kinds.yaml', () => {
  it('as shipped gives every value its name, its code and its limits', () => {
    const kind = parseKinds(shipped('kinds.yaml')).get('electricity')!;
    expect(kind.names.get('1-0:16.7.0')).toBe('active_power_w');
    expect(kind.names.get('active_power_w')).toBe('active_power_w');
    expect(kind.quantities.get('power_factor')).toEqual({ unit: '1', min: -1, max: 1 });
    expect(kind.mpePct.get('0.2S')).toBe(0.2);
  });

  it.each<[string, Record<string, unknown>, string]>([
    // names and shapes
    [
      'an unknown key',
      { [electricity('digit')]: 6 },
      `kinds.electricity.digit: there is no “digit”; the nearest is “digits”, known are ${LISTED}`,
    ],
    [
      'an unknown key of a quantity',
      { [of('voltage_v', 'units')]: 'V' },
      'kinds.electricity.quantities.voltage_v.units: there is no “units”; the nearest is “unit”, known are obis | unit | min | max',
    ],
    [
      'a misspelt key, which is missing as well',
      { [of('voltage_v', 'min')]: undefined, [of('voltage_v', 'minn')]: 0 },
      'kinds.electricity.quantities.voltage_v.minn: there is no “minn”; the nearest is “min”, known are obis | unit | min | max',
    ],
    [
      'an unknown language',
      { [electricity('name', 'zh')]: '电能表' },
      'kinds.electricity.name.zh: there is no “zh”; the nearest is “zh-CN”, known are zh-CN | en',
    ],
    [
      'a quantity nobody knows',
      { 'heat/quantities/heat': QUANTITY },
      'kinds.heat.quantities.heat: there is no “heat”; the nearest is “heat_kwh”, known are heat_kwh, …',
    ],
    ['no period', { 'water/report_period': undefined }, 'kinds.water.report_period: required'],
    ['a name in one language', { 'heat/name/en': undefined }, 'kinds.heat.name.en: required'],
    ['an empty name', { 'heat/name/en': ' ' }, 'kinds.heat.name.en: at least 1 characters'],
    ['half a digit', { 'gas/digits': 5.5 }, 'kinds.gas.digits: must be a whole number'],
    ['no digits', { 'gas/digits': 0 }, 'kinds.gas.digits: at least 3'],
    [
      'a limit that is text',
      { [of('voltage_v', 'max')]: '1000' },
      'kinds.electricity.quantities.voltage_v.max: must be a number',
    ],
    [
      'a limit without end',
      { [of('voltage_v', 'max')]: Number.POSITIVE_INFINITY },
      'kinds.electricity.quantities.voltage_v.max: must be a number',
    ],
    ['an error limit of nothing', { 'gas/mpe_pct/1.5': 0 }, 'kinds.gas.mpe_pct.1.5: must be above 0'],
    [
      'a kind that is no word',
      { 'E V': {} },
      'kinds.E V: a name here is made of lower case letters, digits and hyphens',
    ],
    [
      'one code instead of a list',
      { [of('voltage_v', 'obis')]: '1-0:12.7.0' },
      'kinds.electricity.quantities.voltage_v.obis: must be a list',
    ],
    [
      'an empty code',
      { [of('voltage_v', 'obis')]: [''] },
      'kinds.electricity.quantities.voltage_v.obis[0]: must not be empty or hold spaces',
    ],
    [
      'a quantity without anything',
      { [electricity('quantities', 'voltage_v')]: null },
      'kinds.electricity.quantities.voltage_v: must hold names with their values (name: value)',
    ],
    ['no quantities', { 'gas/quantities': {} }, 'kinds.gas.quantities: at least 1 of them'],
    // times
    [
      'a period without unit',
      { 'water/report_period': '60' },
      'kinds.water.report_period: must be a duration such as 90s, 15m, 24h or 7d',
    ],
    ['a period of nothing', { 'water/report_period': '0s' }, 'kinds.water.report_period: must be above 0s'],
    [
      'a period without end',
      { 'water/report_period': `${'9'.repeat(400)}d` },
      'kinds.water.report_period: must not be longer than 3660d',
    ],
    // values that contradict each other
    ['a register nobody knows', { 'gas/register': 'volume' }, 'kinds.gas.register: one of volume_m3, …'],
    ['a register it does not report', { 'gas/register': 'heat_kwh' }, 'kinds.gas.register: one of volume_m3'],
    [
      'limits the wrong way round',
      { [of('voltage_v', 'min')]: 1001 },
      'kinds.electricity.quantities.voltage_v.min: must be below max, which is 1000',
    ],
    [
      'limits that leave one value',
      { [of('voltage_v', 'min')]: 1000 },
      'kinds.electricity.quantities.voltage_v.min: must be below max, which is 1000',
    ],
    [
      'a register that overflows its limit',
      { [of('active_import_kwh', 'max')]: 999_999 },
      'kinds.electricity.quantities.active_import_kwh.max: must be above 999999: a register of 6 digits shows as much',
    ],
    [
      'more digits than its limit has',
      { [electricity('digits')]: 9 },
      'kinds.electricity.quantities.active_import_kwh.max: must be above 999999999: a register of 9 digits shows as much',
    ],
    [
      'a register that cannot be new',
      { [of('active_import_kwh', 'min')]: 1 },
      'kinds.electricity.quantities.active_import_kwh.min: must not be above 0: a register begins at 0, and again after it rolls over',
    ],
    [
      'another unit than the name says',
      { [of('active_import_kwh', 'unit')]: 'MWh' },
      'kinds.electricity.quantities.active_import_kwh.unit: must be “kWh”, the unit at the end of its name',
    ],
    [
      'a unit where there is none',
      { [of('power_factor', 'unit')]: '%' },
      'kinds.electricity.quantities.power_factor.unit: must be “1”, the unit at the end of its name',
    ],
    // one name, two meanings
    [
      'a code twice',
      { [of('voltage_l1_v', 'obis')]: ['1-0:32.7.0', '1-0:12.7.0'] },
      'kinds.electricity.quantities.voltage_l1_v.obis[1]: “1-0:12.7.0” means voltage_v already; a code means one quantity',
    ],
    [
      'a code twice in one quantity',
      { [of('voltage_v', 'obis')]: ['U', 'U'] },
      'kinds.electricity.quantities.voltage_v.obis[1]: “U” means voltage_v already; a code means one quantity',
    ],
    [
      "another's name for a code",
      { [of('voltage_v', 'obis')]: ['current_a'] },
      'kinds.electricity.quantities.voltage_v.obis[0]: “current_a” means current_a already; a code means one quantity',
    ],
    [
      'the name of what it does not report for a code',
      { 'gas/quantities/volume_m3/obis': ['heat_kwh'] },
      'kinds.gas.quantities.volume_m3.obis[0]: “heat_kwh” means heat_kwh already; a code means one quantity',
    ],
  ])('is refused with %s', (_what, set, refusal) => {
    expect(refusalOf(() => parseKinds(changed('kinds.yaml', set)))).toBe(refusal);
  });

  it.each([
    [null, 'kinds: must hold names with their values (name: value)'],
    [[], 'kinds: must hold names with their values (name: value)'],
    ['electricity', 'kinds: must hold names with their values (name: value)'],
    [{}, 'kinds: at least 1 of them'],
    [
      Object.fromEntries(
        Array.from({ length: 255 }, (_, i) => [`kind-${i}`, (shipped('kinds.yaml') as { gas: object }).gas]),
      ),
      'kinds: at most 254 of them',
    ],
  ])('of another shape or size is refused', (raw, refusal) => {
    expect(refusalOf(() => parseKinds(raw))).toBe(refusal);
  });

  it('may leave the last digits of a register above its whole ones, and codes empty', () => {
    const raw = changed('kinds.yaml', { [of('active_import_kwh', 'max')]: 999_999.99, [of('voltage_v', 'obis')]: [] });
    expect(parseKinds(raw).get('electricity')!.names.has('1-0:12.7.0')).toBe(false);
  });
});
