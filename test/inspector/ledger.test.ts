import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Instrument } from '../../src/fleet/instrument.ts';
import { MAX_IMPORT_BYTES } from '../../src/inspector/instruments-import.ts';
import { type City, CSV, city, type Listed, MINUTE_MS, opened, T0, type Username } from './fixture.ts';

let api: City;
beforeAll(async () => {
  api = await city({ brokerUser: 'warden' });
});
afterAll(async () => api.close());

type Instruments = Listed<'instruments', Instrument>;
type Gateways = Listed<'gateways', { id: string }>;

const ids = (items: readonly { id: string }[]) => items.map(({ id }) => id);

describe('instruments', () => {
  it('are listed page by page', async () => {
    const first = await api.ask<Instruments>('GET', '/api/v1/instruments?limit=3', { as: 'root' });
    expect(first.status).toBe(200);
    expect(ids(first.body.instruments)).toEqual(['M-1', 'M-2', 'M-3']);
    const second = await api.ask<Instruments>('GET', `/api/v1/instruments?limit=3&cursor=${first.body.next}`, {
      as: 'root',
    });
    expect(ids(second.body.instruments)).toEqual(['M-4', 'M-5']);
    expect(second.body.next).toBeUndefined();
  });

  it.each([
    ['district=D-2', ['M-4', 'M-5']],
    ['region=220300', ['M-1', 'M-2', 'M-3', 'M-4', 'M-5']],
    ['region=220303&kind=electricity&state=in-service', ['M-4', 'M-5']],
    ['kind=water', []],
  ])('%s', async (query, expected) => {
    const { body } = await api.ask<Instruments>('GET', `/api/v1/instruments?${query}`, { as: 'root' });
    expect(ids(body.instruments)).toEqual(expected);
  });

  it('of another region do not exist', async () => {
    const { body } = await api.ask<Instruments>('GET', '/api/v1/instruments', { as: 'li' });
    expect(ids(body.instruments)).toEqual(['M-4', 'M-5']);
    for (const path of ['', '/readings', '/findings']) {
      const refused = await api.ask('GET', `/api/v1/instruments/M-1${path}`, { as: 'li' });
      expect(refused).toMatchObject({ status: 404, body: { code: 'not_found', path: 'id' } });
    }
  });

  it('are told with the name of their kind, without inner keys', async () => {
    const { body } = await api.ask('GET', '/api/v1/instruments/M-1', {
      as: 'wang',
      headers: { 'accept-language': 'en' },
    });
    expect(body).toMatchObject({ id: 'M-1', kindName: 'electricity meter', installedOn: '', gateway: 'GW-1' });
    expect(body).not.toHaveProperty('key');
  });

  it.each([
    ['limit=0', 'limit', '不得小于 1'],
    ['limit=501', 'limit', '不得大于 500'],
    ['limit=many', 'limit', '应为数值'],
    ['state=lost', 'state', 'in-service | retired'],
    ['distrit=D-1', 'distrit', 'district'],
    ['district=a%00b', 'district', '控制字符'],
  ])('refuse %s', async (query, path, told) => {
    const { status, body } = await api.ask('GET', `/api/v1/instruments?${query}`, { as: 'root' });
    expect({ status, code: body.code, path: body.path }).toEqual({ status: 400, code: 'invalid_request', path });
    expect(body.message).toContain(told);
  });

  it('refuse a cursor that is none', async () => {
    const refused = await api.ask<Instruments>('GET', '/api/v1/instruments?cursor=xx', { as: 'root' });
    expect(refused).toMatchObject({ status: 400, body: { code: 'invalid_cursor', path: 'cursor' } });
  });
});

type Readings = Listed<'readings', { ts: string }>;

describe('readings', () => {
  beforeAll(async () => {
    for (let i = 0; i < 5; i++)
      await api.read('M-2', T0 + i * MINUTE_MS, { active_import_kwh: 100 + i, voltage_v: 220 });
  });

  it('come in order of time, page by page', async () => {
    const url = `/api/v1/instruments/M-2/readings?from=2024-05-01T08:01:00Z&to=2024-05-01T16:04:00%2B08:00&limit=2`;
    const first = await api.ask<Readings>('GET', url, { as: 'wang' });
    expect(first.body.readings).toEqual([
      { ts: '2024-05-01T08:01:00.000Z', receivedAt: expect.any(String), active_import_kwh: 101, voltage_v: 220 },
      { ts: '2024-05-01T08:02:00.000Z', receivedAt: expect.any(String), active_import_kwh: 102, voltage_v: 220 },
    ]);
    const second = await api.ask<Readings>('GET', `${url}&cursor=${first.body.next}`, { as: 'wang' });
    expect(second.body.readings.map(({ ts }) => ts)).toEqual(['2024-05-01T08:03:00.000Z']);
    expect(second.body.next).toBeUndefined();
  });

  it('are all told without bounds', async () => {
    const { body } = await api.ask<Readings>('GET', '/api/v1/instruments/M-2/readings', { as: 'wang' });
    expect(body.readings).toHaveLength(5);
  });

  it.each([
    ['limit=10001', 'limit', '10000'],
    ['from=2024-05-01T08:00:00', 'from', 'RFC 3339'],
    ['from=2024-05-01T08:00:00+08:00', 'from', '%2B'],
    ['from=2024-05-02T00:00:00Z&to=2024-05-01T00:00:00Z', 'to', 'from'],
  ])('refuse %s', async (query, path, told) => {
    const { status, body } = await api.ask('GET', `/api/v1/instruments/M-2/readings?${query}`, { as: 'wang' });
    expect({ status, path: body.path }).toEqual({ status: 400, path });
    expect(body.message).toContain(told);
  });
});

describe('findings of an instrument', () => {
  it('are told in words', async () => {
    await api.find(opened('silent', 2, T0));
    const url = '/api/v1/instruments/M-2/findings?open=true';
    const { body } = await api.ask<Listed<'findings', { sentence: string }>>('GET', url, { as: 'wang' });
    expect(body.findings).toMatchObject([{ rule: 'silent', ruleName: '失联', instrument: 'M-2', to: null }]);
    expect(body.findings[0]!.sentence).toContain('4 个上报周期');
  });
});

describe('retiring an instrument', () => {
  const url = '/api/v1/instruments/M-3';
  const retire = (as: Username, body: object = { state: 'retired' }) => api.ask('PATCH', url, { as, body });

  it('and putting it back is told in its entry and in its open tasks, once', async () => {
    await api.find(opened('silent', 3, T0));
    expect(await retire('county')).toMatchObject({ status: 200, body: { id: 'M-3', state: 'retired' } });
    expect(await retire('county')).toMatchObject({ status: 200, body: { state: 'retired' } });
    expect((await api.ask('GET', url, { as: 'wang' })).body).toMatchObject({ state: 'retired' });
    const listed = await api.ask<Instruments>('GET', '/api/v1/instruments?state=retired', { as: 'wang' });
    expect(ids(listed.body.instruments)).toEqual(['M-3']);
    expect(await retire('root', { state: 'in-service' })).toMatchObject({ status: 200, body: { state: 'in-service' } });
    const { body } = await api.ask<Listed<'tasks', { id: string }>>('GET', '/api/v1/tasks?instrument=M-3', {
      as: 'wang',
    });
    for (const [language, expected] of [
      ['zh-CN', ['county停用了该计量器具', 'root恢复使用该计量器具']],
      ['en', ['The instrument was retired by county', 'The instrument was put back into service by root']],
    ] as const) {
      const headers = { 'accept-language': language };
      const url = `/api/v1/tasks/${body.tasks[0]!.id}`;
      const task = await api.ask<Listed<'history', { sentence: string }>>('GET', url, { as: 'wang', headers });
      expect(task.body.history.slice(1).map(({ sentence }) => sentence)).toEqual(expected);
    }
  });

  it('is for supervisors of its region', async () => {
    expect(await retire('wang')).toMatchObject({ status: 403, body: { code: 'forbidden' } });
    const elsewhere = await api.ask('PATCH', '/api/v1/instruments/M-4', { as: 'county', body: { state: 'retired' } });
    expect(elsewhere).toMatchObject({ status: 404, body: { code: 'not_found', path: 'id' } });
    expect(await api.ask('GET', '/api/v1/instruments/M-4', { as: 'root' })).toMatchObject({
      body: { state: 'in-service' },
    });
  });

  it.each([
    [{ state: 'lost' }, 'state', 'in-service | retired'],
    [{}, 'state', '必填'],
    [{ state: 'retired', district: 'D-2' }, 'district', '最接近的是“state”'],
  ])('refuses %j', async (body, path, told) => {
    const refused = await retire('root', body);
    expect(refused).toMatchObject({ status: 400, body: { code: 'invalid_request', path } });
    expect(refused.body.message).toContain(told);
  });

  it('does not let a master back whose place was taken', async () => {
    const change = (id: string, state: string) =>
      api.ask('PATCH', `/api/v1/instruments/${id}`, { as: 'root', body: { state } });
    await change('M-4', 'retired');
    const body = 'id,kind,role,district,region,gateway\nM-4b,electricity,master,D-2,220303,GW-2\n';
    await api.ask('POST', '/api/v1/instruments/import', { as: 'root', body });
    const refused = await change('M-4', 'in-service');
    expect(refused).toMatchObject({ status: 409, body: { code: 'second_master', path: 'state' } });
    expect(refused.body.message).toBe('台区“D-2”已有总表“M-4b”');
    await change('M-4b', 'retired');
    expect((await change('M-4', 'in-service')).status).toBe(200);
    await change('M-4b', 'retired');
  });
});

describe('import', () => {
  const url = '/api/v1/instruments/import';

  it('takes the good lines and tells the bad ones', async () => {
    const body = `${CSV}M-9,steam,user,D-9,220302,GW-9\nM-10,electricity,user,D-9,220302,GW-9\n`;
    const { status, body: told } = await api.ask<Listed<'rejected', { message: string }>>('POST', url, {
      as: 'root',
      body,
    });
    expect(status).toBe(200);
    expect(told).toMatchObject({ created: 1, updated: 0, unchanged: 5, rejectedTotal: 1 });
    expect(told.rejected).toMatchObject([{ line: 7, code: 'unknown_kind', path: 'kind' }]);
    expect(told.rejected[0]!.message).toContain('steam');
  });

  it('takes gzip', async () => {
    const body = gzipSync(CSV);
    const headers = { 'content-type': 'text/csv', 'content-encoding': 'gzip' };
    expect(await api.ask('POST', url, { as: 'root', body, headers })).toMatchObject({
      status: 200,
      body: { unchanged: 5 },
    });
  });

  it.each([
    ['broken gzip', gzipSync(CSV).subarray(0, 60), 'gzip', 400, 'invalid_request'],
    ['no gzip', Buffer.from(CSV), 'gzip', 400, 'invalid_request'],
    ['another encoding', Buffer.from(CSV), 'br', 415, 'unsupported_media_type'],
    ['an empty body', Buffer.from(''), 'identity', 400, 'invalid_request'],
  ])('refuses %s', async (_, body, encoding, status, code) => {
    const headers = { 'content-type': 'text/csv', 'content-encoding': encoding };
    expect(await api.ask('POST', url, { as: 'root', body, headers })).toMatchObject({ status, body: { code } });
  });

  it('refuses more than it takes, however small it was made', async () => {
    const member = gzipSync(Buffer.alloc(16 * 1024 * 1024, 'a'));
    const body = Buffer.concat(Array.from({ length: MAX_IMPORT_BYTES / 16 / 1024 / 1024 + 1 }, () => member));
    const headers = { 'content-type': 'text/csv', 'content-encoding': 'gzip' };
    const refused = await api.ask('POST', url, { as: 'root', body, headers });
    expect(refused).toMatchObject({ status: 413, body: { code: 'payload_too_large' } });
  });

  it('keeps nothing of an upload that broke off, and tells a client that is still sending', async () => {
    await api.server.listen({ port: 0 });
    const { port } = api.server.server.address() as AddressInfo;
    const headers = { authorization: `Bearer ${api.tokens.root}`, 'content-type': 'text/csv' };
    for (const encoding of ['identity', 'gzip']) {
      const options = { port, path: url, method: 'POST', headers: { ...headers, 'content-encoding': encoding } };
      const upload = request(options).on('error', () => {});
      const lines = `${CSV}M-99,electricity,user,D-9,220302,GW-9\n`;
      upload.write(encoding === 'gzip' ? gzipSync(lines).subarray(0, 80) : lines);
      await setTimeout(100);
      upload.destroy();
    }
    const sending = request({ port, path: url, method: 'POST', headers });
    sending.write(`id,colour\n${'M-1,red\n'.repeat(500_000)}`);
    const [response] = (await once(sending, 'response')) as [IncomingMessage];
    expect(response.statusCode).toBe(400);
    sending.destroy();
    await setTimeout(100);
    expect((await api.ask('GET', '/api/v1/instruments/M-99', { as: 'root' })).status).toBe(404);
    expect((await api.ask('POST', url, { as: 'root', body: CSV })).status).toBe(200);
    expect(api.errors).toEqual([]);
  });

  it('refuses what is no CSV, naming what would be', async () => {
    const refused = await api.ask('POST', url, { as: 'root', body: { id: 'M-1' } });
    expect(refused).toMatchObject({ status: 415, body: { code: 'unsupported_media_type' } });
    expect(refused.body.message).toContain('text/csv');
  });

  it.each(['wang', 'chief'] as const)('is not for %s, who is bound to a region', async (as) => {
    expect(await api.ask('POST', url, { as, body: CSV })).toMatchObject({ status: 403, body: { code: 'forbidden' } });
  });
});

describe('gateways', () => {
  const url = '/api/v1/gateways';

  it('get a secret that is told once, or keep the given one', async () => {
    const made = await api.ask('PUT', `${url}/GW-1`, { as: 'chief' });
    expect(made).toMatchObject({
      status: 201,
      body: { id: 'GW-1', created: true, secret: expect.stringMatching(/^.{40,}$/) },
    });
    const rotated = await api.ask('PUT', `${url}/GW-1`, { as: 'chief', body: { secret: 'abcdef' } });
    expect(rotated).toMatchObject({ status: 200, body: { id: 'GW-1', created: false } });
    expect(rotated.body).not.toHaveProperty('secret');
    await api.ask('PUT', `${url}/GW-2`, { as: 'root', body: { secret: 'abcdef' } });
    const { body } = await api.ask<Gateways>('GET', url, { as: 'root' });
    expect(body.gateways).toMatchObject([
      { id: 'GW-1', instruments: 2 },
      { id: 'GW-2', instruments: 2 },
    ]);
  });

  it('and instruments have no id in common, whichever comes first', async () => {
    const text = `id,kind,role,district,region,gateway\nGW-1,electricity,user,D-1,220302,\nM-8,electricity,user,D-1,220302,M-1\n`;
    const { body: told } = await api.ask('POST', '/api/v1/instruments/import', { as: 'root', body: text });
    expect(told).toMatchObject({
      created: 0,
      rejected: [
        { line: 2, code: 'id_of_gateway', path: 'id', message: '编号“GW-1”已属于集中器,客户端编号不得重复' },
        { line: 3, code: 'gateway_is_instrument', path: 'gateway' },
      ],
    });
    expect(await api.ask('PUT', `${url}/M-1`, { as: 'root', headers: { 'accept-language': 'en' } })).toMatchObject({
      status: 409,
      body: {
        code: 'gateway_is_instrument',
        path: 'id',
        message: '“M-1” is an instrument of the ledger and no gateway',
      },
    });
  });

  it('of another region do not exist', async () => {
    expect(ids((await api.ask<Gateways>('GET', url, { as: 'county' })).body.gateways)).toEqual(['GW-1']);
    const refused = await api.ask('PUT', `${url}/GW-2`, { as: 'county', body: { secret: 'abcdef' } });
    expect(refused).toMatchObject({ status: 404, body: { code: 'not_found' } });
    expect(await api.ask('PUT', `${url}/M-3`, { as: 'county' })).toMatchObject({ status: 201 });
  });

  it.each([
    ['zh-CN', '“warden”是本服务连接外部 MQTT 服务器所用的用户名,设备不得使用'],
    ['en', 'By the name “warden” the service itself connects to the external MQTT broker; no device may'],
  ])('none has the name by which the service connects to its broker (%s)', async (language, message) => {
    const headers = { 'accept-language': language };
    expect(await api.ask('PUT', `${url}/warden`, { as: 'root', headers })).toMatchObject({
      status: 409,
      body: { code: 'id_of_service', path: 'id', message },
    });
    expect(ids((await api.ask<Gateways>('GET', url, { as: 'root' })).body.gateways)).not.toContain('warden');
  });

  it('are not for inspectors, and secrets not too short', async () => {
    expect(await api.ask('GET', url, { as: 'wang' })).toMatchObject({ status: 403 });
    const refused = await api.ask('PUT', `${url}/GW-1`, { as: 'root', body: { secret: 'short' } });
    expect(refused).toMatchObject({ status: 400, body: { code: 'invalid_request', path: 'secret' } });
    expect(await api.ask('PUT', `${url}/a%20b`, { as: 'root' })).toMatchObject({ status: 400, body: { path: 'id' } });
  });
});

type Rejections = Listed<'rejections', { client: string }>;
type Counts = Listed<'counts', { client: string; code: string; rejections: number; readings: number }>;

describe('rejections', () => {
  beforeAll(async () => {
    const cut = Buffer.from('{"状态').subarray(0, 7);
    await api.reject({}, { client: 'GW-2', code: 'malformed_json', path: '', payload: Buffer.from([0xff, 0x00]) });
    await api.reject({ client: 'nobody', payload: cut, payloadBytes: 9_000 });
  });

  it('are told newest first, with the beginning of the message', async () => {
    const headers = { 'accept-language': 'en' };
    const { body } = await api.ask<Rejections>('GET', '/api/v1/rejections', { as: 'root', headers });
    expect(body.rejections).toMatchObject([
      { client: 'nobody', payload: '{"状', payloadBase64: null, payloadBytes: 9_000 },
      { client: 'GW-2', code: 'malformed_json', payload: null, payloadBase64: '/wA=' },
      { client: 'GW-1', message: '1000000000 is not possible: 0 to 1000', path: 'M-1[0].values.voltage_v' },
    ]);
    const page = await api.ask<Rejections>('GET', '/api/v1/rejections?client=GW-2&limit=1', { as: 'root' });
    expect(page.body.rejections).toHaveLength(1);
  });

  it('are counted', async () => {
    const { body } = await api.ask<Counts>('GET', '/api/v1/rejections/counts', { as: 'root' });
    expect(body.counts).toContainEqual({ client: 'GW-1', code: 'out_of_range', rejections: 1, readings: 1 });
  });

  it('of clients elsewhere stay hidden', async () => {
    const { body } = await api.ask<Rejections>('GET', '/api/v1/rejections', { as: 'wang' });
    expect(body.rejections.map(({ client }) => client)).toEqual(['GW-1']);
    expect((await api.ask<Counts>('GET', '/api/v1/rejections/counts', { as: 'li' })).body.counts).toHaveLength(1);
    expect(await api.ask('GET', '/api/v1/rejections?cursor=%21', { as: 'li' })).toMatchObject({
      status: 400,
      body: { code: 'invalid_cursor' },
    });
  });
});
