/** Medians over the rounds, their ratios to A and B, and the targets they are held against. */
import type { DayRead } from './day-read.ts';
import type { Measurement } from './ingest.ts';
import type { RulesMemory } from './rules-memory.ts';

export interface Row {
  pipeline: Measurement['pipeline'];
  shape: Measurement['shape'];
  rounds: number;
  publishesPerSecond: number;
  readingsPerSecond: number;
  ratioToA: number | undefined;
  ratioToB: number | undefined;
  p50Ms: number;
  p99Ms: number;
  halfRateP50Ms: number;
  halfRateP99Ms: number;
  /** Share of one core the load generator used at the maximum rate: near 1, it and not the pipeline was the limit. */
  generatorCpu: number;
}

export interface Target {
  what: string;
  limit: string;
  measured: string;
  /** Undefined when it was not measured in this run. */
  met: boolean | undefined;
}

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function summarize(measurements: Measurement[]): Row[] {
  const groups = Map.groupBy(measurements, ({ shape, pipeline }) => `${shape} ${pipeline}`);
  const rows = [...groups.values()].map(medianRow);
  for (const row of rows) {
    const rateOf = (name: Row['pipeline']) =>
      rows.find((r) => r.pipeline === name && r.shape === row.shape)?.publishesPerSecond;
    row.ratioToA = ratio(row.publishesPerSecond, rateOf('A'));
    row.ratioToB = ratio(row.publishesPerSecond, rateOf('B'));
  }
  return rows.toSorted((a, b) => b.shape.localeCompare(a.shape));
}

function medianRow(group: Measurement[]): Row {
  const of = (value: (measurement: Measurement) => number) => median(group.map(value));
  return {
    pipeline: group[0]!.pipeline,
    shape: group[0]!.shape,
    rounds: group.length,
    publishesPerSecond: of((m) => m.maximum.publishesPerSecond),
    readingsPerSecond: of((m) => m.maximum.readingsPerSecond),
    ratioToA: undefined,
    ratioToB: undefined,
    p50Ms: of((m) => m.maximum.p50Ms),
    p99Ms: of((m) => m.maximum.p99Ms),
    halfRateP50Ms: of((m) => m.half.p50Ms),
    halfRateP99Ms: of((m) => m.half.p99Ms),
    generatorCpu: of((m) => m.maximum.generatorCpu),
  };
}

const ratio = (value: number, base: number | undefined) => (base ? value / base : undefined);

export function judge(rows: Row[], dayRead: DayRead | undefined, rulesMemory: RulesMemory | undefined): Target[] {
  const ours = (shape: Row['shape']) => rows.find((row) => row.pipeline === 'ours' && row.shape === shape);
  return [
    atLeast('single-reading publishes against B', 0.8, ours('single')?.ratioToB),
    atLeast('gateway publishes of 100 readings against B', 1.5, ours('gateway')?.ratioToB),
    atMost('p99 acknowledgement at half of the maximum rate, single', 250, 'ms', ours('single')?.halfRateP99Ms),
    atMost('p99 acknowledgement at half of the maximum rate, gateway', 250, 'ms', ours('gateway')?.halfRateP99Ms),
    atMost('memory per idle instrument in the rules', 400, 'bytes', rulesMemory?.bytesPerInstrument),
    atMost(
      `a day of one instrument read back${dayRead ? ` with ${(dayRead.storedReadings / 1e6).toFixed(1)} M readings stored` : ''}, p99`,
      20,
      'ms',
      dayRead?.p99Ms,
    ),
  ];
}

function atLeast(what: string, limit: number, measured: number | undefined): Target {
  return {
    what,
    limit: `≥ ${limit} ×`,
    measured: measured === undefined ? 'not measured' : `${measured.toFixed(2)} ×`,
    met: measured === undefined ? undefined : measured >= limit,
  };
}

function atMost(what: string, limit: number, unit: string, measured: number | undefined): Target {
  return {
    what,
    limit: `≤ ${limit} ${unit}`,
    measured: measured === undefined ? 'not measured' : `${measured.toFixed(1)} ${unit}`,
    met: measured === undefined ? undefined : measured <= limit,
  };
}
