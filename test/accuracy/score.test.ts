import { describe, expect, it } from 'vitest';
import { type JudgedMeter, type Score, scoreGroups, scoreOf } from '../../src/accuracy/score.ts';

type Given = NonNullable<JudgedMeter['estimate']>;

/** An estimate with sd 0.5 and the interval of it. */
const said = (errorPct: number, verdict: Given['verdict'] = 'ok'): Given => ({
  errorPct,
  sdPct: 0.5,
  lowPct: errorPct - 1,
  highPct: errorPct + 1,
  verdict,
});
const NOTHING: Given = {
  errorPct: Number.NaN,
  sdPct: Number.NaN,
  lowPct: Number.NaN,
  highPct: Number.NaN,
  verdict: 'undetermined',
};
const meter = (truePct: number, estimate: JudgedMeter['estimate'], faults: string[] = []): JudgedMeter => ({
  instrument: 'M',
  truePct,
  mpePct: 2,
  faults,
  estimate,
});

describe('a score', () => {
  it.each<[string, JudgedMeter[], Partial<Score>]>([
    [
      'is about the distance from the truth',
      [meter(0, said(1)), meter(1, said(-2)), meter(0, said(2))],
      {
        meters: 3,
        estimated: 3,
        rmsePct: Math.sqrt(14 / 3),
        biasPct: 0,
        worstPct: 3,
        coveragePct: 100 / 3,
        meanSdPct: 0.5,
      },
    ],
    [
      'leaves out what was not estimated',
      [meter(0, said(0.5)), meter(5, NOTHING), meter(0, undefined)],
      { meters: 3, estimated: 1, rmsePct: 0.5, coveragePct: 100, undetermined: 1, missing: 1 },
    ],
    [
      'counts the guilty that were noticed and called',
      [
        meter(5, said(5, 'inaccurate')),
        meter(-3, said(-3, 'suspect')),
        meter(4, said(0)),
        meter(-6, NOTHING),
        meter(2.5, said(2.5, 'inaccurate')),
      ],
      { guilty: 4, guiltyNoticed: 2, guiltyCalled: 1, innocent: 0, innocentAccused: 0 },
    ],
    [
      'counts the innocent that were suspected and accused',
      [
        meter(0, said(5, 'inaccurate')),
        meter(2, said(3, 'suspect')),
        meter(-2, said(0)),
        meter(2.1, said(3, 'suspect')),
      ],
      { guilty: 0, innocent: 3, innocentSuspected: 1, innocentAccused: 1 },
    ],
    [
      'of estimates without interval and verdict says nothing of these',
      [meter(3, { errorPct: 4, sdPct: Number.NaN, lowPct: Number.NaN, highPct: Number.NaN, verdict: undefined })],
      { rmsePct: 1, coveragePct: Number.NaN, meanSdPct: Number.NaN, guilty: 1, guiltyNoticed: 0, undetermined: 0 },
    ],
    [
      'of nobody has no figures',
      [],
      {
        meters: 0,
        estimated: 0,
        rmsePct: Number.NaN,
        biasPct: Number.NaN,
        worstPct: Number.NaN,
        coveragePct: Number.NaN,
      },
    ],
  ])('%s', (_, meters, expected) => {
    expect(scoreOf(meters)).toMatchObject(expected);
  });

  it('is given overall, of the judged and by fault', () => {
    const groups = scoreGroups([
      meter(0, said(1)),
      meter(5, NOTHING, ['drift']),
      meter(5, said(5, 'inaccurate'), ['drift', 'silent']),
      meter(1, undefined),
    ]);
    expect(groups.map(({ group, score }) => [group, score.meters])).toEqual([
      ['all', 4],
      ['judged', 2],
      ['none', 2],
      ['drift', 2],
      ['silent', 1],
    ]);
  });
});
