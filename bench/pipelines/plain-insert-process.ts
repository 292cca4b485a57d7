/**
 * The simplest pipeline that acknowledges only what is stored: parse, validate, one multi-row insert every 5 ms for
 * everything that came meanwhile, then acknowledge in the order of arrival.
 */
import pg from 'pg';
import { z } from 'zod';
import { answerQuestions } from '../process.ts';
import { serveAedes } from './serve-aedes.ts';

const INSERT_EVERY_MS = 5;

const Telemetry = z.record(
  z.string().min(1).max(64),
  z.array(
    z.object({
      ts: z.int().positive(),
      values: z.object({
        active_import_kwh: z.number().min(0).max(99_999_999),
        voltage_v: z.number().min(0).max(1000),
        current_a: z.number().min(0).max(10_000),
        active_power_w: z.number().min(-1e7).max(1e7),
      }),
    }),
  ),
);

const INSERT = {
  name: 'insert-readings',
  text: `INSERT INTO reading
    SELECT instrument, to_timestamp(ts_ms / 1000.0), kwh, v, a, w
    FROM unnest($1::text[], $2::bigint[], $3::float8[], $4::float8[], $5::float8[], $6::float8[])
      AS t(instrument, ts_ms, kwh, v, a, w)
    ON CONFLICT DO NOTHING`,
};

type Acknowledge = (error?: Error | null) => void;

interface Batch {
  instruments: string[];
  tsMs: number[];
  kwh: number[];
  v: number[];
  a: number[];
  w: number[];
  acknowledge: Acknowledge[];
}

const emptyBatch = (): Batch => ({ instruments: [], tsMs: [], kwh: [], v: [], a: [], w: [], acknowledge: [] });

let batch = emptyBatch();

function take(payload: string): void {
  for (const [instrument, readings] of Object.entries(Telemetry.parse(JSON.parse(payload)))) {
    for (const { ts, values } of readings) {
      batch.instruments.push(instrument);
      batch.tsMs.push(ts);
      batch.kwh.push(values.active_import_kwh);
      batch.v.push(values.voltage_v);
      batch.a.push(values.current_a);
      batch.w.push(values.active_power_w);
    }
  }
}

/** Inserts what has come. A pool of one connection takes inserts in turn, so acknowledgements keep the order of arrival. */
async function insertBatch(pool: pg.Pool): Promise<void> {
  if (batch.acknowledge.length === 0) return;
  const { instruments, tsMs, kwh, v, a, w, acknowledge } = batch;
  batch = emptyBatch();
  await pool.query({ ...INSERT, values: [instruments, tsMs, kwh, v, a, w] });
  for (const done of acknowledge) done(null);
}

answerQuestions<{ databaseUrl: string }>(async ({ databaseUrl }) => {
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 1 });
  setInterval(() => void insertBatch(pool), INSERT_EVERY_MS);
  return serveAedes({
    authorizePublish: (_client, packet, done) => {
      try {
        take(packet.payload.toString());
        batch.acknowledge.push(done);
      } catch (error) {
        done(error as Error);
      }
    },
  });
});
