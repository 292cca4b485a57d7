import { describe, expect, it } from 'vitest';
import { apart, type Concluding, conclude, type Seen, type SeenMeter } from '../../src/accuracy/conclusions.ts';
import type { DistrictNote, ErrorChange } from '../../src/accuracy/district.ts';
import type { Finding } from '../../src/fleet/finding.ts';
import { estimateRules } from '../../src/rules/ruleset.ts';
import { rules } from '../rules/fixtures.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const NOW = Date.UTC(2026, 2, 1, 16);
const RULES = estimateRules(rules);

type Verdict = SeenMeter['verdict'];

const CROSSING: ErrorChange = {
  kind: 'drift',
  ...{ onsetMs: NOW - 20 * DAY_MS, onsetLowMs: NOW - 30 * DAY_MS, onsetHighMs: NOW - 10 * DAY_MS },
  ...{ errorNowPct: 1.4, sizePct: 1.2, sizeSdPct: 0.2 },
  crossing: { atMs: NOW + 30 * DAY_MS, lowMs: NOW + 20 * DAY_MS, highMs: NOW + 60 * DAY_MS },
};

function meter(verdict: Verdict, change?: ErrorChange): SeenMeter {
  return {
    instrument: 'M-1',
    verdict,
    change,
    errorPct: 7.9,
    lowPct: 6.1,
    highPct: 9.7,
    pInaccurate: 0.999,
    mpePct: 2,
  };
}

function seen(daysAgo: number, verdict: Verdict, more: Partial<Seen> & { readonly change?: ErrorChange } = {}): Seen {
  const { change, ...own } = more;
  return { toMs: NOW - daysAgo * DAY_MS, balanced: true, meters: [meter(verdict, change)], notes: [], ...own };
}

/** `opened inaccurate instrument:1`, in order. */
function concluded(now: Seen, past: readonly Seen[], more: Partial<Concluding> = {}): string[] {
  const keyOf = (id: string) => (id === 'M-1' ? 1 : undefined);
  return conclude({ district: 'D-1', now, past, open: [], rules: RULES, confirmations: 2, keyOf, ...more }).map(shown);
}

function shown({ change, rule, subject }: Finding): string {
  return `${change} ${rule} ${subject.type === 'instrument' ? subject.key : subject.district}`;
}

const OPEN = [{ rule: 'inaccurate', subject: { type: 'instrument', key: 1 }, fromMs: NOW - 9 * DAY_MS }] as const;

describe('a meter', () => {
  it.each<[string, Verdict, readonly Seen[], readonly string[]]>([
    ['once inaccurate is no finding', 'inaccurate', [], []],
    ['inaccurate twice is one', 'inaccurate', [seen(1, 'inaccurate')], ['opened inaccurate 1']],
    ['inaccurate after it was ok is none', 'inaccurate', [seen(1, 'ok'), seen(2, 'inaccurate')], []],
    ['inaccurate after nothing could be told is none', 'inaccurate', [seen(1, 'undetermined')], []],
    ['suspect is none, however often', 'suspect', [seen(1, 'suspect'), seen(2, 'suspect')], []],
    ['looked at twice within hours counts once', 'inaccurate', [seen(0.2, 'inaccurate'), seen(1, 'ok')], []],
  ])('%s', (_, verdict, past, expected) => {
    expect(concluded(seen(0, verdict), past)).toEqual(expected);
  });

  it.each<[string, Verdict, readonly Seen[], readonly string[]]>([
    ['stays while it is inaccurate', 'inaccurate', [seen(1, 'inaccurate')], []],
    ['stays after one window in which it is ok', 'ok', [seen(1, 'inaccurate')], []],
    ['stays while nothing can be told', 'undetermined', [seen(1, 'ok')], []],
    ['ends after two windows in which it is ok', 'ok', [seen(1, 'ok')], ['cleared inaccurate 1']],
  ])('with an open finding %s', (_, verdict, past, expected) => {
    expect(concluded(seen(0, verdict), past, { open: OPEN })).toEqual(expected);
  });

  it('that has left the district takes its findings with it', () => {
    const now = { ...seen(0, 'ok'), meters: [] };
    expect(concluded(now, [], { open: OPEN })).toEqual(['cleared inaccurate 1']);
  });

  it('that will cross the MPE is told ahead, until it has', () => {
    const drifting = (daysAgo: number, verdict: Verdict) => seen(daysAgo, verdict, { change: CROSSING });
    expect(concluded(drifting(0, 'ok'), [drifting(1, 'suspect')])).toEqual(['opened crossing-mpe 1']);
    const open = [{ ...OPEN[0], rule: 'crossing-mpe' }];
    expect(concluded(drifting(0, 'inaccurate'), [drifting(1, 'inaccurate')], { open })).toEqual([
      'opened inaccurate 1',
      'cleared crossing-mpe 1',
    ]);
    const reasonOf = (change: ErrorChange) => {
      const now = seen(0, 'ok', { change });
      const given = { district: 'D-1', now, past: [], open: [], rules: RULES, confirmations: 1, keyOf: () => 1 };
      return (conclude(given) as [Extract<Finding, { change: 'opened' }>])[0].reason;
    };
    expect(reasonOf(CROSSING)).toEqual({
      code: 'error_will_cross_mpe',
      params: { error_pct: 1.4, mpe_pct: 2, at: '2026-03-31', low_at: '2026-03-21', high_at: '2026-04-30' },
    });
    // The mean of the window lags behind.
    expect(reasonOf({ ...CROSSING, errorNowPct: -3.6 })).toEqual({
      code: 'error_has_crossed_mpe',
      params: { error_pct: -3.6, mpe_pct: 2, mean_pct: 7.9 },
    });
  });

  it('is nothing to a rule set without such rules', () => {
    expect(concluded(seen(0, 'inaccurate'), [seen(1, 'inaccurate')], { rules: new Map() })).toEqual([]);
  });
});

describe('a district', () => {
  const STRANGER: DistrictNote = { code: 'wrong_district', params: {}, instrument: 'M-1' };
  const LAMPS: DistrictNote = { code: 'unmetered_energy', params: { kwhPerDay: 9, fromHour: 10, toHour: 22 } };
  const noted = (daysAgo: number, ...notes: DistrictNote[]) => seen(daysAgo, 'ok', { notes });

  it('is noted when it shows the same twice, and the note is about the meter or the district', () => {
    expect(concluded(noted(0, STRANGER, LAMPS), [noted(1, LAMPS, STRANGER)])).toEqual([
      'opened wrong-district 1',
      'opened unmetered-energy D-1',
    ]);
    expect(concluded(noted(0, STRANGER), [noted(1, LAMPS)])).toEqual([]);
  });

  it('is no longer noted when it is balanced twice without', () => {
    const open = [{ rule: 'unmetered-energy', subject: { type: 'district', district: 'D-1' }, fromMs: 0 }] as const;
    expect(concluded(noted(0), [noted(1)], { open })).toEqual(['cleared unmetered-energy D-1']);
    expect(concluded(noted(0), [noted(1, LAMPS)], { open })).toEqual([]);
    const blind = { ...noted(0), balanced: false };
    expect(concluded(blind, [noted(1)], { open })).toEqual([]);
  });
});

it('windows count when they end most of a day apart', () => {
  const past = [1, 19, 21, 30, 50, 70].map((hoursAgo) => ({ toMs: NOW - hoursAgo * HOUR_MS }));
  const hours = apart(NOW, past, 3).map(({ toMs }) => (NOW - toMs) / HOUR_MS);
  expect(hours).toEqual([21, 50, 70]);
  expect(apart(NOW, past, 1)).toHaveLength(1);
});
