/** Instruments leave service and come back; their open tasks are told, and stay for people to end. */
import type pg from 'pg';
import { MeterwardenError } from '../errors.ts';
import { subjectId } from '../fleet/finding.ts';
import type { InstrumentState } from '../fleet/instrument.ts';
import type { TaskState } from '../fleet/task.ts';
import { type InstrumentRow, ROW, takeTurn } from './postgres-instrument-rows.ts';
import { appendHistory, takeTaskTurn } from './postgres-task-history.ts';

/** Who changes the ledger, and when. */
export interface By {
  readonly actor: string;
  readonly at: Date;
}

/** The instrument as it is then. Inside a transaction. */
export async function changeState(
  client: pg.PoolClient,
  id: string,
  state: InstrumentState,
  by: By,
): Promise<{ row: InstrumentRow; changed: boolean }> {
  await takeTurn(client);
  if (state === 'in-service') await requirePlace(client, id);
  const { rows } = await client.query<InstrumentRow>(
    `UPDATE instruments SET state = $2, updated_at = now() WHERE id = $1 AND state <> $2 RETURNING ${ROW}`,
    [id, state],
  );
  if (rows[0]) {
    await tellTasks(client, rows, by);
    return { row: rows[0], changed: true };
  }
  const { rows: unchanged } = await client.query<InstrumentRow>(`SELECT ${ROW} FROM instruments WHERE id = $1`, [id]);
  if (!unchanged[0]) throw new MeterwardenError('not_found', { path: 'id' });
  return { row: unchanged[0], changed: false };
}

/** A district has one master in service. */
async function requirePlace(client: pg.PoolClient, id: string): Promise<void> {
  const { rows } = await client.query<{ district: string; master: string }>(
    `SELECT m.district, m.id AS master FROM instruments i
     JOIN instruments m ON m.district = i.district AND m.kind = i.kind AND m.role = 'master' AND m.state = 'in-service'
     WHERE i.id = $1 AND i.role = 'master' AND m.id <> i.id`,
    [id],
  );
  const [params] = rows;
  if (params) throw new MeterwardenError('second_master', { path: 'state', params: { ...params } });
}

/** Their rules' findings end by themselves; whether the work is still to be done is not ours to say. */
export async function tellTasks(
  client: pg.PoolClient,
  changed: readonly { readonly key: number; readonly state: InstrumentState }[],
  { actor, at }: By,
): Promise<void> {
  if (changed.length === 0) return;
  await takeTaskTurn(client);
  const stateOf = new Map(changed.map(({ key, state }) => [key, state]));
  const { rows } = await client.query<{ id: string; state: TaskState; instrument: number }>(
    `SELECT id, state, instrument FROM tasks WHERE subject = ANY ($1) AND state <> 'closed' ORDER BY id`,
    [changed.map(({ key }) => subjectId({ type: 'instrument', key }))],
  );
  const entries = rows.map(({ id, state, instrument }) => ({
    task: id,
    actor,
    action: stateOf.get(instrument) === 'retired' ? 'retired' : 'returned',
    from: state,
    to: state,
    params: {},
  }));
  await appendHistory(client, entries, at);
}
