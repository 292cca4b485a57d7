import { describe, expect, it } from 'vitest';
import { MemoryLedger } from '../../src/fleet/instrument.ts';
import { Evaluator } from '../../src/rules/evaluator.ts';
import { parseRules, type RuleSet } from '../../src/rules/ruleset.ts';
import { RuleState } from '../../src/rules/state.ts';
import { config, instrument, kinds, PERIOD_MS, reading, rules } from './fixtures.ts';

const START_MS = Date.parse('2026-05-01T00:00:00Z');
const ledger = new MemoryLedger([instrument({ key: 1 }), instrument({ key: 700, district: 'D2' })]);

/** A meter whose voltage has been lost for one reading, which is not long enough. */
function state(): RuleState {
  const evaluator = new Evaluator(rules, kinds, ledger);
  evaluator.read(
    [1, 700].map((key) => reading(key, START_MS, { active_import_kwh: 100, voltage_v: 90, current_a: 5 })),
    START_MS,
  );
  return evaluator.state;
}

function moved(from: RuleState, to: RuleState): RuleState {
  for (const name of from.dirtyChunks()) to.decodeChunk(name, from.encodeChunk(name));
  return to;
}

/** What a next reading finds, of a lower register and the voltage still missing. */
function next(ruleset: RuleSet, restored: RuleState): string[] {
  const evaluator = new Evaluator(ruleset, kinds, ledger, restored);
  const values = { active_import_kwh: 50, voltage_v: 90, current_a: 5 };
  const readings = [1, 700].map((key) => reading(key, START_MS + PERIOD_MS, values));
  return evaluator
    .read(readings, START_MS + PERIOD_MS)
    .map(({ rule, fromMs }) => `${rule} ${(fromMs - START_MS) / PERIOD_MS}`);
}

function changed(set: (raw: { rules: Record<string, Record<string, unknown>> }) => void): RuleSet {
  const raw = config('rules.yaml') as { rules: Record<string, Record<string, unknown>> };
  set(raw);
  return parseRules(raw, kinds);
}

describe('the state of the rules', () => {
  it('comes back as it was kept', () => {
    const kept = state();
    expect([...kept.dirtyChunks()].sort()).toEqual(expect.arrayContaining(['instruments/0', 'instruments/1']));
    const restored = moved(kept, new RuleState(rules));
    for (const name of kept.dirtyChunks()) expect(restored.encodeChunk(name)).toEqual(kept.encodeChunk(name));
    expect(next(rules, restored)).toEqual(['rollback 1', 'voltage-loss 0', 'rollback 1', 'voltage-loss 0']);
  });

  it('tells only what has changed since it was kept', () => {
    const kept = state();
    kept.clean();
    expect([...kept.dirtyChunks()]).toEqual([]);
    new Evaluator(rules, kinds, ledger, kept).read([reading(700, START_MS + PERIOD_MS)], START_MS);
    expect([...kept.dirtyChunks()].filter((name) => name.startsWith('instruments'))).toEqual(['instruments/1']);
  });

  it('begins a rule anew when its condition has changed, and only that rule', () => {
    const other = changed(({ rules }) => {
      rules['voltage-loss']!.clears_when = [{ quantity: 'voltage', above: 0.9, of: 'nominal_voltage' }];
    });
    expect(next(other, moved(state(), new RuleState(other)))).toEqual(['rollback 1', 'rollback 1']);
  });

  it('outlives new rules, removed rules, and other durations and severities', () => {
    const other = changed(({ rules }) => {
      const { stopped, runaway, ...rest } = rules;
      for (const id of Object.keys(rules)) delete rules[id];
      Object.assign(rules, { 'second-loss': { ...rest['voltage-loss'] }, ...rest });
      rules['voltage-loss'] = { ...rules['voltage-loss'], severity: 'info', fires_after: '10m' };
    });
    const found = next(other, moved(state(), new RuleState(other)));
    expect(found).toEqual(['rollback 1', 'voltage-loss 0', 'rollback 1', 'voltage-loss 0']);
  });
});
