import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openPool } from '../../src/store/postgres.ts';
import { PostgresTaskSteps, REARM_AFTER_MS } from '../../src/store/postgres-task-steps.ts';
import type { Actor } from '../../src/tasks/workflow.ts';
import { type City, chief, city, cleared, DAY_MS, employ, HOUR_MS, li, opened, POLICIES, T0, wang } from './fixture.ts';

const at = new Date(T0);
const later = (ms: number) => new Date(T0 + ms);
let here: City;

beforeAll(async () => {
  here = await city();
});
beforeEach(() => here.clear());
afterAll(() => here.close());

async function raise(key = 3): Promise<string> {
  await here.findings.record([opened('silent', key, T0)], at);
  return (await here.tasks.list({ limit: 1 })).rows[0]!.id;
}

const zhao: Actor = { username: 'zhao', role: 'inspector', region: '220300' };
const waiting = async (ms: number) =>
  (await here.steps.waiting(later(ms), 100)).map(({ task, step }) => `${task} ${step}`);
const actions = async (id: string) => (await here.tasks.get(id)).history.map(({ action }) => action);

describe('dispatch', () => {
  it('gives each task to the inspector of its region with the fewest open tasks', async () => {
    await employ(here, wang, li, zhao, chief);
    const assignees: (string | null)[] = [];
    for (const key of [1, 2, 3, 11, 12]) {
      const id = await raise(key);
      expect(await here.steps.run(id, 'dispatch', at)).toBe('assigned');
      assignees.push((await here.tasks.get(id)).assignee);
    }
    expect(assignees).toEqual(['wang', 'zhao', 'wang', 'li', 'li']);
  });

  it('happens once, however often it is woken', async () => {
    await employ(here, wang);
    const id = await raise();
    const pool = openPool(here.url, 4);
    const elsewhere = new PostgresTaskSteps(pool, POLICIES);
    const outcomes = await Promise.all(
      [here.steps, elsewhere, here.steps, elsewhere].map((steps) => steps.run(id, 'dispatch', at)),
    );
    expect(outcomes.sort()).toEqual(['assigned', 'done-before', 'done-before', 'done-before']);
    expect(await actions(id)).toEqual(['raised', 'assign']);
    await pool.end();
  });

  it('spreads a burst evenly although it is carried out concurrently', async () => {
    await employ(here, wang, { ...wang, username: 'gao' }, { ...wang, username: 'sun' });
    const ids: string[] = [];
    for (const key of [1, 2, 3, 4, 5, 6, 7, 8, 9]) ids.push(await raise(key));
    await Promise.all(ids.map((id) => here.steps.run(id, 'dispatch', at)));
    expect(
      await here.sql('SELECT assignee, count(*)::int AS n FROM tasks GROUP BY assignee ORDER BY assignee'),
    ).toEqual([
      { assignee: 'gao', n: 3 },
      { assignee: 'sun', n: 3 },
      { assignee: 'wang', n: 3 },
    ]);
  });

  it('leaves a task raised while nobody works in its region, and finds whoever comes', async () => {
    await employ(here, li, { ...wang, username: 'gone' });
    await here.sql(`UPDATE people SET disabled_at = now() WHERE username = 'gone'`);
    const id = await raise();
    expect(await waiting(0)).toEqual([`${id} reminder`, `${id} deadline`]);
    expect(await here.steps.run(id, 'dispatch', at)).toBe('nobody');
    expect((await here.tasks.get(id)).state).toBe('raised');
    await employ(here, zhao);
    expect(await waiting(1)).toContain(`${id} dispatch`);
    expect(await here.steps.run(id, 'dispatch', at)).toBe('assigned');
  });

  it('asks another inspector when one declines, and waits when there is no other', async () => {
    await employ(here, wang, zhao);
    const id = await raise();
    await here.steps.run(id, 'dispatch', at);
    await here.tasks.act(id, 'decline', wang, { note: 'on leave' }, later(HOUR_MS));
    expect(await here.steps.run(id, 'dispatch', at)).toBe('early');
    expect(await here.steps.run(id, 'dispatch', later(HOUR_MS))).toBe('assigned');
    expect((await here.tasks.get(id)).assignee).toBe('zhao');
    await here.tasks.act(id, 'decline', zhao, { note: 'ill' }, later(HOUR_MS));
    expect(await here.steps.run(id, 'dispatch', later(HOUR_MS))).toBe('nobody');
    expect(await here.tasks.get(id)).toMatchObject({ state: 'raised', assignee: null });
  });

  it('is not needed once somebody has taken the task', async () => {
    await employ(here, wang);
    const id = await raise();
    await here.tasks.act(id, 'accept', wang, {}, at);
    expect(await here.steps.run(id, 'dispatch', at)).toBe('not-needed');
    expect(await here.steps.run(id, 'dispatch', at)).toBe('done-before');
    expect(await here.steps.run('404', 'dispatch', at)).toBe('not-needed');
  });
});

describe('reminder', () => {
  it('reminds an assignee who has not accepted', async () => {
    await employ(here, wang);
    const id = await raise();
    expect(await here.steps.run(id, 'reminder', later(19 * HOUR_MS))).toBe('early');
    await here.steps.run(id, 'dispatch', at);
    expect(await here.steps.run(id, 'reminder', later(20 * HOUR_MS))).toBe('reminded');
    expect(await here.steps.run(id, 'reminder', later(20 * HOUR_MS))).toBe('done-before');
    expect((await here.tasks.get(id)).history.at(-1)).toMatchObject({
      action: 'reminded',
      actor: 'system',
      to: 'assigned',
      params: { assignee: 'wang' },
    });
  });

  it('is not needed when the task is accepted or nobody has it', async () => {
    await employ(here, wang);
    const [accepted, raised] = [await raise(3), await raise(4)];
    await here.tasks.act(accepted, 'accept', wang, {}, at);
    expect(await here.steps.run(accepted, 'reminder', later(DAY_MS))).toBe('not-needed');
    expect(await here.steps.run(raised, 'reminder', later(DAY_MS))).toBe('not-needed');
  });
});

describe('deadline', () => {
  it('escalates once, however many workers run it at once', async () => {
    const id = await raise();
    const pool = openPool(here.url, 4);
    const elsewhere = new PostgresTaskSteps(pool, POLICIES);
    const outcomes = await Promise.all(
      Array.from({ length: 10 }, (_, i) => (i % 2 ? elsewhere : here.steps).run(id, 'deadline', later(DAY_MS))),
    );
    expect(outcomes.filter((outcome) => outcome === 'escalated')).toHaveLength(1);
    expect(await here.tasks.get(id)).toMatchObject({
      severity: 'critical',
      escalatedAt: later(DAY_MS),
      state: 'raised',
    });
    expect(await actions(id)).toEqual(['raised', 'escalated']);
    expect(await here.tasks.counts()).toEqual([{ state: 'raised', kind: 'repair', count: 1, escalated: 1 }]);
    await pool.end();
  });

  it('comes anew for a task given back, but never escalates it twice', async () => {
    await employ(here, wang, zhao);
    const id = await raise();
    await here.tasks.act(id, 'accept', wang, {}, at);
    expect(await here.steps.run(id, 'deadline', later(DAY_MS))).toBe('not-needed');
    await here.tasks.act(id, 'decline', wang, { note: 'cannot reach it' }, later(2 * DAY_MS));
    expect(await here.steps.run(id, 'deadline', later(2 * DAY_MS))).toBe('early');
    expect(await here.steps.run(id, 'deadline', later(3 * DAY_MS))).toBe('escalated');
    await here.tasks.act(id, 'accept', zhao, {}, later(3 * DAY_MS));
    await here.tasks.act(id, 'decline', zhao, { note: 'neither can I' }, later(3 * DAY_MS));
    expect(await here.steps.run(id, 'deadline', later(4 * DAY_MS))).toBe('not-needed');
    expect((await actions(id)).filter((action) => action === 'escalated')).toHaveLength(1);
  });

  it('stays the highest severity', async () => {
    await here.findings.record([opened('silent', 3, T0, 'critical')], at);
    const { id } = (await here.tasks.list()).rows[0]!;
    await here.steps.run(id, 'deadline', later(DAY_MS));
    expect((await here.tasks.get(id)).severity).toBe('critical');
  });

  it('does not forgive what has cleared by itself: somebody has to look', async () => {
    const id = await raise();
    await here.findings.record([cleared('silent', 3, T0, T0 + HOUR_MS)], later(HOUR_MS));
    expect(await here.steps.run(id, 'deadline', later(DAY_MS))).toBe('escalated');
  });
});

describe('waiting', () => {
  it('is every step nobody was told of, then those overdue for long', async () => {
    await employ(here, wang);
    const id = await raise();
    expect(await waiting(0)).toEqual([`${id} dispatch`, `${id} reminder`, `${id} deadline`]);
    await here.steps.armed(await here.steps.waiting(at, 100), at);
    expect(await waiting(0)).toEqual([]);
    expect(await waiting(REARM_AFTER_MS)).toEqual([]);
    expect(await waiting(REARM_AFTER_MS + 1)).toEqual([`${id} dispatch`]);
    await here.steps.run(id, 'dispatch', at);
    expect(await waiting(REARM_AFTER_MS + 1)).toEqual([]);
    expect(await waiting(DAY_MS)).toEqual([`${id} reminder`, `${id} deadline`]);
  });

  it('forgets the arming of a step that was started anew meanwhile', async () => {
    await employ(here, wang);
    const id = await raise();
    await here.steps.run(id, 'dispatch', at);
    await here.tasks.act(id, 'accept', wang, {}, at);
    const before = await here.steps.waiting(at, 100);
    await here.tasks.act(id, 'decline', wang, { note: 'ill' }, later(HOUR_MS));
    await here.steps.armed(before, later(HOUR_MS));
    expect(await waiting(HOUR_MS)).toEqual([`${id} dispatch`, `${id} reminder`, `${id} deadline`]);
  });
});
