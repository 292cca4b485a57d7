/** A meter that runs fast is estimated, doubted, measured on site, replaced, and the balance of its district compared. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { z } from 'zod';
import { openAccuracy } from '../../src/app/accuracy.ts';
import { loadDomain } from '../../src/config.ts';
import type { districtEstimate, meterEstimate, replacement, siteResult } from '../../src/inspector/accuracy-schemas.ts';
import type { finding } from '../../src/inspector/schemas.ts';
import type { task, taskDetail } from '../../src/inspector/task-schemas.ts';
import { chunks, type Listed, type Username } from '../inspector/fixture.ts';
import { BAD, DAY_MS, DISTRICT, EstimatedDistrict, FAST_PCT, T0 } from '../support/estimated-district.ts';

type Finding = z.output<typeof finding>;
type Task = z.output<typeof task>;
type Detail = z.output<typeof taskDetail>;
interface OfInstrument {
  readonly mpePct: number;
  readonly estimates: readonly z.output<typeof meterEstimate>[];
  readonly siteResults: readonly z.output<typeof siteResult>[];
  readonly replacements: readonly z.output<typeof replacement>[];
}
interface OfDistrict {
  readonly newest: z.output<typeof districtEstimate> | null;
  readonly meters: readonly z.output<typeof meterEstimate>[];
  readonly estimates: readonly z.output<typeof districtEstimate>[];
}

const NEW = `${BAD}-B`;
let here: EstimatedDistrict;

beforeEach(async () => {
  here = await EstimatedDistrict.open();
  await here.read(0, 22);
});
afterEach(() => here?.close());

async function get<Body>(url: string, as: Username = 'wang'): Promise<Body> {
  const { status, body } = await here.city.ask<Body>('GET', `/api/v1/${url}`, {
    as,
    headers: { 'accept-language': 'en' },
  });
  expect(status, url).toBe(200);
  return body;
}

/** The one task of a kind. */
async function taskOf(kind: Task['kind']): Promise<Detail> {
  const { tasks } = await get<Listed<'tasks', Task>>(`tasks?kind=${kind}`);
  expect(tasks, kind).toHaveLength(1);
  return await get<Detail>(`tasks/${tasks[0]!.id}`);
}

async function act(id: string, action: string, body: object = {}, as: Username = 'wang') {
  return await here.city.ask<Detail>('POST', `/api/v1/tasks/${id}/${action}`, { as, body });
}

async function findings(more = ''): Promise<Finding[]> {
  return [...(await get<Listed<'findings', Finding>>(`findings?district=${DISTRICT}${more}`)).findings];
}

/** Two nights in which the meter is found inaccurate. */
async function doubted(): Promise<Detail> {
  await here.night(20);
  expect(await findings()).toEqual([]);
  await here.night(21);
  return await taskOf('verify-on-site');
}

test('a fast meter: found in two windows, confirmed on site, replaced, and the balance is better', {
  timeout: 120_000,
}, async () => {
  const verify = await doubted();
  expect(await findings()).toMatchObject([
    { rule: 'inaccurate', instrument: BAD, to: null, severity: 'critical', task: verify.id },
  ]);
  expect(verify).toMatchObject({ instrument: BAD, cause: 'running-error', state: 'raised' });
  const [evidence] = verify.evidence;
  expect(evidence).toMatchObject({ rule: 'inaccurate', instrument: BAD });
  expect(evidence!.readings.length).toBeGreaterThan(0);
  const { estimate } = evidence!;
  expect(estimate!.history.map(({ verdict }) => verdict)).toEqual(['inaccurate', 'inaccurate']);
  const last = estimate!.history.at(-1)!;
  expect(last.lowPct).toBeGreaterThan(estimate!.mpePct!);
  expect(last.lowPct).toBeLessThan(FAST_PCT);
  expect(last.highPct).toBeGreaterThan(FAST_PCT);
  expect(estimate).toMatchObject({ mpePct: 2, rows: 21 * 96 - 1, method: { loss: 'voltages' } });
  expect(estimate!.balance!.residualKwh).toBeLessThan(estimate!.balance!.residualUncorrectedKwh! / 2);

  const { meters, newest, estimates } = await get<OfDistrict>(`districts/${DISTRICT}/accuracy`);
  expect(meters.filter(({ verdict }) => verdict === 'inaccurate').map(({ instrument }) => instrument)).toEqual([BAD]);
  expect(meters.filter(({ verdict }) => verdict === 'suspect')).toEqual([]);
  expect(newest).toMatchObject({ run: estimates[0]!.run, askedBy: 'system' });
  expect(estimates).toHaveLength(2);

  // On site: too coarse a standard decides nothing, a better one confirms.
  await act(verify.id, 'accept');
  const coarse = { errorPct: 2.4, expandedUncertaintyPct: 0.8, standard: 'clamp' };
  expect(await act(verify.id, 'measure', { measurement: coarse })).toMatchObject({
    status: 400,
    body: { code: 'invalid_request', path: 'measurement' },
  });
  const measurement = { errorPct: 7.9, expandedUncertaintyPct: 0.2, standard: 'PTS 3.3C 1024' };
  here.city.now += 3_600_000;
  expect(await act(verify.id, 'measure', { measurement })).toMatchObject({
    status: 200,
    body: { state: 'done', verdict: 'confirmed' },
  });
  const replace = await taskOf('replace');
  expect(replace).toMatchObject({ instrument: BAD, cause: 'replacement', evidence: [{ estimate: { mpePct: 2 } }] });
  expect((await get<Detail>(`tasks/${verify.id}`)).history.at(-1)!.sentence).toBe(
    `Confirmed on site: task ${replace.id} to replace it`,
  );

  // The result is an observation of the next estimate.
  await here.night(22);
  const [known] = (await get<OfInstrument>(`instruments/${BAD}/accuracy`)).estimates;
  expect(Math.abs(known!.errorPct! - 7.9)).toBeLessThan(0.2);
  expect(known!.sdPct).toBeLessThan(0.25);

  // Replaced on the day after; the old one has to leave first.
  here.city.now = T0 + 22.5 * DAY_MS;
  await act(replace.id, 'accept');
  const fresh = `id,kind,role,district,region,phase,accuracy_class\n${NEW},electricity,user,${DISTRICT},220302,L1,2\n`;
  await here.city.parts.ledger.importCsv(chunks(fresh));
  const done = { replacement: { instrument: NEW } };
  expect(await act(replace.id, 'replace', done)).toMatchObject({ body: { path: 'replacement.instrument' } });
  await here.city.parts.ledger.changeState(BAD, 'retired', { actor: 'chief', at: new Date(here.city.now) });
  expect(await act(replace.id, 'replace', done)).toMatchObject({ status: 200, body: { state: 'done' } });
  expect(await findings('&open=true')).toEqual([]);
  expect(await act(replace.id, 'close', {}, 'chief')).toMatchObject({
    body: { state: 'closed', verdict: 'confirmed' },
  });

  await here.read(22.5, 33, { id: NEW, fastPct: 0.3 });
  await here.night(23);
  expect((await taskOf('replace')).history.at(-1)!.action).toBe('close'); // half a day tells nothing
  await here.night(33);
  const { action, sentence } = (await taskOf('replace')).history.at(-1)!;
  expect(action, sentence).toBe('improved');
  expect(sentence).toMatch(/^Checked: the balance of the district has improved\./);
  const after = await get<OfInstrument>(`instruments/${NEW}/accuracy`);
  expect(after.replacements).toMatchObject([{ task: replace.id, old: BAD, new: NEW, improved: true }]);
  expect(after.estimates[0]).toMatchObject({ verdict: 'ok' });
  expect(await findings('&open=true')).toEqual([]);
});

test('refuted while the district is estimated: the estimate is made again, with the result', {
  timeout: 120_000,
}, async () => {
  const verify = await doubted();
  await act(verify.id, 'accept');
  const told: number[] = [];
  here.whenCalculating = async ({ siteResults }) => {
    told.push(siteResults.length);
    const measurement = { errorPct: 0.4, expandedUncertaintyPct: 0.2, standard: 'PTS 3.3C 1024' };
    if (told.length === 1) await act(verify.id, 'measure', { measurement });
  };
  await here.night(22);
  expect(told).toEqual([0, 1]);
  expect(await findings('&open=true')).toEqual([]);
});

test('refuted on site: remembered, the finding ends, and the next estimates believe the measurement', {
  timeout: 120_000,
}, async () => {
  const verify = await doubted();
  await act(verify.id, 'accept');
  const measurement = { errorPct: 0.4, expandedUncertaintyPct: 0.2, standard: 'PTS 3.3C 1024' };
  expect(await act(verify.id, 'measure', { measurement })).toMatchObject({
    body: { state: 'refuted', verdict: 'refuted' },
  });
  expect(await findings('&open=true')).toEqual([]);
  expect((await get<Listed<'tasks', Task>>('tasks?kind=replace')).tasks).toEqual([]);
  await act(verify.id, 'close', {}, 'chief');

  // A window before the newest one, which comes late, accuses nobody.
  const { runs } = here.city.accuracy;
  const at = new Date(here.city.now);
  const late = await runs.ask(DISTRICT, '220302', T0 + 20.9 * DAY_MS, 'chief', at);
  expect(await here.estimating.run(late.id, () => here.city.now)).toBe('done');
  expect(await findings('&open=true')).toEqual([]);

  await here.night(22);
  const { estimates, siteResults } = await get<OfInstrument>(`instruments/${BAD}/accuracy`);
  expect(siteResults).toMatchObject([{ ...measurement, verdict: 'refuted', mpePct: 2, task: verify.id }]);
  expect(Math.abs(estimates[0]!.errorPct!)).toBeLessThan(1);
  expect(estimates[0]!.verdict).not.toBe('inaccurate');
  expect(await findings('&open=true&rule=inaccurate')).toEqual([]);
});

test('a meter that left without another in its place: the window begins when it was gone', {
  timeout: 60_000,
}, async () => {
  await here.night(20);
  const { meters, newest } = await get<OfDistrict>(`districts/${DISTRICT}/accuracy`);
  expect(newest!.from).toBe(new Date(T0 + 900_000).toISOString());
  const leaving = meters.find(({ instrument }) => instrument !== BAD)!.instrument;
  await here.city.parts.ledger.changeState(leaving, 'retired', { actor: 'chief', at: new Date(here.city.now) });
  await here.night(22);
  const after = await get<OfDistrict>(`districts/${DISTRICT}/accuracy`);
  expect(after.newest!.rows).toBeLessThan(2);
  expect(after.meters.map(({ instrument }) => instrument)).not.toContain(leaving);
  expect(new Set(after.meters.map(({ verdict }) => verdict))).toEqual(new Set(['undetermined']));
});

test('history is kept night by night, then week by week, and not beyond its time', async () => {
  const { pool } = here.city.database;
  await pool.query(
    `INSERT INTO district_estimates (district, region, to_ts, asked_by, asked_at, state)
     SELECT 'D-1', '220302', day, CASE WHEN n % 2 = 0 THEN 'system' ELSE 'chief' END, day, 'done'
     FROM generate_series($1::timestamptz - interval '100 days', $1, interval '12 hours') WITH ORDINALITY AS days (day, n)`,
    [new Date(T0)],
  );
  const { estimates } = openAccuracy(loadDomain(), pool, here.city.parts.ledger.ledger, here.findings);
  await estimates.tend(T0, T0 - 80 * DAY_MS);
  const ages = async () => {
    const { rows } = await pool.query<{ days: number }>(
      `SELECT extract(epoch FROM $1 - to_ts)::float8 / 86400 AS days FROM district_estimates ORDER BY to_ts DESC`,
      [new Date(T0)],
    );
    return rows.map(({ days }) => days);
  };
  const kept = await ages();
  expect(kept.filter((days) => days <= 60)).toHaveLength(121);
  const weekly = kept.filter((days) => days > 60);
  expect(weekly.length).toBeGreaterThanOrEqual(2);
  expect(weekly.length).toBeLessThanOrEqual(3);
  expect(Math.max(...weekly)).toBeLessThanOrEqual(80);
});
