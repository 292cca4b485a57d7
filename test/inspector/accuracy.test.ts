/** Running errors by API: who sees what, and an estimate on demand. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type City, chunks, city, MINUTE_MS, T0, type Username } from './fixture.ts';

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
  afterAll(() => here.database.pool.query('TRUNCATE district_estimates CASCADE'));
  const done = (id: string) =>
    here.database.pool.query(`UPDATE district_estimates SET state = 'done' WHERE id = $1`, [id]);

  test('is a run, the same within a report period and until it is made, and another one after', async () => {
    here.now = T0 + 7 * MINUTE_MS;
    const { status, body } = await ask('D-1', 'county');
    expect(status).toBe(202);
    expect(body).toMatchObject({ to: new Date(T0).toISOString(), state: 'waiting', askedBy: 'county' });
    expect((await ask('D-1', 'chief', 'zh-CN')).body).toMatchObject({ id: body.id, stateName: '等待' });
    here.now = T0 + 15 * MINUTE_MS;
    expect((await ask('D-1', 'chief')).body).toMatchObject({ id: body.id });
    await done(body.id);
    const later = (await ask('D-1', 'chief')).body;
    expect(later).toMatchObject({ to: new Date(here.now).toISOString(), state: 'waiting' });
    await done(later.id);
    expect((await ask('D-1', 'chief')).body).toMatchObject({ id: later.id, state: 'done' });
    here.now = T0;
    const seen = await here.ask<Run>('GET', `/api/v1/districts/D-1/estimates/${body.id}`, { as: 'wang' });
    expect(seen).toMatchObject({ status: 200, body: { id: body.id, state: 'done' } });
  });

  test('begins anew when it was given up', async () => {
    const { id } = (await ask('D-2', 'chief')).body;
    const { runs } = here.parts.accuracy;
    const { pool } = here.database;
    await pool.query(`UPDATE district_estimates SET state = 'failed', failures = 3 WHERE id = $1`, [id]);
    expect((await runs.get('D-2', id)).state).toBe('failed');
    expect((await ask('D-2', 'chief')).body).toMatchObject({ id, state: 'waiting' });
  });

  test('of at most twenty districts at once for one person, in floods too', async () => {
    const districts = Array.from({ length: 24 }, (_, i) => `F-${i}`);
    const lines = districts.map((district) => `${district}-M,electricity,master,${district},220302`);
    await here.parts.ledger.importCsv(chunks(['id,kind,role,district,region', ...lines, ''].join('\n')));
    const answers = await Promise.all(districts.map((district) => ask(district, 'county')));
    const taken = answers.filter(({ status }) => status === 202);
    const refused = districts.filter((_, i) => answers[i]!.status === 429);
    expect([taken.length, refused.length]).toEqual([20, 4]);
    for (const [language, message] of [
      ['en', '20 districts you asked for are still to be estimated; ask again when one of them is done'],
      ['zh-CN', '您要求估计的台区已有 20 个尚未完成,请等其中之一完成后再提交'],
    ] as const)
      expect((await ask(refused[0]!, 'county', language)).body).toEqual({ code: 'too_many_estimates', message });
    // What is there already is told, and others have a share of their own.
    const again = await ask(districts.find((district) => !refused.includes(district))!, 'county');
    expect(again.status).toBe(202);
    expect((await ask(refused[0]!, 'chief')).status).toBe(202);
    await done(taken[0]!.body.id);
    expect((await ask(refused[1]!, 'county')).status).toBe(202);
    expect((await ask(refused[2]!, 'county')).status).toBe(429);
  });

  test.each<[string, Username, number]>([
    ['D-2', 'county', 404],
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

  test('figures have as many digits as say something', async () => {
    const { pool } = here.database;
    await pool.query(
      `WITH run AS (
         INSERT INTO district_estimates (district, region, to_ts, asked_by, asked_at, state, from_ts, finished_at, rows, method, balance, notes)
         VALUES ('D-2', '220303', $1, 'system', $1, 'done', $1, $1, 9, $2, $3, '[]') RETURNING id
       )
       INSERT INTO meter_estimates (run, instrument, error_pct, sd_pct, mpe_pct, verdict, rows_used, rows_refused, energy_kwh)
       SELECT id, 5, 2.956129548190421, 0.02881404821315495, 2, 'ok', 9, 0, 587.6500000000015 FROM run`,
      [
        new Date(T0),
        JSON.stringify({ version: '1', loss: 'none', clocks: 'right', voltages: 'none', spreadPct: null }),
        JSON.stringify({
          masterKwh: 19551.07,
          usersKwh: 19161.549999999992,
          lossKwh: 0,
          residualKwh: 0.1,
          residualUncorrectedKwh: 0.1,
        }),
      ],
    );
    const { body } = await here.ask('GET', '/api/v1/districts/D-2/accuracy', { as: 'li' });
    expect(body).toMatchObject({
      newest: { balance: { masterKwh: 19551.1, usersKwh: 19161.5 }, method: { spreadPct: null } },
      meters: [{ errorPct: 2.95613, sdPct: 0.028814, energyKwh: 587.65, lowPct: null }],
    });
  });
});
