/** Snapshots of what the rules remember; what came after the newest one is replayed, from the readings or from their log. */
import type pg from 'pg';
import type { RuleState } from '../rules/state.ts';
import { transaction } from './postgres.ts';

/** One set of rules per database, whoever evaluates it. */
const WORKER = 'main';

/** How far the rules have come. */
export interface RuleProgress {
  /** Receipt time, epoch microseconds, up to which readings are in the state. */
  readonly receivedAtUs: number;
  /** The entry of the log up to which they are; undefined when the snapshot was made without a log. */
  readonly logId: number | undefined;
}

/** Fills `state`; undefined = there is no snapshot. */
export async function loadRuleState(pool: pg.Pool, state: RuleState): Promise<RuleProgress | undefined> {
  const { rows } = await pool.query<{ chunk: string; state: Buffer }>('SELECT chunk, state FROM rule_snapshots');
  for (const row of rows) state.decodeChunk(row.chunk, row.state);
  const progress = await pool.query<{ received_us: string; log_id: string | null }>(
    `SELECT (extract(epoch FROM received_at) * 1000000)::int8 AS received_us, log_id
     FROM rule_progress WHERE worker = $1`,
    [WORKER],
  );
  const [row] = progress.rows;
  if (!row) return undefined;
  return { receivedAtUs: Number(row.received_us), logId: row.log_id === null ? undefined : Number(row.log_id) };
}

export interface RuleSnapshot {
  readonly chunks: readonly (readonly [name: string, bytes: Uint8Array])[];
  readonly progress: RuleProgress;
}

/** Takes what changed since the last snapshot; synchronous, so that it is of one moment. */
export function takeSnapshot(state: RuleState, progress: RuleProgress): RuleSnapshot {
  const chunks = [...state.dirtyChunks()].map((name) => [name, state.encodeChunk(name)] as const);
  state.clean();
  return { chunks, progress };
}

/** Refuses to step back behind an owner of the rules that has taken over meanwhile. What could not be kept is taken again. */
export async function saveRuleState(pool: pg.Pool, state: RuleState, snapshot: RuleSnapshot): Promise<void> {
  try {
    await transaction(pool, (client) => save(client, snapshot));
  } catch (error) {
    state.spoil(snapshot.chunks.map(([name]) => name));
    throw error;
  }
}

async function save(client: pg.PoolClient, { chunks, progress }: RuleSnapshot): Promise<void> {
  const { rowCount } = await client.query(
    `INSERT INTO rule_progress (worker, received_at, log_id) VALUES ($1, to_timestamp($2::numeric / 1000000), $3)
     ON CONFLICT (worker) DO UPDATE SET received_at = excluded.received_at, log_id = excluded.log_id
     WHERE rule_progress.log_id IS NULL OR excluded.log_id IS NULL OR rule_progress.log_id <= excluded.log_id`,
    [WORKER, String(progress.receivedAtUs), progress.logId ?? null],
  );
  if (rowCount === 0) throw new Error('another process has taken the rules further');
  for (const [chunk, state] of chunks) {
    await client.query(
      'INSERT INTO rule_snapshots (chunk, state) VALUES ($1, $2) ON CONFLICT (chunk) DO UPDATE SET state = $2',
      [chunk, Buffer.from(state.buffer, state.byteOffset, state.byteLength)],
    );
  }
}
