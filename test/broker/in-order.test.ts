import { expect, test } from 'vitest';
import { InOrder, RefusalBudget } from '../../src/broker/in-order.ts';

function setup() {
  let nowMs = 0;
  const timers: { atMs: number; run: () => void }[] = [];
  const answers = new InOrder(new RefusalBudget({ burst: 2, perSecond: 1 }, () => nowMs), (afterMs, run) =>
    timers.push({ atMs: nowMs + afterMs, run }),
  );
  const sent: string[] = [];
  const advance = (ms: number) => {
    nowMs += ms;
    for (const timer of timers.splice(0)) timer.atMs <= nowMs ? timer.run() : timers.push(timer);
  };
  const place = (name: string, cost = 0) => {
    const answer = answers.place();
    return () => answer(() => sent.push(name), cost);
  };
  return { answers, sent, advance, place };
}

test('answers leave in the order of their places, whenever they are ready', () => {
  const { place, sent } = setup();
  const [a, b, c] = [place('a'), place('b'), place('c')];
  c();
  b();
  expect(sent).toEqual([]);
  a();
  expect(sent).toEqual(['a', 'b', 'c']);
});

test('refused messages beyond the burst wait for their rate, and nothing overtakes them', () => {
  const { place, sent, advance, answers } = setup();
  for (const name of ['bad1', 'bad2', 'bad3', 'bad4']) place(name, 1)();
  place('good')();
  expect(sent).toEqual(['bad1', 'bad2']);
  advance(1000);
  expect(sent).toEqual(['bad1', 'bad2', 'bad3']);
  advance(1000);
  expect(sent).toEqual(['bad1', 'bad2', 'bad3', 'bad4', 'good']);
  expect(answers.waiting).toBe(0);
});

test('two connections of one identity share its budget', () => {
  const budget = new RefusalBudget({ burst: 2, perSecond: 1 }, () => 0);
  const sent: string[] = [];
  for (const name of ['a', 'b', 'c']) new InOrder(budget, () => {}).place()(() => sent.push(name), 1);
  expect(sent).toEqual(['a', 'b']);
});

test('what costs much is answered at once and paid off before the next', () => {
  let nowMs = 0;
  const budget = new RefusalBudget({ burst: 2, perSecond: 1 }, () => nowMs);
  expect(budget.spend(6)).toBe(true);
  expect(budget.spend(0.1)).toBe(false);
  expect(budget.refillMs).toBe(5_000);
  nowMs = 4_999;
  expect(budget.spend(0.1)).toBe(false);
  nowMs = 5_001;
  expect(budget.spend(0.1)).toBe(true);
});
