/** The write path on a server that speaks `/api/v2/write` itself: VictoriaMetrics, read back through its export. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { orderedValues, type Reading } from '../../src/fleet/reading.ts';
import { InfluxConnection } from '../../src/store/influxdb-connection.ts';
import { InfluxQueries } from '../../src/store/influxdb-queries.ts';
import { InfluxWriter } from '../../src/store/influxdb-writing.ts';
import { REQUIRED, TestVictoria, VICTORIA } from '../support/influxdb.ts';

const T0 = Date.UTC(2026, 2, 1);
const IDS = ['M-1', 'a,b c=d', 'it\'s "quoted"', '电表-🌡️', 'two\nlines'];

describe.skipIf(VICTORIA === undefined && !REQUIRED)('/api/v2/write of VictoriaMetrics', () => {
  let victoria: TestVictoria;
  beforeAll(async () => {
    victoria = await TestVictoria.start();
  });
  afterAll(async () => {
    await victoria?.stop();
  });

  it('takes every line of a batch larger than one request', async () => {
    const connection = new InfluxConnection({ url: victoria.url, token: 'none', org: 'city', bucket: 'readings' });
    const idOf = (key: number) => IDS[key - 1] ?? `M-${key}`;
    const writer = new InfluxWriter(connection, new InfluxQueries(connection, idOf), idOf);
    const batch = Array.from(
      { length: 12_000 },
      (_, i): Reading => ({
        key: 1 + (i % 400),
        tsMs: T0 + Math.floor(i / 400) * 900_000,
        values: orderedValues({ active_import_kwh: 1000 + i / 100, ...(i % 2 ? { voltage_v: 229.7 } : {}) }),
      }),
    );
    const refused = await writer.write(batch, T0 * 1000, performance.now() + 15_000);
    expect([...refused.values()]).toEqual([]);
    connection.close();

    const series = await victoria.exported('readings_active_import_kwh');
    const found = new Map(series.map((one) => [one.metric.instrument, one]));
    expect(found.size).toBe(400);
    for (const key of [1, 2, 3, 4, 5, 400]) {
      const mine = batch.filter((one) => one.key === key);
      const { values, timestamps } = found.get(idOf(key).replace('\n', '%0A'))!;
      expect(timestamps).toEqual(mine.map(({ tsMs }) => tsMs));
      expect(values).toEqual(mine.map((one) => one.values[0]));
    }
    expect(await victoria.exported('readings_voltage_v')).toHaveLength(200);
    const [received] = await victoria.exported('readings_received_us{instrument="M-1"}');
    expect(new Set(received!.values)).toEqual(new Set([T0 * 1000]));
  });
});
