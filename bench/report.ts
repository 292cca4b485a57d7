/** The run as one page of markdown. */
import type { DayRead } from './day-read.ts';
import { type Machine, machineLine } from './machine.ts';
import { count, table } from './markdown.ts';
import type { StackResult } from './stack.ts';
import type { Row, Target } from './summary.ts';

export interface Report {
  machine: Machine;
  titles: Record<string, string>;
  rows: Row[];
  stack: StackResult[];
  dayRead: DayRead | undefined;
  targets: Target[];
  /** What was left out, and why. */
  notes: string[];
}

const GENERATOR_LIMIT = 0.9;
const SHAPE_TITLES = { single: '1 reading', gateway: '100 readings' };

const times = (ratio: number | undefined) => (ratio === undefined ? '' : `${ratio.toFixed(2)} ×`);
const ms = (value: number) => `${value.toFixed(1)} ms`;

export function renderReport({ machine, titles, rows, stack, dayRead, targets, notes }: Report): string {
  const parts = [machineLine(machine)];
  if (rows.length > 0) parts.push(ingestTable(rows, titles));
  if (stack.length > 0) parts.push(stackTable(stack, rows));
  if (dayRead)
    parts.push(
      `Filled with ${count(dayRead.storedReadings)} readings at ${count(dayRead.fillReadingsPerSecond)}/s; ` +
        `a day of one instrument reads back in ${ms(dayRead.p50Ms)} (p50), ${ms(dayRead.p99Ms)} (p99), ${ms(dayRead.maxMs)} at most.`,
    );
  parts.push(targetTable(targets));
  const saturated = rows.filter((row) => row.generatorCpu > GENERATOR_LIMIT);
  const warnings = saturated.map(
    (row) => `the load generator was the limit of ${row.pipeline}, ${SHAPE_TITLES[row.shape]}: its figure is too low`,
  );
  const lines = [...warnings, ...notes].map((note) => `- ${note}`);
  if (lines.length > 0) parts.push(lines.join('\n'));
  return `${parts.join('\n\n')}\n`;
}

function ingestTable(rows: Row[], titles: Record<string, string>): string {
  return table(
    ['pipeline', 'publish', 'publishes/s', 'readings/s', '÷ A', '÷ B', 'p50', 'p99', 'p50 at half', 'p99 at half'],
    rows.map((row) => [
      `${row.pipeline}: ${titles[row.pipeline] ?? ''}`,
      SHAPE_TITLES[row.shape],
      count(row.publishesPerSecond),
      count(row.readingsPerSecond),
      times(row.ratioToA),
      times(row.ratioToB),
      ms(row.p50Ms),
      ms(row.p99Ms),
      ms(row.halfRateP50Ms),
      ms(row.halfRateP99Ms),
    ]),
  );
}

function stackTable(stack: StackResult[], rows: Row[]): string {
  return table(
    [
      'C: Mosquitto → Node-RED → InfluxDB',
      'best stored readings/s',
      '÷ B',
      'ours ÷ C',
      'acknowledged/s at full load',
      'of these never stored',
    ],
    stack.map((result) => {
      const rate = (pipeline: Row['pipeline']) =>
        rows.find((row) => row.pipeline === pipeline && row.shape === result.shape)?.readingsPerSecond;
      const [ours, plain] = [rate('ours'), rate('B')];
      return [
        SHAPE_TITLES[result.shape],
        count(result.storedReadingsPerSecond),
        times(plain && result.storedReadingsPerSecond / plain),
        times(ours && ours / result.storedReadingsPerSecond),
        count(result.acknowledgedReadingsPerSecond),
        `${(result.lostShare * 100).toFixed(1)} %`,
      ];
    }),
  );
}

function targetTable(targets: Target[]): string {
  const verdict = ({ met }: Target) => (met === undefined ? 'not measured' : met ? 'met' : '**not met**');
  return table(
    ['target', 'limit', 'measured', ''],
    targets.map((target) => [target.what, target.limit, target.measured, verdict(target)]),
  );
}
