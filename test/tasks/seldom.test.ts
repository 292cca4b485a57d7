import { expect, it } from 'vitest';
import { REPEAT_AFTER_MS, seldom } from '../../src/tasks/seldom.ts';

function gate() {
  const passed: unknown[] = [];
  const clock = { nowMs: 0 };
  const report = seldom(
    (error) => passed.push(error instanceof Error ? error.message : error),
    () => clock.nowMs,
  );
  return { passed, clock, report };
}

it('passes an error on once a minute, and others beside it', () => {
  const { passed, clock, report } = gate();
  for (clock.nowMs = 0; clock.nowMs <= REPEAT_AFTER_MS; clock.nowMs += 1_000) {
    report(new Error('connect ECONNREFUSED 10.0.0.1:6379'));
    if (clock.nowMs === 5_000) report(new Error('Socket timeout'));
  }
  expect(passed).toEqual([
    'connect ECONNREFUSED 10.0.0.1:6379',
    'Socket timeout',
    'connect ECONNREFUSED 10.0.0.1:6379',
  ]);
});

it('takes errors that differ in figures for the same, and codes for different', () => {
  const { passed, report } = gate();
  report(new Error('Retrying from scratch after 10ms'));
  report(new Error('Retrying from scratch after 20ms'));
  report(Object.assign(new Error('failed'), { code: 'A' }));
  report(Object.assign(new Error('failed'), { code: 'B' }));
  report('thrown as text');
  report('thrown as text');
  report(undefined);
  expect(passed).toEqual(['Retrying from scratch after 10ms', 'failed', 'failed', 'thrown as text', undefined]);
});

it('remembers no more than it has room for', () => {
  const { passed, report } = gate();
  const word = (i: number) => [...String(i)].map((digit) => 'abcdefghij'[Number(digit)]).join('');
  for (let i = 0; i < 1_000; i++) report(new Error(word(i)));
  expect(passed).toHaveLength(1_000);
});
