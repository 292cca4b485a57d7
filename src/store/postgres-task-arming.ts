/** What a queue has been told of the steps of tasks. */
import type pg from 'pg';

/** For a queue that has forgotten what it was told: it is told of every step again. */
export async function disarmSteps(pool: pg.Pool): Promise<void> {
  await pool.query('UPDATE task_steps SET armed_at = NULL WHERE done_at IS NULL AND armed_at IS NOT NULL');
}
