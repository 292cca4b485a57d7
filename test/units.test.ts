import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { toUnit } from '../src/ingest/units.ts';

describe('toUnit', () => {
  it.each([
    [1500, 'Wh', 'kWh', 1.5],
    [1.5, 'MWh', 'kWh', 1500],
    [2, 'kW', 'W', 2000],
    [0.22, 'kV', 'V', 220],
    [250, 'mA', 'A', 0.25],
    [1000, 'l', 'm3', 1],
    [1000, 'L', 'm3', 1],
    [7, 'm³', 'm3', 7],
    // 1 kWh = 3.6 MJ by definition.
    [3.6, 'MJ', 'kWh', 1],
    [3.6, 'GJ', 'kWh', 1000],
    [0.9, '1', '1', 0.9],
    [-5, 'kW', 'W', -5000],
    [0, 'MWh', 'kWh', 0],
  ])('%d %s is %s', (value, unit, wanted, expected) => {
    expect(toUnit(value, unit, wanted)).toBeCloseTo(expected, 9);
  });

  it('leaves the exact bits alone when nothing is to convert', () => {
    expect(toUnit(0.1 + 0.2, 'kWh', 'kWh')).toBe(0.1 + 0.2);
  });

  it.each([
    ['another quantity', 'kW', 'kWh'],
    ['another quantity the other way', 'kWh', 'W'],
    ['an unknown unit', 'BTU', 'kWh'],
    ['another case, which means another prefix', 'mwh', 'kWh'],
    ['a unit with spaces', ' kWh', 'kWh'],
    ['an empty unit', '', 'kWh'],
    ['no unit', null, 'kWh'],
    ['a number', 1, '1'],
    ['an object', {}, 'kWh'],
    ['a name every object has', 'toString', 'kWh'],
    ['a name every object has', '__proto__', 'kWh'],
  ])('refuses %s', (_why, unit, wanted) => {
    expect(toUnit(1, unit, wanted)).toBeUndefined();
  });

  it('knows every unit that config/kinds.yaml keeps quantities in', () => {
    const kinds = parse(readFileSync(join(import.meta.dirname, '../config/kinds.yaml'), 'utf8')) as Record<
      string,
      { quantities: Record<string, { unit: string }> }
    >;
    const wanted = Object.values(kinds).flatMap(({ quantities }) => Object.values(quantities).map(({ unit }) => unit));
    const multiples = { kWh: 'Wh', W: 'kW', V: 'kV', A: 'mA', Hz: 'Hz', m3: 'l', '1': '1' } as const;
    for (const unit of wanted) expect(toUnit(1, multiples[unit as keyof typeof multiples], unit), unit).toBeDefined();
  });
});
