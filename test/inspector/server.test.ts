import { Counter, Registry } from 'prom-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type City, city } from './fixture.ts';

let api: City;
const registry = new Registry();
beforeAll(async () => {
  new Counter({ name: 'readings_total', help: 'Readings', registers: [registry] }).inc(3);
  api = await city({ registry });
});
afterAll(async () => api.close());

describe('whatever goes wrong', () => {
  const json = { 'content-type': 'application/json' };

  it.each([
    ['an unknown route', 'GET', '/api/v1/nothing', {}, 404, 'not_found'],
    ['an unknown method', 'DELETE', '/api/v1/tasks', { as: 'root' }, 404, 'not_found'],
    ['a broken URL', 'GET', '/api/v1/tasks/%E0%A4', { as: 'root' }, 404, 'not_found'],
    ['a URL without end', 'GET', `/api/v1/tasks/${'x'.repeat(2_000)}`, { as: 'root' }, 404, 'not_found'],
    [
      'malformed JSON',
      'POST',
      '/api/v1/sessions',
      { body: Buffer.from('{"a":'), headers: json },
      400,
      'malformed_json',
    ],
    ['a list', 'POST', '/api/v1/sessions', { body: Buffer.from('[]'), headers: json }, 400, 'invalid_request'],
    [
      'too large a body',
      'POST',
      '/api/v1/sessions',
      { body: Buffer.alloc(70_000, '1'), headers: json },
      413,
      'payload_too_large',
    ],
    [
      'text',
      'POST',
      '/api/v1/sessions',
      { body: Buffer.from('a'), headers: { 'content-type': 'text/plain' } },
      415,
      'unsupported_media_type',
    ],
  ] as const)('%s is told as an error', async (_, method, url, request, status, code) => {
    const { status: told, body } = await api.ask(method, url, request);
    expect({ status: told, code: body.code, message: typeof body.message }).toEqual({
      status,
      code,
      message: 'string',
    });
    expect(Object.keys(body).every((key) => ['code', 'message', 'path'].includes(key))).toBe(true);
  });

  it('is told in the language asked for', async () => {
    const { body, headers } = await api.ask('GET', '/api/v1/tasks', { headers: { 'accept-language': 'fr, en;q=0.8' } });
    expect(body.message).toBe('Not signed in, or the session has ended');
    expect(headers['content-language']).toBe('en');
    expect((await api.ask('GET', '/api/v1/tasks')).body.message).toBe('尚未登录或登录已过期');
  });

  it('inside stays inside, and is told to the operator', async () => {
    const failing = await city({
      findings: { list: async () => Promise.reject(new Error('relation "findings" holds a secret')) },
      rejections: {
        list: async () => Promise.reject(Object.assign(new Error('down'), { code: 'ECONNREFUSED' })),
        counts: async () => [],
      },
    });
    const { status, body } = await failing.ask('GET', '/api/v1/findings', { as: 'root' });
    expect({ status, body }).toEqual({ status: 500, body: { code: 'internal', message: '服务内部错误' } });
    expect(await failing.ask('GET', '/api/v1/rejections', { as: 'root' })).toMatchObject({
      status: 503,
      body: { code: 'unavailable' },
    });
    expect(failing.errors).toHaveLength(2);
    await failing.close();
  });
});

describe('the description', () => {
  interface Content {
    readonly content: Readonly<Record<string, { readonly schema: Schema }>>;
  }
  interface Schema {
    readonly $ref?: string;
    readonly properties?: Readonly<Record<string, Schema>>;
  }
  interface Operation {
    readonly security?: readonly object[];
    readonly requestBody?: Content;
    readonly responses: Readonly<Record<string, Content>>;
  }
  let described: {
    readonly openapi: string;
    readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
    readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
  };
  const operation = (method: string, path: string) => described.paths[path]![method]!;
  const answer = (method: string, path: string, status: string) =>
    operation(method, path).responses[status]!.content['application/json']!.schema;
  beforeAll(async () => {
    described = (await api.ask<typeof described>('GET', '/openapi.json')).body;
  });

  it('is OpenAPI 3.1 and tells every route', () => {
    expect(described.openapi).toMatch(/^3\.1\./);
    const routes = Object.entries(described.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(routes.toSorted()).toEqual([
      'DELETE /api/v1/sessions/current',
      'GET /api/v1/districts/{id}/accuracy',
      'GET /api/v1/districts/{id}/estimates/{run}',
      'GET /api/v1/findings',
      'GET /api/v1/gateways',
      'GET /api/v1/instruments',
      'GET /api/v1/instruments/{id}',
      'GET /api/v1/instruments/{id}/accuracy',
      'GET /api/v1/instruments/{id}/findings',
      'GET /api/v1/instruments/{id}/readings',
      'GET /api/v1/people',
      'GET /api/v1/rejections',
      'GET /api/v1/rejections/counts',
      'GET /api/v1/sessions/current',
      'GET /api/v1/stream',
      'GET /api/v1/tasks',
      'GET /api/v1/tasks/{id}',
      'GET /healthz',
      'GET /metrics',
      'GET /readyz',
      'PATCH /api/v1/instruments/{id}',
      'PATCH /api/v1/people/{username}',
      'POST /api/v1/districts/{id}/estimate',
      'POST /api/v1/instruments/import',
      'POST /api/v1/people',
      'POST /api/v1/sessions',
      'POST /api/v1/tasks/{id}/{action}',
      'PUT /api/v1/gateways/{id}',
    ]);
  });

  it('has a schema for what every route answers, and names none that is not there', () => {
    const written = JSON.stringify(described);
    const named = [...written.matchAll(/"#\/components\/schemas\/(\w+)"/g)].map(([, name]) => name!);
    expect(new Set(named)).toEqual(new Set(Object.keys(described.components.schemas)));
    expect(answer('get', '/api/v1/tasks', '200').properties!.tasks).toEqual({
      type: 'array',
      items: { $ref: '#/components/schemas/Task' },
    });
    expect(answer('get', '/api/v1/tasks', 'default').$ref).toContain('Error');
    expect(operation('post', '/api/v1/instruments/import').requestBody!.content).toHaveProperty('text/csv');
    expect(operation('get', '/api/v1/tasks').security).toEqual([{ session: [] }]);
    expect(operation('post', '/api/v1/sessions').security).toBeUndefined();
  });

  it('can be browsed without the internet', async () => {
    const page = await api.ask('GET', '/docs/');
    expect(page.status).toBe(200);
    expect(page.body).not.toMatch(/(src|href)="https?:/);
    expect(page.headers['content-security-policy']).toContain("default-src 'self'");
  });
});

describe('operation', () => {
  it('is well, and ready when every part is', async () => {
    expect(await api.ask('GET', '/healthz')).toMatchObject({ status: 200, body: { parts: { process: true } } });
    expect(await api.ask('GET', '/readyz')).toMatchObject({ status: 200, body: { parts: { store: true } } });
    api.ready = () => ({ store: true, pipeline: false });
    expect(await api.ask('GET', '/readyz')).toMatchObject({
      status: 503,
      body: { code: 'unavailable', path: 'pipeline' },
    });
    api.ready = () => Promise.reject(new Error('no connection'));
    expect(await api.ask('GET', '/readyz')).toMatchObject({ status: 503, body: { code: 'unavailable' } });
  });

  it('is measured', async () => {
    const { status, headers, body } = await api.ask('GET', '/metrics');
    expect(status).toBe(200);
    expect(headers['content-type']).toContain('text/plain');
    expect(body).toContain('readings_total 3');
  });
});
