import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openPool } from '../../src/store/postgres.ts';
import { PostgresTaskChanges } from '../../src/store/postgres-task-changes.ts';
import { PostgresTasks, type TaskFilter } from '../../src/store/postgres-tasks.ts';
import { type Actor, allowedActions } from '../../src/tasks/workflow.ts';
import { type City, chief, city, employ, li, MINUTE_MS, opened, POLICIES, T0, wang } from './fixture.ts';

const at = new Date(T0);
const later = new Date(T0 + MINUTE_MS);
let here: City;

beforeAll(async () => {
  here = await city();
});
beforeEach(async () => {
  await here.clear();
  await employ(here, chief, wang, li);
});
afterAll(() => here.close());

async function raise(...keys: number[]): Promise<string[]> {
  await here.findings.record(
    keys.map((key) => opened('silent', key, T0)),
    at,
  );
  return (await here.tasks.list({ limit: 500 })).rows.map(({ id }) => id).reverse();
}

describe('act', () => {
  it('walks a task to its end and keeps every step with who, when and why', async () => {
    const [id] = await raise(3);
    await here.tasks.act(id!, 'assign', chief, { assignee: 'wang' }, at);
    await here.tasks.act(id!, 'accept', wang, {}, later);
    await here.tasks.act(id!, 'refute', wang, { note: 'error 0.2 %' }, later);
    await here.tasks.act(id!, 'reopen', chief, { note: 'which standard?' }, later);
    await here.tasks.act(id!, 'accept', wang, {}, later);
    await here.tasks.act(id!, 'complete', wang, { verdict: 'confirmed', note: 'modem replaced' }, later);
    const closed = await here.tasks.act(id!, 'close', chief, {}, later);
    expect(closed).toMatchObject({ state: 'closed', verdict: 'confirmed', assignee: 'wang', updatedAt: later });
    const { history } = await here.tasks.get(id!);
    expect(history.map(({ actor, action, from, to, note, params }) => [actor, action, from, to, note, params])).toEqual(
      [
        ['system', 'raised', null, 'raised', '', { rule: 'silent', finding: '1' }],
        ['chief', 'assign', 'raised', 'assigned', '', { assignee: 'wang' }],
        ['wang', 'accept', 'assigned', 'accepted', '', {}],
        ['wang', 'refute', 'accepted', 'refuted', 'error 0.2 %', { verdict: 'refuted' }],
        ['chief', 'reopen', 'refuted', 'assigned', 'which standard?', {}],
        ['wang', 'accept', 'assigned', 'accepted', '', {}],
        ['wang', 'complete', 'accepted', 'done', 'modem replaced', { verdict: 'confirmed' }],
        ['chief', 'close', 'done', 'closed', '', { verdict: 'confirmed' }],
      ],
    );
    expect(await here.sql('SELECT count(*)::int AS n FROM task_steps WHERE done_at IS NULL')).toEqual([{ n: 0 }]);
  });

  it('answers a repeated action with a conflict', async () => {
    const [id] = await raise(3);
    await here.tasks.act(id!, 'accept', wang, {}, at);
    await expect(here.tasks.act(id!, 'accept', wang, {}, at)).rejects.toMatchObject({
      code: 'conflict',
      params: { task: id, state: 'accepted', action: 'accept' },
    });
    await expect(here.tasks.act(id!, 'assign', chief, { assignee: 'wang' }, at)).rejects.toMatchObject({
      code: 'transition_not_allowed',
    });
    expect((await here.tasks.get(id!)).history).toHaveLength(2);
  });

  it.each([
    ['nobody of that name', 'ghost', { problem: 'not_an_inspector' }],
    ['no inspector', 'chief', { problem: 'not_an_inspector' }],
    ['a disabled one', 'gone', { problem: 'not_an_inspector' }],
    ['one of another region', 'li', { problem: 'other_region', region: '220302' }],
  ])('refuses to assign to %s', async (_, assignee, params) => {
    const [id] = await raise(3);
    await employ(here, { username: 'gone', role: 'inspector', region: '' });
    await here.sql(`UPDATE people SET disabled_at = now() WHERE username = 'gone'`);
    await expect(here.tasks.act(id!, 'assign', chief, { assignee }, at)).rejects.toMatchObject({
      code: 'invalid_request',
      path: 'assignee',
      params,
    });
    expect((await here.tasks.get(id!)).state).toBe('raised');
  });

  it.each(['404', 'abc', '99999999999999999999', '-1', ''])('knows no task %j', async (id) => {
    await expect(here.tasks.act(id, 'accept', wang, {}, at)).rejects.toMatchObject({ code: 'not_found' });
    await expect(here.tasks.get(id)).rejects.toMatchObject({ code: 'not_found' });
  });

  it('does not show a task of another region', async () => {
    const [id] = await raise(3);
    await expect(here.tasks.act(id!, 'accept', li, {}, at)).rejects.toMatchObject({ code: 'not_found' });
    await expect(here.tasks.get(id!, li.region)).rejects.toMatchObject({ code: 'not_found' });
    const detail = await here.tasks.get(id!, wang.region);
    expect(allowedActions(detail, wang)).toEqual(['accept']);
    expect(allowedActions(detail, chief)).toEqual(['assign', 'close']);
  });

  it('lets exactly one of many inspectors take a task', async () => {
    const crowd: Actor[] = Array.from({ length: 8 }, (_, i) => ({
      username: `i${i}`,
      role: 'inspector',
      region: '220302',
    }));
    await employ(here, ...crowd);
    const ids = await raise(1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
    const pools = [openPool(here.url, 4), openPool(here.url, 4)];
    const desks = pools.map((pool) => new PostgresTasks(pool, POLICIES));
    for (const id of ids) {
      const tries = await Promise.allSettled(crowd.map((actor, i) => desks[i % 2]!.act(id, 'accept', actor, {}, at)));
      expect(tries.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      const { history } = await here.tasks.get(id);
      expect(history.map(({ action }) => action)).toEqual(['raised', 'accept']);
    }
    await Promise.all(pools.map((pool) => pool.end()));
  });
});

describe('list', () => {
  it('filters by what a screen offers', async () => {
    await raise(1, 2, 3, 11, 12);
    await here.findings.record([opened('rollback', 1, T0, 'critical')], at);
    const [, , , , first] = (await here.tasks.list({ kinds: ['repair'] })).rows;
    await here.tasks.act(first!.id, 'accept', wang, {}, at);
    const count = async (filter: TaskFilter) => (await here.tasks.list(filter)).rows.length;
    expect(await count({})).toBe(6);
    expect(await count({ kinds: ['verify-on-site'] })).toBe(1);
    expect(await count({ states: ['accepted', 'assigned'] })).toBe(1);
    expect(await count({ severities: ['critical'] })).toBe(1);
    expect(await count({ regions: ['220303'] })).toBe(2);
    expect(await count({ regions: ['220300'] })).toBe(6);
    expect(await count({ regions: ['220302', '220303'], visibleRegion: '220303' })).toBe(2);
    expect(await count({ regions: [] })).toBe(0);
    expect(await count({ assignee: 'wang' })).toBe(1);
    expect(await count({ instrument: 'M-1' })).toBe(2);
    expect(await count({ visibleRegion: '220382' })).toBe(0);
  });

  it('pages steadily while tasks are added', async () => {
    const ids = await raise(1, 2, 3, 4, 5, 6, 7);
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const { rows, next } = await here.tasks.list({ limit: 2, cursor });
      seen.push(...rows.map(({ id }) => id));
      cursor = next;
      await here.findings.record([opened('rollback', seen.length, T0)], at);
    } while (cursor);
    expect(seen).toEqual([...ids].reverse());
  });

  it.each([
    [{ cursor: 'nonsense' }, 'invalid_cursor', 'cursor'],
    [{ cursor: Buffer.from(`before 1; DROP TABLE tasks`).toString('base64url') }, 'invalid_cursor', 'cursor'],
    [{ limit: 0 }, 'invalid_request', 'limit'],
    [{ limit: 501 }, 'invalid_request', 'limit'],
    [{ limit: 1.5 }, 'invalid_request', 'limit'],
  ])('refuses %j', async (filter, code, path) => {
    await expect(here.tasks.list(filter)).rejects.toMatchObject({ code, path });
    await expect(here.findings.list(filter)).rejects.toMatchObject({ code, path });
  });

  it('counts what is not closed', async () => {
    const [id] = await raise(1, 2, 3);
    await here.tasks.act(id!, 'close', chief, { verdict: 'refuted', note: 'test' }, at);
    expect(await here.tasks.counts()).toEqual([{ state: 'raised', kind: 'repair', count: 2, escalated: 0 }]);
  });
});

describe('the stream', () => {
  it('is resumed from a position, for the regions one may see', async () => {
    expect(await here.tasks.latestChange()).toBe('0');
    const [id] = await raise(3, 12);
    const position = await here.tasks.latestChange();
    await here.tasks.act(id!, 'accept', wang, {}, later);
    expect(await here.tasks.changesAfter(position, 10)).toMatchObject([
      {
        task: { id, state: 'accepted', instrument: 'M-3' },
        entry: { action: 'accept', actor: 'wang', at: later, from: 'raised', to: 'accepted' },
      },
    ]);
    expect(await here.tasks.changesAfter(position, 10, '220303')).toEqual([]);
    expect((await here.tasks.changesAfter('0', 10, '220303')).map(({ task }) => task.instrument)).toEqual(['M-12']);
    expect((await here.tasks.changesAfter('0', 2)).map(({ entry }) => entry.id)).toEqual(['1', '2']);
    await expect(here.tasks.changesAfter('x', 10)).rejects.toMatchObject({ code: 'invalid_request' });
  });

  it('is announced after the commit, also after the connection was lost', async () => {
    let announced: (() => void) | undefined;
    const next = () => new Promise<void>((done) => (announced = done));
    const changes = new PostgresTaskChanges(here.url, () => announced?.());
    const connected = next();
    await changes.start();
    await connected;
    const change = next();
    await raise(3);
    await change;
    const reconnected = next();
    await here.sql(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'meterwarden changes' AND datname = current_database()`,
    );
    await reconnected;
    const another = next();
    await raise(4);
    await another;
    await changes.stop();
    await changes.stop();
  });
});
