/** PostgreSQL behind a network that falls silent: no connection breaks, and no answer comes. */
import type pg from 'pg';
import { Registry } from 'prom-client';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { loadDomain } from '../../src/config.ts';
import { orderedValues, type Reading } from '../../src/fleet/reading.ts';
import { IngestMetrics } from '../../src/ingest/metrics.ts';
import { Pipeline } from '../../src/pipeline.ts';
import { conflictFindings } from '../../src/rules/conflict.ts';
import { openPool, transaction } from '../../src/store/postgres.ts';
import { Commits } from '../../src/store/postgres-commits.ts';
import { PostgresReadings } from '../../src/store/postgres-readings.ts';
import { ledgerOf } from '../support/fleet.ts';
import { type TestDatabase, testDatabase } from '../support/postgres.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const T0 = Date.UTC(2026, 2, 1);
const MINUTE = 60_000;
const TIMEOUT_MS = 1_000;
/** Bytes of a commit of 3 000 readings, so that some of them are already inserted. */
const HALF = 100_000;

let db: TestDatabase;
let proxy: TcpProxy;
let pool: pg.Pool;
let store: PostgresReadings;
let nowMs: number;
beforeEach(async () => {
  db = await testDatabase();
  proxy = await TcpProxy.start(db.url);
  pool = openPool(proxy.through(db.url), undefined, undefined, TIMEOUT_MS);
  nowMs = T0;
  store = new PostgresReadings(pool, () => nowMs++, new Commits(pool, TIMEOUT_MS));
});
afterEach(async () => {
  await proxy.stop();
  await pool.end();
  await db.close();
});

const reading = (key: number, minute: number, kwh = minute): Reading => ({
  key,
  tsMs: T0 + minute * MINUTE,
  values: orderedValues({ active_import_kwh: kwh, voltage_v: 230.1 }),
});
const batchOf = (count: number, fromMinute = 0) =>
  Array.from({ length: count }, (_, i) => reading(i % 50, fromMinute + Math.floor(i / 50)));

async function rowsStored(): Promise<number> {
  const { rows } = await db.pool.query<{ n: number }>('SELECT count(*)::int AS n FROM readings');
  return rows[0]!.n;
}

/** Of those whose client has given up. */
async function backendsAtWork(): Promise<number> {
  const { rows } = await db.pool.query<{ n: number }>(
    `SELECT count(*)::int AS n FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'`,
  );
  return rows[0]!.n;
}

const NOTHING_PASSES = { requestsAfter: 0, answersAfter: 0 };

test.each([
  ['before the server has heard of it', NOTHING_PASSES, { stored: 3000, duplicates: 0 }],
  ['in the middle of the readings', { requestsAfter: HALF, answersAfter: HALF }, { stored: 3000, duplicates: 0 }],
  [
    'after the server has committed',
    { requestsAfter: Number.POSITIVE_INFINITY, answersAfter: HALF },
    { stored: 0, duplicates: 3000 },
  ],
])('a commit that falls silent %s is given up and its readings are stored once', async (_name, silence, counts) => {
  await store.append([reading(99, 0)]);
  const batch = batchOf(3000);
  const silent = proxy.fallSilent(silence);
  const given = expect(store.append(batch)).rejects.toThrow('no answer within 1000 ms');
  const behind = store.append([reading(98, 0)]);
  await Promise.all([silent, given]);
  proxy.heal();
  await Promise.allSettled([behind]); // waited for it, and for nothing longer
  expect(await store.append(batch)).toEqual({ ...counts, conflicts: [] });
  expect(await store.append([reading(98, 0)])).toMatchObject({ conflicts: [] });
  expect(await rowsStored()).toBe(3002);
  expect(await backendsAtWork()).toBe(0);
  proxy.deliver(); // what was lost arrives after all, and changes nothing
  expect(await store.append(batch)).toEqual({ stored: 0, duplicates: 3000, conflicts: [] });
  expect(await rowsStored()).toBe(3002);
});

test('a contradiction is one whatever became of the first attempt', async () => {
  await store.append([reading(99, 0)]);
  const batch = [...batchOf(3000), reading(0, 0, 7)];
  const silent = proxy.fallSilent({ requestsAfter: Number.POSITIVE_INFINITY, answersAfter: HALF });
  await Promise.all([silent, expect(store.append(batch)).rejects.toThrow('no answer')]);
  proxy.heal();
  const { stored, duplicates, conflicts } = await store.append(batch);
  expect(stored + duplicates).toBe(3000);
  expect(conflicts).toMatchObject([{ key: 0, tsMs: T0, refused: { active_import_kwh: 7 } }]);
});

test('any other query is given up too, and the next one has another connection', async () => {
  expect((await pool.query('SHOW idle_in_transaction_session_timeout')).rows).toEqual([
    { idle_in_transaction_session_timeout: '10s' },
  ]);
  const silent = proxy.fallSilent(NOTHING_PASSES);
  const given = [
    expect(pool.query('SELECT 1')).rejects.toThrow('timeout'),
    expect(transaction(pool, (client) => client.query('SELECT 1'))).rejects.toThrow('timeout'),
  ];
  await Promise.all([silent, given[0]]);
  proxy.heal();
  await Promise.allSettled(given);
  expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  expect(pool.totalCount).toBe(pool.idleCount);
});

test('what is acknowledged over a silence is stored exactly once', async () => {
  const { kinds, profiles, rules } = loadDomain();
  const registry = new Registry();
  const failed = Promise.withResolvers<void>();
  const pipeline = new Pipeline({
    ledger: ledgerOf({ key: 1, id: 'M-1', gateway: 'GW-1' }),
    kinds,
    profiles,
    limits: { maxPayloadBytes: 262_144, maxFutureMs: 300_000, maxAgeMs: 800 * 86_400_000 },
    store,
    reject: async () => {},
    record: async () => {},
    evaluate: () => [],
    conflictFindings: (conflicts) => conflictFindings(rules, conflicts),
    metrics: new IngestMetrics(registry),
    nowMs: () => T0 + 300 * MINUTE,
    onError: () => failed.resolve(),
  });
  const acknowledged: Promise<number>[] = [];
  const send = (minute: number) => {
    const payload = { 'M-1': [{ ts: T0 + minute * MINUTE, values: { active_import_kwh: minute } }] };
    const message = { client: 'GW-1', topic: 'v1/gateway/telemetry', payload: Buffer.from(JSON.stringify(payload)) };
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    pipeline.receive(message, (outcome) => (outcome === 'accepted' ? resolve(minute) : reject(new Error(outcome))));
    acknowledged.push(promise);
    return promise;
  };
  await send(0);
  const silent = proxy.fallSilent({ requestsAfter: Number.POSITIVE_INFINITY, answersAfter: 100 });
  for (let minute = 1; minute < 20; minute++) send(minute);
  await silent;
  for (let minute = 20; minute < 40; minute++) send(minute);
  await failed.promise;
  proxy.heal();
  expect(await Promise.all(acknowledged)).toEqual(Array.from({ length: 40 }, (_, i) => i));
  const { rows } = await db.pool.query('SELECT active_import_kwh AS kwh FROM readings ORDER BY ts');
  expect(rows.map(({ kwh }) => kwh)).toEqual(Array.from({ length: 40 }, (_, i) => i));
  await pipeline.stop();
  const sum = async (name: string) =>
    (await registry.getSingleMetric(`meterwarden_readings_${name}`)!.get()).values.reduce(
      (n, { value }) => n + value,
      0,
    );
  expect(await sum('received_total')).toBe(40);
  expect((await sum('stored_total')) + (await sum('duplicate_total'))).toBe(40);
});
