import { describe, expect, it } from 'vitest';
import type { StoredReading } from '../../src/store/readings.ts';
import { readingsAround } from '../../src/store/task-evidence.ts';
import { city, DAY_MS, HOUR_MS, MINUTE_MS, opened, outage, T0 } from './fixture.ts';

/** A store whose instrument has reported every `periodMs` until `untilMs`. */
function reporting(periodMs: number, untilMs: number) {
  const asked: number[] = [];
  const range = async (key: number, fromMs: number, toMs: number, limit: number): Promise<StoredReading[]> => {
    asked.push(key);
    const first = Math.ceil(fromMs / periodMs) * periodMs;
    const readings: StoredReading[] = [];
    for (let tsMs = first; tsMs < Math.min(toMs, untilMs) && readings.length < limit; tsMs += periodMs) {
      readings.push({ tsMs, receivedAtMs: tsMs, values: { active_import_kwh: 1 } });
    }
    return readings;
  };
  return { range, asked };
}

describe('readingsAround', () => {
  it.each([
    ['every 15 minutes, nothing later yet', 15 * MINUTE_MS, T0, 96, 24 * HOUR_MS, 0],
    ['every 15 minutes, backfilled', 15 * MINUTE_MS, T0 + DAY_MS, 96, 18 * HOUR_MS, 24],
    ['hourly', HOUR_MS, T0 + DAY_MS, 48, 24 * HOUR_MS, 24],
    ['every minute', MINUTE_MS, T0 + DAY_MS, 96, 72 * MINUTE_MS, 24],
    ['every 10 seconds', 10_000, T0 + DAY_MS, 96, 12 * MINUTE_MS, 24],
  ])('%s', async (_, periodMs, untilMs, count, reachMs, later) => {
    const { range } = reporting(periodMs, untilMs);
    const around = await readingsAround(range, 1, T0);
    expect(around).toHaveLength(count);
    expect(T0 - around[0]!.tsMs).toBe(reachMs);
    expect(around.filter(({ tsMs }) => tsMs >= T0)).toHaveLength(later);
    expect(around.map(({ tsMs }) => tsMs)).toEqual(around.map(({ tsMs }) => tsMs).sort((a, b) => a - b));
  });
});

describe('evidence', () => {
  it('is the finding and the readings around it; a district shows its master', async () => {
    const { range, asked } = reporting(15 * MINUTE_MS, T0);
    const here = await city({ range });
    await here.findings.record([opened('silent', 3, T0), opened('clock', 4, T0), outage('D-2', T0)], new Date(T0));
    const [district, single] = (await here.tasks.list()).rows;
    expect((await here.tasks.get(single!.id)).evidence).toMatchObject([
      {
        rule: 'silent',
        fromMs: T0,
        severity: 'warning',
        reason: { code: 'silent' },
        instrument: 'M-3',
        readings: { length: 96 },
      },
    ]);
    expect((await here.tasks.get(district!.id)).evidence).toMatchObject([{ rule: 'outage', instrument: 'M-11' }]);
    expect(new Set(asked)).toEqual(new Set([3, 11]));

    asked.length = 0;
    await here.findings.record([opened('silent', 3, T0)], new Date(T0));
    expect(asked).toEqual([]);
    await here.close();
  });
});
