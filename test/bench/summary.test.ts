import { expect, test } from 'vitest';
import type { Measurement } from '../../bench/ingest.ts';
import type { LoadResult } from '../../bench/load.ts';
import { renderReport } from '../../bench/report.ts';
import { judge, median, summarize } from '../../bench/summary.ts';

function load(publishesPerSecond: number, p99Ms: number): LoadResult {
  return {
    publishesPerSecond,
    readingsPerSecond: publishesPerSecond,
    acknowledged: publishesPerSecond,
    p50Ms: 1,
    p99Ms,
    maxMs: p99Ms,
    generatorCpu: 0.1,
    steps: [],
  };
}

const measured = (pipeline: Measurement['pipeline'], round: number, rate: number, halfP99Ms = 10): Measurement => ({
  pipeline,
  shape: 'single',
  round,
  maximum: load(rate, 20),
  half: load(rate / 2, halfP99Ms),
});

test.each([
  [[3], 3],
  [[9, 1, 5], 5],
  [[4, 1, 2, 3], 2.5],
])('median of %j is %d', (values, expected) => expect(median(values)).toBe(expected));

test('ratios are of medians, within one shape', () => {
  const rounds = [1, 2, 3];
  const rows = summarize([
    ...rounds.map((round) => measured('A', round, [90_000, 100_000, 300_000][round - 1]!)),
    ...rounds.map((round) => measured('B', round, 50_000)),
    ...rounds.map((round) => measured('ours', round, [10_000, 45_000, 60_000][round - 1]!)),
    { ...measured('A', 1, 7), shape: 'gateway' },
  ]);
  const ours = rows.find(({ pipeline }) => pipeline === 'ours')!;
  expect(ours.publishesPerSecond).toBe(45_000);
  expect(ours.ratioToA).toBeCloseTo(0.45);
  expect(ours.ratioToB).toBeCloseTo(0.9);
});

test('a target is met, not met, or not measured', () => {
  const rows = summarize([measured('B', 1, 50_000), measured('ours', 1, 45_000, 400)]);
  const targets = judge(rows, undefined, { instruments: 200_000, bytesPerInstrument: 120 });
  expect(targets.map(({ met }) => met)).toEqual([true, undefined, false, undefined, true, undefined]);
  const machine = { cpu: 'cpu', cores: 2, memoryGb: 8, node: '24', postgres: '18', loadBefore: 0 };
  const titles = { B: 'insert', ours: 'meterwarden' };
  const report = renderReport({ machine, titles, rows, stack: [], dayRead: undefined, targets, notes: ['left out'] });
  expect(report).toContain('| ours: meterwarden | 1 reading | 45 000 | 45 000 |  | 0.90 × |');
  expect(report).toContain('| ≤ 250 ms | 400.0 ms | **not met** |');
  expect(report).toContain('- left out');
});
