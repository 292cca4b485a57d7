/** The ledger (台账) in PostgreSQL, held in memory for the reading path; and the credentials of gateways. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type pg from 'pg';
import { mosquittoPasswordLine } from '../broker/mosquitto.ts';
import { MeterwardenError } from '../errors.ts';
import { type Instrument, type InstrumentState, MemoryLedger } from '../fleet/instrument.ts';
import type { Kinds } from '../fleet/kind.ts';
import { SYSTEM } from '../tasks/workflow.ts';
import { patient, transaction } from './postgres.ts';
import { type InstrumentRow, instrumentOf, ROW, takeTurn } from './postgres-instrument-rows.ts';
import { type By, changeState } from './postgres-instrument-state.ts';
import { type ImportResult, importCsv } from './postgres-ledger-import.ts';
import { Conditions } from './postgres-paging.ts';

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

export const LEDGER_CHANGES_CHANNEL = 'ledger_changes';
const GENERATED_SECRET_BYTES = 32;
/** Millions of instruments at the start, or after an import elsewhere; while it lasts no later change is heard of. */
const LOAD_TIMEOUT_MS = 120_000;

interface Credential {
  readonly salt: Buffer;
  readonly hash: Buffer;
}

export class PostgresLedger {
  readonly ledger = new MemoryLedger();
  readonly #pool: pg.Pool;
  readonly #kinds: Kinds;
  readonly #onChanged: (instrument: Instrument) => void;
  readonly #onCredential: (id: string) => void;
  readonly #credentials = new Map<string, Credential>();
  #instrumentVersion = 0;
  #gatewayVersion = 0;
  #refreshing: Promise<void> = Promise.resolve();

  private constructor(
    pool: pg.Pool,
    kinds: Kinds,
    onChanged: (instrument: Instrument) => void,
    onCredential: (id: string) => void,
  ) {
    this.#pool = pool;
    this.#kinds = kinds;
    this.#onChanged = onChanged;
    this.#onCredential = onCredential;
  }

  /** `onCredential`: the secret of that gateway is another from now on. */
  static async open(
    pool: pg.Pool,
    kinds: Kinds,
    onChanged: (instrument: Instrument) => void = () => {},
    onCredential: (id: string) => void = () => {},
  ): Promise<PostgresLedger> {
    const opened = new PostgresLedger(pool, kinds, onChanged, onCredential);
    await opened.#refresh(() => {});
    return opened;
  }

  /** Takes over what other processes have changed since; calls take turns. */
  refresh(): Promise<void> {
    this.#refreshing = this.#refreshing.catch(() => {}).then(() => this.#refresh(this.#onChanged));
    return this.#refreshing;
  }

  #learn(id: string, credential: Credential): void {
    const known = this.#credentials.get(id);
    this.#credentials.set(id, credential);
    if (known && !known.hash.equals(credential.hash)) this.#onCredential(id);
  }

  async #refresh(onChanged: (instrument: Instrument) => void): Promise<void> {
    const instruments = await this.#pool.query<InstrumentRow & { version: string }>(
      patient(
        `SELECT ${ROW}, version FROM instruments WHERE version > $1 OR $1 = 0 ORDER BY version, key`,
        [this.#instrumentVersion],
        LOAD_TIMEOUT_MS,
      ),
    );
    for (const row of instruments.rows) {
      const instrument = instrumentOf(row);
      this.ledger.put(instrument);
      this.#instrumentVersion = Number(row.version);
      onChanged(instrument);
    }
    const gateways = await this.#pool.query<{ id: string; secret_salt: Buffer; secret_hash: Buffer; version: string }>(
      patient(
        'SELECT id, secret_salt, secret_hash, version FROM gateways WHERE version > $1 OR $1 = 0 ORDER BY version',
        [this.#gatewayVersion],
        LOAD_TIMEOUT_MS,
      ),
    );
    for (const { id, secret_salt, secret_hash, version } of gateways.rows) {
      this.#learn(id, { salt: secret_salt, hash: secret_hash });
      this.#gatewayVersion = Number(version);
    }
  }

  /**
   * `body`: an instruments.csv of a fleet folder, any size, held line by line. A column the file lacks leaves instruments
   * that are known as they are. Lines are staged first: a slow upload holds no lock.
   */
  async importCsv(
    body: AsyncIterable<Buffer>,
    by: By = { actor: SYSTEM.username, at: new Date() },
  ): Promise<ImportResult> {
    const { rows, ...result } = await importCsv(this.#pool, this.#kinds, body, by);
    for (const row of rows) this.#put(row);
    return result;
  }

  /** Throws second_master when its place has been taken meanwhile. */
  async changeState(id: string, state: InstrumentState, by: By): Promise<Instrument> {
    const { row, changed } = await transaction(this.#pool, (client) => changeState(client, id, state, by));
    if (changed) this.#put(row);
    return instrumentOf(row);
  }

  #put(row: InstrumentRow): void {
    const instrument = instrumentOf(row);
    this.ledger.put(instrument);
    this.#onChanged(instrument);
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

  /**
   * Creates or rotates a credential; a secret that was not given is made and told this once. Throws gateway_is_instrument for a
   * first secret of an instrument that reports through a gateway.
   */
  async putGateway(id: string, given?: string): Promise<{ id: string; secret?: string; created: boolean }> {
    const secret = given ?? randomBytes(GENERATED_SECRET_BYTES).toString('base64url');
    const salt = randomBytes(16);
    const credential = { salt, hash: hashSecret(salt, secret) };
    const params = [id, credential.salt, credential.hash, mosquittoPasswordLine(id, secret)];
    const { rows } = await transaction(this.#pool, async (client) => {
      await takeTurn(client);
      await requireClient(client, id);
      return await client.query<{ created: boolean }>(PUT_GATEWAY, params);
    });
    this.#learn(id, credential);
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
              (SELECT count(*)::int FROM instruments i WHERE i.gateway = g.id AND i.state = 'in-service') AS instruments
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

  /** A gateway or instrument, whether or not it has a secret. */
  knows(id: string): boolean {
    return this.#credentials.has(id) || this.ledger.knows(id);
  }
}

const NOBODY: Credential = { salt: Buffer.alloc(16), hash: Buffer.alloc(32) };

/** Not a slow hash: it is checked at every connect, and a storm of reconnecting gateways must not become an outage. */
function hashSecret(salt: Buffer, secret: string): Buffer {
  return createHash('sha256').update(salt).update(secret).digest();
}

const PUT_GATEWAY = `INSERT INTO gateways (id, secret_salt, secret_hash, mosquitto) VALUES ($1, $2, $3, $4)
  ON CONFLICT (id) DO UPDATE SET secret_salt = $2, secret_hash = $3, mosquitto = $4, rotated_at = now()
  RETURNING xmax = 0 AS created`;

/** A gateway, or an instrument that reports for itself; a secret that is there may always be rotated. */
async function requireClient(client: pg.PoolClient, id: string): Promise<void> {
  const { rowCount } = await client.query(
    `SELECT FROM instruments WHERE id = $1 AND gateway NOT IN ('', id) AND NOT EXISTS (SELECT FROM gateways WHERE id = $1)`,
    [id],
  );
  if (rowCount) throw new MeterwardenError('gateway_is_instrument', { path: 'id', params: { id } });
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
