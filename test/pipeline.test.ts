import { Registry } from 'prom-client';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { Random } from '../simulators/random.ts';
import { loadDomain } from '../src/config.ts';
import type { Finding } from '../src/fleet/finding.ts';
import type { Reading } from '../src/fleet/reading.ts';
import type { Message } from '../src/ingest/decode.ts';
import { IngestMetrics } from '../src/ingest/metrics.ts';
import { type Outcome, Pipeline, type PipelineParts } from '../src/pipeline.ts';
import { conflictFindings } from '../src/rules/conflict.ts';
import { PostgresReadings } from '../src/store/postgres-readings.ts';
import { insertRejections, listRejections } from '../src/store/postgres-rejections.ts';
import type { AppendResult, ReadingStore } from '../src/store/readings.ts';
import { type City, city, MINUTE_MS, opened, T0 } from './tasks/fixture.ts';

const { kinds, profiles, rules } = loadDomain();
const DEVICE = 'v1/devices/me/telemetry';
const MAX_PAYLOAD_BYTES = 256 * 1024;
/** As src/pipeline.ts says. */
const MAX_WAIT_MS = 20_000;
const MAX_WAITING_MESSAGES = 100_000;
const MAX_WAITING_BYTES = 256 * 1024 * 1024;
const MAX_UNRECORDED = 1_000;

/** Work of the database that can be held up, and fail a number of times before it is done or after. */
class Fickle {
  calls = 0;
  failBefore = 0;
  failAfter = 0;
  #gate: Promise<void> = Promise.resolve();
  #arrived: (() => void) | undefined;

  /** Until the result is called, calls wait. */
  hold(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#gate = promise;
    return resolve;
  }

  /** Resolves at the next call. */
  get called(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#arrived = resolve;
    return promise;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    this.calls++;
    this.#arrived?.();
    await this.#gate;
    if (this.failBefore-- > 0) throw new Error('out of order');
    const result = await work();
    if (this.failAfter-- > 0) throw new Error('the answer got lost');
    return result;
  }
}

let here: City;
let nowMs: number;
let registry: Registry;
let store: Fickle;
let reject: Fickle;
let record: Fickle;
let evaluated: Reading[][];
let evaluate: PipelineParts['evaluate'];
/** Why the store does not take a reading, whatever is tried. */
let unstorable: (reading: Reading) => string | undefined;
let errors: string[];
let settled: { readonly name: string; readonly outcome: Outcome; readonly log: number }[];
let log: string[];
let pipeline: Pipeline;

beforeAll(async () => {
  here = await city();
});
afterAll(async () => {
  await here.close();
});

beforeEach(async () => {
  await here.clear();
  await here.pool.query('TRUNCATE readings, rejections');
  nowMs = T0;
  registry = new Registry();
  store = new Fickle();
  reject = new Fickle();
  record = new Fickle();
  evaluated = [];
  evaluate = (readings) => {
    evaluated.push([...readings]);
    return [];
  };
  unstorable = () => undefined;
  errors = [];
  settled = [];
  log = [];
  const readings = new PostgresReadings(here.pool, () => nowMs);
  const fickleStore: ReadingStore = {
    append: (batch) =>
      checked(() =>
        store.run(async (): Promise<AppendResult> => {
          const refused = batch.flatMap((one) => {
            const reason = unstorable(one);
            return reason === undefined ? [] : [{ key: one.key, tsMs: one.tsMs, reason }];
          });
          const result = await readings.append(batch.filter((one) => unstorable(one) === undefined));
          return refused.length > 0 ? { ...result, refused } : result;
        }),
      ).then((result) => {
        log.push('stored');
        return result;
      }),
    range: (...args) => readings.range(...args),
    latest: (keys) => readings.latest(keys),
    window: (...args) => readings.window(...args),
  };
  pipeline = new Pipeline({
    ledger: here.ledger,
    kinds,
    profiles,
    limits: { maxPayloadBytes: MAX_PAYLOAD_BYTES, maxFutureMs: 5 * MINUTE_MS, maxAgeMs: 800 * 86_400_000 },
    store: fickleStore,
    reject: (rejections) =>
      checked(() => reject.run(() => insertRejections(here.pool, rejections))).then(() => void log.push('rejected')),
    record: (findings) =>
      checked(() => record.run(() => here.findings.record(findings, new Date(nowMs)))).then(
        () => void log.push('recorded'),
      ),
    evaluate: (...args) => evaluate(...args),
    conflictFindings: (conflicts) => conflictFindings(rules, conflicts),
    metrics: new IngestMetrics(registry),
    nowMs: () => nowMs,
    onError: (stage, error) => errors.push(`${stage}: ${(error as Error).message ?? error}`),
  });
});

/** Nothing may be lost or counted twice, neither before nor after the work of the database. */
async function checked<T>(work: () => Promise<T>): Promise<T> {
  await expectBalance();
  try {
    return await work();
  } finally {
    await expectBalance();
  }
}

interface Balance {
  readonly received: number;
  readonly stored: number;
  readonly duplicate: number;
  readonly rejected: number;
  readonly inFlight: number;
}

async function balance(): Promise<Balance> {
  const names = ['received_total', 'stored_total', 'duplicate_total', 'rejected_total', 'in_flight'];
  const metrics = await Promise.all(
    names.map((name) => registry.getSingleMetric(`meterwarden_readings_${name}`)!.get()),
  );
  // Metrics hand out their living values: read at one moment here, they belong together.
  const [received, stored, duplicate, rejected, inFlight] = metrics.map(({ values }) =>
    values.reduce((sum, { value }) => sum + value, 0),
  ) as [number, number, number, number, number];
  return { received, stored, duplicate, rejected, inFlight };
}

async function expectBalance(): Promise<Balance> {
  const now = await balance();
  expect(now.stored + now.duplicate + now.rejected + now.inFlight, JSON.stringify(now)).toBe(now.received);
  expect(now.inFlight).toBeGreaterThanOrEqual(0);
  return now;
}

function message(client: string, payload: unknown, topic = DEVICE): Message {
  return { client, topic, payload: Buffer.from(typeof payload === 'string' ? payload : JSON.stringify(payload)) };
}

function telemetry(client: string, minute: number, kwh = 100 + minute / 10): Message {
  return message(client, { ts: T0 - 100 * MINUTE_MS + minute * MINUTE_MS, values: { active_import_kwh: kwh } });
}

function receive(name: string, given: Message): void {
  pipeline.receive(given, (outcome) => void settled.push({ name, outcome, log: log.length }));
}

function outcomes(): string[] {
  return settled.map(({ name, outcome }) => `${name} ${outcome}`);
}

async function settledAll(count: number): Promise<void> {
  await vi.waitFor(() => expect(settled.length).toBeGreaterThanOrEqual(count), { timeout: 10_000, interval: 1 });
}

async function stored(client: string): Promise<number[]> {
  const { rows } = await here.pool.query<{ minute: number }>(
    `SELECT round((extract(epoch FROM ts) * 1000 - $2::float8) / 60000 + 100)::int AS minute
     FROM readings JOIN instruments ON key = instrument WHERE id = $1 ORDER BY ts`,
    [client, T0],
  );
  return rows.map(({ minute }) => minute);
}

describe('acknowledgement', () => {
  it('waits for the store, and what arrives meanwhile shares the next commit', async () => {
    const release = store.hold();
    receive('a', telemetry('M-1', 1));
    receive('b', telemetry('M-2', 1));
    await store.called;
    receive('c', telemetry('M-1', 2));
    receive('d', telemetry('M-2', 2));
    expect(await stored('M-1')).toEqual([]);
    expect(settled).toEqual([]);
    expect(evaluated).toEqual([]);
    expect(await expectBalance()).toMatchObject({ received: 4, inFlight: 4 });

    release();
    await settledAll(4);
    expect(outcomes()).toEqual(['a accepted', 'b accepted', 'c accepted', 'd accepted']);
    expect(store.calls).toBe(2);
    expect(await stored('M-1')).toEqual([1, 2]);
    expect(evaluated.map((batch) => batch.length)).toEqual([2, 2]);
    expect(await expectBalance()).toMatchObject({ received: 4, stored: 4, inFlight: 0 });
  });

  it('comes after every part of its own commit', async () => {
    receive('a', telemetry('M-1', 1, 100));
    await settledAll(1);
    receive('b', message('M-1', 'not JSON'));
    receive('c', telemetry('M-1', 1, 200)); // contradicts a
    await settledAll(3);
    expect(log).toEqual(['stored', 'stored', 'rejected', 'recorded']);
    expect(settled.map(({ log }) => log)).toEqual([1, 4, 4]);
  });

  it('comes once for every message in order of receipt, whatever becomes of it', async () => {
    const seed = Number(process.env.SEED ?? 1);
    console.log(`seed ${seed}`);
    const random = new Random(seed);
    const expected: string[] = [];
    const counts = { stored: 0, duplicate: 0, rejected: 0 };
    let minute = 0;
    for (let i = 0; i < 300; i++) {
      const client = `M-${1 + random.below(20)}`;
      const kind = random.below(4);
      if (kind === 0) {
        receive(`${i}`, message(client, '{"ts": '));
        counts.rejected++;
      } else if (kind === 1) {
        receive(`${i}`, message('M-1', { ts: T0, values: { voltage_v: 230 } })); // the same again and again
        counts.duplicate++;
      } else {
        receive(`${i}`, telemetry(client, minute++ / 60));
        counts.stored++;
      }
      expected.push(`${i} accepted`);
      if (random.below(15) === 0) store.failBefore = 1;
      if (random.below(3) === 0) await new Promise(setImmediate);
      if (random.below(20) === 0) await expectBalance();
      if (random.below(25) === 0) await settledAll(i + 1);
    }
    await settledAll(300);
    expect(outcomes(), `seed ${seed}`).toEqual(expected);
    expect(await expectBalance()).toEqual({
      received: 300,
      stored: counts.stored + 1,
      duplicate: counts.duplicate - 1,
      rejected: counts.rejected,
      inFlight: 0,
    });
    expect((await here.pool.query('SELECT 1 FROM readings')).rowCount).toBe(counts.stored + 1);
  });
});

describe('a store in trouble', () => {
  it('is tried again, and nothing is acknowledged before', async () => {
    store.failBefore = 2;
    const third = store.called.then(() => store.called).then(() => store.called);
    const release = store.hold();
    receive('a', telemetry('M-1', 1));
    receive('b', message('M-2', 'not JSON'));
    release();
    await third;
    expect(settled).toEqual([]);
    expect(reject.calls).toBe(0);
    await settledAll(2);
    expect(outcomes()).toEqual(['a accepted', 'b accepted']);
    expect(errors).toEqual(['store: out of order', 'store: out of order']);
    expect(await stored('M-1')).toEqual([1]);
    expect(evaluated).toHaveLength(1);
  });

  it('whose answer got lost is asked again, which stores nothing twice and leaves nothing unjudged', async () => {
    store.failAfter = 1;
    receive('a', telemetry('M-1', 1));
    await settledAll(1);
    expect(outcomes()).toEqual(['a accepted']);
    expect(await stored('M-1')).toEqual([1]);
    expect(evaluated).toHaveLength(1);
    expect(await expectBalance()).toMatchObject({ received: 1, stored: 0, duplicate: 1, inFlight: 0 });
  });

  it('that stays down makes messages go back to their senders when they have waited long enough', async () => {
    store.failBefore = Number.POSITIVE_INFINITY;
    receive('a', telemetry('M-1', 1));
    await store.called;
    receive('b', telemetry('M-2', 1));
    nowMs += MAX_WAIT_MS - 1;
    await store.called;
    expect(settled).toEqual([]);
    expect(pipeline.stalledMs).toBe(MAX_WAIT_MS - 1);
    nowMs += 1;
    await settledAll(2);
    expect(outcomes()).toEqual(['a shed', 'b shed']);
    expect(errors.filter((error) => error.startsWith('commit'))).toEqual([
      'commit: out of order',
      'commit: out of order',
    ]);
    expect(await expectBalance()).toMatchObject({ received: 2, stored: 0, rejected: 2, inFlight: 0 });
    expect(pipeline.stalledMs).toBe(0);

    store.failBefore = 0;
    receive('a again', telemetry('M-1', 1));
    await settledAll(3);
    expect(outcomes().at(-1)).toBe('a again accepted');
    expect(await expectBalance()).toMatchObject({ received: 3, stored: 1, rejected: 2 });
  });

  it('that does not answer at all holds no message for ever', async () => {
    const release = store.hold();
    receive('a', telemetry('M-1', 1));
    nowMs += MAX_WAIT_MS; // it has waited long already: one attempt of two seconds is left to it
    await settledAll(1);
    expect(outcomes()).toEqual(['a shed']);
    expect(errors).toEqual(['commit: no answer within 2000 ms']);

    // Stored in the end, it goes through the rules although its sender will send it again.
    release();
    await vi.waitFor(() => expect(evaluated).toHaveLength(1));
    receive('a again', telemetry('M-1', 1));
    await settledAll(2);
    expect(outcomes()).toEqual(['a shed', 'a again accepted']);
    expect(await expectBalance()).toMatchObject({ received: 2, duplicate: 1, rejected: 1, inFlight: 0 });
  });

  it('gives a message that waited too long behind others one attempt all the same', async () => {
    const release = store.hold();
    receive('a', telemetry('M-1', 1));
    await store.called;
    receive('b', telemetry('M-2', 1));
    nowMs += 2 * MAX_WAIT_MS;
    release();
    await settledAll(2);
    expect(outcomes()).toEqual(['a accepted', 'b accepted']);
  });
});

describe('too much', () => {
  it('sheds the message after the last one that may wait, at once, and takes new ones when there is room', async () => {
    const release = store.hold();
    const payload = Buffer.from('{}');
    const nothing = { client: 'M-1', topic: DEVICE, payload };
    let accepted = 0;
    for (let i = 0; i < MAX_WAITING_MESSAGES; i++) pipeline.receive(nothing, () => accepted++);
    expect(accepted).toBe(0);
    receive('one too many', telemetry('M-1', 1));
    expect(outcomes()).toEqual(['one too many shed']);
    expect(await expectBalance()).toMatchObject({
      received: MAX_WAITING_MESSAGES + 1,
      rejected: 1,
      inFlight: MAX_WAITING_MESSAGES,
    });
    await store.called;
    receive('room again', telemetry('M-1', 1)); // the first commit has taken some
    reject.failBefore = 0;
    release();
    await settledAll(2);
    expect(accepted).toBe(MAX_WAITING_MESSAGES);
    expect(outcomes()).toEqual(['one too many shed', 'room again accepted']);
    expect(await expectBalance()).toMatchObject({ stored: 1, rejected: MAX_WAITING_MESSAGES + 1, inFlight: 0 });
  });

  it('counts bytes as well as messages', async () => {
    const release = store.hold();
    const payload = Buffer.alloc(MAX_PAYLOAD_BYTES, 'x');
    let accepted = 0;
    for (let i = 0; i < MAX_WAITING_BYTES / MAX_PAYLOAD_BYTES; i++)
      pipeline.receive({ client: 'M-1', topic: DEVICE, payload }, () => accepted++);
    receive('too many bytes', telemetry('M-1', 1));
    expect(outcomes()).toEqual(['too many bytes shed']);
    release();
    await vi.waitFor(() => expect(accepted).toBe(MAX_WAITING_BYTES / MAX_PAYLOAD_BYTES), { timeout: 10_000 });
    receive('room again', telemetry('M-1', 1));
    await settledAll(2);
    expect(outcomes()).toEqual(['too many bytes shed', 'room again accepted']);
  });

  it('counts findings that wait to be recorded', async () => {
    const release = record.hold();
    for (let i = 0; i < MAX_UNRECORDED; i++) pipeline.found([opened('silent', 1, T0)]);
    receive('a', telemetry('M-1', 1));
    expect(outcomes()).toEqual(['a shed']);
    release();
    await pipeline.recorded();
    receive('b', telemetry('M-1', 1));
    await settledAll(2);
    expect(outcomes()).toEqual(['a shed', 'b accepted']);
  });
});

describe('what is refused', () => {
  it('is kept with its reason and the beginning of the message, beside the good readings of the same message', async () => {
    const good = { ts: T0, values: { active_import_kwh: 1 } };
    const bad = { ts: T0 + 6 * MINUTE_MS, values: { active_import_kwh: 2 } };
    const long = { ts: T0, values: { active_import_kwh: 'x'.repeat(5_000) } };
    receive('mixed', message('M-1', [good, bad]));
    receive('long', message('M-2', long));
    receive('foreign', message('M-3', 'x', 'not/ours\0'));
    await settledAll(3);
    expect(outcomes()).toEqual(['mixed accepted', 'long accepted', 'foreign accepted']);
    const { rows } = await listRejections(here.pool, { limit: 10 });
    const kept = Object.fromEntries(rows.map((row) => [row.code, row]));
    expect(Object.keys(kept).sort()).toEqual(['future_timestamp', 'not_a_number', 'unknown_topic']);
    expect(kept.future_timestamp).toMatchObject({
      client: 'M-1',
      topic: DEVICE,
      path: '[1].ts',
      atMs: T0,
      readings: 1,
      payload: Buffer.from(JSON.stringify([good, bad])),
    });
    const longPayload = Buffer.from(JSON.stringify(long));
    expect(kept.not_a_number!.payload).toEqual(longPayload.subarray(0, 2048));
    expect(kept.not_a_number!.payloadBytes).toBe(longPayload.length);
    expect(await stored('M-1')).toEqual([100]);
    expect(await expectBalance()).toMatchObject({ received: 4, stored: 1, rejected: 3, inFlight: 0 });
  });

  it('is acknowledged when it is kept and not before', async () => {
    reject.failBefore = 1;
    receive('a', message('M-1', 'not JSON'));
    await settledAll(1);
    expect(reject.calls).toBe(2);
    expect(settled).toEqual([{ name: 'a', outcome: 'accepted', log: 2 }]);
    expect((await listRejections(here.pool, { limit: 10 })).rows).toHaveLength(1);
  });

  it('goes back to its sender when it cannot be kept', async () => {
    reject.failBefore = Number.POSITIVE_INFINITY;
    receive('a', message('M-1', [{ ts: T0, values: { active_import_kwh: 1 } }, 1]));
    await reject.called;
    nowMs += MAX_WAIT_MS;
    await settledAll(1);
    expect(outcomes()).toEqual(['a shed']);
    expect(evaluated).toHaveLength(1); // what is stored goes through the rules
    expect(await expectBalance()).toMatchObject({ received: 2, rejected: 2, inFlight: 0 });
  });
});

describe('findings', () => {
  it('of a contradiction are kept before the message is acknowledged', async () => {
    receive('a', telemetry('M-1', 1, 100));
    await settledAll(1);
    record.failBefore = 1;
    receive('b', telemetry('M-1', 1, 200));
    receive('c', telemetry('M-1', 1, 100));
    await settledAll(3);
    expect(record.calls).toBe(2);
    expect(log.at(-1)).toBe('recorded');
    expect(settled.slice(1).map(({ log }) => log)).toEqual([3, 3]);
    const { rows } = await here.findings.list({ limit: 10 });
    expect(rows).toMatchObject([{ rule: 'conflicting-reading', instrument: 'M-1', to: new Date(T0 - 99 * MINUTE_MS) }]);
    expect(rows[0]!.reason.params).toEqual({ kept: 'active_import_kwh 100', refused: 'active_import_kwh 200' });
    expect(await expectBalance()).toMatchObject({ received: 3, stored: 1, duplicate: 1, rejected: 1, inFlight: 0 });
  });

  it('of the rules are recorded in order, without holding the acknowledgement up', async () => {
    evaluate = (readings) => readings.map(({ key, tsMs }) => opened('silent', key, tsMs));
    const release = record.hold();
    receive('a', telemetry('M-1', 1));
    receive('b', telemetry('M-2', 1));
    await settledAll(2);
    expect(outcomes()).toEqual(['a accepted', 'b accepted']);
    expect((await here.findings.list({ limit: 10 })).rows).toEqual([]);
    pipeline.found([opened('rollback', 3, T0)]);
    pipeline.found([]);
    release();
    await pipeline.recorded();
    expect(record.calls).toBe(2);
    const { rows } = await here.findings.list({ limit: 10 });
    expect(rows.map(({ rule, instrument }) => `${rule} ${instrument}`).sort()).toEqual([
      'rollback M-3',
      'silent M-1',
      'silent M-2',
    ]);
  });

  it('are recorded although the database fails now and then', async () => {
    record.failBefore = 2;
    pipeline.found([opened('silent', 1, T0)]);
    await pipeline.recorded();
    expect(record.calls).toBe(3);
    expect(errors).toEqual(['record: out of order', 'record: out of order']);
    expect((await here.findings.list({ limit: 10 })).rows).toHaveLength(1);
  });

  it('do not hold the acknowledgement up when the rules throw', async () => {
    evaluate = () => {
      throw new Error('a defect in a rule');
    };
    receive('a', telemetry('M-1', 1));
    await settledAll(1);
    expect(outcomes()).toEqual(['a accepted']);
    expect(errors).toEqual(['rules: a defect in a rule']);
    expect(await stored('M-1')).toEqual([1]);

    evaluate = (readings) => readings.map(({ key, tsMs }) => opened('silent', key, tsMs));
    receive('b', telemetry('M-1', 2));
    await settledAll(2);
    await pipeline.recorded();
    expect((await here.findings.list({ limit: 10 })).rows).toHaveLength(1);
  });
});

describe('readings that the store does not take', () => {
  const MINE = (reading: Reading) => (reading.values[0]! >= 1000 ? 'a field of another type' : undefined);

  it('are put on record and acknowledged, and go through no rule; the others are stored', async () => {
    unstorable = MINE;
    receive('a', telemetry('M-1', 1));
    receive('b', telemetry('M-1', 2, 1000));
    receive('c', telemetry('M-2', 2, 1000));
    receive('d', telemetry('M-2', 2, 1000)); // the same once more
    await settledAll(4);
    expect(outcomes()).toEqual(['a accepted', 'b accepted', 'c accepted', 'd accepted']);
    expect(await stored('M-1')).toEqual([1]);
    expect(await stored('M-2')).toEqual([]);
    expect(evaluated.flat().map(({ values }) => values[0])).toEqual([100.1]);
    expect(await expectBalance()).toEqual({ received: 4, stored: 1, duplicate: 0, rejected: 3, inFlight: 0 });
    const { rows } = await listRejections(here.pool, { limit: 10 });
    const ts = new Date(T0 - 98 * MINUTE_MS).toISOString();
    expect(rows.map(({ client, code, params, readings }) => ({ client, code, params, readings })).reverse()).toEqual(
      ['M-1', 'M-2', 'M-2'].map((instrument) => ({
        client: instrument,
        code: 'not_stored',
        params: { instrument, ts, reason: 'a field of another type' },
        readings: 1,
      })),
    );
  });

  it('are counted together beyond a hundred of one message, and refused again when it is sent again', async () => {
    unstorable = MINE;
    const many = Array.from({ length: 250 }, (_, i) => ({
      ts: T0 - 1000 - i,
      values: { active_import_kwh: i % 2 ? 1000 : 1 },
    }));
    reject.failBefore = 1;
    receive('a', message('M-1', many));
    await settledAll(1);
    receive('b', message('M-1', many));
    await settledAll(2);
    expect(outcomes()).toEqual(['a accepted', 'b accepted']);
    const { rows } = await listRejections(here.pool, { limit: 500 });
    expect(rows).toHaveLength(200);
    expect(rows.reduce((sum, { readings }) => sum + readings, 0)).toBe(250);
    expect(await expectBalance()).toEqual({ received: 500, stored: 125, duplicate: 125, rejected: 250, inFlight: 0 });
  });
});

describe('stop', () => {
  it('stores and acknowledges what waits, records what was found, and refuses what still comes', async () => {
    evaluate = (readings) => readings.map(({ key, tsMs }) => opened('silent', key, tsMs));
    const release = store.hold();
    receive('a', telemetry('M-1', 1));
    await store.called;
    receive('b', telemetry('M-2', 1));
    let stopped = false;
    const stopping = pipeline.stop().then(() => {
      stopped = true;
    });
    receive('c', telemetry('M-3', 1));
    expect(outcomes()).toEqual(['c shed']);
    expect(stopped).toBe(false);
    const recording = record.called;
    const recorded = record.hold();
    release();
    await settledAll(3);
    expect(outcomes()).toEqual(['c shed', 'a accepted', 'b accepted']);
    await recording;
    expect(stopped).toBe(false);
    recorded();
    await stopping;
    const { rows } = await here.findings.list({ limit: 10 });
    expect(rows.map(({ instrument }) => instrument).sort()).toEqual(['M-1', 'M-2']);
    await pipeline.stop();
  });
});

/** Without a database, whose connections need the machine's own time. */
describe('findings that the database does not take', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
  afterEach(() => void vi.useRealTimers());

  function alone(record: (findings: readonly Finding[]) => Promise<void>): Pipeline {
    return new Pipeline({ record, onError: (stage: string) => errors.push(stage) } as unknown as PipelineParts);
  }

  it('are given up when it refuses them, so that the others can follow', async () => {
    const recorded: string[] = [];
    const one = alone(async (findings) => {
      if (findings.some(({ rule }) => rule === 'impossible'))
        throw Object.assign(new Error('refused'), { code: '23503' });
      recorded.push(...findings.map(({ rule }) => rule));
    });
    one.found([opened('first', 1, T0), opened('impossible', 1, T0), opened('second', 1, T0)]);
    one.found([opened('third', 1, T0)]);
    const done = one.recorded();
    await vi.advanceTimersByTimeAsync(60_000);
    await done;
    expect(recorded).toEqual(['first', 'second', 'third']);
    expect(errors.filter((stage) => stage === 'finding given up')).toHaveLength(1);
  });

  it('are tried for ever when it is only out of order, and found again at the next start when that comes first', async () => {
    let tries = 0;
    const one = alone(async () => {
      tries++;
      throw Object.assign(new Error('the server is starting up'), { code: '57P03' });
    });
    one.found([opened('silent', 1, T0)]);
    await vi.advanceTimersByTimeAsync(60_000);
    const before = tries;
    expect(before).toBeGreaterThan(50);
    expect(errors).not.toContain('finding given up');
    const stopped = one.stop();
    await vi.advanceTimersByTimeAsync(10_000);
    await stopped;
    expect(tries).toBeLessThan(before + 3);
    await expect(one.recorded()).rejects.toThrow(/found again/);
  });
});
