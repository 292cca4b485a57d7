/** Multiples of the units our quantities are kept in. */
const IN_BASE: Readonly<Record<string, { readonly base: string; readonly factor: number }>> = {
  Wh: { base: 'kWh', factor: 0.001 },
  kWh: { base: 'kWh', factor: 1 },
  MWh: { base: 'kWh', factor: 1000 },
  W: { base: 'W', factor: 1 },
  kW: { base: 'W', factor: 1000 },
  V: { base: 'V', factor: 1 },
  kV: { base: 'V', factor: 1000 },
  mA: { base: 'A', factor: 0.001 },
  A: { base: 'A', factor: 1 },
  Hz: { base: 'Hz', factor: 1 },
  m3: { base: 'm3', factor: 1 },
  'm³': { base: 'm3', factor: 1 },
  l: { base: 'm3', factor: 0.001 },
  L: { base: 'm3', factor: 0.001 },
  GJ: { base: 'kWh', factor: 1 / 0.0036 },
  MJ: { base: 'kWh', factor: 1 / 3.6 },
  '1': { base: '1', factor: 1 },
};

/** `value` given in `unit`, expressed in `wanted`; undefined when the units do not measure the same. */
export function toUnit(value: number, unit: unknown, wanted: string): number | undefined {
  if (unit === wanted) return value;
  const known = typeof unit === 'string' && Object.hasOwn(IN_BASE, unit) ? IN_BASE[unit] : undefined;
  return known?.base === wanted ? value * known.factor : undefined;
}
