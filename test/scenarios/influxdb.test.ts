/** Readings acknowledged through the real pipeline while a real InfluxDB is killed and comes back. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Random } from '../../simulators/random.ts';
import { loadDomain } from '../../src/config.ts';
import type { Reading } from '../../src/fleet/reading.ts';
import type { Message } from '../../src/ingest/decode.ts';
import { IngestMetrics } from '../../src/ingest/metrics.ts';
import { Pipeline } from '../../src/pipeline.ts';
import { conflictFindings } from '../../src/rules/conflict.ts';
import { InfluxReadings } from '../../src/store/influxdb-readings.ts';
import type { Rejection } from '../../src/store/postgres-rejections.ts';
import { ledgerOf } from '../support/fleet.ts';
import { INFLUXD, ORG, REQUIRED, TestInflux, TOKEN } from '../support/influxdb.ts';

const { kinds, profiles, rules } = loadDomain();
const GATEWAY = 'v1/gateway/telemetry';
const MINUTE_MS = 60_000;
const INSTRUMENTS = 50;
const ROUNDS = 120;
const KILLS = 3;

describe.skipIf(INFLUXD === undefined && !REQUIRED)('InfluxDB killed under load', () => {
  let influx: TestInflux;
  beforeAll(async () => {
    influx = await TestInflux.start();
    await influx.query('CREATE DATABASE city');
  });
  afterAll(async () => {
    await influx?.stop();
  });

  const ledger = ledgerOf(...Array.from({ length: INSTRUMENTS }, (_, i) => ({ key: i + 1, gateway: `GW-${i % 5}` })));
  const keys = Array.from({ length: INSTRUMENTS }, (_, i) => i + 1);
  const startMs = Date.now() - ROUNDS * MINUTE_MS;
  const open = () =>
    new InfluxReadings({
      url: influx.front.url,
      token: TOKEN,
      org: ORG,
      bucket: 'city',
      idOf: (key) => ledger.byKey(key)?.id,
      keys: () => [],
      nowMs: Date.now,
    });

  function pipelineOn(store: InfluxReadings) {
    const registry = new Registry();
    const evaluated: Reading[] = [];
    const rejections: Rejection[] = [];
    const errors: unknown[] = [];
    const pipeline = new Pipeline({
      ledger,
      kinds,
      profiles,
      limits: { maxPayloadBytes: 256 * 1024, maxFutureMs: 5 * MINUTE_MS, maxAgeMs: 800 * 86_400_000 },
      store,
      reject: async (given) => void rejections.push(...given),
      record: async () => {},
      evaluate: (readings) => {
        evaluated.push(...readings);
        return [];
      },
      conflictFindings: (conflicts) => conflictFindings(rules, conflicts),
      metrics: new IngestMetrics(registry),
      nowMs: Date.now,
      onError: (_, error) => void errors.push(error),
    });
    /** Sent until it is taken, as a gateway does. */
    const publish = async (message: Message): Promise<void> => {
      for (;;) {
        const outcome = await new Promise((settle) => pipeline.receive(message, settle));
        if (outcome === 'accepted') return;
        await sleep(50);
      }
    };
    const metric = async (name: string) => {
      const { values } = await registry.getSingleMetric(`meterwarden_readings_${name}`)!.get();
      return values.reduce((sum, { value }) => sum + value, 0);
    };
    return { pipeline, publish, metric, evaluated, rejections, errors };
  }

  it('loses nothing that was acknowledged and stores nothing twice', async () => {
    const seed = Number(process.env.SEED ?? 1);
    console.log(`seed ${seed}`);
    const random = new Random(seed);
    const store = open();
    const { pipeline, publish, metric, evaluated, errors } = pipelineOn(store);
    const sent: [number, number, number][] = [];
    let acknowledged = 0;
    const under: Promise<void>[] = [];
    const kills = new Set(
      Array.from({ length: KILLS }, (_, i) => Math.floor(((i + random.below(100) / 100) * ROUNDS) / KILLS)),
    );
    let outage: Promise<void> | undefined;
    for (let round = 0; round < ROUNDS; round++) {
      for (let gateway = 0; gateway < 5; gateway++) {
        const payload: Record<string, unknown> = {};
        for (const key of keys.filter((key) => (key - 1) % 5 === gateway)) {
          const kwh = key * 1000 + round / 7;
          payload[`M-${key}`] = [{ ts: startMs + round * MINUTE_MS, values: { active_import_kwh: kwh } }];
          sent.push([key, startMs + round * MINUTE_MS, kwh]);
        }
        const message = { client: `GW-${gateway}`, topic: GATEWAY, payload: Buffer.from(JSON.stringify(payload)) };
        under.push(publish(message).then(() => void acknowledged++));
      }
      if (kills.has(round)) {
        await outage;
        outage = sleep(random.below(20))
          .then(() => influx.kill())
          .then(() => sleep(200 + random.below(1000)))
          .then(() => influx.run());
      }
      await sleep(random.below(25));
    }
    await outage;
    await Promise.all(under);
    await pipeline.stop();
    expect(acknowledged).toBe(ROUNDS * 5);
    expect(errors.length).toBeGreaterThanOrEqual(KILLS);

    const kept: [number, number, number][] = [];
    for await (const { key, tsMs, values } of open().window(keys, startMs, Date.now()))
      kept.push([key, tsMs, values[0]!]);
    expect(kept, `seed ${seed}`).toEqual(sent.sort((a, b) => a[1] - b[1] || a[0] - b[0]));
    // The answer of a batch that was stored may have been lost: sent again it is known.
    const [stored, duplicate, received] = [
      await metric('stored_total'),
      await metric('duplicate_total'),
      await metric('received_total'),
    ];
    expect(stored + duplicate + (await metric('rejected_total')) + (await metric('in_flight'))).toBe(received);
    expect(await metric('in_flight')).toBe(0);
    expect(new Set(evaluated.map(({ key, tsMs }) => `${key}@${tsMs}`)).size).toBe(sent.length);
    await store.close();
  });

  it('puts what InfluxDB does not take on record and acknowledges the rest', async () => {
    await influx.query('CREATE DATABASE other');
    await influx.write('other', `readings,instrument=other voltage_v=1i ${startMs}`);
    const store = new InfluxReadings({
      url: influx.front.url,
      token: TOKEN,
      org: ORG,
      bucket: 'other',
      idOf: (key) => ledger.byKey(key)?.id,
      keys: () => [],
      nowMs: Date.now,
    });
    const { pipeline, metric, evaluated, rejections } = pipelineOn(store);
    const payload = {
      'M-1': [
        { ts: startMs, values: { active_import_kwh: 1 } },
        { ts: startMs + MINUTE_MS, values: { active_import_kwh: 2, voltage_v: 229.7 } },
      ],
      'M-6': [{ ts: startMs, values: { voltage_v: 230 } }],
    };
    const settled = vi.fn();
    pipeline.receive({ client: 'GW-0', topic: GATEWAY, payload: Buffer.from(JSON.stringify(payload)) }, settled);
    await vi.waitFor(() => expect(settled).toHaveBeenCalled(), { timeout: 5_000, interval: 5 });
    const [outcome, decoded] = settled.mock.calls[0]!;
    expect(outcome).toBe('accepted');
    expect(decoded.readings).toHaveLength(1);
    expect(rejections).toEqual([
      expect.objectContaining({
        code: 'not_stored',
        client: 'GW-0',
        readings: 1,
        params: {
          instrument: 'M-1',
          ts: new Date(startMs + MINUTE_MS).toISOString(),
          reason: expect.stringMatching(/field type conflict/),
        },
      }),
      expect.objectContaining({ code: 'not_stored', params: expect.objectContaining({ instrument: 'M-6' }) }),
    ]);
    expect(decoded.refusals).toHaveLength(2);
    expect(evaluated).toHaveLength(1);
    expect(await metric('received_total')).toBe(3);
    expect(await metric('stored_total')).toBe(1);
    expect(await metric('rejected_total')).toBe(2);
    expect(await metric('in_flight')).toBe(0);
    await pipeline.stop();
    await store.close();
  });
});
