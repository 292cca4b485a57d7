/** The ledger (台账) in PostgreSQL, held in memory for the reading path; and the credentials of gateways. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
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
import { type Line, lines, MAX_LINE_CHARS } from './csv-lines.ts';
import { inTransaction } from './postgres.ts';
import { Conditions } from './postgres-paging.ts';

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
  readonly code: 'invalid_line' | 'unknown_kind' | 'duplicate_line' | 'second_master';
  readonly path: string;
  readonly params: Readonly<Record<string, string | number>>;
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
const MAX_LINES = 2_000_000;
/** A file may move masters around between districts; so many refusals in a row may follow from each other. */
const MAX_MASTER_ROUNDS = 20;
/** Writers take turns, in the triggers of migration 006 too: keys are handed out densely, versions become visible in order. */
const IMPORT_LOCK = 7_236_403;
export const LEDGER_CHANGES_CHANNEL = 'ledger_changes';
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
  #instrumentVersion = 0;
  #gatewayVersion = 0;
  #refreshing: Promise<void> = Promise.resolve();

  private constructor(pool: pg.Pool, kinds: Kinds, onChanged: (instrument: Instrument) => void) {
    this.#pool = pool;
    this.#kinds = kinds;
    this.#onChanged = onChanged;
  }

  static async open(
    pool: pg.Pool,
    kinds: Kinds,
    onChanged: (instrument: Instrument) => void = () => {},
  ): Promise<PostgresLedger> {
    const opened = new PostgresLedger(pool, kinds, onChanged);
    await opened.#refresh(() => {});
    return opened;
  }

  /** Takes over what other processes have changed since; calls take turns. */
  refresh(): Promise<void> {
    this.#refreshing = this.#refreshing.catch(() => {}).then(() => this.#refresh(this.#onChanged));
    return this.#refreshing;
  }

  async #refresh(onChanged: (instrument: Instrument) => void): Promise<void> {
    const instruments = await this.#pool.query<InstrumentRow & { version: string }>(
      `SELECT ${ROW}, version FROM instruments WHERE version > $1 OR $1 = 0 ORDER BY version, key`,
      [this.#instrumentVersion],
    );
    for (const row of instruments.rows) {
      const instrument = instrumentOf(row);
      this.ledger.put(instrument);
      this.#instrumentVersion = Number(row.version);
      onChanged(instrument);
    }
    const gateways = await this.#pool.query<{ id: string; secret_salt: Buffer; secret_hash: Buffer; version: string }>(
      'SELECT id, secret_salt, secret_hash, version FROM gateways WHERE version > $1 OR $1 = 0 ORDER BY version',
      [this.#gatewayVersion],
    );
    for (const { id, secret_salt, secret_hash, version } of gateways.rows) {
      this.#credentials.set(id, { salt: secret_salt, hash: secret_hash });
      this.#gatewayVersion = Number(version);
    }
  }

  /**
   * `body`: an instruments.csv of a fleet folder, any size, held line by line. A column the file lacks leaves instruments
   * that are known as they are. Lines are staged first: a slow upload holds no lock.
   */
  async importCsv(body: AsyncIterable<Buffer>): Promise<ImportResult> {
    const intake = new Intake(this.#kinds);
    const client = await this.#pool.connect();
    let finished = false;
    try {
      await client.query(
        `CREATE TEMP TABLE staged (line integer PRIMARY KEY, ${COLUMNS.map((name) => `${name} ${TYPES[name] ?? 'text'}`).join(', ')})`,
      );
      for await (const lines of intake.batches(body)) await stage(client, lines);
      await client.query('ANALYZE staged');
      const { rows, count } = await inTransaction(client, async () => {
        await client.query('SELECT pg_advisory_xact_lock($1)', [IMPORT_LOCK]);
        await refuseSecondMasters(client, intake);
        const staged = await client.query<{ count: number }>('SELECT count(*)::int AS count FROM staged');
        return { rows: await upsert(client, intake.columns), count: staged.rows[0]!.count };
      });
      await client.query('DROP TABLE staged');
      finished = true;
      for (const row of rows) {
        const instrument = instrumentOf(row);
        this.ledger.put(instrument);
        this.#onChanged(instrument);
      }
      const created = rows.filter(({ created }) => created).length;
      return { created, updated: rows.length - created, unchanged: count - rows.length, ...intake.refusals() };
    } finally {
      client.release(!finished); // a connection that still has the staging table is not reused
    }
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

  async listGateways(filter: {
    cursor?: string | undefined;
    limit: number;
  }): Promise<{ items: GatewayRecord[]; next?: string }> {
    const where = new Conditions().add(
      'g.id > ?',
      filter.cursor === undefined ? undefined : decodeCursor(filter.cursor),
    );
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
 * A district has one master. The one on record stays, unless this file moves or demotes it; else the first of the file.
 * A refused line leaves its instrument where it is, which may refuse another: repeated until nothing changes.
 */
async function refuseSecondMasters(client: pg.PoolClient, intake: Intake): Promise<void> {
  for (let round = 1; ; round++) {
    const { rows } = await client.query<{ line: number; district: string; master: string }>(
      `WITH standing AS (
         SELECT i.id, i.district, i.kind, NULL::integer AS line FROM instruments i
         WHERE i.role = 'master' AND i.state = 'in-service' AND NOT EXISTS (SELECT FROM staged s WHERE s.id = i.id)
         UNION ALL
         SELECT s.id, s.district, s.kind, CASE WHEN i.role = 'master' THEN 0 ELSE s.line END FROM staged s
         LEFT JOIN instruments i ON i.id = s.id AND i.district = s.district AND i.kind = s.kind
         WHERE s.role = 'master'
       ), ranked AS (
         SELECT id, district, kind, row_number() OVER turn AS place, first_value(id) OVER turn AS master
         FROM standing WINDOW turn AS (PARTITION BY district, kind ORDER BY line NULLS FIRST, id)
       )
       DELETE FROM staged s USING ranked r WHERE r.id = s.id AND r.place > 1
       RETURNING s.line, s.district, r.master`,
    );
    for (const { line, ...params } of rows) intake.reject({ line, code: 'second_master', path: 'role', params });
    if (rows.length === 0) return;
    if (round === MAX_MASTER_ROUNDS)
      throw new MeterwardenError('conflict', { path: 'role', params: { problem: 'master_circle' } });
  }
}

type ChangedRow = InstrumentRow & { created: boolean };

async function upsert(client: pg.PoolClient, columns: readonly InstrumentColumn[]): Promise<ChangedRow[]> {
  const listed = (table: string) => columns.map((name) => `${table}.${name}`).join(', ');
  const returned = COLUMNS.map((name) => (name === 'installed_on' ? 'i.installed_on::text' : `i.${name}`)).join(', ');
  // Masters that change step down first, so that two of them may trade places under the unique index.
  const { rows: before } = await client.query<{ id: string }>(
    `WITH changing AS (SELECT i.key FROM instruments i JOIN staged s USING (id) WHERE (${listed('i')}) IS DISTINCT FROM (${listed('s')}))
     UPDATE instruments i SET role = 'user' FROM changing WHERE i.key = changing.key RETURNING i.id`,
  );
  const { rows: updated } = await client.query<ChangedRow>(
    `UPDATE instruments i SET ${columns.map((name) => `${name} = s.${name}`).join(', ')}, updated_at = now()
     FROM staged s WHERE s.id = i.id AND i.id = ANY ($1) RETURNING i.key, ${returned}, i.state, false AS created`,
    [before.map(({ id }) => id)],
  );
  const { rows: created } = await client.query<ChangedRow>(
    `INSERT INTO instruments AS i (key, ${COLUMN_LIST})
     SELECT (SELECT coalesce(max(key), 0) FROM instruments) + row_number() OVER (ORDER BY s.line), ${COLUMNS.map((name) => `s.${name}`).join(', ')}
     FROM staged s WHERE NOT EXISTS (SELECT FROM instruments known WHERE known.id = s.id)
     RETURNING i.key, ${returned}, i.state, true AS created`,
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

function afterPage<Item extends { readonly id: string }>(
  items: Item[],
  limit: number,
): { items: Item[]; next?: string } {
  if (items.length <= limit) return { items };
  const shown = items.slice(0, limit);
  return { items: shown, next: Buffer.from(`after ${shown.at(-1)!.id}`).toString('base64url') };
}

function decodeCursor(cursor: string): string {
  const [, id] = /^after (.{1,64})$/u.exec(Buffer.from(cursor, 'base64url').toString()) ?? [];
  if (id === undefined) throw new MeterwardenError('invalid_cursor', { path: 'cursor' });
  return id;
}
