import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openAccuracy } from '../../src/app/accuracy.ts';
import { loadDomain } from '../../src/config.ts';
import { type City, city, DAY_MS, HOUR_MS, MINUTE_MS, T0 } from '../tasks/fixture.ts';

let here: City;
beforeEach(async () => {
  here = await city();
});
afterEach(() => here.close());

/** Runs of D-1 whose windows end so many hours before T0, with an estimate of M-2. */
async function estimated(hours: readonly number[], state = 'done'): Promise<void> {
  await here.sql(
    `WITH runs AS (
       INSERT INTO district_estimates (district, region, to_ts, asked_by, asked_at, state, from_ts)
       SELECT 'D-1', '220302', to_ts, 'chief', to_ts, $2, to_ts - interval '49 days' FROM unnest($1::timestamptz[]) AS to_ts RETURNING id
     )
     INSERT INTO meter_estimates (run, instrument, mpe_pct, verdict, rows_used, rows_refused) SELECT id, 2, 2, 'ok', 0, 0 FROM runs`,
    [hours.map((before) => new Date(T0 - before * HOUR_MS)), state],
  );
}

const estimates = () => openAccuracy(loadDomain(), here.pool, here.ledger, here.findings).estimates;
/** Hours before T0 at which the windows end that count. */
async function counted(count: number, sinceMs = Number.NEGATIVE_INFINITY): Promise<number[]> {
  const seen = await estimates().seen(await estimates().before('D-1', sinceMs, T0, count));
  return seen.map(({ toMs }) => (T0 - toMs) / HOUR_MS);
}

describe('windows that confirm each other', () => {
  test('end most of a day apart, whatever is asked for in between', async () => {
    // Every quarter of an hour for a month: more than a thousand hide the night before that.
    await estimated(Array.from({ length: 30 * 96 }, (_, k) => k / 4));
    expect(await counted(3)).toEqual([20, 40, 60]);
    expect(await counted(30)).toHaveLength(30);
  });

  test.each<[string, readonly number[], number, readonly number[]]>([
    ['nights', [0, 24, 48, 72], 2, [24, 48]],
    ['two nights of a short day', [23, 47], 2, [23, 47]],
    ['asked for an hour ago', [1, 2, 25], 1, [25]],
    ['none', [], 3, []],
    ['asked for in the evening of the night before', [9, 24, 33, 48], 2, [24, 48]],
    ['none asked for', [24], 0, []],
  ])('%s', async (_, hours, count, expected) => {
    await estimated(hours);
    expect(await counted(count)).toEqual(expected);
  });

  test('are done, of this district, and after a replacement', async () => {
    await estimated([24, 72]);
    await estimated([48], 'failed');
    await here.sql(`INSERT INTO district_estimates (district, region, to_ts, asked_by, asked_at, state)
      VALUES ('D-2', '220303', now(), 'chief', now(), 'done')`);
    expect(await counted(3)).toEqual([24, 72]);
    expect(await counted(3, T0 - 60 * HOUR_MS)).toEqual([24]);
  });
});

test('the history in the evidence is one estimate a day, of windows before this one', async () => {
  const quarters = Array.from({ length: 96 * 3 }, (_, k) => k / 4 - 1);
  await estimated(quarters);
  const points = await estimates().points(2, T0);
  // T0 is eight in the morning (UTC).
  expect(points.map(({ toMs }) => (T0 - toMs) / MINUTE_MS)).toEqual(
    [56.25, 32.25, 8.25, 0.25].map((hours) => hours * 60),
  );
  expect(points.at(-1)!.toMs).toBeLessThan(T0);
  expect((await estimates().points(2, T0 - 2 * DAY_MS)).length).toBeLessThan(points.length);
});
