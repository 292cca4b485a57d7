/** What roofs feed in: the sun over Siping behind one sky per district. */

import { smoothAt, unitAt } from './random.ts';

const LATITUDE = (43.17 * Math.PI) / 180;
const LONGITUDE_DEG = 124.35;
const DAY_MS = 86_400_000;
/** Heat, dust, orientation and inverter together. */
const PERFORMANCE = 0.8;
const CLOUD_MS = 8 * 60_000;

/** Share of rated power at this moment; elevation of the sun by declination and hour angle (Cooper, Solar Energy 12, 1969). */
export function solarShare(skySeed: number, atMs: number): number {
  const localMs = atMs + (LONGITUDE_DEG / 360) * DAY_MS;
  const day = Math.floor(localMs / DAY_MS);
  // Day 10 after the winter solstice is the first of the year.
  const declination = -0.4093 * Math.cos((2 * Math.PI * (day + 10)) / 365.25);
  const hourAngle = 2 * Math.PI * (localMs / DAY_MS - day - 0.5);
  const height =
    Math.sin(LATITUDE) * Math.sin(declination) + Math.cos(LATITUDE) * Math.cos(declination) * Math.cos(hourAngle);
  if (height <= 0) return 0;
  const clearness = 0.2 + 0.8 * unitAt(skySeed, day, 0);
  const clouds = 1 - (1 - clearness) * (1 + smoothAt(skySeed, 1, atMs, CLOUD_MS));
  return PERFORMANCE * height * Math.max(0.1, clouds);
}
