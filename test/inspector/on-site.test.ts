/** What is measured and replaced on site, and what of it the next estimates are told. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type City, city, type Listed, MINUTE_MS, opened, T0 } from './fixture.ts';

const DAY_MS = 86_400_000;
const PTS = 'PTS 3.3C 1024';

let here: City;
beforeEach(async () => {
  here = await city();
  await here.database.pool.query(`UPDATE sessions SET expires_at = 'infinity'`); // years pass
});
afterEach(() => here.close());

const act = (id: string, action: string, body: object = {}, language = 'en') =>
  here.ask<{ state: string; verdict: string; code: string; path: string; message: string }>(
    'POST',
    `/api/v1/tasks/${id}/${action}`,
    { as: 'wang', body, headers: { 'accept-language': language } },
  );

async function taskOf(kind: string): Promise<string | undefined> {
  const { body } = await here.ask<Listed<'tasks', { id: string }>>('GET', `/api/v1/tasks?kind=${kind}`, { as: 'wang' });
  return body.tasks[0]?.id;
}

/** A task to measure M-2, accepted. */
async function accepted(rule = 'inaccurate'): Promise<string> {
  await here.find(opened(rule, 2, here.now));
  const id = (await taskOf('verify-on-site'))!;
  expect(await act(id, 'accept')).toMatchObject({ status: 200 });
  return id;
}

async function measured(errorPct: number, more: object = {}) {
  const measurement = { errorPct, expandedUncertaintyPct: 0.2, standard: PTS, ...more };
  const { status, body } = await act(await accepted(), 'measure', { measurement });
  expect(status, body.message).toBe(200);
  return body;
}

const observed = async (atMs: number) => {
  const results = await here.accuracy.site.observations('D-1', atMs);
  return results.map(({ errorPct, uncertaintyPct }) => [errorPct, Number(uncertaintyPct.toFixed(3))]);
};

describe('a result that cannot be', () => {
  test.each([
    [{ expandedUncertaintyPct: 0 }, 'expandedUncertaintyPct', 'at least 0.01', '不得小于 0.01'],
    [{ expandedUncertaintyPct: -1 }, 'expandedUncertaintyPct', 'at least 0.01', '不得小于 0.01'],
    [{ expandedUncertaintyPct: 11 }, 'expandedUncertaintyPct', 'at most 10', '不得大于 10'],
    [{ errorPct: -201 }, 'errorPct', 'at least -200', '不得小于 -200'],
    [{ errorPct: 1_001 }, 'errorPct', 'at most 1000', '不得大于 1000'],
    [{ errorPct: '7.9' }, 'errorPct', 'must be a number', '应为数值'],
    [{ standard: '' }, 'standard', 'at least 1 characters', '至少 1 个字符'],
    [{ measuredAt: new Date(T0 + MINUTE_MS).toISOString() }, 'measuredAt', 'in the future', '不得晚于现在'],
  ])('%j is refused', async (wrong, field, english, chinese) => {
    const id = await accepted();
    const measurement = { errorPct: 7.9, expandedUncertaintyPct: 0.2, standard: PTS, ...wrong };
    for (const [language, sentence] of [
      ['en', english],
      ['zh-CN', chinese],
    ] as const) {
      const { status, body } = await act(id, 'measure', { measurement }, language);
      expect({ status, code: body.code, path: body.path }).toEqual({
        status: 400,
        code: 'invalid_request',
        path: `measurement.${field}`,
      });
      expect(body.message).toContain(sentence);
    }
    expect(await observed(T0 + DAY_MS)).toEqual([]);
  });
});

test.each([-100, -200])('a meter that is off by %s percent is confirmed and replaced', async (errorPct) => {
  expect(await measured(errorPct)).toMatchObject({ state: 'done', verdict: 'confirmed' });
  const replace = (await taskOf('replace'))!;
  expect(await act(replace, 'accept')).toMatchObject({ status: 200 });
  here.now += DAY_MS;
  expect(await act(replace, 'replace', { replacement: { instrument: 'M-2' } })).toMatchObject({
    status: 200,
    body: { state: 'done' },
  });
  const { body } = await here.ask<Listed<'findings', object>>('GET', '/api/v1/findings?open=true', { as: 'wang' });
  expect(body.findings).toEqual([]);
});

describe('what estimates are told', () => {
  test('a refuting result for two years, and less surely with time', async () => {
    expect(await measured(0.4)).toMatchObject({ state: 'refuted' });
    expect(await observed(T0)).toEqual([[0.4, 0.1]]);
    expect(await observed(T0 - 50 * DAY_MS)).toEqual([[0.4, 0.108]]); // of a window that is estimated late
    expect(await observed(T0 + 50 * DAY_MS)).toEqual([[0.4, 0.108]]);
    expect(await observed(T0 + 365 * DAY_MS)).toEqual([[0.4, 0.316]]);
    expect(await observed(T0 + 731 * DAY_MS)).toEqual([[0.4, 0.609]]);
    expect(await observed(T0 + 732 * DAY_MS)).toEqual([]);
  });

  test('all results, in the order of measurement', async () => {
    expect(await measured(0.4)).toMatchObject({ state: 'refuted' });
    await here.ask('POST', `/api/v1/tasks/${await taskOf('verify-on-site')}/close`, { as: 'chief' });
    here.now += 10 * DAY_MS;
    await measured(0.6, { measuredAt: new Date(T0 - DAY_MS).toISOString() });
    expect((await observed(here.now)).map(([errorPct]) => errorPct)).toEqual([0.6, 0.4]);
  });

  test('nothing that was measured of a meter before it was replaced, under its old id too', async () => {
    await measured(7.9);
    expect(await observed(T0 + DAY_MS)).toHaveLength(1);
    const replace = (await taskOf('replace'))!;
    await act(replace, 'accept');
    here.now += DAY_MS;
    await act(replace, 'replace', { replacement: { instrument: 'M-2' } });
    for (const atMs of [T0, here.now - MINUTE_MS, here.now + DAY_MS]) expect(await observed(atMs)).toEqual([]);
    await here.ask('POST', `/api/v1/tasks/${await taskOf('verify-on-site')}/close`, { as: 'chief' });
    here.now += DAY_MS;
    await measured(0.2);
    expect((await observed(here.now + DAY_MS)).map(([errorPct]) => errorPct)).toEqual([0.2]);
    expect(await observed(T0)).toEqual([]); // that was the old one
  });
});
