/** The pipeline over a real database whose work can be held up and can fail; nothing may be lost or counted twice meanwhile. */
import { Registry } from 'prom-client';
import { afterAll, beforeAll, beforeEach, expect, vi } from 'vitest';
import { loadDomain } from '../../src/config.ts';
import type { Reading } from '../../src/fleet/reading.ts';
import type { Message } from '../../src/ingest/decode.ts';
import { IngestMetrics } from '../../src/ingest/metrics.ts';
import { type Outcome, Pipeline, type PipelineParts } from '../../src/pipeline.ts';
import { conflictFindings } from '../../src/rules/conflict.ts';
import { PostgresReadings } from '../../src/store/postgres-readings.ts';
import { insertRejections } from '../../src/store/postgres-rejections.ts';
import type { AppendResult, ReadingStore } from '../../src/store/readings.ts';
import { type City, city, MINUTE_MS, T0 } from '../tasks/fixture.ts';

const { kinds, profiles, rules } = loadDomain();
export const DEVICE = 'v1/devices/me/telemetry';
export const MAX_PAYLOAD_BYTES = 256 * 1024;
/** As src/pipeline.ts says. */
export const MAX_WAIT_MS = 20_000;

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

interface Balance {
  readonly received: number;
  readonly stored: number;
  readonly duplicate: number;
  readonly rejected: number;
  readonly inFlight: number;
}

interface Settled {
  readonly name: string;
  readonly outcome: Outcome;
  /** Length of the log by then. */
  readonly log: number;
}

/** Begins anew before every test of the file that asks for it. */
export class Trial {
  here!: City;
  nowMs = T0;
  store = new Fickle();
  reject = new Fickle();
  record = new Fickle();
  evaluated: Reading[][] = [];
  evaluate: PipelineParts['evaluate'] = () => [];
  /** Why the store does not take a reading, whatever is tried. */
  unstorable: (reading: Reading) => string | undefined = () => undefined;
  errors: string[] = [];
  settled: Settled[] = [];
  /** What the database has done, in order. */
  log: string[] = [];
  pipeline!: Pipeline;
  #registry = new Registry();

  constructor() {
    beforeAll(async () => {
      this.here = await city();
    });
    beforeEach(() => this.#begin());
    afterAll(() => this.here.close());
  }

  async #begin(): Promise<void> {
    const { here } = this;
    await here.clear();
    await here.pool.query('TRUNCATE readings, rejections');
    this.nowMs = T0;
    this.#registry = new Registry();
    this.store = new Fickle();
    this.reject = new Fickle();
    this.record = new Fickle();
    this.evaluated = [];
    this.evaluate = (readings) => {
      this.evaluated.push([...readings]);
      return [];
    };
    this.unstorable = () => undefined;
    this.errors = [];
    this.settled = [];
    this.log = [];
    this.pipeline = new Pipeline({
      ledger: here.ledger,
      kinds,
      profiles,
      limits: { maxPayloadBytes: MAX_PAYLOAD_BYTES, maxFutureMs: 5 * MINUTE_MS, maxAgeMs: 800 * 86_400_000 },
      store: this.#store(),
      reject: (rejections) => this.#done('rejected', this.reject, () => insertRejections(here.pool, rejections)),
      record: (findings) =>
        this.#done('recorded', this.record, () => here.findings.record(findings, new Date(this.nowMs))),
      evaluate: (...args) => this.evaluate(...args),
      conflictFindings: (conflicts) => conflictFindings(rules, conflicts),
      metrics: new IngestMetrics(this.#registry),
      nowMs: () => this.nowMs,
      onError: (stage, error) => this.errors.push(`${stage}: ${(error as Error).message ?? error}`),
    });
  }

  #store(): ReadingStore {
    const readings = new PostgresReadings(this.here.pool, () => this.nowMs);
    const append = async (batch: readonly Reading[]): Promise<AppendResult> => {
      const refused = batch.flatMap((one) => {
        const reason = this.unstorable(one);
        return reason === undefined ? [] : [{ key: one.key, tsMs: one.tsMs, reason }];
      });
      const result = await readings.append(batch.filter((one) => this.unstorable(one) === undefined));
      return refused.length > 0 ? { ...result, refused } : result;
    };
    return {
      append: (batch) => this.#done('stored', this.store, () => append(batch)),
      range: (...args) => readings.range(...args),
      latest: (keys) => readings.latest(keys),
      window: (...args) => readings.window(...args),
    };
  }

  /** Nothing may be lost or counted twice, neither before nor after the work of the database. */
  async #done<T>(what: string, fickle: Fickle, work: () => Promise<T>): Promise<T> {
    await this.expectBalance();
    try {
      const result = await fickle.run(work);
      this.log.push(what);
      return result;
    } finally {
      await this.expectBalance();
    }
  }

  receive(name: string, given: Message): void {
    this.pipeline.receive(given, (outcome) => void this.settled.push({ name, outcome, log: this.log.length }));
  }

  outcomes(): string[] {
    return this.settled.map(({ name, outcome }) => `${name} ${outcome}`);
  }

  async settledAll(count: number): Promise<void> {
    await vi.waitFor(() => expect(this.settled.length).toBeGreaterThanOrEqual(count), { timeout: 10_000, interval: 1 });
  }

  /** Minutes of the readings that are stored, as `telemetry` counts them. */
  async stored(client: string): Promise<number[]> {
    const { rows } = await this.here.pool.query<{ minute: number }>(
      `SELECT round((extract(epoch FROM ts) * 1000 - $2::float8) / 60000 + 100)::int AS minute
       FROM readings JOIN instruments ON key = instrument WHERE id = $1 ORDER BY ts`,
      [client, T0],
    );
    return rows.map(({ minute }) => minute);
  }

  async expectBalance(): Promise<Balance> {
    const names = ['received_total', 'stored_total', 'duplicate_total', 'rejected_total', 'in_flight'];
    const metrics = await Promise.all(
      names.map((name) => this.#registry.getSingleMetric(`meterwarden_readings_${name}`)!.get()),
    );
    // Metrics hand out their living values: read at one moment here, they belong together.
    const [received, stored, duplicate, rejected, inFlight] = metrics.map(({ values }) =>
      values.reduce((sum, { value }) => sum + value, 0),
    ) as [number, number, number, number, number];
    const now = { received, stored, duplicate, rejected, inFlight };
    expect(stored + duplicate + rejected + inFlight, JSON.stringify(now)).toBe(received);
    expect(inFlight).toBeGreaterThanOrEqual(0);
    return now;
  }
}

export function message(client: string, payload: unknown, topic = DEVICE): Message {
  return { client, topic, payload: Buffer.from(typeof payload === 'string' ? payload : JSON.stringify(payload)) };
}

export function telemetry(client: string, minute: number, kwh = 100 + minute / 10): Message {
  return message(client, { ts: T0 - 100 * MINUTE_MS + minute * MINUTE_MS, values: { active_import_kwh: kwh } });
}
