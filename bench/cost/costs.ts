/** What was measured, and the constants that follow from it. */
import type { Machine } from '../machine.ts';
import type { Shape } from '../publishes.ts';

/** One run, at a fixed rate or as fast as it is acknowledged. Processor time is that above an idle service's. */
export interface IngestRun {
  shape: Shape;
  /** As fast as acknowledged: a read of a socket brings many messages. */
  full: boolean;
  readingsPerSecond: number;
  readings: number;
  messages: number;
  commits: number;
  commitSeconds: number;
  serviceUs: number;
  /** Of these, on the thread that runs JavaScript: one core of it is the limit of a process. */
  serviceMainUs: number;
  postgresUs: number;
  p50Ms: number;
  p99Ms: number;
}

/** Per reading stored, in a partition as it is after a day. */
export interface DiskCost {
  readings: number;
  tableBytes: number;
  indexBytes: number;
  walBytes: number;
  /** When every page is written for the first time after a checkpoint. */
  walBytesAfterCheckpoint: number;
  pagesAfterCheckpoint: number;
}

/** The log that several ingest processes share, per reading or per entry of `readingsPerEntry`. */
export interface LogCost {
  readingsPerEntry: number;
  bytes: number;
  walBytes: number;
  postgresUs: number;
  /** An entry's time under the lock, by the clock. */
  appendMs: number;
  /** An entry without readings: what one commit more costs. */
  emptyAppendMs: number;
}

/** Measured in a process of its own; per reading unless it says otherwise. */
export interface InProcessCost {
  instruments: number;
  districts: number;
  encodeCopyUs: number;
  encodeLogUs: number;
  judgeUs: number;
  followUs: number;
  ledgerBytesPerInstrument: number;
  hintBytesPerInstrument: number;
  rulesBytesPerInstrument: number;
  /** One tick in which nobody is due. */
  idleTickUs: number;
  /** All ticks of a quarter of an hour, with the judging at its end. */
  quarterHourTicksUs: number;
  snapshotBytes: number;
  snapshotUs: number;
}

/** A service that does nothing. */
export interface Settled {
  rssBytes: number;
  /** What JavaScript has in use, buffers included. */
  heapBytes: number;
  idleUsPerSecond: number;
}

export interface Start {
  ms: number;
  cpuMs: number;
}

/** The service with a large ledger. */
export interface FleetCost {
  instruments: number;
  importSeconds: number;
  importCpuSeconds: number;
  /** After a start, garbage collected, without an instrument. */
  empty: Settled;
  emptyStart: Start;
  ledger: Settled;
  ledgerStart: Start;
  connections: number;
  /** With that many authenticated connections that send nothing. */
  connected: Settled;
  /** After everybody has reported once: rules and the store's hints came on top. */
  reported: Settled;
  /** With a snapshot of the rules to load. */
  rulesStart: Start;
  snapshotBytes: number;
}

export interface Costs {
  measuredOn: string;
  machine: Machine;
  idle: { serviceUsPerSecond: number; postgresUsPerSecond: number };
  ingest: IngestRun[];
  disk: DiskCost;
  log: LogCost;
  inProcess: InProcessCost;
  fleet: FleetCost;
}

/** Per reading unless it says otherwise. */
export interface Constants {
  /** Main thread of the service: per message, and per reading of it (broker, decoding, storing, judging). */
  messageUs: number;
  readingUs: number;
  /** And per commit. */
  turnUs: number;
  /** All threads of the service over its main thread. */
  threads: number;
  encodeUs: number;
  encodeLogUs: number;
  judgeUs: number;
  followUs: number;
  /** PostgreSQL's processor time per commit, and per reading in it. */
  commitUs: number;
  storeUs: number;
  /** A commit by the clock that waits for nothing but the disk. */
  commitMs: number;
  logUs: number;
  /** An entry of so many readings in the log, by the clock and under its lock. */
  logMs: number;
  logReadingsPerEntry: number;
}

/** At rates that leave room, where nearly every message is a read of its socket: what machines are planned by. */
export function constantsOf(costs: Costs): Constants {
  const { log, inProcess } = costs;
  const ingest = costs.ingest.filter(({ full }) => !full);
  const [messageUs, readingUs, turnUs] = leastSquares(
    ingest.map((run) => ({ of: [run.messages, run.readings, run.commits], is: run.serviceMainUs })),
  ) as [number, number, number];
  const [commitUs, storeUs] = leastSquares(
    ingest.map((run) => ({ of: [run.commits, run.readings], is: run.postgresUs })),
  ) as [number, number];
  return {
    messageUs,
    readingUs,
    turnUs,
    threads: threadsOf(ingest),
    encodeUs: inProcess.encodeCopyUs,
    encodeLogUs: inProcess.encodeLogUs,
    judgeUs: inProcess.judgeUs,
    followUs: inProcess.followUs,
    commitUs,
    storeUs,
    commitMs: log.emptyAppendMs,
    logUs: log.postgresUs,
    logMs: log.appendMs,
    logReadingsPerEntry: log.readingsPerEntry,
  };
}

/** With a backlog, where a read of a socket brings many messages and a commit many readings: what a burst is served with. */
export function fullConstantsOf(costs: Costs): Constants {
  const constants = constantsOf(costs);
  const { turnUs, commitUs } = constants;
  const ingest = costs.ingest.filter(({ full }) => full);
  const [messageUs, readingUs] = leastSquares(
    ingest.map((run) => ({ of: [run.messages, run.readings], is: run.serviceMainUs - run.commits * turnUs })),
  ) as [number, number];
  const [storeUs] = leastSquares(
    ingest.map((run) => ({ of: [run.readings], is: run.postgresUs - run.commits * commitUs })),
  ) as [number];
  return { ...constants, messageUs, readingUs, storeUs, threads: threadsOf(ingest) };
}

function threadsOf(runs: readonly IngestRun[]): number {
  const sum = (value: (run: IngestRun) => number) => runs.reduce((total, run) => total + value(run), 0);
  return sum((run) => run.serviceUs) / sum((run) => run.serviceMainUs);
}

/** Non-negative factors of the columns whose sums come nearest to the targets, every row counting by its relative error. */
export function leastSquares(rows: readonly { of: readonly number[]; is: number }[]): number[] {
  const used = rows.filter(({ is }) => is > 0);
  const columns = used[0]?.of.length ?? 0;
  let best = { factors: new Array<number>(columns).fill(0), error: Number.POSITIVE_INFINITY };
  // Of a few columns, every choice of those that count is tried.
  for (let choice = 1; choice < 1 << columns; choice++) {
    const chosen = [...Array(columns).keys()].filter((column) => choice & (1 << column));
    const scaled = used.map(({ of, is }) => chosen.map((column) => of[column]! / is));
    const factors = new Array<number>(columns).fill(0);
    for (const [i, factor] of solved(scaled).entries()) factors[chosen[i]!] = factor;
    if (factors.some((factor) => !(factor >= 0))) continue;
    const error = used.reduce(
      (sum, { of, is }) => sum + (of.reduce((s, x, i) => s + x * factors[i]!, 0) / is - 1) ** 2,
      0,
    );
    if (error < best.error) best = { factors, error };
  }
  return best.factors;
}

/** Factors with which the rows come nearest to 1: the normal equations, by elimination. */
function solved(rows: readonly (readonly number[])[]): number[] {
  const size = rows[0]?.length ?? 0;
  const sum = (value: (row: readonly number[]) => number) => rows.reduce((total, row) => total + value(row), 0);
  const matrix = Array.from({ length: size }, (_, i) => [
    ...Array.from({ length: size }, (_, j) => sum((row) => row[i]! * row[j]!)),
    sum((row) => row[i]!),
  ]);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      if (i === j) continue;
      const factor = matrix[j]![i]! / matrix[i]![i]!;
      for (let k = i; k <= size; k++) matrix[j]![k]! -= factor * matrix[i]![k]!;
    }
  }
  return matrix.map((row, i) => row[size]! / row[i]!);
}
