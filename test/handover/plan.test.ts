import { describe, expect, it } from 'vitest';
import { Calendar } from '../../src/handover/calendar.ts';
import {
  type Manifest,
  type Partition,
  type Progress,
  parseManifest,
  parseProgress,
  partitionPath,
  recordText,
  withDay,
} from '../../src/handover/manifest.ts';
import { type DueOptions, dueRegions, type LedgerRegions, spanOf, type Wanted } from '../../src/handover/plan.ts';

const HOUR = 3_600_000;
const calendar = new Calendar('Asia/Shanghai');
const at = (text: string) => Date.parse(text);

describe('which days are due', () => {
  /** The 10th of March has just closed. */
  const wanted: Wanted = {
    nowMs: at('2026-03-10T20:00:00Z'),
    graceMs: 4 * HOUR,
    keptSinceMs: at('2026-01-01T00:00:00Z'),
    firstMs: at('2026-03-05T03:00:00Z'),
    from: null,
  };
  const progress: Progress = {
    dataset: 'readings',
    zone: 'Asia/Shanghai',
    schemaVersion: 1,
    from: null,
    firstDay: '2026-03-06',
    closedThrough: '2026-03-08',
    changesBefore: 0,
  };
  const span = (more: Partial<Wanted>, before?: Partial<Progress>) => {
    const { settled, fresh } = spanOf(calendar, { ...wanted, ...more }, before && { ...progress, ...before });
    const short = (days: typeof fresh) => days.map(({ name }) => Number(name.slice(-2)));
    return [short(settled), short(fresh)];
  };

  it('at first: all from the first reading to the day that closed last', () => {
    expect(span({})).toEqual([[], [5, 6, 7, 8, 9, 10]]);
    expect(span({ nowMs: wanted.nowMs - 1 })).toEqual([[], [5, 6, 7, 8, 9]]);
  });

  it('nothing where there is nothing', () => {
    expect(span({ firstMs: Number.POSITIVE_INFINITY }, {})).toEqual([[], []]);
  });

  it('where the first reading is not known, all that is kept', () => {
    expect(span({ firstMs: undefined, keptSinceMs: at('2026-03-06T20:00:00Z') })).toEqual([[], [8, 9, 10]]);
  });

  it('later: what follows, then what came to light before, next to what is there', () => {
    expect(span({}, {})).toEqual([
      [6, 7, 8],
      [5, 9, 10],
    ]);
    expect(span({}, { firstDay: '2026-03-08' })).toEqual([[8], [7, 6, 5, 9, 10]]);
    expect(span({}, { firstDay: '2026-03-05', closedThrough: '2026-03-10' })).toEqual([[5, 6, 7, 8, 9, 10], []]);
  });

  it('never a day that retention may have dropped in part', () => {
    expect(span({ keptSinceMs: at('2026-03-07T15:59:00Z') }, {})).toEqual([[8], [9, 10]]);
    expect(span({ keptSinceMs: at('2026-03-07T16:00:00Z') }, {})).toEqual([[], [9, 10]]);
  });

  it('nothing earlier than wanted; wanted again later, it is new', () => {
    expect(span({ from: '2026-03-08' }, {})).toEqual([[8], [9, 10]]);
    expect(span({ from: '2026-03-09' }, {})).toEqual([[], [9, 10]]);
    expect(span({ from: '2026-03-01' }, {})).toEqual([
      [6, 7, 8],
      [5, 9, 10],
    ]);
  });

  it('not what a longer grace opens again', () => {
    expect(span({ graceMs: 60 * HOUR }, { closedThrough: '2026-03-10' })).toEqual([[6, 7], [5]]);
  });

  it('progress grows at either end, by the day next to it', () => {
    expect(withDay(progress, '2026-03-09').closedThrough).toBe('2026-03-09');
    expect(withDay(progress, '2026-03-05').firstDay).toBe('2026-03-05');
    expect(withDay(progress, '2026-03-11')).toEqual(progress);
  });
});

describe('which regions of a day are due', () => {
  const partition = (region: string, more: Partial<Partition> = {}): Partition => ({
    region,
    path: partitionPath('readings', '2026-03-01', region),
    rows: 1,
    bytes: 1,
    sha256: '0'.repeat(64),
    schemaVersion: 1,
    changesBefore: 1000,
    ledger: { instruments: 2, digest: 'AB' },
    ...more,
  });
  /** A ledger of two-letter memory: instrument 1 in A, 2 in B. */
  const ledgerOf = (regions: string): LedgerRegions => ({
    all: [...new Set(regions)].sort(),
    mark: (instruments) => ({ instruments, digest: regions.slice(0, instruments) }),
  });
  const due = (partitions: Partition[] | undefined, options: Partial<DueOptions> = {}) =>
    dueRegions({
      manifest: partitions && ({ partitions } as Manifest),
      changes: [],
      schemaVersion: 1,
      ledger: ledgerOf('AB'),
      again: false,
      ...options,
    });
  const change = (region: string, changedAtMs: number) => ({ day: '2026-03-01', region, changedAtMs });

  it('those without a file that may have rows', () => {
    expect(due(undefined, { changes: [change('B', -Infinity), change('A', -Infinity)] })).toEqual(['A', 'B']);
    expect(due([partition('A')], { changes: [change('B', -Infinity), change('A', -Infinity)] })).toEqual(['B']);
  });

  it('those with something newer than their file', () => {
    expect(due([partition('A'), partition('B')], { changes: [change('A', 1000), change('B', 999)] })).toEqual(['A']);
  });

  it('those of another schema', () => {
    expect(due([partition('A', { schemaVersion: 0 }), partition('B')])).toEqual(['A']);
  });

  it('all when asked for again', () => {
    expect(due([partition('A'), partition('B')], { again: true, changes: [change('C', -Infinity)] })).toEqual([
      'C',
      'A',
      'B',
    ]);
  });

  it('all, new ones first, when an instrument has moved and something of the day is due', () => {
    const written = [partition('A'), partition('B')];
    const moved = { ledger: ledgerOf('CB') };
    expect(due(written, moved)).toEqual([]);
    expect(due(written, { ...moved, changes: [change('B', 1000)] })).toEqual(['C', 'A', 'B']);
    // The run broke after C and A.
    const fresh = { changesBefore: 2000, ledger: { instruments: 2, digest: 'CB' } };
    expect(
      due([partition('A', fresh), partition('B'), partition('C', fresh)], { ...moved, changes: [change('B', 1000)] }),
    ).toEqual(['B']);
  });

  it('not because instruments were added', () => {
    const changes = [change('A', 999), change('C', -Infinity)];
    expect(due([partition('A'), partition('B')], { ledger: ledgerOf('ABC'), changes })).toEqual(['C']);
  });

  it('of rows that name their region themselves, only the changed', () => {
    const { ledger: _, ...plain } = partition('A');
    expect(due([plain], { ledger: undefined, changes: [change('A', 1), change('B', 1)] })).toEqual(['B']);
  });
});

describe('records', () => {
  it('are read back as they were written', () => {
    const progress: Progress = {
      dataset: 'tasks',
      zone: 'Asia/Shanghai',
      schemaVersion: 1,
      from: '2026-03-01',
      firstDay: '2026-03-02',
      closedThrough: '2026-03-08',
      changesBefore: at('2026-03-09T00:00:00Z'),
    };
    expect(recordText(progress)).toContain('"changesBefore": "2026-03-09T00:00:00.000Z"');
    expect(recordText(progress)).toContain('"from": "2026-03-01"');
    expect(parseProgress('_manifest/tasks.json', recordText(progress))).toEqual(progress);
  });

  it('that are none are refused with their place', () => {
    expect(() => parseManifest('_manifest/tasks/2026-03-01.json', '{"dataset"')).toThrow(
      expect.objectContaining({ code: 'invalid_config', path: '_manifest/tasks/2026-03-01.json' }),
    );
    expect(() => parseProgress('_manifest/tasks.json', '{}')).toThrow(
      expect.objectContaining({ params: { problem: 'not_a_manifest' } }),
    );
  });

  it('lie where Hive, Spark and DuckDB look for them', () => {
    expect(partitionPath('readings', '2026-11-23', '220100')).toBe(
      'readings/day=2026-11-23/region=220100/part-0.parquet',
    );
    expect(partitionPath('readings', '2026-11-23', '')).toContain('/region=__HIVE_DEFAULT_PARTITION__/');
  });
});
