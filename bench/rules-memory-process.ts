/** The process of `rules-memory.ts`: what the evaluator adds to a heap that already holds the ledger. */
import { loadDomain } from '../src/config.ts';
import { type Instrument, MemoryLedger } from '../src/fleet/instrument.ts';
import { orderedValues, type Reading } from '../src/fleet/reading.ts';
import { Evaluator } from '../src/rules/evaluator.ts';
import { answerQuestions } from './process.ts';
import { STEP_MS } from './publishes.ts';
import type { RulesMemory } from './rules-memory.ts';

const INSTRUMENTS_PER_DISTRICT = 100;
/** Enough for every rule to have seen a previous reading and an increment. */
const READINGS = 4;
const START_MS = Date.UTC(2024, 0, 1);

function instrument(index: number): Instrument {
  return {
    key: index + 1,
    id: `BENCH-${index}`,
    kind: 'electricity',
    role: 'user',
    district: `BENCH-D-${Math.floor(index / INSTRUMENTS_PER_DISTRICT)}`,
    phase: 'L1',
    accuracyClass: 'B',
    manufacturer: 'bench',
    model: 'b1',
    batch: '1',
    installedOn: '2024-01-01',
    owner: '',
    region: 'bench',
    nominalVoltageV: 230,
    maxCurrentA: 60,
    gateway: `BENCH-GW-${Math.floor(index / INSTRUMENTS_PER_DISTRICT)}`,
    state: 'in-service',
  };
}

function readingsOfDistrict(firstKey: number, count: number, step: number): Reading[] {
  return Array.from({ length: count }, (_, i) => ({
    key: firstKey + i,
    tsMs: START_MS + step * STEP_MS,
    values: orderedValues({
      active_import_kwh: 100_000 + step * 0.25,
      voltage_v: 230,
      current_a: 4.348,
      active_power_w: 1000,
    }),
  }));
}

function usedBytes(): number {
  if (!globalThis.gc) throw new Error('needs --expose-gc');
  // Twice: what only finalizers release goes with the second.
  globalThis.gc();
  globalThis.gc();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

answerQuestions<{ instruments: number }>(async ({ instruments }): Promise<RulesMemory> => {
  const { kinds, rules } = loadDomain();
  const ledger = new MemoryLedger(Array.from({ length: instruments }, (_, index) => instrument(index)));
  const before = usedBytes();
  const evaluator = new Evaluator(rules, kinds, ledger);
  let findings = 0;
  for (let step = 0; step < READINGS; step++) {
    const nowMs = START_MS + step * STEP_MS;
    for (let first = 0; first < instruments; first += INSTRUMENTS_PER_DISTRICT) {
      const count = Math.min(INSTRUMENTS_PER_DISTRICT, instruments - first);
      findings += evaluator.read(readingsOfDistrict(first + 1, count, step), nowMs).length;
    }
    findings += evaluator.tick(nowMs).length;
  }
  const bytesPerInstrument = (usedBytes() - before) / instruments;
  // Also keeps evaluator and ledger alive until here.
  if (findings > 0 || evaluator.state.layout.stride === 0 || !ledger.byKey(1))
    throw new Error('idle instruments raised findings');
  return { instruments, bytesPerInstrument };
});
