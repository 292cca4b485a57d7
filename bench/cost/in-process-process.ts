/** The process of `in-process.ts`. */
import { loadDomain } from '../../src/config.ts';
import { MemoryLedger } from '../../src/fleet/instrument.ts';
import { Evaluator } from '../../src/rules/evaluator.ts';
import { Follow } from '../../src/rules/follow.ts';
import { encodeCopyRows } from '../../src/store/copy-rows.ts';
import { takeSnapshot } from '../../src/store/postgres-rule-state.ts';
import { decodeReadings, encodeReadings } from '../../src/store/reading-blocks.ts';
import { answerQuestions } from '../process.ts';
import { STEP_MS } from '../publishes.ts';
import type { InProcessCost } from './costs.ts';
import { usedBytes } from './heap.ts';
import { INSTRUMENTS_PER_DISTRICT, instrumentOf, readingsOfStep, START_MS } from './readings.ts';

const TICK_MS = 5_000;
const BATCH = 2_000;
/** Steps of everybody before anything is measured, and while it is. */
const WARMUP_STEPS = 4;
const STEPS = 8;
/** How long after a step its readings come, as in a service that is not behind. */
const DELAY_MS = 30_000;
const FOLLOW = { holdMs: 5_000, tickMs: TICK_MS, deafMs: 15_000 };
/** Of the log: a step of all instruments passes within so many entries' times. */
const ENTRY_MS = 100;

const { kinds, rules } = loadDomain();

answerQuestions<{ instruments: number }>(async ({ instruments }): Promise<InProcessCost> => {
  const empty = usedBytes();
  const ledger = new MemoryLedger(Array.from({ length: instruments }, (_, index) => instrumentOf(index)));
  const withLedger = usedBytes();
  const hints = new Map(Array.from({ length: instruments }, (_, index) => [index + 1, START_MS + index] as const));
  const withHints = usedBytes();
  const evaluator = new Evaluator(rules, kinds, ledger);
  const judge = judging(evaluator, instruments);
  judge(0, WARMUP_STEPS);
  const withRules = usedBytes();
  const judgeUs = judge(WARMUP_STEPS, STEPS).readUs;
  const { idleTickUs, quarterHourTicksUs } = ticking(evaluator, instruments, WARMUP_STEPS + STEPS);
  const snapshot = snapshotting(evaluator);
  if (hints.size !== instruments) throw new Error('the hints are gone');
  return {
    instruments,
    districts: instruments / INSTRUMENTS_PER_DISTRICT,
    encodeCopyUs: perReading((batch) => encodeCopyRows(batch, START_MS * 1000)),
    encodeLogUs: perReading(encodeReadings),
    judgeUs,
    followUs: following(ledger, instruments),
    ledgerBytesPerInstrument: (withLedger - empty) / instruments,
    hintBytesPerInstrument: (withHints - withLedger) / instruments,
    rulesBytesPerInstrument: (withRules - withHints) / instruments,
    idleTickUs,
    quarterHourTicksUs,
    ...snapshot,
  };
});

function cpuUs(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return user + system;
}

function judging(evaluator: Evaluator, instruments: number) {
  return (firstStep: number, steps: number) => {
    let readUs = 0;
    for (let step = firstStep; step < firstStep + steps; step++) {
      const nowMs = START_MS + step * STEP_MS + DELAY_MS;
      const batches = batchesOfStep(instruments, step);
      readUs += cpuUs(() => {
        for (const batch of batches) expectNone(evaluator.read(batch, nowMs));
      });
      for (let atMs = nowMs; atMs < nowMs + STEP_MS; atMs += TICK_MS) expectNone(evaluator.tick(atMs));
    }
    return { readUs: readUs / (steps * instruments) };
  };
}

function ticking(evaluator: Evaluator, instruments: number, step: number) {
  const nowMs = START_MS + step * STEP_MS + DELAY_MS;
  for (const batch of batchesOfStep(instruments, step)) evaluator.read(batch, nowMs);
  const ticks = STEP_MS / TICK_MS;
  const quarterHourTicksUs = cpuUs(() => {
    for (let tick = 1; tick <= ticks; tick++) expectNone(evaluator.tick(nowMs + tick * TICK_MS));
  });
  // The same moment again: nobody becomes due.
  const idleUs = cpuUs(() => {
    for (let tick = 0; tick < ticks; tick++) evaluator.tick(nowMs + STEP_MS);
  });
  return { idleTickUs: idleUs / ticks, quarterHourTicksUs };
}

function snapshotting(evaluator: Evaluator): Pick<InProcessCost, 'snapshotBytes' | 'snapshotUs'> {
  let snapshotBytes = 0;
  const snapshotUs = cpuUs(() => {
    const { chunks } = takeSnapshot(evaluator.state, { receivedAtUs: 0, logId: undefined });
    snapshotBytes = chunks.reduce((sum, [, bytes]) => sum + bytes.length, 0);
  });
  return { snapshotBytes, snapshotUs };
}

/** Decoding an entry of the log, putting it in order and judging it. */
function following(ledger: MemoryLedger, instruments: number): number {
  const evaluator = new Evaluator(rules, kinds, ledger);
  const district = (key: number) => ledger.byKey(key)?.district ?? '';
  const follow = new Follow(evaluator, district, FOLLOW, 0, Number.NaN);
  let id = 0;
  const run = (firstStep: number, steps: number) => {
    let us = 0;
    for (let step = firstStep; step < firstStep + steps; step++) {
      const blocks = batchesOfStep(instruments, step).map(encodeReadings);
      us += cpuUs(() => {
        for (const block of blocks) {
          const entry = { id: ++id, atMs: START_MS + id * ENTRY_MS, readings: decodeReadings(block) };
          expectNone(follow.next(entry));
        }
      });
    }
    return us / (steps * instruments);
  };
  run(0, WARMUP_STEPS);
  return run(WARMUP_STEPS, STEPS);
}

function perReading(encode: (batch: ReturnType<typeof readingsOfStep>) => unknown): number {
  const batch = readingsOfStep(1, BATCH, 0);
  const rounds = 500;
  for (let i = 0; i < rounds / 10; i++) encode(batch);
  const us = cpuUs(() => {
    for (let i = 0; i < rounds; i++) encode(batch);
  });
  return us / (rounds * BATCH);
}

function batchesOfStep(instruments: number, step: number) {
  return Array.from({ length: Math.ceil(instruments / BATCH) }, (_, i) =>
    readingsOfStep(i * BATCH + 1, Math.min(BATCH, instruments - i * BATCH), step),
  );
}

function expectNone(findings: readonly unknown[]): void {
  if (findings.length > 0)
    throw new Error(`instruments without a fault raised findings: ${JSON.stringify(findings[0])}`);
}
