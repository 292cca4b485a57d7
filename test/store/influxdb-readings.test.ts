/** The readings store on a real InfluxDB 1.6 behind a front that gives it the write path of 1.8 and 2.x. */
import { afterAll, beforeAll, describe } from 'vitest';
import { InfluxReadings, type InfluxReadingsOptions } from '../../src/store/influxdb-readings.ts';
import { readingStoreConformance } from '../conformance/reading-store.ts';
import { INFLUXD, ORG, REQUIRED, TestInflux, TOKEN } from '../support/influxdb.ts';

const T0 = Date.UTC(2026, 2, 1);

describe.skipIf(INFLUXD === undefined && !REQUIRED)('InfluxDB', () => {
  let influx: TestInflux;
  const stores: InfluxReadings[] = [];
  beforeAll(async () => {
    influx = await TestInflux.start();
  });
  afterAll(async () => {
    for (const store of stores) await store.close();
    await influx?.stop();
  });

  function store(bucket: string, options: Partial<InfluxReadingsOptions> = {}): InfluxReadings {
    const opened = new InfluxReadings({
      url: influx.front.url,
      token: TOKEN,
      org: ORG,
      bucket,
      idOf: (key) => `M-${key}`,
      nowMs: () => T0,
      ...options,
    });
    stores.push(opened);
    return opened;
  }

  readingStoreConformance(
    'InfluxDB 1.6',
    async () => {
      await influx.query('CREATE DATABASE conformance');
      return { store: store('conformance'), reopen: () => store('conformance'), close: async () => {} };
    },
    { tellsWritersApart: false },
  );
});
