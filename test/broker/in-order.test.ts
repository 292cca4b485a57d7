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
  const place = (name: string, refused = false) => {
    const answer = answers.place();
    return () => answer(() => sent.push(name), refused);
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
  for (const name of ['bad1', 'bad2', 'bad3', 'bad4']) place(name, true)();
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
  for (const name of ['a', 'b', 'c']) new InOrder(budget, () => {}).place()(() => sent.push(name), true);
  expect(sent).toEqual(['a', 'b']);
});
