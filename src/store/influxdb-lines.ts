/** Readings as lines and rows of InfluxDB: one measurement, one tag = the instrument's id, one field per quantity. */
import { escape as escaped } from '@influxdata/influxdb-client';
import { QUANTITIES } from '../fleet/quantity.ts';
import type { Reading } from '../fleet/reading.ts';

export const MEASUREMENT = 'readings';
export const INSTRUMENT_TAG = 'instrument';
/** Receipt, epoch microseconds, the same for all readings of one append. */
export const RECEIVED_FIELD = 'received_us';

/** InfluxDB keeps nanoseconds in 64 bits: 1677-09-21 to 2262-04-11, by whole milliseconds. */
export const MIN_TIME_MS = -9_223_372_036_854;
export const MAX_TIME_MS = 9_223_372_036_854;

/** What neither a tag nor a string of InfluxQL can hold, and the sign that stands for it. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: it is control characters that a tag must not hold
const UNTAGGABLE = /[\u0000-\u001f\u007f\\%]/g;

/**
 * An id as tag value. Line protocol has no way to write a line break or a backslash at the end of a tag, so control
 * characters, backslash and the percent sign itself become %XX; everything else stays readable. Different ids give
 * different values.
 */
export function tagOf(id: string): string {
  return id.replace(UNTAGGABLE, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
}

/** A string of InfluxQL. Tag values hold no backslash and no line break, so the quote is all there is to escape. */
export function quotedTag(tag: string): string {
  return `'${tag.replaceAll("'", "\\'")}'`;
}

/** A name of InfluxQL: database, measurement, field. */
export function quotedName(name: string): string {
  return `"${name.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`;
}

/** One line in milliseconds, without its line break. Numbers are written by String, which reads back as the same double. */
export function readingLine(tag: string, { tsMs, values }: Reading, receivedAtUs: number): string {
  let fields = '';
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (!Number.isNaN(value)) fields += `${QUANTITIES[i]}=${value},`;
  }
  return `${MEASUREMENT},${INSTRUMENT_TAG}=${escaped.tag(tag)} ${fields}${RECEIVED_FIELD}=${receivedAtUs}i ${tsMs}`;
}

/** Why InfluxDB cannot hold this reading whatever its state; undefined = it can. */
export function unstorable({ tsMs, values }: Reading): string | undefined {
  if (!Number.isInteger(tsMs) || tsMs < MIN_TIME_MS || tsMs > MAX_TIME_MS) return `time ${tsMs} is outside 1677…2262`;
  const i = values.findIndex((value) => !Number.isFinite(value) && !Number.isNaN(value));
  return i < 0 ? undefined : `${QUANTITIES[i]} is not finite`;
}
