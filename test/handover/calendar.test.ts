import { describe, expect, it } from 'vitest';
import { Calendar, dayAfter, dayAt, dayBefore, isDayName, isZone } from '../../src/handover/calendar.ts';

const HOUR = 3_600_000;
const at = (text: string) => Date.parse(text);

describe('a day of a time zone', () => {
  it('begins at local midnight', () => {
    const day = new Calendar('Asia/Shanghai').day('2026-11-23');
    expect(day.fromMs).toBe(at('2026-11-22T16:00:00Z'));
    expect(day.toMs).toBe(at('2026-11-23T16:00:00Z'));
  });

  it.each([
    ['America/New_York', '2026-03-08', 23],
    ['America/New_York', '2026-11-01', 25],
    ['Asia/Kathmandu', '2026-06-01', 24],
    // Clocks go forward at midnight: the day begins at one.
    ['Africa/Cairo', '2026-04-24', 23],
    // Half an hour.
    ['Australia/Lord_Howe', '2026-04-05', 24.5],
    // It went over to the other side of the date line and had no such day.
    ['Pacific/Apia', '2011-12-30', 0],
  ])('in %s, %s has %d hours', (zone, name, hours) => {
    const day = new Calendar(zone).day(name);
    expect((day.toMs - day.fromMs) / HOUR).toBe(hours);
  });

  it.each(['Asia/Shanghai', 'America/Santiago', 'Africa/Cairo', 'Pacific/Apia', 'Pacific/Kiritimati', 'UTC'])(
    'follows on the one before, in %s',
    (zone) => {
      const days = new Calendar(zone).days('2011-12-20', '2013-01-10');
      expect(days).toHaveLength(388);
      for (const [i, day] of days.entries()) if (i > 0) expect(day.fromMs).toBe(days[i - 1]!.toMs);
    },
  );

  it('is closed when it is over and late readings have had their time', () => {
    const calendar = new Calendar('Asia/Shanghai');
    const closing = at('2026-11-23T20:00:00Z');
    expect(calendar.lastClosed(closing - 1, 4 * HOUR)).toBe('2026-11-22');
    expect(calendar.lastClosed(closing, 4 * HOUR)).toBe('2026-11-23');
    expect(calendar.nextClosingMs(closing - 1, 4 * HOUR)).toBe(closing);
    expect(calendar.nextClosingMs(closing, 4 * HOUR)).toBe(closing + 24 * HOUR);
  });
});

it('the day of a moment is found among days that follow on each other', () => {
  // The one in the middle was skipped.
  const days = new Calendar('Pacific/Apia').days('2011-12-28', '2012-01-03');
  const [first, last] = [days[0]!, days.at(-1)!];
  for (let ms = first.fromMs; ms < last.toMs; ms += HOUR / 4)
    expect(dayAt(days, ms)).toBe(days.find(({ fromMs, toMs }) => ms >= fromMs && ms < toMs));
  expect(dayAt(days, first.fromMs - 1)).toBeUndefined();
  expect(dayAt(days, last.toMs)).toBeUndefined();
  expect(dayAt([], 0)).toBeUndefined();
});

it('names of days are dates there are', () => {
  expect(['2026-11-23', '2024-02-29'].every(isDayName)).toBe(true);
  expect(['2026-02-29', '2026-13-01', '2026-1-1', '23.11.2026', ''].some(isDayName)).toBe(false);
  expect(dayAfter('2026-12-31')).toBe('2027-01-01');
  expect(dayBefore('2024-03-01')).toBe('2024-02-29');
});

it('zones are names of the IANA database', () => {
  expect(isZone('Asia/Shanghai')).toBe(true);
  expect(isZone('Asia/Siping')).toBe(false);
  expect(isZone('')).toBe(false);
});
