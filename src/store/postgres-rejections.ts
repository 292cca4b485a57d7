/** What was refused, kept for inspection. */
import type pg from 'pg';
import type { Refusal } from '../ingest/decode.ts';
import { Conditions, type Page, type PageRequest, page, pageLimit } from './postgres-paging.ts';

export interface Rejection extends Refusal {
  readonly atMs: number;
  readonly client: string;
  readonly topic: string;
  /** The first 2 KiB. */
  readonly payload: Buffer;
  readonly payloadBytes: number;
}

export async function insertRejections(pool: pg.Pool, rejections: readonly Rejection[]): Promise<void> {
  await pool.query({
    name: 'insert-rejections',
    text: `INSERT INTO rejections (at, client, topic, code, path, params, readings, payload, payload_bytes)
           SELECT to_timestamp(at_ms / 1000), client, topic, code, path, params::jsonb, readings, payload, payload_bytes
           FROM unnest($1::float8[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int[], $8::bytea[], $9::int[])
             AS input (at_ms, client, topic, code, path, params, readings, payload, payload_bytes)`,
    values: [
      rejections.map(({ atMs }) => atMs),
      rejections.map(({ client }) => client),
      rejections.map(({ topic }) => topic),
      rejections.map(({ code }) => code),
      rejections.map(({ path }) => path),
      rejections.map(({ params }) => JSON.stringify(params)),
      rejections.map(({ readings }) => readings),
      rejections.map(({ payload }) => payload),
      rejections.map(({ payloadBytes }) => payloadBytes),
    ],
  });
}

/** Keeps the newest `keep` rejections; returns how many were dropped. */
export async function dropOldRejections(pool: pg.Pool, keep: number): Promise<number> {
  const { rowCount } = await pool.query('DELETE FROM rejections WHERE id <= (SELECT max(id) FROM rejections) - $1', [
    keep,
  ]);
  return rowCount ?? 0;
}

export interface RejectionRecord extends Rejection {
  readonly id: string;
}

/** Newest first. */
export async function listRejections(
  pool: pg.Pool,
  filter: PageRequest & { client?: string | undefined; code?: string | undefined },
): Promise<Page<RejectionRecord>> {
  const limit = pageLimit(filter.limit);
  const where = new Conditions()
    .add('client = ?', filter.client)
    .add('code = ?', filter.code)
    .before('id', filter.cursor);
  const { rows } = await pool.query<RejectionRecord>(
    `SELECT id::text, (extract(epoch FROM at) * 1000)::float8 AS "atMs", client, topic, code, path, params, readings, payload,
            payload_bytes AS "payloadBytes"
     FROM rejections WHERE ${where} ORDER BY rejections.id DESC LIMIT $${where.params.length + 1}`,
    [...where.params, limit + 1],
  );
  return page(rows, limit);
}

export interface RejectionCount {
  readonly client: string;
  readonly code: string;
  readonly rejections: number;
  readonly readings: number;
}

/** By client and code, most frequent first. */
export async function countRejections(pool: pg.Pool): Promise<RejectionCount[]> {
  const { rows } = await pool.query<RejectionCount>(
    `SELECT client, code, count(*)::int AS rejections, sum(readings)::int AS readings
     FROM rejections GROUP BY client, code ORDER BY rejections DESC, client, code LIMIT 1000`,
  );
  return rows;
}
