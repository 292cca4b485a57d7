/** The process of `rules-memory.ts`: what the evaluator adds to a heap that already holds the ledger. */
import { loadDomain } from '../src/config.ts';
import { MemoryLedger } from '../src/fleet/instrument.ts';
import { Evaluator } from '../src/rules/evaluator.ts';
import { usedBytes } from './cost/heap.ts';
import { INSTRUMENTS_PER_DISTRICT, instrumentOf, readingsOfStep, START_MS } from './cost/readings.ts';
import { answerQuestions } from './process.ts';
import { STEP_MS } from './publishes.ts';
import type { RulesMemory } from './rules-memory.ts';

/** Enough for every rule to have seen a previous reading and an increment. */
const READINGS = 4;

answerQuestions<{ instruments: number }>(async ({ instruments }): Promise<RulesMemory> => {
  const { kinds, rules } = loadDomain();
  const ledger = new MemoryLedger(Array.from({ length: instruments }, (_, index) => instrumentOf(index)));
  const before = usedBytes();
  const evaluator = new Evaluator(rules, kinds, ledger);
  let findings = 0;
  for (let step = 0; step < READINGS; step++) {
    const nowMs = START_MS + step * STEP_MS;
    for (let first = 0; first < instruments; first += INSTRUMENTS_PER_DISTRICT) {
      const count = Math.min(INSTRUMENTS_PER_DISTRICT, instruments - first);
      findings += evaluator.read(readingsOfStep(first + 1, count, step), nowMs).length;
    }
    findings += evaluator.tick(nowMs).length;
  }
  const bytesPerInstrument = (usedBytes() - before) / instruments;
  // Also keeps evaluator and ledger alive until here.
  if (findings > 0 || evaluator.state.layout.stride === 0 || !ledger.byKey(1))
    throw new Error('idle instruments raised findings');
  return { instruments, bytesPerInstrument };
});
