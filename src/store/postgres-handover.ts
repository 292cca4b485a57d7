/** What is handed over of PostgreSQL's: which days have changed, and the findings and tasks of a day. */
import type pg from 'pg';
import { patient } from './postgres.ts';

/** Rows that were received or changed, and when the newest of them was. */
export interface ChangedRows {
  /** Into the bounds that were given: the first begins at `bounds[0]`. */
  readonly index: number;
  readonly region: string;
  readonly changedAtMs: number;
}

/** Rows of a page: some megabytes. */
const PAGE_ROWS = 5_000;
const EPOCH_MS = (column: string) => `(extract(epoch FROM ${column}) * 1000)::float8`;
const SUBJECT = `CASE WHEN instrument IS NULL THEN 'district' ELSE 'instrument' END AS subject`;

/** Runs of a page: some thousand meters. */
const PAGE_RUNS = 40;

interface Kept {
  readonly table: string;
  /** The day a row lies under. */
  readonly began: string;
  readonly changed: string;
  /** In the order of the columns of the dataset. */
  readonly columns: string;
}

export const FINDINGS_TO_HAND_OVER: Kept = {
  table: 'findings',
  began: 'from_ts',
  changed: 'greatest(opened_at, cleared_at)',
  columns: `t.id::float8 AS id, rule, ${SUBJECT}, i.id AS instrument, t.district, severity, reason_code, reason_params::text AS reason_params,
    ${EPOCH_MS('from_ts')} AS from_ts, ${EPOCH_MS('to_ts')} AS to_ts, task::float8 AS task, ${EPOCH_MS('opened_at')} AS opened_at,
    ${EPOCH_MS('cleared_at')} AS cleared_at`,
};

export const TASKS_TO_HAND_OVER: Kept = {
  table: 'tasks',
  began: 'created_at',
  changed: 'updated_at',
  columns: `t.id::float8 AS id, t.kind, cause, ${SUBJECT}, i.id AS instrument, t.district, severity, t.state, verdict, reason_code,
    reason_params::text AS reason_params, ${EPOCH_MS('t.created_at')} AS created_at, ${EPOCH_MS('t.updated_at')} AS updated_at,
    ${EPOCH_MS('due_at')} AS due_at, ${EPOCH_MS('escalated_at')} AS escalated_at`,
};

/** One row for each meter of a run; `columns` are those of the meters. */
export const ESTIMATES_TO_HAND_OVER: Kept = {
  table: 'district_estimates',
  began: 'to_ts',
  changed: 'finished_at',
  columns: `e.id::float8 AS run, i.id AS instrument, e.district, ${EPOCH_MS('e.from_ts')}, ${EPOCH_MS('e.to_ts')}, ${EPOCH_MS('e.finished_at')},
    m.error_pct, m.sd_pct, m.low_pct, m.high_pct, m.p_inaccurate, m.mpe_pct, m.verdict, m.reason ->> 'code', (m.reason -> 'params')::text,
    m.rows_used, m.rows_refused, m.energy_kwh, m.clock_offset_s, m.change::text, e.method::text`,
};

export type Cells = readonly (string | number | null)[];

export class PostgresHandover {
  readonly #pool: pg.Pool;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  /** The begin of the first day (UTC) readings are kept of; Infinity = there is none. */
  async firstReadingMs(): Promise<number> {
    const { rows } = await this.#pool.query<{ first: string | null }>(
      `SELECT min(substring(inhrelid::regclass::text FROM '\\d{8}$')) AS first FROM pg_inherits WHERE inhparent = 'readings'::regclass`,
    );
    const first = rows[0]!.first;
    return first === null ? Number.POSITIVE_INFINITY : Date.parse(first.replace(/(....)(..)(..)/, '$1-$2-$3'));
  }

  /** When the first instrument came into the ledger, before which no reading was taken in; Infinity = there is none. */
  async firstInstrumentMs(): Promise<number> {
    const { rows } = await this.#pool.query<{ first: Date | null }>('SELECT min(created_at) AS first FROM instruments');
    return rows[0]!.first?.getTime() ?? Number.POSITIVE_INFINITY;
  }

  /**
   * Readings received at or after `sinceMs`, by region of the ledger. `bounds`: ascending, one more than there are days. Cheap
   * where little came late: a day is kept by itself, and its BRIN index tells that nothing of it was received since.
   */
  async changedReadings(bounds: readonly number[], sinceMs: number): Promise<ChangedRows[]> {
    return this.#changed(
      `SELECT width_bucket(r.ts, $1::timestamptz[])::int - 1 AS index, i.region, ${EPOCH_MS('max(r.received_at)')} AS "changedAtMs"
       FROM readings r JOIN instruments i ON i.key = r.instrument
       WHERE r.received_at >= $2 AND r.ts >= $3 AND r.ts < $4 GROUP BY 1, 2`,
      bounds,
      sinceMs,
    );
  }

  async firstMs({ table, began }: Kept): Promise<number> {
    const { rows } = await this.#pool.query<{ first: Date | null }>(
      patient(`SELECT min(${began}) AS first FROM ${table}`),
    );
    return rows[0]!.first?.getTime() ?? Number.POSITIVE_INFINITY;
  }

  async changedRows(
    { table, began, changed }: Kept,
    bounds: readonly number[],
    sinceMs: number,
  ): Promise<ChangedRows[]> {
    return this.#changed(
      `SELECT width_bucket(${began}, $1::timestamptz[])::int - 1 AS index, region, ${EPOCH_MS(`max(${changed})`)} AS "changedAtMs"
       FROM ${table} WHERE ${changed} >= $2 AND ${began} >= $3 AND ${began} < $4 GROUP BY 1, 2`,
      bounds,
      sinceMs,
    );
  }

  /** In order of id, page by page. */
  async *rows({ table, began, columns }: Kept, fromMs: number, toMs: number, region: string): AsyncIterable<Cells[]> {
    for (let after = 0; ; ) {
      const query = patient(
        `SELECT ${columns} FROM ${table} t LEFT JOIN instruments i ON i.key = t.instrument
         WHERE t.region = $1 AND t.${began} >= $2 AND t.${began} < $3 AND t.id > $4 ORDER BY t.id LIMIT ${PAGE_ROWS}`,
        [region, new Date(fromMs), new Date(toMs), after],
      );
      const { rows } = await this.#pool.query<(string | number | null)[]>({ ...query, rowMode: 'array' });
      if (rows.length > 0) yield rows;
      if (rows.length < PAGE_ROWS) return;
      after = rows.at(-1)![0] as number;
    }
  }

  /** In order of run and instrument. */
  async *estimateRows(fromMs: number, toMs: number, region: string): AsyncIterable<Cells[]> {
    const { columns } = ESTIMATES_TO_HAND_OVER;
    for (let after = '0'; ; ) {
      const runs = await this.#pool.query<{ id: string }>(
        patient(
          `SELECT id FROM district_estimates WHERE state = 'done' AND region = $1 AND to_ts >= $2 AND to_ts < $3 AND id > $4
           ORDER BY id LIMIT ${PAGE_RUNS}`,
          [region, new Date(fromMs), new Date(toMs), after],
        ),
      );
      const ids = runs.rows.map(({ id }) => id);
      const query = patient(
        `SELECT ${columns} FROM district_estimates e JOIN meter_estimates m ON m.run = e.id JOIN instruments i ON i.key = m.instrument
         WHERE e.id = ANY ($1::bigint[]) ORDER BY e.id, i.id`,
        [ids],
      );
      const { rows } = await this.#pool.query<(string | number | null)[]>({ ...query, rowMode: 'array' });
      if (rows.length > 0) yield rows;
      if (ids.length < PAGE_RUNS) return;
      after = ids.at(-1)!;
    }
  }

  async #changed(sql: string, bounds: readonly number[], sinceMs: number): Promise<ChangedRows[]> {
    const moments = bounds.map((ms) => new Date(ms));
    const since = Number.isFinite(sinceMs) ? new Date(sinceMs) : '-infinity';
    const { rows } = await this.#pool.query<ChangedRows>(patient(sql, [moments, since, moments[0], moments.at(-1)]));
    return rows;
  }
}
