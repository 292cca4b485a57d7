import { describe, expect, it } from 'vitest';
import { chooseInspector } from '../../src/tasks/dispatch.ts';
import { parseTaskPolicies } from '../../src/tasks/policy.ts';
import { changed, refusalOf, shipped } from '../support/broken-config.ts';

const NO_DURATION = 'must be a duration such as 90s, 15m, 24h or 7d';

describe('config/tasks.yaml', () => {
  it('is read into milliseconds', () => {
    expect(parseTaskPolicies(shipped('tasks.yaml')).repair).toEqual({
      acceptWithinMs: 86_400_000,
      remindBeforeMs: 14_400_000,
      doneWithinMs: 604_800_000,
    });
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['a missing kind', { replace: undefined }, 'tasks.replace: required'],
    [
      'an unknown kind',
      { repairs: {} },
      'tasks.repairs: there is no “repairs”; the nearest is “repair”, known are replace | verify-on-site | spot-check | repair',
    ],
    [
      'an unknown key',
      { 'repair/accept_in': '1h' },
      'tasks.repair.accept_in: there is no “accept_in”; the nearest is “accept_within”, known are accept_within | remind_before | done_within',
    ],
    ['no deadline', { 'repair/done_within': undefined }, 'tasks.repair.done_within: required'],
    ['no duration', { 'repair/accept_within': 'soon' }, `tasks.repair.accept_within: ${NO_DURATION}`],
    ['a number', { 'repair/accept_within': 24 }, 'tasks.repair.accept_within: must be text'],
    ['a duration without unit', { 'repair/accept_within': '24' }, `tasks.repair.accept_within: ${NO_DURATION}`],
    [
      'more time than dates have',
      { 'repair/done_within': '100000000d' },
      'tasks.repair.done_within: must not be longer than 3660d',
    ],
    [
      'a reminder at the start',
      { 'repair/remind_before': '24h' },
      'tasks.repair.remind_before: must be shorter than accept_within',
    ],
    [
      'no time to accept',
      { 'repair/accept_within': '0s' },
      'tasks.repair.remind_before: must be shorter than accept_within',
    ],
    [
      'too short a time to do it',
      { 'repair/done_within': '1h' },
      'tasks.repair.accept_within: must not be longer than done_within',
    ],
  ])('is refused with %s', (_what, set, refusal) => {
    expect(refusalOf(() => parseTaskPolicies(changed('tasks.yaml', set)))).toBe(refusal);
  });

  it.each([null, [], 'repair'])('of another shape is refused: %j', (raw) => {
    expect(refusalOf(() => parseTaskPolicies(raw))).toBe('tasks: must hold names with their values (name: value)');
  });
});

describe('chooseInspector', () => {
  it.each([
    ['nobody', [], undefined],
    [
      'the fewest open tasks',
      [
        ['li', 3],
        ['wang', 1],
        ['zhao', 2],
      ],
      'wang',
    ],
    [
      'the first name among equals',
      [
        ['zhao', 1],
        ['li', 1],
        ['wang', 2],
      ],
      'li',
    ],
  ] as const)('%s', (_, candidates, expected) => {
    expect(chooseInspector(candidates.map(([username, openTasks]) => ({ username, openTasks })))).toBe(expected);
  });
});
