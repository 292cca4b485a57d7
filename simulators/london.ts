/** Reads the London load curves: CC BY 4.0, credit "UK Power Networks, Low Carbon London". */

import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { HALF_HOURS_PER_DAY, type LoadProfiles } from './loads.ts';

export const LONDON_CREDIT = 'UK Power Networks, Low Carbon London (CC BY 4.0)';

const LONDON_FILE = new URL('./data/london-2013/load-profiles.csv.gz', import.meta.url);

/** Day number (days since 1970-01-01) of 2013-01-01, the first row. */
const FIRST_DAY = Date.UTC(2013, 0, 1) / 86_400_000;

export function readLondonProfiles(file: URL | string = LONDON_FILE): LoadProfiles {
  return parseProfiles(gunzipSync(readFileSync(file)), FIRST_DAY);
}

const COMMA = 44;
const NEWLINE = 10;
const DOT = 46;
const ZERO = 48;

/** Plain decimals only, byte by byte: 1.7 million cells in a fraction of a second. */
export function parseProfiles(csv: Uint8Array, firstDay: number): LoadProfiles {
  const headerEnd = csv.indexOf(NEWLINE);
  const households = new TextDecoder().decode(csv.subarray(0, headerEnd)).trim().split(',').slice(1);
  let rowCount = 0;
  for (let i = headerEnd + 1; i < csv.length; i++) if (csv[i] === NEWLINE) rowCount++;
  const dayCount = Math.floor(rowCount / HALF_HOURS_PER_DAY);
  const halfHourKwh = households.map(() => new Float64Array(dayCount * HALF_HOURS_PER_DAY).fill(Number.NaN));
  let at = headerEnd + 1;
  for (let row = 0; row < dayCount * HALF_HOURS_PER_DAY; row++) {
    at = csv.indexOf(COMMA, at) + 1;
    for (const curve of halfHourKwh) {
      let digits = 0;
      let divisor = 0;
      const start = at;
      for (; at < csv.length && csv[at] !== COMMA && csv[at] !== NEWLINE; at++) {
        if (csv[at] === DOT) divisor = 1;
        else if (csv[at]! >= ZERO) {
          digits = digits * 10 + csv[at]! - ZERO;
          divisor *= 10;
        }
      }
      if (at > start) curve[row] = digits / (divisor || 1);
      at++;
    }
  }
  for (const curve of halfHourKwh) fillFromOtherDays(curve);
  return { firstDay, dayCount, households, halfHourKwh };
}

/** A missing half hour takes the same half hour of another day of the same household. */
export function fillFromOtherDays(curve: Float64Array): void {
  const dayCount = curve.length / HALF_HOURS_PER_DAY;
  for (let halfHour = 0; halfHour < HALF_HOURS_PER_DAY; halfHour++) {
    const known: number[] = [];
    const missing: number[] = [];
    for (let day = 0; day < dayCount; day++) {
      const slot = day * HALF_HOURS_PER_DAY + halfHour;
      if (Number.isNaN(curve[slot]!)) missing.push(slot);
      else known.push(curve[slot]!);
    }
    for (const slot of missing) {
      const day = Math.floor(slot / HALF_HOURS_PER_DAY);
      curve[slot] = known.length > 0 ? known[day % known.length]! : 0;
    }
  }
}
