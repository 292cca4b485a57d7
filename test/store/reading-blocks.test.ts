import { expect, it } from 'vitest';
import { orderedValues, type Reading } from '../../src/fleet/reading.ts';
import { decodeReadings, encodeReadings } from '../../src/store/reading-blocks.ts';

const reading = (key: number, tsMs: number, named: Parameters<typeof orderedValues>[0]): Reading => ({
  key,
  tsMs,
  values: orderedValues(named),
});

it.each([
  { name: 'nothing', readings: [] },
  { name: 'one', readings: [reading(1, 0, { active_import_kwh: 0.1 })] },
  {
    name: 'different quantities, signs and extremes',
    readings: [
      reading(2_147_483_647, 8.64e15, { active_import_kwh: 999_999.999, heat_kwh: -0 }),
      reading(1, -1, { voltage_v: 5e-324 }),
      reading(1, 1.5, { frequency_hz: 50.000_000_1, volume_m3: Number.MAX_VALUE }),
    ],
  },
])('$name comes back exactly', ({ readings }) => {
  expect(decodeReadings(encodeReadings(readings))).toEqual(readings);
});

it('is a few bytes for each value', () => {
  const readings = Array.from({ length: 1000 }, (_, i) => reading(i, i, { active_import_kwh: i }));
  expect(encodeReadings(readings).length).toBe(9 + 1000 * (4 + 8 + 8));
});

it('refuses a layout it does not know', () => {
  const block = encodeReadings([]);
  block[0] = 2;
  expect(() => decodeReadings(block)).toThrow('layout 2');
});
