import { describe, expect, it } from 'vitest';
import { MeterwardenError } from '../../src/errors.ts';
import { regionCovers } from '../../src/fleet/region.ts';
import { TASK_STATES, type TaskState } from '../../src/fleet/task.ts';
import {
  ACTIONS,
  type Action,
  type ActionInput,
  type Actor,
  allowedActions,
  NOTE_MAX_CHARS,
  SYSTEM,
  type TaskPosition,
  transition,
} from '../../src/tasks/workflow.ts';

const wang: Actor = { username: 'wang', role: 'inspector', region: '220302' };
const zhao: Actor = { username: 'zhao', role: 'inspector', region: '220302' };
const chief: Actor = { username: 'chief', role: 'supervisor', region: '220300' };
const admin: Actor = { username: 'admin', role: 'admin', region: '' };

function task(state: TaskState, more: Partial<TaskPosition> = {}): TaskPosition {
  const assignee = state === 'raised' ? null : 'wang';
  const verdict = state === 'done' ? 'confirmed' : state === 'refuted' ? 'refuted' : null;
  const kind = 'verify-on-site';
  const none = { last: null, laterFindings: 0, mpePct: null };
  return { id: '7', kind, region: '220302', state, assignee, verdict, ...none, ...more };
}

function outcome(of: TaskPosition, action: Action, actor: Actor, input: ActionInput = {}): string {
  try {
    const { to, assignee, verdict, starts } = transition(of, action, actor, input);
    return [to, assignee ?? '-', verdict ?? '-', ...starts].join(' ');
  } catch (error) {
    if (!(error instanceof MeterwardenError)) throw error;
    return [error.code, error.path, error.params.problem].filter(Boolean).join(' ');
  }
}

function measured(errorPct: number, expandedUncertaintyPct: number): ActionInput {
  return { measurement: { errorPct, expandedUncertaintyPct, standard: 'PTS 3.3C 1024' } };
}

describe('transition', () => {
  it.each<[TaskState, Action, Actor, ActionInput, string]>([
    ['raised', 'assign', SYSTEM, { assignee: 'wang' }, 'assigned wang -'],
    ['raised', 'assign', chief, { assignee: 'wang' }, 'assigned wang -'],
    ['raised', 'assign', chief, {}, 'invalid_request assignee required'],
    ['raised', 'assign', wang, { assignee: 'wang' }, 'forbidden'],
    ['raised', 'accept', wang, {}, 'accepted wang -'],
    ['raised', 'accept', chief, {}, 'forbidden'],
    ['raised', 'close', admin, { verdict: 'refuted', note: 'the meter was exchanged' }, 'closed - refuted'],
    ['raised', 'close', admin, { verdict: 'refuted' }, 'invalid_request note required'],
    ['raised', 'close', admin, { note: 'no' }, 'invalid_request verdict one_of'],
    ['raised', 'complete', wang, { verdict: 'confirmed' }, 'transition_not_allowed'],
    ['assigned', 'reassign', chief, { assignee: 'zhao' }, 'assigned zhao -'],
    ['assigned', 'reassign', chief, { assignee: 'wang' }, 'conflict done_already'],
    ['assigned', 'reassign', SYSTEM, { assignee: 'zhao' }, 'forbidden'],
    ['assigned', 'accept', wang, {}, 'accepted wang -'],
    ['assigned', 'accept', zhao, {}, 'forbidden'],
    ['assigned', 'decline', wang, { note: 'on leave' }, 'raised - - dispatch'],
    ['assigned', 'decline', wang, { note: '  ' }, 'invalid_request note required'],
    ['assigned', 'decline', chief, { note: 'on leave' }, 'forbidden'],
    ['accepted', 'decline', wang, { note: 'ill' }, 'raised - - dispatch acceptance'],
    ['accepted', 'reassign', chief, { assignee: 'zhao' }, 'assigned zhao - acceptance'],
    ['accepted', 'reassign', chief, { assignee: 'wang' }, 'assigned wang - acceptance'],
    ['accepted', 'complete', wang, { verdict: 'confirmed' }, 'done wang confirmed'],
    ['accepted', 'complete', wang, { verdict: 'no-access' }, 'done wang no-access'],
    ['accepted', 'complete', wang, { verdict: 'refuted' }, 'invalid_request verdict one_of'],
    ['accepted', 'complete', wang, {}, 'invalid_request verdict one_of'],
    ['accepted', 'complete', zhao, { verdict: 'confirmed' }, 'forbidden'],
    ['accepted', 'refute', wang, { note: 'error 0.3 %' }, 'refuted wang refuted'],
    ['accepted', 'refute', wang, {}, 'invalid_request note required'],
    ['accepted', 'refute', wang, { note: 'x'.repeat(NOTE_MAX_CHARS + 1) }, 'invalid_request note too_long'],
    ['accepted', 'close', chief, { verdict: 'confirmed', note: 'x' }, 'transition_not_allowed'],
    ['done', 'reopen', chief, { note: 'photo missing' }, 'assigned wang - acceptance'],
    ['done', 'close', chief, {}, 'closed wang confirmed'],
    ['done', 'close', wang, {}, 'forbidden'],
    ['refuted', 'reopen', admin, { note: 'again' }, 'assigned wang - acceptance'],
    ['refuted', 'close', admin, {}, 'closed wang refuted'],
    ['closed', 'reopen', admin, { note: 'again' }, 'transition_not_allowed'],
  ])('%s + %s', (state, action, actor, input, expected) => {
    expect(outcome(task(state), action, actor, input)).toBe(expected);
  });

  it.each<[string, Actor, ActionInput, string]>([
    ['verify-on-site', wang, measured(7.8, 0.2), 'done wang confirmed'],
    ['verify-on-site', wang, measured(-2.1, 0.6), 'done wang confirmed'],
    ['verify-on-site', wang, measured(-100, 0.2), 'done wang confirmed'],
    ['verify-on-site', wang, measured(2, 0.6), 'refuted wang refuted'],
    ['verify-on-site', wang, measured(2.1, 0.7), 'invalid_request measurement not_decisive'],
    ['spot-check', wang, measured(-0.3, 0.2), 'refuted wang refuted'],
    ['verify-on-site', wang, {}, 'invalid_request measurement required'],
    ['verify-on-site', zhao, measured(7.8, 0.2), 'forbidden'],
    ['repair', wang, measured(7.8, 0.2), 'transition_not_allowed'],
  ])('a meter of MPE 2 %% measured in a task %s', (kind, actor, input, expected) => {
    const own = { kind: kind as TaskPosition['kind'], mpePct: 2 };
    expect(outcome(task('accepted', own), 'measure', actor, input)).toBe(expected);
  });

  it('measures only what has an MPE, and replaces only what is to be replaced', () => {
    expect(outcome(task('accepted'), 'measure', wang, measured(7.8, 0.2))).toBe('transition_not_allowed');
    const replacement = { replacement: { instrument: 'M-9' } };
    expect(outcome(task('accepted'), 'replace', wang, replacement)).toBe('transition_not_allowed');
    expect(outcome(task('accepted', { kind: 'replace' }), 'replace', wang)).toBe(
      'invalid_request replacement required',
    );
    expect(outcome(task('accepted', { kind: 'replace' }), 'replace', wang, replacement)).toBe('done wang confirmed');
  });

  it('tells the same actor repeating an action from one the state does not offer', () => {
    const accepted = task('accepted', { last: { action: 'accept', actor: 'wang' } });
    expect(outcome(accepted, 'accept', wang)).toBe('conflict done_already');
    expect(outcome(accepted, 'accept', zhao)).toBe('transition_not_allowed');
  });

  it('keeps a reported task from closing while a later finding is open', () => {
    const contradicted = task('done', { laterFindings: 1 });
    expect(outcome(contradicted, 'close', chief)).toBe('transition_not_allowed');
    expect(outcome(contradicted, 'reopen', chief, { note: 'it happened again' })).toBe('assigned wang - acceptance');
    expect(allowedActions(contradicted, chief)).toEqual(['reopen']);
  });

  it('lets nobody act outside their region', () => {
    const elsewhere = task('done', { region: '220382' });
    expect(outcome(elsewhere, 'close', { ...chief, region: '220302' })).toBe('forbidden');
    expect(allowedActions(elsewhere, { ...chief, region: '220302' })).toEqual([]);
    expect(outcome(elsewhere, 'close', chief)).toBe('closed wang confirmed');
  });

  it('offers no dead end but closed', () => {
    const tasks: Partial<TaskPosition>[] = [{ kind: 'verify-on-site', mpePct: 2 }, { kind: 'replace' }];
    const offered = (state: TaskState) =>
      [wang, chief].flatMap((actor) =>
        tasks.flatMap((own) => allowedActions(task(state, { ...own, assignee: 'wang' }), actor)),
      );
    expect(TASK_STATES.filter((state) => offered(state).length === 0)).toEqual(['closed']);
    const everywhere = new Set(TASK_STATES.flatMap(offered));
    expect(ACTIONS.filter((action) => !everywhere.has(action))).toEqual([]);
  });
});

describe('regionCovers', () => {
  it.each([
    ['', '220302', true],
    ['', '', true],
    ['220000', '220302', true],
    ['220000', '210100', false],
    ['220300', '220302', true],
    ['220300', '220300', true],
    ['220300', '220402', false],
    ['220302', '220302', true],
    ['220302', '220300', false],
    ['220302', '', false],
    ['220300', '', false],
  ])('%s covers %s: %s', (person, region, expected) => {
    expect(regionCovers(person, region)).toBe(expected);
  });
});
