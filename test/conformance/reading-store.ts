/** What every readings store must do, whatever product keeps them. Run by one test file per adapter. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { orderedValues, type Reading } from '../../src/fleet/reading.ts';
import type { ReadingStore } from '../../src/store/readings.ts';

const T0 = Date.UTC(2026, 2, 1);
const MINUTE = 60_000;

const reading = (key: number, minute: number, kwh: number, extra = {}): Reading => ({
  key,
  tsMs: T0 + minute * MINUTE,
  values: orderedValues({ active_import_kwh: kwh, ...extra }),
});

export interface Ability {
  /** Of two writers with the same reading one learns that it came second. InfluxDB tells neither. */
  readonly tellsWritersApart: boolean;
}

export function readingStoreConformance(
  name: string,
  open: () => Promise<{ store: ReadingStore; reopen: () => ReadingStore; close: () => Promise<void> }>,
  { tellsWritersApart }: Ability = { tellsWritersApart: true },
): void {
  describe(`readings store: ${name}`, () => {
    let store: ReadingStore;
    let reopen: () => ReadingStore;
    let close: () => Promise<void>;
    beforeAll(async () => {
      ({ store, reopen, close } = await open());
    });
    afterAll(() => close());

    const times = async (key: number, from = 0, to = 10_000, limit = 1000) =>
      (await store.range(key, T0 + from * MINUTE, T0 + to * MINUTE, limit)).map(({ tsMs }) => (tsMs - T0) / MINUTE);

    test('an empty batch is nothing', async () => {
      expect(await store.append([])).toEqual({ stored: 0, duplicates: 0, conflicts: [] });
    });

    test('what was stored reads back exactly, in order of time, half open', async () => {
      const values = { voltage_v: 229.7, current_a: 0.001, active_power_w: -12.5 };
      const batch = [
        reading(1, 0, 0.1),
        reading(1, 15, 123456.78, values),
        reading(2, 15, 5),
        reading(1, 30, 123456.79),
      ];
      expect(await store.append(batch)).toEqual({ stored: 4, duplicates: 0, conflicts: [] });
      expect(await times(1)).toEqual([0, 15, 30]);
      expect(await times(1, 0, 30)).toEqual([0, 15]);
      expect(await times(1, 15, 31)).toEqual([15, 30]);
      expect(await times(1, 0, 31, 2)).toEqual([0, 15]);
      expect(await times(99)).toEqual([]);
      const [, second] = await store.range(1, T0, T0 + 31 * MINUTE, 10);
      expect(second!.values).toEqual({ active_import_kwh: 123456.78, ...values });
    });

    test('the same reading again is a duplicate, in a later batch and within one', async () => {
      expect(await store.append([reading(3, 0, 1), reading(3, 15, 2)])).toMatchObject({ stored: 2 });
      const again = [reading(3, 0, 1), reading(3, 15, 2), reading(3, 30, 3), reading(3, 30, 3)];
      expect(await store.append(again)).toEqual({ stored: 1, duplicates: 3, conflicts: [] });
      expect(await times(3)).toEqual([0, 15, 30]);
    });

    test('other values for the same moment are a conflict; the first stays', async () => {
      await store.append([reading(4, 0, 10)]);
      const result = await store.append([reading(4, 0, 11), reading(4, 15, 12), reading(4, 15, 13)]);
      expect(result).toMatchObject({ stored: 1, duplicates: 0 });
      expect([...result.conflicts].sort((a, b) => a.tsMs - b.tsMs)).toEqual([
        { key: 4, tsMs: T0, kept: { active_import_kwh: 10 }, refused: { active_import_kwh: 11 } },
        { key: 4, tsMs: T0 + 15 * MINUTE, kept: { active_import_kwh: 12 }, refused: { active_import_kwh: 13 } },
      ]);
      expect((await store.range(4, T0, T0 + 16 * MINUTE, 10)).map(({ values }) => values.active_import_kwh)).toEqual([
        10, 12,
      ]);
    });

    test('a quantity that was not reported differs from zero', async () => {
      await store.append([reading(5, 0, 1)]);
      expect((await store.append([reading(5, 0, 1, { voltage_v: 0 })])).conflicts).toHaveLength(1);
    });

    test('late and out-of-order readings are stored', async () => {
      await store.append([reading(6, 60, 4)]);
      expect(
        await store.append([reading(6, 30, 2), reading(6, 75, 5), reading(6, 15, 1), reading(6, 45, 3)]),
      ).toMatchObject({
        stored: 4,
      });
      expect(await times(6)).toEqual([15, 30, 45, 60, 75]);
    });

    test('readings days apart in one batch', async () => {
      const days = [0, 400, 3, 29].map((day) => reading(7, day * 1440, day));
      expect(await store.append(days)).toMatchObject({ stored: 4 });
      expect(await times(7, 0, 500 * 1440)).toEqual([0, 3 * 1440, 29 * 1440, 400 * 1440]);
    });

    test('a store opened on what another left behind keeps readings unique', async () => {
      await store.append([reading(8, 0, 1), reading(8, 15, 2)]);
      store = reopen();
      expect(await store.append([reading(8, 0, 1), reading(8, 15, 9), reading(8, 30, 3)])).toMatchObject({
        stored: 1,
        duplicates: 1,
        conflicts: [{ key: 8, tsMs: T0 + 15 * MINUTE }],
      });
      expect(await store.append([reading(8, 30, 3), reading(9, 0, 3)])).toMatchObject({ stored: 1, duplicates: 1 });
    });

    test('two writers with the same readings store each once', async () => {
      const other = reopen();
      const batch = Array.from({ length: 200 }, (_, i) => reading(10 + (i % 20), i, i));
      const results = await Promise.all([store.append(batch), other.append([...batch].reverse())]);
      expect(results.map((r) => r.stored + r.duplicates)).toEqual([200, 200]);
      expect(results.flatMap((r) => r.conflicts)).toEqual([]);
      const kept: Reading[] = [];
      const keys = Array.from({ length: 20 }, (_, i) => 10 + i);
      for await (const one of store.window(keys, T0, T0 + 200 * MINUTE)) kept.push(one);
      expect(kept).toEqual(batch);
      const stored = results[0]!.stored + results[1]!.stored;
      if (tellsWritersApart) expect(stored).toBe(200);
      else expect(stored).toBeGreaterThanOrEqual(200);
      expect(await reopen().append(batch)).toEqual({ stored: 0, duplicates: 200, conflicts: [] });
    });

    test('every double reads back as the same double', async () => {
      const values = [
        0.1 + 0.2,
        1 / 3,
        -1e-7,
        1e21,
        123456789.12345679,
        Number.MAX_SAFE_INTEGER,
        Number.MAX_VALUE,
        Number.MIN_VALUE,
        -0.0001,
      ];
      const batch = values.map((value, i) => reading(60, i, value, { active_power_w: -value }));
      expect(await store.append(batch)).toMatchObject({ stored: values.length });
      const back = await store.range(60, T0, T0 + 100 * MINUTE, 100);
      expect(back.map((one) => one.values.active_import_kwh)).toEqual(values);
      expect(back.map((one) => one.values.active_power_w)).toEqual(values.map((value) => -value));
      expect(await reopen().append(batch)).toEqual({ stored: 0, duplicates: values.length, conflicts: [] });
    });

    test('latest is by measurement time, also after a late reading', async () => {
      await store.append([reading(40, 45, 3), reading(41, 15, 1)]);
      await store.append([reading(40, 0, 1)]);
      const latest = await store.latest([40, 41, 42]);
      expect([...latest].map(([key, { tsMs }]) => [key, (tsMs - T0) / MINUTE])).toEqual([
        [40, 45],
        [41, 15],
      ]);
    });

    test('a window of several instruments comes ordered by time, then instrument', async () => {
      await store.append([reading(52, 15, 1), reading(51, 15, 2), reading(51, 0, 1), reading(52, 30, 2)]);
      const rows: [number, number][] = [];
      for await (const { key, tsMs } of store.window([51, 52], T0, T0 + 30 * MINUTE))
        rows.push([key, (tsMs - T0) / MINUTE]);
      expect(rows).toEqual([
        [51, 0],
        [51, 15],
        [52, 15],
      ]);
    });
  });
}
