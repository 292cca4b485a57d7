import { beforeEach, describe, expect, it } from 'vitest';
import type { Finding } from '../../src/fleet/finding.ts';
import { subjectId } from '../../src/fleet/finding.ts';
import { MemoryLedger } from '../../src/fleet/instrument.ts';
import { Evaluator } from '../../src/rules/evaluator.ts';
import { RuleState } from '../../src/rules/state.ts';
import { instrument, kinds, MINUTE_MS, PERIOD_MS, reading, rules } from './fixtures.ts';

const START_MS = Date.parse('2026-05-01T00:00:00Z');
const SETTLE_MS = rules.settleMs;
const HOUR_MS = 60 * MINUTE_MS;

let ledger: MemoryLedger;
let evaluator: Evaluator;
let found: string[];

beforeEach(() => {
  ledger = new MemoryLedger([1, 2, 3, 4, 5].map((key) => instrument({ key })));
  evaluator = new Evaluator(rules, kinds, ledger);
  found = [];
});

function note(findings: readonly Finding[]): void {
  const at = (ms: number) => (ms - START_MS) / PERIOD_MS;
  for (const finding of findings) {
    const { change, rule, subject, fromMs } = finding;
    found.push(
      `${change} ${rule} ${subjectId(subject)} ${at(fromMs)}${change === 'cleared' ? `…${at(finding.toMs)}` : ''}`,
    );
  }
}

/** Readings of these instruments at these periods, received at `nowMs`. */
function receive(keys: readonly number[], periods: readonly number[], nowMs: number): void {
  note(
    evaluator.read(
      periods.flatMap((n) => keys.map((key) => reading(key, START_MS + n * PERIOD_MS))),
      nowMs,
    ),
  );
}

function tick(fromMs: number, toMs: number, everyMs = 5000): void {
  for (let nowMs = fromMs; nowMs <= toMs; nowMs += everyMs) note(evaluator.tick(nowMs));
}

function change(state: 'in-service' | 'retired', ...keys: readonly number[]): void {
  for (const key of keys) {
    ledger.put(instrument({ key, state }));
    evaluator.instrumentChanged(key);
  }
}

function periods(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

const ALL = [1, 2, 3, 4, 5];

describe('silence', () => {
  it('is no finding while one gateway runs ahead with its instruments in a fast backfill', () => {
    let nowMs = START_MS + 100 * 24 * HOUR_MS;
    receive(ALL, [0], nowMs);
    for (let n = 1; n < 400; n += 40) {
      nowMs += 1000;
      receive([1, 2], periods(n, n + 39), nowMs);
      tick(nowMs, nowMs);
      nowMs += 2000;
      receive([3, 4, 5], periods(n, n + 39), nowMs);
      tick(nowMs, nowMs);
    }
    expect(found).toEqual([]);
  });

  it('is no finding while a slow gateway is days behind and still sending', () => {
    let nowMs = START_MS + 100 * 24 * HOUR_MS;
    receive(ALL, [0], nowMs);
    receive([1, 2], periods(1, 2000), nowMs);
    for (let n = 1; n <= 2000; n += 20) {
      nowMs += 10_000;
      receive([3, 4, 5], periods(n, n + 19), nowMs);
      receive([1, 2], [2000 + (n + 19) / 20], nowMs);
      tick(nowMs, nowMs + 5000);
    }
    expect(found).toEqual([]);
  });

  it('of an instrument that always sends late is no finding again and again', () => {
    receive(ALL, [0], START_MS);
    for (let n = 1; n < 100; n++) {
      const nowMs = START_MS + n * PERIOD_MS;
      receive([1, 2, 3, 4], [n], nowMs);
      if (n > 8) receive([5], [n - 8], nowMs);
      tick(nowMs, nowMs + PERIOD_MS - 1, SETTLE_MS);
    }
    expect(found).toEqual(['opened silent instrument:5 1', 'cleared silent instrument:5 1…1']);
  });

  it('is found within settling times when a backfill ends without somebody', () => {
    const nowMs = START_MS + 100 * PERIOD_MS;
    receive(ALL, periods(0, 50), nowMs);
    receive([1, 2, 3, 4], periods(51, 100), nowMs);
    tick(nowMs, nowMs + 2 * SETTLE_MS);
    expect(found).toEqual(['opened silent instrument:5 51']);
  });

  it('of an instrument never heard waits until the district has finished joining', () => {
    const nowMs = START_MS + 500 * PERIOD_MS;
    receive([1, 2, 3, 4], periods(0, 500), nowMs);
    for (let n = 1; n <= 4; n++) {
      tick(nowMs + (n - 1) * PERIOD_MS, nowMs + n * PERIOD_MS - 5000, SETTLE_MS);
      receive([1, 2, 3, 4], [500 + n], nowMs + n * PERIOD_MS);
    }
    expect(found).toEqual([]);
    tick(nowMs + 4 * PERIOD_MS, nowMs + 4 * PERIOD_MS);
    expect(found).toEqual(['opened silent instrument:5 0']);
  });

  it('is not invented while a history comes in instrument by instrument for many minutes', () => {
    let nowMs = START_MS + 500 * PERIOD_MS;
    for (const key of ALL) {
      receive([key], periods(400, 500), nowMs);
      tick(nowMs, nowMs + 5 * 60_000, SETTLE_MS);
      nowMs += 5 * 60_000;
    }
    expect(found).toEqual([]);
  });

  it('of an instrument entered later counts from then', () => {
    receive(ALL, periods(0, 100), START_MS + 100 * PERIOD_MS);
    tick(START_MS + 100 * PERIOD_MS, START_MS + 100 * PERIOD_MS);
    ledger.put(instrument({ key: 6 }));
    evaluator.instrumentChanged(6);
    for (let n = 101; n <= 106; n++) {
      tick(START_MS + n * PERIOD_MS - 1, START_MS + n * PERIOD_MS - 1);
      receive(ALL, [n], START_MS + n * PERIOD_MS);
      tick(START_MS + n * PERIOD_MS, START_MS + n * PERIOD_MS + 2 * SETTLE_MS);
    }
    expect(found).toEqual(['opened silent instrument:6 100']);
  });

  it('ends when the instrument leaves service, and it is asked for nothing afterwards', () => {
    receive(ALL, periods(0, 50), START_MS + 100 * PERIOD_MS);
    receive([1, 2, 3, 4], periods(51, 100), START_MS + 100 * PERIOD_MS);
    tick(START_MS + 100 * PERIOD_MS, START_MS + 100 * PERIOD_MS + 2 * SETTLE_MS);
    change('retired', 5);
    receive([1, 2, 3, 4], periods(101, 120), START_MS + 120 * PERIOD_MS);
    tick(START_MS + 120 * PERIOD_MS, START_MS + 120 * PERIOD_MS + 2 * SETTLE_MS);
    expect(found).toEqual(['opened silent instrument:5 51', 'cleared silent instrument:5 51…51']);
  });
});

describe('an instrument put back into service', () => {
  const nowMs = START_MS + 100 * PERIOD_MS;
  const settled = nowMs + 2 * SETTLE_MS;

  it('is judged silent from then on, and not for the time it was out of service', () => {
    receive(ALL, periods(0, 50), nowMs);
    change('retired', 5);
    receive([1, 2, 3, 4], periods(51, 100), nowMs);
    tick(nowMs, settled);
    change('in-service', 5);
    tick(settled, settled + rules.startupGraceMs);
    expect(found).toEqual([]);
    receive([1, 2, 3, 4], periods(101, 110), START_MS + 110 * PERIOD_MS);
    tick(START_MS + 110 * PERIOD_MS, START_MS + 110 * PERIOD_MS + rules.startupGraceMs);
    expect(found).toEqual(['opened silent instrument:5 100']);
  });

  it('may have another register: the old one is forgotten', () => {
    note(evaluator.read([reading(5, START_MS, { active_import_kwh: 9_000 })], START_MS));
    change('retired', 5);
    tick(START_MS, START_MS);
    change('in-service', 5);
    note(evaluator.read([reading(5, START_MS + PERIOD_MS, { active_import_kwh: 0.5 })], START_MS + PERIOD_MS));
    expect(found).toEqual([]);
  });

  it('begins anew as well when both happen between two ticks, and what was open about it ends', () => {
    const register = (n: number, kwh: number) => reading(5, START_MS + n * PERIOD_MS, { active_import_kwh: kwh });
    note(evaluator.read([register(0, 9_000), register(1, 8_000)], START_MS));
    change('retired', 5);
    change('in-service', 5);
    note(evaluator.read([register(2, 0.5)], START_MS));
    tick(START_MS, START_MS);
    expect(found).toEqual(['opened rollback instrument:5 1', 'cleared rollback instrument:5 1…1']);
  });

  it('begins anew as well when the service has lost what it knew of the retirement', () => {
    receive(ALL, periods(0, 50), nowMs);
    const kept = [...evaluator.state.dirtyChunks()].map((name) => [name, evaluator.state.encodeChunk(name)] as const);
    ledger.put(instrument({ key: 5, state: 'retired' }));
    const again = new RuleState(rules);
    for (const [name, bytes] of kept) again.decodeChunk(name, bytes);
    evaluator = new Evaluator(rules, kinds, ledger, again);
    evaluator.listen(nowMs);
    receive([1, 2, 3, 4], periods(51, 100), nowMs);
    tick(nowMs, nowMs + 2 * rules.startupGraceMs);
    change('in-service', 5);
    tick(nowMs + 2 * rules.startupGraceMs, nowMs + 3 * rules.startupGraceMs);
    expect(found).toEqual([]);
  });
});

describe('the silence of a whole district', () => {
  const lastMs = START_MS + 10 * PERIOD_MS;

  it('is judged by the wall clock once nothing comes any more', () => {
    receive(ALL, periods(0, 10), lastMs);
    tick(lastMs, lastMs + 3 * PERIOD_MS);
    expect(found).toEqual([]);
    tick(lastMs + 3 * PERIOD_MS + 5000, lastMs + 10 * PERIOD_MS);
    expect(found).toEqual(['opened outage district:D1 11']);
    receive(ALL, [20], lastMs + 10 * PERIOD_MS);
    tick(lastMs + 10 * PERIOD_MS, lastMs + 10 * PERIOD_MS + 3 * SETTLE_MS);
    expect(found.slice(1)).toEqual(['cleared outage district:D1 11…20']);
  });

  it('ends where it began when everything it missed is sent afterwards', () => {
    receive(ALL, periods(0, 10), lastMs);
    tick(lastMs, lastMs + 10 * PERIOD_MS);
    receive(ALL, periods(11, 20), lastMs + 10 * PERIOD_MS);
    tick(lastMs + 10 * PERIOD_MS, lastMs + 10 * PERIOD_MS + 3 * SETTLE_MS);
    expect(found).toEqual(['opened outage district:D1 11', 'cleared outage district:D1 11…11']);
  });

  it('is not judged before a started service has listened for a while', () => {
    receive(ALL, periods(0, 10), lastMs);
    tick(lastMs, lastMs);
    const again = new RuleState(rules);
    for (const chunk of evaluator.state.dirtyChunks()) again.decodeChunk(chunk, evaluator.state.encodeChunk(chunk));
    evaluator = new Evaluator(rules, kinds, ledger, again);
    const upMs = lastMs + 24 * HOUR_MS;
    evaluator.listen(upMs);
    tick(upMs, upMs + rules.startupGraceMs - 5000);
    expect(found).toEqual([]);
  });

  it('leaves out the time in which the service was down', () => {
    receive(ALL, periods(0, 10), lastMs);
    tick(lastMs, lastMs);
    const again = new RuleState(rules);
    for (const chunk of evaluator.state.dirtyChunks()) again.decodeChunk(chunk, evaluator.state.encodeChunk(chunk));
    evaluator = new Evaluator(rules, kinds, ledger, again);
    evaluator.listen(lastMs + 40 * PERIOD_MS);
    receive(ALL, [51], lastMs + 41 * PERIOD_MS);
    tick(lastMs + 41 * PERIOD_MS, lastMs + 42 * PERIOD_MS - 5000);
    expect(found).toEqual([]);
    tick(lastMs + 42 * PERIOD_MS, lastMs + 46 * PERIOD_MS);
    expect(found).toEqual(['opened outage district:D1 52']);
  });

  it('that is on record goes on after a restart and ends with what is replayed', () => {
    receive(ALL, periods(0, 9), lastMs - PERIOD_MS);
    const snapshot = [...evaluator.state.dirtyChunks()].map(
      (name) => [name, evaluator.state.encodeChunk(name)] as const,
    );
    const again = new RuleState(rules);
    for (const [name, bytes] of snapshot) again.decodeChunk(name, bytes);
    evaluator = new Evaluator(rules, kinds, ledger, again);
    evaluator.reopened([
      { rule: 'outage', subject: { type: 'district', district: 'D1' }, fromMs: START_MS + 11 * PERIOD_MS },
    ]);
    receive(ALL, [10], lastMs);
    receive(ALL, periods(11, 18), lastMs + 8 * PERIOD_MS);
    evaluator.listen(lastMs + 8 * PERIOD_MS);
    tick(lastMs + 8 * PERIOD_MS, lastMs + 8 * PERIOD_MS + 2 * rules.startupGraceMs);
    expect(found).toEqual(['cleared outage district:D1 11…11']);
  });

  it('asks only those who report most often', () => {
    ledger.put(instrument({ key: 6, kind: 'water' }));
    ledger.put(instrument({ key: 7, kind: 'water' }));
    evaluator = new Evaluator(rules, kinds, ledger);
    receive(ALL, periods(0, 12), START_MS + 12 * PERIOD_MS);
    receive([6, 7], [0, 4, 8, 12], START_MS + 12 * PERIOD_MS);
    tick(START_MS + 12 * PERIOD_MS, START_MS + 20 * PERIOD_MS, MINUTE_MS);
    expect(found).toEqual(['opened outage district:D1 13']);
  });

  it('ends with the newest reading of those that are left when the missing ones leave service', () => {
    receive(ALL, periods(0, 10), lastMs);
    receive([1], periods(11, 20), lastMs + 10 * PERIOD_MS);
    tick(lastMs + 10 * PERIOD_MS, lastMs + 10 * PERIOD_MS + 2 * SETTLE_MS);
    expect(found).toEqual(['opened outage district:D1 11']);
    change('retired', 2);
    tick(lastMs + 11 * PERIOD_MS - 5000, lastMs + 11 * PERIOD_MS - 5000);
    expect(found).toHaveLength(1);
    change('retired', 3, 4, 5);
    tick(lastMs + 11 * PERIOD_MS, lastMs + 11 * PERIOD_MS);
    expect(found.slice(1)).toEqual(['cleared outage district:D1 11…20']);
  });

  it('ends as well when the service starts again meanwhile, with or without what it remembered', () => {
    receive(ALL, periods(0, 10), lastMs);
    receive([1], periods(11, 20), lastMs + 10 * PERIOD_MS);
    tick(lastMs + 10 * PERIOD_MS, lastMs + 10 * PERIOD_MS + 2 * SETTLE_MS);
    const kept = [...evaluator.state.dirtyChunks()].map((name) => [name, evaluator.state.encodeChunk(name)] as const);
    for (const key of [2, 3, 4, 5]) ledger.put(instrument({ key, state: 'retired' }));
    const open = {
      rule: 'outage',
      subject: { type: 'district', district: 'D1' },
      fromMs: START_MS + 11 * PERIOD_MS,
    } as const;
    for (const remembered of [kept, []]) {
      found = [];
      const again = new RuleState(rules);
      for (const [name, bytes] of remembered) again.decodeChunk(name, bytes);
      evaluator = new Evaluator(rules, kinds, ledger, again);
      evaluator.reopened([open]);
      const upMs = lastMs + 11 * PERIOD_MS;
      evaluator.listen(upMs);
      receive([1], [21], upMs);
      tick(upMs, upMs + rules.startupGraceMs + 2 * SETTLE_MS);
      expect(found).toEqual(['cleared outage district:D1 11…21']);
    }
  });

  it('ends where it began when everybody has left and nothing is remembered', () => {
    change('retired', ...ALL);
    evaluator = new Evaluator(rules, kinds, ledger);
    evaluator.reopened([
      { rule: 'outage', subject: { type: 'district', district: 'D1' }, fromMs: START_MS + 11 * PERIOD_MS },
    ]);
    tick(lastMs, lastMs);
    expect(found).toEqual(['cleared outage district:D1 11…11']);
  });

  it('goes on while enough of the others are missing, whoever joins or leaves', () => {
    receive(ALL, periods(0, 10), lastMs);
    tick(lastMs, lastMs + 4 * PERIOD_MS, MINUTE_MS);
    expect(found).toEqual(['opened outage district:D1 11']);
    for (let key = 6; key < 20; key++) change('in-service', key);
    change('retired', 1);
    tick(lastMs + 4 * PERIOD_MS, lastMs + 6 * PERIOD_MS, MINUTE_MS);
    expect(found).toHaveLength(1);
  });
});
