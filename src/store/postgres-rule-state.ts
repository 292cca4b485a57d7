/** Snapshots of what the rules remember; what came after the newest one is replayed from the readings. */
import type pg from 'pg';
import type { RuleState } from '../rules/state.ts';
import { transaction } from './postgres.ts';

/** The only worker there is; several will each keep their own progress. */
const WORKER = 'main';

/** Fills `state`; returns the receipt time, epoch microseconds, up to which readings are in it. */
export async function loadRuleState(pool: pg.Pool, state: RuleState): Promise<number> {
  const { rows } = await pool.query<{ chunk: string; state: Buffer }>('SELECT chunk, state FROM rule_snapshots');
  for (const row of rows) state.decodeChunk(row.chunk, row.state);
  const progress = await pool.query<{ received_us: string }>(
    'SELECT (extract(epoch FROM received_at) * 1000000)::int8 AS received_us FROM rule_progress WHERE worker = $1',
    [WORKER],
  );
  return Number(progress.rows[0]?.received_us ?? 0);
}

export interface RuleSnapshot {
  readonly chunks: readonly (readonly [name: string, bytes: Uint8Array])[];
  readonly receivedAtUs: number;
}

/** Takes what changed since the last snapshot; synchronous, so that it is of one moment. */
export function takeSnapshot(state: RuleState, receivedAtUs: number): RuleSnapshot {
  const chunks = [...state.dirtyChunks()].map((name) => [name, state.encodeChunk(name)] as const);
  state.clean();
  return { chunks, receivedAtUs };
}

export async function saveRuleState(pool: pg.Pool, { chunks, receivedAtUs }: RuleSnapshot): Promise<void> {
  await transaction(pool, async (client) => {
    for (const [chunk, state] of chunks) {
      await client.query(
        'INSERT INTO rule_snapshots (chunk, state) VALUES ($1, $2) ON CONFLICT (chunk) DO UPDATE SET state = $2',
        [chunk, Buffer.from(state.buffer, state.byteOffset, state.byteLength)],
      );
    }
    await client.query(
      `INSERT INTO rule_progress (worker, received_at) VALUES ($1, to_timestamp($2::numeric / 1000000))
       ON CONFLICT (worker) DO UPDATE SET received_at = excluded.received_at`,
      [WORKER, String(receivedAtUs)],
    );
  });
}
