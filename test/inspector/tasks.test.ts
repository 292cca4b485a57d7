import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type City, city, type Listed, MINUTE_MS, opened, T0 } from './fixture.ts';

let api: City;
beforeAll(async () => {
  api = await city();
  await api.read('M-2', T0 - MINUTE_MS, { active_import_kwh: 100 });
  await api.find(opened('silent', 2, T0), opened('rollback', 2, T0), opened('silent', 5, T0));
});
afterAll(async () => api.close());

type Tasks = Listed<'tasks', { id: string }>;

const english = { 'accept-language': 'en' };

describe('findings', () => {
  it.each([
    ['', 3],
    ['instrument=M-2', 2],
    ['district=D-2', 1],
    ['rule=silent', 2],
    ['rule=silent&open=false', 0],
    ['from=2024-05-01T08:00:00Z&to=2024-05-01T08:00:01Z', 3],
  ])('%s', async (query, count) => {
    const { status, body } = await api.ask<Listed<'findings', object>>('GET', `/api/v1/findings?${query}`, {
      as: 'root',
    });
    expect(status).toBe(200);
    expect(body.findings).toHaveLength(count);
  });

  it('of other regions stay hidden', async () => {
    const { body } = await api.ask<Listed<'findings', object>>('GET', '/api/v1/findings', { as: 'li' });
    expect(body.findings).toMatchObject([{ instrument: 'M-5', task: expect.any(String) }]);
    expect(await api.ask('GET', '/api/v1/findings?open=maybe', { as: 'li' })).toMatchObject({
      status: 400,
      body: { path: 'open' },
    });
  });
});

describe('tasks', () => {
  it.each([
    ['', 3],
    ['kind=repair', 2],
    ['kind=repair,verify-on-site&state=raised', 3],
    ['kind=repair&kind=replace', 2],
    ['region=220303', 1],
    ['severity=critical', 0],
    ['assignee=wang', 0],
    ['instrument=M-2', 2],
  ])('%s', async (query, count) => {
    const { status, body } = await api.ask<Tasks>('GET', `/api/v1/tasks?${query}`, { as: 'chief' });
    expect(status).toBe(200);
    expect(body.tasks).toHaveLength(count);
  });

  it('are paged', async () => {
    const first = await api.ask<Tasks>('GET', '/api/v1/tasks?limit=2', { as: 'chief' });
    const second = await api.ask<Tasks>('GET', `/api/v1/tasks?limit=2&cursor=${first.body.next}`, { as: 'chief' });
    expect([...first.body.tasks, ...second.body.tasks].map(({ id }) => id)).toEqual(['3', '2', '1']);
  });

  it('refuse what they cannot be filtered by', async () => {
    const refused = await api.ask('GET', '/api/v1/tasks?kind=repair,wash', { as: 'chief', headers: english });
    expect(refused).toMatchObject({ status: 400, body: { code: 'invalid_request', path: 'kind[1]' } });
    expect(refused.body.message).toContain('one of replace | verify-on-site | spot-check | repair');
  });

  it('come with evidence, history and what may be done, in words', async () => {
    const { status, body } = await api.ask('GET', '/api/v1/tasks/1', { as: 'wang', headers: english });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      kindName: 'repair',
      stateName: 'raised',
      severityName: 'warning',
      sentence: 'no reading for more than 4 report periods of 15 min',
      allowedActions: [{ action: 'accept', name: 'accept' }],
      evidence: [{ ruleName: 'silent', readings: [{ ts: '2024-05-01T07:59:00.000Z', active_import_kwh: 100 }] }],
      findings: [{ rule: 'silent' }],
      history: [{ action: 'raised', sentence: 'Raised by the finding “silent”' }],
    });
  });

  it('of other regions do not exist', async () => {
    expect((await api.ask<Tasks>('GET', '/api/v1/tasks', { as: 'li' })).body.tasks).toMatchObject([
      { instrument: 'M-5' },
    ]);
    for (const id of ['1', '999', 'x', '9'.repeat(30)]) {
      expect(await api.ask('GET', `/api/v1/tasks/${id}`, { as: 'li' })).toMatchObject({
        status: 404,
        body: { code: 'not_found' },
      });
      expect(await api.ask('POST', `/api/v1/tasks/${id}/accept`, { as: 'li' })).toMatchObject({ status: 404 });
    }
  });
});

describe('what is done with a task', () => {
  const act = (action: string, as: 'chief' | 'wang', body?: object) =>
    api.ask('POST', `/api/v1/tasks/1/${action}`, { as, headers: english, ...(body && { body }) });

  it('follows the workflow', async () => {
    expect(await act('assign', 'chief', {})).toMatchObject({ status: 400, body: { path: 'assignee' } });
    const wrong = await act('assign', 'chief', { assignee: 'li' });
    expect(wrong).toMatchObject({
      status: 400,
      body: { message: expect.stringContaining('does not work in region 220302') },
    });
    const assigned = await act('assign', 'chief', { assignee: 'wang' });
    expect(assigned).toMatchObject({ status: 200, body: { state: 'assigned', assignee: 'wang' } });
    expect(await act('accept', 'chief')).toMatchObject({ status: 403, body: { code: 'forbidden' } });
    const accepted = await act('accept', 'wang');
    expect(accepted.body).toMatchObject({
      state: 'accepted',
      allowedActions: expect.arrayContaining([{ action: 'complete', name: 'complete' }]),
    });
    expect(await act('accept', 'wang')).toMatchObject({ status: 409, body: { code: 'conflict' } });
    expect(await act('close', 'chief')).toMatchObject({
      status: 409,
      body: { code: 'transition_not_allowed', message: 'A task that is “accepted” does not offer “close”' },
    });
    const noted = await act('complete', 'wang', { verdict: 'confirmed', note: 'seal\nbroken' });
    expect(noted.body).toMatchObject({ state: 'done', verdictName: 'confirmed' });
    const { body } = await api.ask<Listed<'history', object>>('GET', '/api/v1/tasks/1', { as: 'wang' });
    expect(body.history.at(-1)).toMatchObject({
      action: 'complete',
      note: 'seal\nbroken',
      sentence: 'wang完成任务,结论:属实',
    });
  });

  it.each([
    ['dance', {}, 'action'],
    ['complete', { verdict: 'maybe' }, 'verdict'],
    ['complete', { mood: 'good' }, 'mood'],
    ['refute', { note: 'a\u0000b' }, 'note'],
    ['refute', { note: 'x'.repeat(2_001) }, 'note'],
  ])('is refused: %s %j', async (action, body, path) => {
    expect(await act(action, 'wang', body)).toMatchObject({ status: 400, body: { code: 'invalid_request', path } });
  });
});
