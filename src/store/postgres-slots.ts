/** Slots of workers at an external MQTT broker: one worker each, by an advisory lock on a connection of its own. */
import pg from 'pg';
import { LOCKS } from './postgres-lock.ts';

/** What a slot may have left at the broker. */
export interface SlotSessions {
  readonly clientIds: readonly string[];
  readonly filters: readonly string[];
}

export interface OrphanedSlot extends SlotSessions {
  readonly slot: number;
}

export interface Slots {
  /** The lowest slot nobody has. */
  take(): Promise<SlotLease>;
}

export interface SlotLease {
  readonly slot: number;
  /** One for all workers of the database, and hard to guess. */
  readonly group: string;
  /** Of the worker that had the slot before. */
  readonly left: SlotSessions;
  /** Aborted as soon as somebody else might have the slot. */
  readonly lost: AbortSignal;
  /** Is the slot ours, as the database says now? */
  confirm(): Promise<boolean>;
  /** To be called before a session is begun and after one is ended. */
  record(sessions: SlotSessions): Promise<void>;
  /** Takes the lowest slot whose worker is gone besides our own; undefined = there is none. */
  adopt(): Promise<OrphanedSlot | undefined>;
  /** Nothing of it is left at the broker. */
  forget(slot: number): Promise<void>;
  /** Announces that this worker will not come back; false when nobody would remain. */
  leave(): Promise<boolean>;
  /** All slots, ours and the adopted ones, are free. */
  release(): Promise<void>;
}

type Query = <Row extends pg.QueryResultRow>(sql: string, params: unknown[]) => Promise<pg.QueryResult<Row>>;

const MAX_SLOTS = 1_000;
const HEARTBEAT_MS = 1_000;
/** A database that does not answer so long may have given the slot away; it does so itself only after SERVER_PATIENCE. */
const ANSWER_TIMEOUT_MS = 10_000;
/** The server notices a vanished worker after idle + interval × count = 30 s. A pooler that shares connections would break the locks. */
const SERVER_PATIENCE = `SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;
  SET synchronous_commit = off; SET idle_session_timeout = 0`;

export class PostgresSlots implements Slots {
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  async take(): Promise<SlotLease> {
    const client = new pg.Client({
      connectionString: this.#url,
      application_name: 'meterwarden slot',
      connectionTimeoutMillis: ANSWER_TIMEOUT_MS,
      query_timeout: ANSWER_TIMEOUT_MS,
      keepAlive: true,
    });
    const lost = new AbortController();
    client.on('error', () => lost.abort());
    client.on('end', () => lost.abort());
    try {
      await client.connect();
      await client.query(SERVER_PATIENCE);
      const { rows } = await client.query<{ name: string }>('SELECT name FROM ingest_group');
      const query: Query = (sql, params) => client.query(sql, params);
      const slot = await lowestFree(query);
      const left = (await sessionsOf(query, slot)) ?? { clientIds: [], filters: [] };
      return new Lease(client, slot, rows[0]!.name, left, lost);
    } catch (error) {
      await client.end().catch(() => {});
      throw error;
    }
  }
}

class Lease implements SlotLease {
  readonly slot: number;
  readonly group: string;
  readonly left: SlotSessions;
  readonly #client: pg.Client;
  readonly #lost: AbortController;
  readonly #heartbeat: NodeJS.Timeout;
  /** A connection takes one query at a time. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(client: pg.Client, slot: number, group: string, left: SlotSessions, lost: AbortController) {
    this.#client = client;
    this.slot = slot;
    this.group = group;
    this.left = left;
    this.#lost = lost;
    this.#heartbeat = setInterval(() => void this.confirm(), HEARTBEAT_MS);
    lost.signal.addEventListener('abort', () => void this.release(), { once: true });
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  async confirm(): Promise<boolean> {
    if (this.lost.aborted) return false;
    try {
      await this.#query('UPDATE ingest_slots SET seen_at = now() WHERE slot = $1', [this.slot]);
    } catch {
      this.#lost.abort();
    }
    return !this.lost.aborted;
  }

  async record({ clientIds, filters }: SlotSessions): Promise<void> {
    await this.#query(
      `INSERT INTO ingest_slots (slot, client_ids, filters) VALUES ($1, $2, $3)
       ON CONFLICT (slot) DO UPDATE SET client_ids = $2, filters = $3, leaving = false, seen_at = now()`,
      [this.slot, clientIds, filters],
    );
  }

  async adopt(): Promise<OrphanedSlot | undefined> {
    const query: Query = (sql, params) => this.#query(sql, params);
    const { rows } = await this.#query<{ slot: number }>(
      `SELECT slot FROM ingest_slots s WHERE NOT EXISTS (${holding('s.slot')}) ORDER BY slot`,
      [LOCKS.slots],
    );
    for (const { slot } of rows) {
      if (!(await lock(query, slot))) continue;
      const sessions = await sessionsOf(query, slot);
      if (sessions) return { slot, ...sessions };
      await this.#unlock(slot); // another worker was done with it meanwhile
    }
    return undefined;
  }

  async forget(slot: number): Promise<void> {
    await this.#query('DELETE FROM ingest_slots WHERE slot = $1', [slot]);
    if (slot !== this.slot) await this.#unlock(slot);
  }

  async leave(): Promise<boolean> {
    // A statement of its own: what the others decided before us must be seen.
    await this.#query('SELECT pg_advisory_lock($1)', [LOCKS.leavingSlots]);
    const { rowCount } = await this.#query(
      `UPDATE ingest_slots SET leaving = true WHERE slot = $2 AND EXISTS (
         SELECT FROM ingest_slots s WHERE s.slot <> $2 AND NOT s.leaving AND EXISTS (${holding('s.slot')})
       )`,
      [LOCKS.slots, this.slot],
    );
    await this.#query('SELECT pg_advisory_unlock($1)', [LOCKS.leavingSlots]);
    return rowCount === 1;
  }

  async release(): Promise<void> {
    clearInterval(this.#heartbeat);
    await this.#client.end().catch(() => {});
  }

  #query<Row extends pg.QueryResultRow>(sql: string, params: unknown[]): Promise<pg.QueryResult<Row>> {
    const answer = this.#turn.then(() => this.#client.query<Row>(sql, params));
    this.#turn = answer.catch(() => {});
    return answer;
  }

  async #unlock(slot: number): Promise<void> {
    await this.#query('SELECT pg_advisory_unlock($1, $2)', [LOCKS.slots, slot]);
  }
}

/** Whoever holds the slot; $1 is LOCKS.slots. */
function holding(slot: string): string {
  return `SELECT FROM pg_locks l
    WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.granted AND l.classid::bigint = $1 AND l.objid::bigint = ${slot}
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())`;
}

async function lowestFree(query: Query): Promise<number> {
  for (let slot = 0; slot < MAX_SLOTS; slot++) if (await lock(query, slot)) return slot;
  throw new Error(`all ${MAX_SLOTS} slots are taken`);
}

async function lock(query: Query, slot: number): Promise<boolean> {
  const sql = 'SELECT pg_try_advisory_lock($1, $2) AS ours';
  const { rows } = await query<{ ours: boolean }>(sql, [LOCKS.slots, slot]);
  return rows[0]!.ours;
}

async function sessionsOf(query: Query, slot: number): Promise<SlotSessions | undefined> {
  const sql = 'SELECT client_ids AS "clientIds", filters FROM ingest_slots WHERE slot = $1';
  const { rows } = await query<SlotSessions & pg.QueryResultRow>(sql, [slot]);
  return rows[0];
}
