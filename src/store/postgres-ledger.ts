/** The ledger (台账) in PostgreSQL, held in memory for the reading path; and the credentials of gateways. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { Readable } from 'node:stream';
import { parse } from 'csv-parse';
import type pg from 'pg';
import { MeterwardenError } from '../errors.ts';
import { type Instrument, type InstrumentState, MemoryLedger } from '../fleet/instrument.ts';
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
import { transaction } from './postgres.ts';
import { Conditions } from './postgres-paging.ts';

export interface ImportResult {
  readonly created: number;
  readonly updated: number;
  readonly unchanged: number;
  /** The first MAX_LISTED_REJECTIONS of them. */
  readonly rejected: readonly RejectedLine[];
  readonly rejectedTotal: number;
}

export interface RejectedLine {
  readonly line: number;
  readonly code: 'invalid_line' | 'unknown_kind' | 'duplicate_line' | 'second_master';
  readonly path: string;
  readonly params: Readonly<Record<string, string>>;
}

export interface GatewayRecord {
  readonly id: string;
  readonly createdAt: Date;
  readonly rotatedAt: Date;
  readonly instruments: number;
}

export interface InstrumentFilter {
  readonly district?: string | undefined;
  readonly region?: string | undefined;
  readonly kind?: string | undefined;
  readonly state?: InstrumentState | undefined;
  /** What the asking person may see. */
  readonly visibleRegion?: string | undefined;
  readonly cursor?: string | undefined;
  readonly limit: number;
}

const LINES_PER_INSERT = 2_000;
const MAX_LISTED_REJECTIONS = 1_000;
const MAX_LINE_BYTES = 16 * 1024;
/** Imports take turns: keys are handed out densely. */
const IMPORT_LOCK = 7_236_402;
const COLUMNS = Object.keys(INSTRUMENT_COLUMNS) as InstrumentColumn[];
const COLUMN_LIST = COLUMNS.join(', ');
const TYPES: Partial<Record<InstrumentColumn, string>> = {
  installed_on: 'date',
  nominal_voltage_v: 'double precision',
  max_current_a: 'double precision',
};
const ROW = `key, ${COLUMN_LIST.replace('installed_on', 'installed_on::text')}, state`;
const GENERATED_SECRET_BYTES = 32;

interface Credential {
  readonly salt: Buffer;
  readonly hash: Buffer;
}

export class PostgresLedger {
  readonly ledger = new MemoryLedger();
  readonly #pool: pg.Pool;
  readonly #kinds: Kinds;
  readonly #onChanged: (instrument: Instrument) => void;
  readonly #credentials = new Map<string, Credential>();

  private constructor(pool: pg.Pool, kinds: Kinds, onChanged: (instrument: Instrument) => void) {
    this.#pool = pool;
    this.#kinds = kinds;
    this.#onChanged = onChanged;
  }

  static async open(pool: pg.Pool, kinds: Kinds, onChanged: (instrument: Instrument) => void = () => {}): Promise<PostgresLedger> {
    const opened = new PostgresLedger(pool, kinds, onChanged);
    const { rows } = await pool.query<InstrumentRow>(`SELECT ${ROW} FROM instruments ORDER BY key`);
    for (const row of rows) opened.ledger.put(instrumentOf(row));
    const gateways = await pool.query<{ id: string; secret_salt: Buffer; secret_hash: Buffer }>('SELECT * FROM gateways');
    for (const { id, secret_salt, secret_hash } of gateways.rows) {
      opened.#credentials.set(id, { salt: secret_salt, hash: secret_hash });
    }
    return opened;
  }

  /** `body`: an instruments.csv of a fleet folder, any size, held line by line. */
  async importCsv(body: AsyncIterable<Buffer>): Promise<ImportResult> {
    const intake = new Intake(this.#kinds);
    const { result, changed } = await transaction(this.#pool, async (client) => {
      await client.query('SELECT pg_advisory_xact_lock($1)', [IMPORT_LOCK]);
      await client.query(`CREATE TEMP TABLE staged (line integer, ${COLUMNS.map((name) => `${name} ${TYPES[name] ?? 'text'}`).join(', ')}) ON COMMIT DROP`);
      for await (const lines of intake.batches(body)) await stage(client, lines);
      await refuseSecondMasters(client, intake);
      const staged = await client.query<{ count: number }>('SELECT count(*)::int AS count FROM staged');
      const rows = await upsert(client);
      const created = rows.filter(({ created }) => created).length;
      return {
        changed: rows,
        result: {
          created,
          updated: rows.length - created,
          unchanged: staged.rows[0]!.count - rows.length,
          rejected: intake.rejected,
          rejectedTotal: intake.rejectedTotal,
        },
      };
    });
    for (const row of changed) {
      const instrument = instrumentOf(row);
      this.ledger.put(instrument);
      this.#onChanged(instrument);
    }
    return result;
  }

  /** In order of id. */
  async list(filter: InstrumentFilter): Promise<{ items: Instrument[]; next?: string }> {
    const where = new Conditions()
      .add('district = ?', filter.district)
      .within('region', filter.region === undefined ? undefined : [filter.region])
      .add('kind = ?', filter.kind)
      .add('state = ?', filter.state)
      .within('region', filter.visibleRegion === undefined ? undefined : [filter.visibleRegion])
      .add('id > ?', filter.cursor === undefined ? undefined : decodeCursor(filter.cursor));
    const { rows } = await this.#pool.query<InstrumentRow>(
      `SELECT ${ROW} FROM instruments WHERE ${where} ORDER BY id LIMIT $${where.params.length + 1}`,
      [...where.params, filter.limit + 1],
    );
    return afterPage(rows.map(instrumentOf), filter.limit);
  }

  /** Creates or rotates a credential; a secret that was not given is made and told this once. */
  async putGateway(id: string, given?: string): Promise<{ id: string; secret?: string; created: boolean }> {
    const secret = given ?? randomBytes(GENERATED_SECRET_BYTES).toString('base64url');
    const salt = randomBytes(16);
    const credential = { salt, hash: hashSecret(salt, secret) };
    const { rows } = await this.#pool.query<{ created: boolean }>(
      `INSERT INTO gateways (id, secret_salt, secret_hash) VALUES ($1, $2, $3)
       ON CONFLICT (id) DO UPDATE SET secret_salt = $2, secret_hash = $3, rotated_at = now()
       RETURNING xmax = 0 AS created`,
      [id, credential.salt, credential.hash],
    );
    this.#credentials.set(id, credential);
    return { id, created: rows[0]!.created, ...(given === undefined ? { secret } : {}) };
  }

  async listGateways(filter: { cursor?: string | undefined; limit: number }): Promise<{ items: GatewayRecord[]; next?: string }> {
    const where = new Conditions().add('g.id > ?', filter.cursor === undefined ? undefined : decodeCursor(filter.cursor));
    const { rows } = await this.#pool.query<GatewayRecord>(
      `SELECT g.id, g.created_at AS "createdAt", g.rotated_at AS "rotatedAt",
              (SELECT count(*)::int FROM instruments i WHERE i.gateway = g.id) AS instruments
       FROM gateways g WHERE ${where} ORDER BY g.id LIMIT $${where.params.length + 1}`,
      [...where.params, filter.limit + 1],
    );
    return afterPage(rows, filter.limit);
  }

  verifyGateway(id: string, secret: string): boolean {
    const known = this.#credentials.get(id);
    // An unknown id costs what a known one costs.
    const { salt, hash } = known ?? NOBODY;
    return timingSafeEqual(hashSecret(salt, secret), hash) && known !== undefined;
  }
}

const NOBODY: Credential = { salt: Buffer.alloc(16), hash: Buffer.alloc(32) };

/** Not a slow hash: it is checked at every connect, and a storm of reconnecting gateways must not become an outage. */
function hashSecret(salt: Buffer, secret: string): Buffer {
  return createHash('sha256').update(salt).update(secret).digest();
}

interface NumberedLine extends InstrumentLine {
  readonly line: number;
}

/** Reads lines, keeps the refused ones, and hands on the good ones in batches. */
class Intake {
  readonly rejected: RejectedLine[] = [];
  rejectedTotal = 0;
  readonly #kinds: Kinds;
  readonly #firstLine = new Map<string, number>();
  readonly #masters = new Map<string, string>();

  constructor(kinds: Kinds) {
    this.#kinds = kinds;
  }

  async *batches(body: AsyncIterable<Buffer>): AsyncGenerator<NumberedLine[]> {
    const parser = Readable.from(body).pipe(
      parse({ bom: true, info: true, relax_column_count: true, skip_empty_lines: true, max_record_size: MAX_LINE_BYTES }),
    );
    let columns: InstrumentColumn[] | undefined;
    let batch: NumberedLine[] = [];
    try {
      for await (const { record, info } of parser as AsyncIterable<{ record: string[]; info: { lines: number } }>) {
        if (!columns) columns = headerColumns(record);
        else {
          const line = this.#take(columns, record, info.lines);
          if (line) batch.push(line);
          if (batch.length < LINES_PER_INSERT) continue;
          yield batch;
          batch = [];
        }
      }
    } catch (error) {
      if (error instanceof MeterwardenError) throw error;
      throw new MeterwardenError('invalid_request', { params: { problem: (error as Error).message }, cause: error });
    }
    if (!columns) throw new MeterwardenError('invalid_request', { params: { problem: 'instruments.csv is empty' } });
    if (batch.length > 0) yield batch;
  }

  reject(rejection: RejectedLine): void {
    this.rejectedTotal++;
    if (this.rejected.length < MAX_LISTED_REJECTIONS) this.rejected.push(rejection);
  }

  #take(columns: readonly InstrumentColumn[], cells: readonly string[], line: number): NumberedLine | undefined {
    const parsed = parseInstrumentLine(columns, cells, this.#kinds);
    if (isRefusal(parsed)) return void this.reject({ line, ...parsed });
    const earlier = this.#firstLine.get(parsed.id);
    if (earlier !== undefined) {
      return void this.reject({ line, code: 'duplicate_line', path: 'id', params: { id: parsed.id, first: String(earlier) } });
    }
    if (parsed.role === 'master') {
      const district = `${parsed.kind} ${parsed.district}`;
      const master = this.#masters.get(district);
      if (master !== undefined) {
        return void this.reject({ line, code: 'second_master', path: 'role', params: { district: parsed.district, master } });
      }
      this.#masters.set(district, parsed.id);
    }
    this.#firstLine.set(parsed.id, line);
    return { ...parsed, line };
  }
}

function headerColumns(header: readonly string[]): InstrumentColumn[] {
  const columns = header.map((name) => {
    const column = name.trim().toLowerCase();
    if (isInstrumentColumn(column)) return column;
    throw new MeterwardenError('invalid_request', {
      path: column,
      params: { problem: `unknown column; did you mean ${nearest(column, COLUMNS)}?` },
    });
  });
  const missing = REQUIRED_COLUMNS.find((name) => !columns.includes(name));
  const repeated = columns.find((name, i) => columns.indexOf(name) !== i);
  if (missing) throw new MeterwardenError('invalid_request', { path: missing, params: { problem: 'this column is missing' } });
  if (repeated) throw new MeterwardenError('invalid_request', { path: repeated, params: { problem: 'this column stands twice' } });
  return columns;
}

async function stage(client: pg.PoolClient, lines: readonly NumberedLine[]): Promise<void> {
  const arrays = COLUMNS.map((_, i) => `$${i + 2}::text[]`);
  const typed = COLUMNS.map((name) => (name === 'installed_on' ? `nullif(${name}, '')::date` : TYPES[name] ? `${name}::${TYPES[name]}` : name));
  await client.query(
    `INSERT INTO staged (line, ${COLUMN_LIST})
     SELECT line, ${typed.join(', ')} FROM unnest($1::int[], ${arrays.join(', ')}) AS input (line, ${COLUMN_LIST})`,
    [lines.map(({ line }) => line), ...COLUMNS.map((name) => lines.map((line) => String(line[INSTRUMENT_COLUMNS[name]])))],
  );
}

/** A district has one master; another one on record stays unless this file itself moves or demotes it. */
async function refuseSecondMasters(client: pg.PoolClient, intake: Intake): Promise<void> {
  const { rows } = await client.query<{ line: number; district: string; master: string }>(
    `DELETE FROM staged s USING instruments i
     WHERE s.role = 'master' AND i.role = 'master' AND i.state = 'in-service'
       AND i.district = s.district AND i.kind = s.kind AND i.id <> s.id
       AND NOT EXISTS (SELECT FROM staged moved WHERE moved.id = i.id
                       AND (moved.role <> 'master' OR moved.district <> i.district OR moved.kind <> i.kind))
     RETURNING s.line, s.district, i.id AS master`,
  );
  for (const { line, ...params } of rows) intake.reject({ line, code: 'second_master', path: 'role', params });
}

type ChangedRow = InstrumentRow & { created: boolean };

async function upsert(client: pg.PoolClient): Promise<ChangedRow[]> {
  const changed = `(${COLUMNS.map((name) => `i.${name}`).join(', ')}) IS DISTINCT FROM (${COLUMNS.map((name) => `s.${name}`).join(', ')})`;
  // Masters that change step down first, so that two of them may trade places under the unique index.
  const { rows: before } = await client.query<{ id: string }>(
    `WITH changing AS (SELECT i.key FROM instruments i JOIN staged s USING (id) WHERE ${changed})
     UPDATE instruments i SET role = 'user' FROM changing WHERE i.key = changing.key RETURNING i.id`,
  );
  const { rows: updated } = await client.query<ChangedRow>(
    `UPDATE instruments i SET ${COLUMNS.map((name) => `${name} = s.${name}`).join(', ')}, updated_at = now()
     FROM staged s WHERE s.id = i.id AND i.id = ANY ($1)
     RETURNING i.key, ${COLUMNS.map((name) => (name === 'installed_on' ? 'i.installed_on::text' : `i.${name}`)).join(', ')}, i.state, false AS created`,
    [before.map(({ id }) => id)],
  );
  const { rows: created } = await client.query<ChangedRow>(
    `INSERT INTO instruments (key, ${COLUMN_LIST})
     SELECT (SELECT coalesce(max(key), 0) FROM instruments) + row_number() OVER (ORDER BY s.line), ${COLUMNS.map((name) => `s.${name}`).join(', ')}
     FROM staged s WHERE NOT EXISTS (SELECT FROM instruments i WHERE i.id = s.id)
     RETURNING ${ROW}, true AS created`,
  );
  return [...updated, ...created];
}

interface InstrumentRow {
  readonly key: number;
  readonly installed_on: string | null;
  readonly state: InstrumentState;
  readonly [column: string]: unknown;
}

function instrumentOf(row: InstrumentRow): Instrument {
  const line = Object.fromEntries(COLUMNS.map((name) => [INSTRUMENT_COLUMNS[name], row[name] ?? '']));
  return { ...(line as unknown as InstrumentLine), key: row.key, state: row.state };
}

function afterPage<Item extends { readonly id: string }>(items: Item[], limit: number): { items: Item[]; next?: string } {
  if (items.length <= limit) return { items };
  const shown = items.slice(0, limit);
  return { items: shown, next: Buffer.from(`after ${shown.at(-1)!.id}`).toString('base64url') };
}

function decodeCursor(cursor: string): string {
  const [, id] = /^after (.{1,64})$/u.exec(Buffer.from(cursor, 'base64url').toString()) ?? [];
  if (id === undefined) throw new MeterwardenError('invalid_cursor', { path: 'cursor' });
  return id;
}
