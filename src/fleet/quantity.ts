/** What a reading can measure: names with their SI unit at the end, and the OBIS codes that mean the same. */

/** Order is the index of a value inside `Reading.values`; append only, the snapshot of rule state does not depend on it. */
export const QUANTITIES = [
  'active_import_kwh',
  'active_export_kwh',
  'active_power_w',
  'voltage_v',
  'voltage_l1_v',
  'voltage_l2_v',
  'voltage_l3_v',
  'current_a',
  'current_l1_a',
  'current_l2_a',
  'current_l3_a',
  'neutral_current_a',
  'power_factor',
  'frequency_hz',
  'volume_m3',
  'heat_kwh',
] as const;

export type Quantity = (typeof QUANTITIES)[number];

export const QUANTITY_COUNT = QUANTITIES.length;

const indexByName: ReadonlyMap<string, number> = new Map(QUANTITIES.map((name, index) => [name, index]));

/** Index of a quantity inside `Reading.values`. */
export function quantityIndex(name: Quantity): number {
  return indexByName.get(name)!;
}

const UNITS: Readonly<Record<string, string>> = { kwh: 'kWh', w: 'W', v: 'V', a: 'A', hz: 'Hz', m3: 'm3' };

/** The unit at the end of its name, as it is written elsewhere; `1` where the name has none. */
export function unitOf(name: Quantity): string {
  return UNITS[name.slice(name.lastIndexOf('_') + 1)] ?? '1';
}

export function isQuantity(name: string): name is Quantity {
  return indexByName.has(name);
}
