import { describe, expect, it } from 'vitest';
import { MemoryLedger } from '../../src/fleet/instrument.ts';
import { emptyValues, type Reading } from '../../src/fleet/reading.ts';
import { Evaluator } from '../../src/rules/evaluator.ts';
import { Follow } from '../../src/rules/follow.ts';
import type { LogEntry } from '../../src/rules/reorder.ts';
import { kinds, PERIOD_MS, rules } from './fixtures.ts';
import { Random, Recorded, randomHistory, START_MS } from './history.ts';

const TIMES = { holdMs: 10, tickMs: 5, deafMs: 30 };

/** Rules that tell what they were asked. */
function recorder() {
  const calls: string[] = [];
  return {
    calls,
    read: (readings: readonly Reading[], nowMs: number) => {
      calls.push(`read ${readings.map(({ tsMs }) => tsMs).join(',')} @${nowMs}`);
      return [];
    },
    tick: (nowMs: number) => {
      calls.push(`tick @${nowMs}`);
      return [];
    },
    listen: (sinceMs: number) => void calls.push(`listen @${sinceMs}`),
  };
}

const entry = (id: number, atMs: number, ...times: number[]): LogEntry => ({
  id,
  atMs,
  readings: times.map((tsMs) => ({ key: 1, tsMs, values: emptyValues() })),
});

describe('time in the log', () => {
  it('begins with the first entry and moves with the entries, held back', () => {
    const asked = recorder();
    const follow = new Follow(asked, () => 'D1', TIMES, 0, Number.NaN);
    follow.next(entry(1, 100, 7));
    expect(asked.calls).toEqual(['listen @100']);
    follow.next(entry(2, 112));
    expect(asked.calls.slice(1)).toEqual(['read 7 @100']);
    follow.next(entry(3, 120));
    expect(asked.calls.slice(2)).toEqual(['tick @105', 'tick @110']);
    expect([follow.seenId, follow.seenMs]).toEqual([1, 100]);
  });

  it('moves on while nothing is logged, but not longer than a writer would be silent', () => {
    const asked = recorder();
    const follow = new Follow(asked, () => 'D1', TIMES, 0, Number.NaN);
    follow.next(entry(1, 100, 7));
    follow.idle(115);
    expect(asked.calls.slice(1)).toEqual(['read 7 @100', 'tick @105']);
    follow.idle(1000);
    expect(asked.calls.slice(3)).toEqual(['tick @110', 'tick @115', 'tick @120']);
  });

  it('after a pause in which nobody wrote, the rules listen anew', () => {
    const asked = recorder();
    const follow = new Follow(asked, () => 'D1', TIMES, 0, Number.NaN);
    follow.next(entry(1, 100, 7));
    follow.next(entry(2, 200, 8));
    expect(asked.calls).toEqual(['listen @100', 'read 7 @100', 'listen @200']);
  });

  it('goes on where another stopped, without a pause between', () => {
    const asked = recorder();
    const follow = new Follow(asked, () => 'D1', TIMES, 5, 100);
    follow.next(entry(6, 112));
    follow.next(entry(7, 125));
    expect(asked.calls).toEqual(['tick @105', 'tick @110', 'read  @112', 'tick @115']);
    expect(follow.seenId).toBe(6);
  });
});

describe('several writers', () => {
  const times = { holdMs: 5_000, tickMs: 5_000, deafMs: 15_000 };
  const STEP_MS = 1_000;

  it.each(Array.from({ length: 20 }, (_, i) => i + 1))('seed %i: find what one writer finds', (seed) => {
    const random = new Random(seed);
    const { instruments, commits, steps } = randomHistory(seed, { late: 0, latePeriods: 0, twice: 0 });
    const inOrder: LogEntry[] = [];
    let id = 0;
    // A backfill: what was measured over a day comes a second apart.
    const beganMs = START_MS + steps * PERIOD_MS;
    for (const [step, received] of commits.entries())
      for (const readings of received) inOrder.push({ id: ++id, atMs: beganMs + step * STEP_MS, readings });
    const scattered = inOrder
      .map((one) => ({ ...one, atMs: one.atMs + random.below(times.holdMs - STEP_MS) }))
      .sort((a, b) => a.atMs - b.atMs)
      .map((one, i) => ({ ...one, id: i + 1 }));

    const findings = (log: readonly LogEntry[]) => {
      const recorded = new Recorded();
      const ledger = new MemoryLedger(instruments);
      const rulesOf = new Evaluator(rules, kinds, ledger);
      const follow = new Follow(rulesOf, (key) => ledger.byKey(key)!.district, times, 0, Number.NaN);
      for (const one of log) recorded.add(follow.next(one));
      const endMs = log.at(-1)!.atMs;
      for (let alive = 1; alive <= 200; alive++)
        recorded.add(follow.next({ id: log.length + alive, atMs: endMs + alive * 5_000, readings: [] }));
      return recorded.list();
    };
    expect(findings(scattered)).toEqual(findings(inOrder));
  });
});
