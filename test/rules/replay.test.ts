import { describe, expect, it } from 'vitest';
import { MemoryLedger } from '../../src/fleet/instrument.ts';
import type { Reading } from '../../src/fleet/reading.ts';
import { Evaluator } from '../../src/rules/evaluator.ts';
import { RuleState } from '../../src/rules/state.ts';
import { kinds, PERIOD_MS, rules } from './fixtures.ts';
import { type History, Random, Recorded, randomHistory, START_MS } from './history.ts';

const SEEDS = Number(process.env.SEEDS ?? 40);

/** What a store keeps of a commit: the first reading of each moment. */
class Stored {
  readonly #known = new Set<string>();
  readonly commits: { nowMs: number; readings: Reading[] }[] = [];

  add(commit: readonly Reading[], nowMs: number): void {
    const readings = commit.filter(
      ({ key, tsMs }) => !this.#known.has(`${key} ${tsMs}`) && this.#known.add(`${key} ${tsMs}`),
    );
    this.commits.push({ nowMs, readings: readings.sort((a, b) => a.tsMs - b.tsMs || a.key - b.key) });
  }
}

/** The service: a snapshot now and then, a crash now and then. */
function live({ instruments, commits }: History, crashes: Random | undefined): string[] {
  const ledger = new MemoryLedger(instruments);
  const recorded = new Recorded();
  const stored = new Stored();
  const chunks = new Map<string, Uint8Array>();
  let kept = 0;
  let evaluator = new Evaluator(rules, kinds, ledger);
  const restart = (nowMs: number) => {
    const state = new RuleState(rules);
    for (const [name, bytes] of chunks) state.decodeChunk(name, bytes);
    evaluator = new Evaluator(rules, kinds, ledger, state);
    evaluator.reopened(recorded.open());
    for (const commit of stored.commits.slice(kept)) recorded.add(evaluator.read(commit.readings, commit.nowMs));
    evaluator.listen(nowMs);
  };
  for (const [step, received] of commits.entries()) {
    const nowMs = START_MS + step * PERIOD_MS;
    for (const commit of received) {
      if (crashes?.chance(0.05)) restart(nowMs);
      stored.add(commit, nowMs);
      const found = evaluator.read(commit, nowMs);
      if (crashes?.chance(0.05))
        restart(nowMs); // stored and not evaluated, as far as anybody can tell
      else recorded.add(found);
      if (crashes?.chance(0.1)) {
        for (const name of evaluator.state.dirtyChunks()) chunks.set(name, evaluator.state.encodeChunk(name));
        evaluator.state.clean();
        kept = stored.commits.length;
      }
    }
    for (let sinceMs = 0; sinceMs <= 10 * rules.settleMs; sinceMs += rules.settleMs) {
      const found = evaluator.tick(nowMs + sinceMs);
      if (crashes?.chance(0.005)) restart(nowMs + sinceMs);
      else recorded.add(found);
    }
  }
  return recorded.list();
}

/** The same readings much later, as fast as they can be sent: commits of many steps, a tick between. */
function backfill({ instruments, commits, steps }: History, random: Random): string[] {
  const recorded = new Recorded();
  const evaluator = new Evaluator(rules, kinds, new MemoryLedger(instruments));
  let nowMs = START_MS + (steps - 1) * PERIOD_MS;
  for (let step = 0; step < steps; ) {
    const until = step + 1 + random.below(30);
    recorded.add(evaluator.read(commits.slice(step, until).flat(2), nowMs));
    recorded.add(evaluator.tick(nowMs));
    step = until;
    nowMs += 1000;
  }
  for (let turn = 1; turn <= 10; turn++) recorded.add(evaluator.tick(nowMs + turn * rules.settleMs));
  return recorded.list();
}

/** Later than silence begins, its own tick decides whether an instrument was taken for silent meanwhile. */
const VERY_LATE = { late: 0.5, latePeriods: 12, twice: 0.1 };
const LATE = { late: 0.5, latePeriods: 2, twice: 0.1 };
const IN_TIME = { late: 0, latePeriods: 0, twice: 0 };

describe('a fold over the same readings', () => {
  it('finds the same after crashes as without', () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const history = randomHistory(seed, LATE);
      expect(live(history, new Random(seed * 7919)), `seed ${seed}`).toEqual(live(history, undefined));
    }
  });

  it('finds the same in every register and voltage however late readings come', () => {
    const lasting = (found: string[]) => found.filter((line) => !/^(silent|outage) /.test(line));
    for (let seed = 1; seed <= SEEDS; seed++) {
      const history = randomHistory(seed, VERY_LATE);
      const crashed = lasting(live(history, new Random(seed * 7919)));
      expect(crashed, `seed ${seed}`).toEqual(lasting(live(history, undefined)));
    }
  });

  it('finds the same in a backfill as live', () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const history = randomHistory(seed, IN_TIME);
      expect(backfill(history, new Random(seed)), `seed ${seed}`).toEqual(live(history, undefined));
    }
  });

  it('finds something of everything in these histories', () => {
    const found = new Set<string>();
    for (let seed = 1; seed <= SEEDS; seed++) {
      for (const line of live(randomHistory(seed, LATE), undefined)) found.add(line.split(' ')[0]!);
    }
    expect([...found].sort()).toEqual(['outage', 'rollback', 'runaway', 'silent', 'stopped', 'voltage-loss']);
  });
});
