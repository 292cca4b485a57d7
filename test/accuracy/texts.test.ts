import { describe, expect, it } from 'vitest';
import type { DistrictNote, ErrorChange, Method } from '../../src/accuracy/district.ts';
import {
  DISTRICT_NOTES,
  METHOD_TEXTS,
  sayChange,
  sayMethod,
  sayNote,
  sayVerdictReason,
  VERDICT_REASONS,
  type VerdictReason,
} from '../../src/texts/accuracy.ts';
import { LANGUAGES } from '../../src/texts/text.ts';

type Params = Readonly<Record<string, number | string>>;

/** What each is told with. */
const REASONS: Readonly<Record<VerdictReason, Params>> = {
  no_master: {},
  several_masters: { masters: 2 },
  other_kind: { kind: 'water' },
  retired: {},
  unreadable_line: { column: 'role' },
  no_readings: {},
  too_few_rows: { rows: 12, needed: 300 },
  feeds_back: {},
  unexplained_balance: {},
  low_collection: { collectionPct: 93.1, neededPct: 99 },
  too_little_energy: { energyKwh: 0.2, neededKwh: 5 },
  stuck_register: { hours: 386 },
  wrong_district: {},
  wide_interval: { sdPct: 1.4, mpePct: 2 },
  no_voltages: {},
  not_solvable: {},
};
const NOTES: Readonly<Record<DistrictNote['code'], Params>> = {
  wrong_district: {},
  wrong_phase: { ledger: 'L1', measured: 'L3' },
  unmetered_energy: { kwhPerDay: 12.5, fromHour: 18, toHour: 23 },
  master_off: { shiftPct: -1.2 },
  stuck_register: { hours: 386 },
  register_reset: { at: '2026-03-01T00:00:00.000Z' },
};

describe.each(LANGUAGES)('in %s', (language) => {
  it.each(Object.keys(VERDICT_REASONS) as VerdictReason[])('the reason %s is said with its numbers', (code) => {
    const said = sayVerdictReason({ code, params: REASONS[code] }, language);
    for (const value of Object.values(REASONS[code])) expect(said).toContain(String(value));
    expect(said).not.toMatch(/[{}]/);
  });

  it.each(Object.keys(DISTRICT_NOTES) as DistrictNote['code'][])('the note %s is said with its numbers', (code) => {
    const said = sayNote({ code, params: NOTES[code] }, language);
    for (const value of Object.values(NOTES[code])) expect(said).toContain(String(value));
    expect(said).not.toMatch(/[{}]/);
  });

  it('what nobody knows is shown as it is', () => {
    expect(sayVerdictReason({ code: 'toString', params: {} }, language)).toBe('toString');
    expect(sayNote({ code: 'from_elsewhere', params: {} }, language)).toBe('from_elsewhere');
  });

  it('a drift says when it crosses, or that it has', () => {
    const day = (n: number) => Date.UTC(2026, 2, n);
    const change = (low: number, high: number): ErrorChange => ({
      kind: 'drift',
      ...{ onsetMs: day(2), onsetLowMs: day(1), onsetHighMs: day(3), errorNowPct: 1.5, sizePct: 1.2, sizeSdPct: 0.2 },
      crossing: { atMs: day(20), lowMs: day(low), highMs: day(high) },
    });
    const ahead = sayChange(change(18, 25), language);
    for (const said of ['2026-03-02', '2026-03-20', '2026-03-18', '2026-03-25', '1.50', '1.20'])
      expect(ahead).toContain(said);
    const crossed = sayChange(change(20, 20), language);
    expect(crossed).not.toContain('2026-03-20');
    expect(crossed).toMatch(/已超过最大允许误差$|, beyond the MPE$/);
  });

  it('every part of a method has its words', () => {
    const method: Method = { version: '1', loss: 'none', clocks: 'right', voltages: 'none', spreadPct: 0.3 };
    for (const loss of ['voltages', 'load-squared', 'none'] as const)
      expect(sayMethod({ ...method, loss }, language)).toContain(METHOD_TEXTS[`loss-${loss}`][language]);
    for (const clocks of ['right', 'estimated'] as const)
      expect(sayMethod({ ...method, clocks }, language)).toContain(METHOD_TEXTS[`clocks-${clocks}`][language]);
    for (const voltages of ['mean', 'instantaneous', 'none'] as const)
      expect(sayMethod({ ...method, voltages }, language)).toContain(METHOD_TEXTS[`voltages-${voltages}`][language]);
    expect(sayMethod({ ...method, spreadPct: Number.NaN }, language)).not.toMatch(/[{}]/);
  });
});
