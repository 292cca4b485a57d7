/** Running errors by API: who sees what, and an estimate on demand. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type City, city, MINUTE_MS, T0, type Username } from './fixture.ts';

interface Run {
  readonly id: string;
  readonly to: string;
  readonly state: string;
  readonly stateName: string;
  readonly askedBy: string;
}

let here: City;
beforeAll(async () => {
  here = await city();
});
afterAll(() => here.close());

const ask = (district: string, as: Username, language = 'en') =>
  here.ask<Run>('POST', `/api/v1/districts/${district}/estimate`, { as, headers: { 'accept-language': language } });

describe('an estimate on demand', () => {
  test('is a run, the same within a report period, and another one after', async () => {
    here.now = T0 + 7 * MINUTE_MS;
    const { status, body } = await ask('D-1', 'county');
    expect(status).toBe(202);
    expect(body).toMatchObject({ to: new Date(T0).toISOString(), state: 'waiting', askedBy: 'county' });
    expect((await ask('D-1', 'chief', 'zh-CN')).body).toMatchObject({ id: body.id, stateName: '等待' });
    here.now = T0 + 15 * MINUTE_MS;
    const later = (await ask('D-1', 'chief')).body;
    expect(later).not.toMatchObject({ id: body.id });
    here.now = T0;
    const seen = await here.ask<Run>('GET', `/api/v1/districts/D-1/estimates/${body.id}`, { as: 'wang' });
    expect(seen).toMatchObject({ status: 200, body: { id: body.id, state: 'waiting' } });
  });

  test('begins anew when it was given up', async () => {
    const { id } = (await ask('D-2', 'chief')).body;
    const { runs } = here.parts.accuracy;
    const { pool } = here.database;
    await pool.query(`UPDATE district_estimates SET state = 'failed', failures = 3 WHERE id = $1`, [id]);
    expect((await runs.get('D-2', id)).state).toBe('failed');
    expect((await ask('D-2', 'chief')).body).toMatchObject({ id, state: 'waiting' });
  });

  test.each<[string, Username, number]>([
    ['D-2', 'county', 403],
    ['D-1', 'wang', 403],
    ['D-9', 'chief', 404],
    ['D-2', 'root', 202],
  ])('of %s by %s: %i', async (district, as, status) => {
    expect((await ask(district, as)).status).toBe(status);
  });
});

describe('what is not in one’s region is not there', () => {
  test.each([
    ['/api/v1/instruments/M-5/accuracy', 'wang', 404],
    ['/api/v1/instruments/M-5/accuracy', 'li', 200],
    ['/api/v1/instruments/M-9/accuracy', 'root', 404],
    ['/api/v1/districts/D-2/accuracy', 'wang', 404],
    ['/api/v1/districts/D-2/accuracy', 'li', 200],
    ['/api/v1/districts/D-9/accuracy', 'root', 404],
    ['/api/v1/districts/D-2/estimates/1', 'wang', 404],
    ['/api/v1/districts/D-1/estimates/999', 'wang', 404],
    ['/api/v1/districts/D-1/estimates/one', 'wang', 404],
  ] as const)('%s by %s: %i', async (url, as, status) => {
    expect((await here.ask('GET', url, { as })).status).toBe(status);
  });

  test('without an estimate there is nothing yet', async () => {
    const district = await here.ask('GET', '/api/v1/districts/D-1/accuracy', { as: 'wang' });
    expect(district.body).toEqual({ district: 'D-1', newest: null, meters: [], estimates: [] });
    const meter = await here.ask('GET', '/api/v1/instruments/M-2/accuracy', { as: 'wang' });
    expect(meter.body).toEqual({ instrument: 'M-2', mpePct: 2, estimates: [], siteResults: [], replacements: [] });
  });
});
