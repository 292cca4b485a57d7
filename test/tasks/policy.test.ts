import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { MeterwardenError } from '../../src/errors.ts';
import { chooseInspector } from '../../src/tasks/dispatch.ts';
import { parseTaskPolicies } from '../../src/tasks/policy.ts';

const shipped = () => parse(readFileSync(join(import.meta.dirname, '../../config/tasks.yaml'), 'utf8'));

function refusal(raw: unknown): string {
  try {
    parseTaskPolicies(raw);
    return 'accepted';
  } catch (error) {
    return error instanceof MeterwardenError ? `${error.code} ${error.path}` : String(error);
  }
}

describe('config/tasks.yaml', () => {
  it('is read into milliseconds', () => {
    expect(parseTaskPolicies(shipped()).repair).toEqual({
      acceptWithinMs: 86_400_000,
      remindBeforeMs: 14_400_000,
      doneWithinMs: 604_800_000,
    });
  });

  it.each([
    ['a missing kind', { replace: undefined }, 'tasks.replace'],
    [
      'an unknown key',
      { repair: { accept_within: '1d', remind_before: '1h', done_within: '2d', after: '1h' } },
      'tasks.repair',
    ],
    [
      'no duration',
      { repair: { accept_within: 'soon', remind_before: '1h', done_within: '2d' } },
      'tasks.repair.accept_within',
    ],
    [
      'a reminder before the start',
      { repair: { accept_within: '1h', remind_before: '2h', done_within: '2d' } },
      'tasks.repair.remind_before',
    ],
    [
      'too short a time to do it',
      { repair: { accept_within: '3d', remind_before: '2h', done_within: '2d' } },
      'tasks.repair.accept_within',
    ],
  ])('refuses %s', (_, change, path) => {
    expect(refusal({ ...shipped(), ...change })).toBe(`invalid_config ${path}`);
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
