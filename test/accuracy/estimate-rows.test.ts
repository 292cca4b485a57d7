import { describe, expect, it } from 'vitest';
import type { DistrictEstimate, MeterEstimate } from '../../src/accuracy/district.ts';
import {
  ESTIMATES_HEADER,
  estimateLine,
  estimateRows,
  reportDistrict,
  reportMeter,
  verdictCounts,
} from '../../src/accuracy/estimate-rows.ts';
import type { Instrument } from '../../src/fleet/instrument.ts';

const meter = (instrument: string, more: Partial<MeterEstimate> = {}): MeterEstimate => ({
  instrument,
  errorPct: 1.23456,
  sdPct: 0.5,
  lowPct: 0.25,
  highPct: 2.25,
  pInaccurate: 0.01234,
  verdict: 'ok',
  reason: undefined,
  rowsUsed: 300,
  rowsRefused: 1,
  energyKwh: 100,
  clockOffsetS: undefined,
  change: undefined,
  ...more,
});
const NONE = Number.NaN;
const nothing = { errorPct: NONE, sdPct: NONE, lowPct: NONE, highPct: NONE, pInaccurate: NONE, rowsUsed: 0 };
const estimate = (...meters: MeterEstimate[]): DistrictEstimate => ({
  district: 'D',
  fromMs: Date.UTC(2026, 0, 1),
  toMs: Date.UTC(2026, 0, 2),
  rows: 96,
  method: { version: '1', loss: 'voltages', clocks: 'right', voltages: 'mean', spreadPct: 0.3 },
  balance: undefined,
  notes: [{ code: 'stuck_register', params: { hours: 200 }, instrument: 'U' }],
  meters,
});
const user = (id: string, more: Partial<Instrument> = {}) =>
  ({ id, district: 'D', kind: 'electricity', role: 'user', state: 'in-service', ...more }) as Instrument;

describe('estimates.csv', () => {
  const lineOf = (found: MeterEstimate, masters = 1) =>
    estimateRows([user(found.instrument)], [], [estimate(found)], () => masters).map(estimateLine);

  it('has the columns that were agreed', () => {
    expect(ESTIMATES_HEADER).toBe(
      'instrument,district,error_pct,sd_pct,low_pct,high_pct,p_inaccurate,verdict,reason,rows',
    );
  });

  it.each<[string, MeterEstimate, string]>([
    ['an error', meter('U'), 'U,D,1.2346,0.5000,0.2500,2.2500,0.0123,ok,,300'],
    [
      'nothing to say',
      meter('U', { ...nothing, verdict: 'undetermined', reason: { code: 'no_readings', params: {} } }),
      'U,D,,,,,,undetermined,no_readings,0',
    ],
    [
      'a reason with its numbers',
      meter('U', { verdict: 'undetermined', reason: { code: 'wide_interval', params: { sdPct: 1.3, mpePct: 2 } } }),
      'U,D,1.2346,0.5000,0.2500,2.2500,0.0123,undetermined,wide_interval sdPct=1.3 mpePct=2,300',
    ],
    ['no negative nought', meter('U', { errorPct: -0.00001 }), 'U,D,0.0000,0.5000,0.2500,2.2500,0.0123,ok,,300'],
    ['no formula', meter('=1+1'), "'=1+1,D,1.2346,0.5000,0.2500,2.2500,0.0123,ok,,300"],
    ['quotes', meter('a,b'), '"a,b",D,1.2346,0.5000,0.2500,2.2500,0.0123,ok,,300'],
  ])('%s', (_, found, line) => {
    expect(lineOf(found)).toEqual([line]);
  });

  it('tells two master meters from none', () => {
    const found = meter('U', { ...nothing, verdict: 'undetermined', reason: { code: 'no_master', params: {} } });
    expect(lineOf(found, 0)).toEqual(['U,D,,,,,,undetermined,no_master,0']);
    expect(lineOf(found, 2)).toEqual(['U,D,,,,,,undetermined,several_masters masters=2,0']);
  });

  it('has a line for every user meter, whatever it is', () => {
    const rows = estimateRows(
      [user('W', { kind: 'water' }), user('M', { role: 'master' }), user('U'), user('R', { state: 'retired' })],
      [
        { id: 'S', district: 'D', role: 'user', kind: 'steam', column: 'kind' },
        { id: 'X', district: '', role: 'consumer', kind: 'electricity', column: 'role' },
        { id: 'N', district: 'D', role: 'master', kind: 'steam', column: 'kind' },
        { id: '', district: 'D', role: 'user', kind: 'electricity', column: 'id' },
      ],
      [estimate(meter('U', { verdict: 'suspect' }))],
      () => 1,
    );
    expect(rows.map(estimateLine)).toEqual([
      'W,D,,,,,,undetermined,other_kind kind=water,0',
      'U,D,1.2346,0.5000,0.2500,2.2500,0.0123,suspect,,300',
      'R,D,,,,,,undetermined,retired,0',
      'S,D,,,,,,undetermined,other_kind kind=steam,0',
      'X,,,,,,,undetermined,unreadable_line column=role,0',
    ]);
    expect(verdictCounts(rows)).toEqual({ ok: 0, suspect: 1, inaccurate: 0, undetermined: 4 });
  });
});

describe('report.json', () => {
  it('has everything of the estimate, with sentences', () => {
    const at = Date.UTC(2026, 0, 1);
    const found = estimate(
      meter('U', {
        ...nothing,
        verdict: 'undetermined',
        reason: { code: 'too_few_rows', params: { rows: 3, needed: 300 } },
        change: {
          kind: 'step',
          onsetMs: at,
          onsetLowMs: at,
          onsetHighMs: at,
          errorNowPct: 3,
          sizePct: 2,
          sizeSdPct: 0.5,
          crossing: { atMs: at, lowMs: at, highMs: Number.POSITIVE_INFINITY },
        },
      }),
    );
    const rows = estimateRows([user('U')], [], [found], () => 1);
    const report = JSON.parse(JSON.stringify(reportDistrict(found, rows, 'en')));
    expect(report).toMatchObject({
      ...JSON.parse(JSON.stringify({ ...found, meters: undefined, notes: undefined })),
      from: '2026-01-01T00:00:00.000Z',
      methodSentence:
        'method 1: line loss by the voltages; clocks taken as right; voltages are means of the interval; good meters spread by 0.30 %',
      notes: [{ code: 'stuck_register', sentence: 'the register stood still for 200 h' }],
      meters: [
        {
          instrument: 'U',
          errorPct: null,
          verdictName: 'undetermined',
          reason: { sentence: 'only 3 intervals were read at both ends; 300 are needed' },
          change: {
            sentence:
              'a step at 2026-01-01 (between 2026-01-01 and 2026-01-01) of 2.00 ± 0.50 %; the error is now 3.00 %; at this pace it crosses the MPE at 2026-01-01 (between 2026-01-01 and …)',
          },
        },
      ],
    });
    expect(reportDistrict({ ...found, rows: 0 }, [], 'zh-CN')).toMatchObject({ from: null, to: null, meters: [] });
  });

  it('says why a meter is in no window', () => {
    const [row] = estimateRows([user('W', { kind: 'water' })], [], [], () => 1);
    expect(reportMeter(row!, 'en')).toEqual({
      instrument: 'W',
      district: 'D',
      verdict: 'undetermined',
      verdictName: 'undetermined',
      reason: {
        code: 'other_kind',
        params: { kind: 'water' },
        sentence: 'an instrument of kind “water”: errors are estimated of electricity meters',
      },
    });
  });
});
