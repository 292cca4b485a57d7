/** Days of a time zone, as instants. A day is named as ISO 8601 does: 2026-11-23. */

export interface Day {
  readonly name: string;
  readonly fromMs: number;
  readonly toMs: number;
}

const DAY_MS = 86_400_000;
/** Clocks of all zones are a whole number of these apart, and change by a whole number of them. */
const QUARTER_HOUR_MS = 900_000;
const DAY_NAME = /^\d{4}-\d\d-\d\d$/;

export function isZone(zone: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone });
    return true;
  } catch {
    return false;
  }
}

export function isDayName(text: string): boolean {
  return DAY_NAME.test(text) && nameOfDate(Date.parse(text)) === text;
}

export class Calendar {
  readonly zone: string;
  readonly #format: Intl.DateTimeFormat;

  /** `zone`: a name of the IANA database, such as Asia/Shanghai. */
  constructor(zone: string) {
    this.zone = zone;
    this.#format = new Intl.DateTimeFormat('en-CA', {
      timeZone: zone,
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
    });
  }

  nameAt(ms: number): string {
    return this.#format.format(ms);
  }

  day(name: string): Day {
    return { name, fromMs: this.#beginOf(name), toMs: this.#beginOf(dayAfter(name)) };
  }

  /** Every day from `first` to `last`, both included. */
  days(first: string, last: string): Day[] {
    const days: Day[] = [];
    for (let name = first; name <= last; name = dayAfter(name)) days.push(this.day(name));
    return days;
  }

  /** The newest day that ended `graceMs` ago or earlier: what is measured on it has had that time to arrive. */
  lastClosed(nowMs: number, graceMs: number): string {
    return dayBefore(this.nameAt(nowMs - graceMs));
  }

  /** When the next day closes. */
  nextClosingMs(nowMs: number, graceMs: number): number {
    return this.day(this.nameAt(nowMs - graceMs)).toMs + graceMs;
  }

  #beginOf(name: string): number {
    // Zones lie within a day of UTC. A day may begin later than midnight, when clocks are put forward just then.
    let atMs = Date.parse(name);
    while (this.nameAt(atMs) < name) atMs += QUARTER_HOUR_MS;
    while (this.nameAt(atMs - QUARTER_HOUR_MS) >= name) atMs -= QUARTER_HOUR_MS;
    return atMs;
  }
}

/** `days` follow on each other; undefined = none of them. */
export function dayAt(days: readonly Day[], ms: number): Day | undefined {
  let [low, high] = [0, days.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ms < days[middle]!.toMs) high = middle;
    else low = middle + 1;
  }
  const day = days[low];
  return day && ms >= day.fromMs ? day : undefined;
}

export function dayAfter(name: string): string {
  return nameOfDate(Date.parse(name) + DAY_MS);
}

export function dayBefore(name: string): string {
  return nameOfDate(Date.parse(name) - DAY_MS);
}

function nameOfDate(ms: number): string {
  return Number.isNaN(ms) ? '' : new Date(ms).toISOString().slice(0, 10);
}
