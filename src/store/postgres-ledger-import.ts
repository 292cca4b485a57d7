/** An instruments.csv becomes lines of the ledger: staged as it arrives, then merged in one transaction. */
import type pg from 'pg';
import { MeterwardenError } from '../errors.ts';
import type { InstrumentState } from '../fleet/instrument.ts';
import {
  INSTRUMENT_COLUMNS,
  type InstrumentColumn,
  type InstrumentLine,
  isInstrumentColumn,
  isRefusal,
  parseInstrumentLine,
  REQUIRED_COLUMNS,
} from '../fleet/instrument-line.ts';
import type { Kinds } from '../fleet/kind.ts';
import { nearest } from '../nearest.ts';
import { type Line, lines, MAX_LINE_CHARS } from './csv-lines.ts';
import { inTransaction, patient } from './postgres.ts';
import { COLUMN_LIST, COLUMNS, type InstrumentRow, takeTurn } from './postgres-instrument-rows.ts';
import { type By, tellTasks } from './postgres-instrument-state.ts';

export interface ImportResult {
  readonly created: number;
  readonly updated: number;
  readonly unchanged: number;
  /** In order of line, at most MAX_LISTED_REJECTIONS. */
  readonly rejected: readonly RejectedLine[];
  readonly rejectedTotal: number;
}

export interface RejectedLine {
  readonly line: number;
  readonly code:
    | 'invalid_line'
    | 'unknown_kind'
    | 'duplicate_line'
    | 'second_master'
    | 'id_of_gateway'
    | 'gateway_is_instrument';
  readonly path: string;
  readonly params: Readonly<Record<string, string | number>>;
}

const LINES_PER_INSERT = 2_000;
const MAX_LISTED_REJECTIONS = 1_000;
const MAX_LINES = 2_000_000;
/** A file may move masters around between districts; so many refusals in a row may follow from each other. */
const MAX_MASTER_ROUNDS = 20;
const TYPES: Partial<Record<InstrumentColumn, string>> = {
  installed_on: 'date',
  nominal_voltage_v: 'double precision',
  max_current_a: 'double precision',
};

interface Imported extends ImportResult {
  /** What is new or other than before. */
  readonly rows: readonly InstrumentRow[];
}

export async function importCsv(pool: pg.Pool, kinds: Kinds, body: AsyncIterable<Buffer>, by: By): Promise<Imported> {
  const intake = new Intake(kinds);
  const client = await pool.connect();
  let finished = false;
  try {
    await client.query(
      `CREATE TEMP TABLE staged (line integer PRIMARY KEY, ${COLUMNS.map((name) => `${name} ${TYPES[name] ?? 'text'}`).join(', ')})`,
    );
    for await (const lines of intake.batches(body)) await stage(client, lines);
    await client.query(patient('ANALYZE staged'));
    const { rows, count } = await inTransaction(client, async () => {
      await takeTurn(client);
      await refuseSharedIds(client, intake);
      await refuseSecondMasters(client, intake);
      const staged = await client.query<{ count: number }>(patient('SELECT count(*)::int AS count FROM staged'));
      return { rows: await upsert(client, intake.columns, by), count: staged.rows[0]!.count };
    });
    await client.query('DROP TABLE staged');
    finished = true;
    const created = rows.filter(({ created }) => created).length;
    return { rows, created, updated: rows.length - created, unchanged: count - rows.length, ...intake.refusals() };
  } finally {
    client.release(!finished); // a connection that still has the staging table is not reused
  }
}

interface NumberedLine extends InstrumentLine {
  readonly line: number;
}

/** Reads lines, keeps the refused ones, and hands on the good ones in batches. */
class Intake {
  /** Of the file, once its header is read. */
  columns: InstrumentColumn[] = [];
  readonly #rejected: RejectedLine[] = [];
  readonly #kinds: Kinds;
  readonly #firstLine = new Map<string, number>();

  constructor(kinds: Kinds) {
    this.#kinds = kinds;
  }

  async *batches(body: AsyncIterable<Buffer>): AsyncGenerator<NumberedLine[]> {
    let batch: NumberedLine[] = [];
    try {
      for await (const block of lines(body)) {
        for (const line of block) {
          if (line.number > MAX_LINES)
            throw new MeterwardenError('invalid_request', { params: { problem: 'too_many_lines', limit: MAX_LINES } });
          if (this.columns.length === 0) this.columns = headerColumns(line.cells);
          else batch.push(...this.#take(line));
        }
        if (batch.length < LINES_PER_INSERT) continue;
        yield batch;
        batch = [];
      }
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      throw new MeterwardenError('invalid_request', { params: { problem: 'not_utf8' }, cause: error });
    }
    if (this.columns.length === 0) throw new MeterwardenError('invalid_request', { params: { problem: 'empty_file' } });
    if (batch.length > 0) yield batch;
  }

  reject(rejection: RejectedLine): [] {
    this.#rejected.push(rejection);
    return [];
  }

  refusals(): Pick<ImportResult, 'rejected' | 'rejectedTotal'> {
    const inOrder = this.#rejected.sort((a, b) => a.line - b.line);
    return { rejected: inOrder.slice(0, MAX_LISTED_REJECTIONS), rejectedTotal: inOrder.length };
  }

  #take({ number: line, cells, problem }: Line): [] | [NumberedLine] {
    if (problem)
      return this.reject({ line, code: 'invalid_line', path: '', params: { problem, limit: MAX_LINE_CHARS } });
    const parsed = parseInstrumentLine(this.columns, cells, this.#kinds);
    if (isRefusal(parsed)) return this.reject({ line, ...parsed });
    const first = this.#firstLine.get(parsed.id);
    if (first !== undefined)
      return this.reject({ line, code: 'duplicate_line', path: 'id', params: { id: parsed.id, first } });
    this.#firstLine.set(parsed.id, line);
    return [{ ...parsed, line }];
  }
}

function headerColumns(header: readonly string[]): InstrumentColumn[] {
  const refuse = (column: string, problem: string, nearestColumn = '') =>
    new MeterwardenError('invalid_request', { path: column, params: { problem, column, nearest: nearestColumn } });
  const columns = header.map((name) => {
    const column = name.toLowerCase();
    if (isInstrumentColumn(column)) return column;
    throw refuse(column.slice(0, 64), 'unknown_column', nearest(column, COLUMNS));
  });
  const missing = REQUIRED_COLUMNS.find((name) => !columns.includes(name));
  const repeated = columns.find((name, i) => columns.indexOf(name) !== i);
  if (missing) throw refuse(missing, 'missing_column');
  if (repeated) throw refuse(repeated, 'repeated_column');
  return columns;
}

async function stage(client: pg.PoolClient, lines: readonly NumberedLine[]): Promise<void> {
  const arrays = COLUMNS.map((_, i) => `$${i + 2}::text[]`);
  const typed = COLUMNS.map((name) =>
    name === 'installed_on' ? `nullif(${name}, '')::date` : TYPES[name] ? `${name}::${TYPES[name]}` : name,
  );
  await client.query(
    `INSERT INTO staged (line, ${COLUMN_LIST})
     SELECT line, ${typed.join(', ')} FROM unnest($1::int[], ${arrays.join(', ')}) AS input (line, ${COLUMN_LIST})`,
    [
      lines.map(({ line }) => line),
      ...COLUMNS.map((name) => lines.map((line) => String(line[INSTRUMENT_COLUMNS[name]]))),
    ],
  );
}

/**
 * The broker knows a client by its id: it is a gateway or an instrument. What is on record stays; of a file that says both, the
 * instrument is refused. One that names itself reports for itself.
 */
async function refuseSharedIds(client: pg.PoolClient, intake: Intake): Promise<void> {
  const { rows: instruments } = await client.query<{ line: number; id: string }>(
    patient(
      `WITH gateway AS (
         SELECT s.id FROM staged s JOIN gateways g USING (id)
         UNION SELECT s.id FROM staged s JOIN instruments i ON i.gateway = s.id WHERE i.gateway <> '' AND i.id <> s.id
         UNION SELECT s.id FROM staged s JOIN staged n ON n.gateway = s.id WHERE n.id <> s.id
       )
       DELETE FROM staged s USING gateway g WHERE g.id = s.id AND NOT EXISTS (SELECT FROM instruments i WHERE i.id = s.id)
       RETURNING s.line, s.id`,
    ),
  );
  for (const { line, id } of instruments) intake.reject({ line, code: 'id_of_gateway', path: 'id', params: { id } });
  const { rows: reported } = await client.query<{ line: number; id: string }>(
    patient(
      `DELETE FROM staged s USING instruments i WHERE i.id = s.gateway AND s.gateway <> s.id RETURNING s.line, i.id`,
    ),
  );
  for (const { line, id } of reported)
    intake.reject({ line, code: 'gateway_is_instrument', path: 'gateway', params: { id } });
}

/**
 * A district has one master in service. The one on record stays, unless this file moves, demotes or retires it; else the first
 * of the file. A refused line leaves its instrument where it is, which may refuse another: repeated until nothing changes.
 */
async function refuseSecondMasters(client: pg.PoolClient, intake: Intake): Promise<void> {
  for (let round = 1; ; round++) {
    const { rows } = await client.query<{ line: number; district: string; master: string }>(
      patient(
        `WITH standing AS (
         SELECT i.id, i.district, i.kind, NULL::integer AS line FROM instruments i
         WHERE i.role = 'master' AND i.state = 'in-service' AND NOT EXISTS (SELECT FROM staged s WHERE s.id = i.id)
         UNION ALL
         SELECT s.id, s.district, s.kind, CASE WHEN i.role = 'master' AND i.state = 'in-service' AND i.district = s.district
           AND i.kind = s.kind THEN 0 ELSE s.line END FROM staged s
         LEFT JOIN instruments i ON i.id = s.id
         WHERE s.role = 'master' AND (CASE WHEN $1 THEN s.state ELSE coalesce(i.state, s.state) END) = 'in-service'
       ), ranked AS (
         SELECT id, district, kind, row_number() OVER turn AS place, first_value(id) OVER turn AS master
         FROM standing WINDOW turn AS (PARTITION BY district, kind ORDER BY line NULLS FIRST, id)
       )
       DELETE FROM staged s USING ranked r WHERE r.id = s.id AND r.place > 1
       RETURNING s.line, s.district, r.master`,
        [intake.columns.includes('state')],
      ),
    );
    for (const { line, ...params } of rows) intake.reject({ line, code: 'second_master', path: 'role', params });
    if (rows.length === 0) return;
    if (round === MAX_MASTER_ROUNDS)
      throw new MeterwardenError('conflict', { path: 'role', params: { problem: 'master_circle' } });
  }
}

type ChangedRow = InstrumentRow & { created: boolean };

async function upsert(client: pg.PoolClient, columns: readonly InstrumentColumn[], by: By): Promise<ChangedRow[]> {
  const listed = (table: string) => columns.map((name) => `${table}.${name}`).join(', ');
  const returned = COLUMNS.map((name) => (name === 'installed_on' ? 'i.installed_on::text' : `i.${name}`)).join(', ');
  // Masters that change step down first, so that two of them may trade places under the unique index.
  const { rows: before } = await client.query<{ id: string; state: InstrumentState }>(
    patient(
      `WITH changing AS (SELECT i.key FROM instruments i JOIN staged s USING (id) WHERE (${listed('i')}) IS DISTINCT FROM (${listed('s')}))
     UPDATE instruments i SET role = 'user' FROM changing WHERE i.key = changing.key RETURNING i.id, i.state`,
    ),
  );
  const { rows: updated } = await client.query<ChangedRow>(
    patient(
      `UPDATE instruments i SET ${columns.map((name) => `${name} = s.${name}`).join(', ')}, updated_at = now()
     FROM staged s WHERE s.id = i.id AND i.id = ANY ($1) RETURNING i.key, ${returned}, false AS created`,
      [before.map(({ id }) => id)],
    ),
  );
  const { rows: created } = await client.query<ChangedRow>(
    patient(
      `INSERT INTO instruments AS i (key, ${COLUMN_LIST})
     SELECT (SELECT coalesce(max(key), 0) FROM instruments) + row_number() OVER (ORDER BY s.line), ${COLUMNS.map((name) => `s.${name}`).join(', ')}
     FROM staged s WHERE NOT EXISTS (SELECT FROM instruments known WHERE known.id = s.id)
     RETURNING i.key, ${returned}, true AS created`,
    ),
  );
  const stateBefore = new Map(before.map(({ id, state }) => [id, state]));
  await tellTasks(
    client,
    updated.filter(({ id, state }) => stateBefore.get(id) !== state),
    by,
  );
  return [...updated, ...created];
}
