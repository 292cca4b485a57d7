import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadSettings } from '../../src/config.ts';
import { MAX_PASSWORD_CHARS, MIN_PASSWORD_CHARS } from '../../src/fleet/person.ts';
import { type City, city, type Listed, T0 } from './fixture.ts';

let api: City;
beforeAll(async () => {
  api = await city();
});
afterAll(async () => api.close());

const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });

describe('sessions', () => {
  it('begin, tell who, and end', async () => {
    const signedIn = await api.ask<{ token: string; expiresAt: string }>('POST', '/api/v1/sessions', {
      body: { username: 'wang', password: 'correct horse' },
    });
    expect(signedIn.status).toBe(201);
    const { token, expiresAt } = signedIn.body;
    expect(Date.parse(expiresAt)).toBeGreaterThan(T0);
    const current = '/api/v1/sessions/current';
    expect(await api.ask('GET', current, bearer(token))).toMatchObject({
      status: 200,
      body: { username: 'wang', role: 'inspector', region: '220302' },
    });
    expect(await api.ask('DELETE', current, bearer(token))).toMatchObject({ status: 204, body: '' });
    expect(await api.ask('GET', current, bearer(token))).toMatchObject({
      status: 401,
      body: { code: 'unauthenticated' },
    });
  });

  it('refuse a wrong password, and an incomplete request', async () => {
    const wrong = await api.ask('POST', '/api/v1/sessions', { body: { username: 'wang', password: 'wrong horse' } });
    expect(wrong).toMatchObject({ status: 401, body: { code: 'wrong_credentials', message: '用户名或密码不正确' } });
    expect(await api.ask('POST', '/api/v1/sessions', { body: { username: 'wang' } })).toMatchObject({
      status: 400,
      body: { code: 'invalid_request', path: 'password', message: '请求有误:必填' },
    });
    const misspelt = await api.ask('POST', '/api/v1/sessions', { body: { usernam: 'wang', password: 'x' } });
    expect(misspelt).toMatchObject({
      status: 400,
      body: { path: 'usernam', message: expect.stringContaining('“username”') },
    });
    expect(await api.ask('POST', '/api/v1/sessions')).toMatchObject({ status: 400, body: { code: 'invalid_request' } });
  });

  it('end by themselves', async () => {
    const later = api.now + 48 * 3_600_000;
    const before = api.now;
    api.now = later;
    expect(await api.ask('GET', '/api/v1/tasks', { as: 'wang' })).toMatchObject({ status: 401 });
    api.now = before;
  });
});

describe('without a session', () => {
  it('nothing is told', async () => {
    const routes = [
      'people',
      'instruments',
      'instruments/M-1',
      'gateways',
      'findings',
      'tasks',
      'tasks/1',
      'rejections',
      'stream',
    ];
    for (const route of routes) {
      for (const headers of [{}, { authorization: 'Bearer nonsense' }, { authorization: 'Basic d2FuZw==' }]) {
        const refused = await api.ask('GET', `/api/v1/${route}`, { headers: headers as Record<string, string> });
        expect(refused).toMatchObject({
          status: 401,
          body: { code: 'unauthenticated' },
          headers: { 'www-authenticate': 'Bearer' },
        });
      }
    }
  });
});

describe('people', () => {
  const url = '/api/v1/people';

  it('are added, listed, changed and disabled by an admin', async () => {
    const body = { username: '赵', password: 'long enough', role: 'inspector', region: '220302' };
    const added = await api.ask('POST', url, { as: 'root', body });
    expect(added).toMatchObject({ status: 201, body: { username: '赵', role: 'inspector', disabledAt: null } });
    expect(added.body).not.toHaveProperty('password');
    expect(await api.ask('POST', url, { as: 'root', body })).toMatchObject({
      status: 409,
      body: { code: 'conflict', path: 'username', message: expect.stringContaining('用户名已被使用') },
    });
    expect((await api.ask<Listed<'people', object>>('GET', url, { as: 'root' })).body.people).toHaveLength(6);
    const { token } = await api.parts.people.signIn('赵', 'long enough', 'test', new Date(T0));
    const path = `${url}/${encodeURIComponent('赵')}`;
    const moved = await api.ask('PATCH', path, { as: 'root', body: { region: '220303', role: 'supervisor' } });
    expect(moved.body).toMatchObject({ region: '220303', role: 'supervisor' });
    const disabled = await api.ask('PATCH', path, { as: 'root', body: { disabled: true } });
    expect(disabled.body).toMatchObject({ disabledAt: expect.any(String) });
    expect(await api.ask('GET', '/api/v1/tasks', bearer(token))).toMatchObject({ status: 401 });
  });

  it.each([
    [{ username: 'a b', password: 'long enough', role: 'inspector' }, 'username'],
    [{ username: 'x', password: 'short', role: 'inspector' }, 'password'],
    [{ username: 'x', password: 'long enough', role: 'king' }, 'role'],
    [{ username: 'x', password: 'long enough', role: 'inspector', region: 'north' }, 'region'],
    [{ username: 'x', password: 'long enough', role: 'admin', region: '220302' }, 'region'],
  ])('refuse %j', async (body, path) => {
    expect(await api.ask('POST', url, { as: 'root', body })).toMatchObject({
      status: 400,
      body: { code: 'invalid_request', path },
    });
  });

  it.each([
    [MIN_PASSWORD_CHARS - 1, false],
    [MIN_PASSWORD_CHARS, true],
    [MAX_PASSWORD_CHARS, true],
    [MAX_PASSWORD_CHARS + 1, false],
  ])('have a password of %i characters, by API and by setting: %s', async (chars, taken) => {
    const body = { username: `p${chars}`, password: 'x'.repeat(chars), role: 'inspector' };
    expect((await api.ask('POST', url, { as: 'root', body })).status).toBe(taken ? 201 : 400);
    const { username, password } = body;
    const signIn = await api.ask('POST', '/api/v1/sessions', { body: { username, password } });
    expect(signIn.status).toBe(taken ? 201 : chars < MIN_PASSWORD_CHARS ? 401 : 400);
    const set = () => loadSettings({ ADMIN_PASSWORD: password }, 'test');
    if (taken) expect(set().adminPassword).toBe(password);
    else expect(set).toThrow();
    if (taken) await api.ask('PATCH', `${url}/${username}`, { as: 'root', body: { disabled: true } });
  });

  it('leave an admin who can change them', async () => {
    for (const [body, path] of [
      [{ disabled: true }, 'disabled'],
      [{ role: 'inspector' }, 'role'],
    ] as const) {
      expect(await api.ask('PATCH', `${url}/root`, { as: 'root', body })).toMatchObject({
        status: 400,
        body: { path },
      });
    }
    expect(await api.ask('PATCH', `${url}/wang`, { as: 'root', body: { role: 'admin' } })).toMatchObject({
      body: { path: 'region' },
    });
    expect(await api.ask('PATCH', `${url}/nobody`, { as: 'root', body: {} })).toMatchObject({ status: 404 });
  });

  it.each(['chief', 'wang'] as const)('are not for %s', async (as) => {
    expect(await api.ask('GET', url, { as })).toMatchObject({ status: 403, body: { code: 'forbidden' } });
    expect(await api.ask('PATCH', `${url}/wang`, { as, body: {} })).toMatchObject({ status: 403 });
  });
});
