import { afterEach, beforeEach, expect, test } from 'vitest';
import { PostgresSlots, type SlotLease } from '../../src/store/postgres-slots.ts';
import { type TestDatabase, testDatabase } from '../support/postgres.ts';

const POLL = { timeout: 20_000, interval: 20 };

let db: TestDatabase;
let slots: PostgresSlots;
let taken: SlotLease[];

beforeEach(async () => {
  db = await testDatabase();
  slots = new PostgresSlots(db.url);
  taken = [];
});

afterEach(async () => {
  await Promise.all(taken.map((lease) => lease.release()));
  await db.close();
});

async function take(): Promise<SlotLease> {
  const lease = await slots.take();
  taken.push(lease);
  return lease;
}

const rows = async () => (await db.pool.query('SELECT slot, client_ids, filters FROM ingest_slots ORDER BY slot')).rows;

/** As the database sees a worker that was killed. */
async function kill(lease: SlotLease): Promise<void> {
  const lost = new Promise((done) => lease.lost.addEventListener('abort', done));
  const { rows } = await db.pool.query<{ pid: number }>(
    `SELECT pid, pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND objid = $1
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
    [lease.slot],
  );
  await lost;
  // The client hears of its end before the locks are free.
  const held = 'SELECT FROM pg_locks WHERE pid = ANY ($1)';
  await expect.poll(async () => (await db.pool.query(held, [rows.map(({ pid }) => pid)])).rowCount).toBe(0);
}

test('each has the lowest that is free, and one name', async () => {
  const [first, second] = [await take(), await take()];
  expect([first.slot, second.slot]).toEqual([0, 1]);
  expect(first.group).toMatch(/^meterwarden-[0-9a-f]{24}$/);
  expect(second.group).toBe(first.group);
  await first.release();
  expect((await take()).slot).toBe(0);
});

test('many at once get different ones', async () => {
  const leases = await Promise.all(Array.from({ length: 8 }, take));
  expect(leases.map(({ slot }) => slot).sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
});

test('who comes next knows what was left', async () => {
  const first = await take();
  expect(first.left).toEqual({ clientIds: [], filters: [] });
  await first.record({ clientIds: ['a', 'b'], filters: ['f'] });
  await first.release();
  expect((await take()).left).toEqual({ clientIds: ['a', 'b'], filters: ['f'] });
});

test('a dead worker is looked after by one of the others', async () => {
  const [dead, one, other] = [await take(), await take(), await take()];
  await dead.record({ clientIds: ['a'], filters: ['f'] });
  expect(await one.adopt()).toBeUndefined();
  await kill(dead);
  const found = await Promise.all([one.adopt(), other.adopt()]);
  const adopted = { slot: 0, clientIds: ['a'], filters: ['f'] };
  expect(found.filter((orphan) => orphan)).toEqual([adopted]);
  const [adopter, idle] = found[0] ? [one, other] : [other, one];
  expect(await adopter.adopt(), 'once').toBeUndefined();
  expect((await take()).slot, 'not free while it is looked after').toBe(3);
  await kill(adopter);
  expect(await idle.adopt(), 'the adopter may die too').toEqual(adopted);
  await idle.forget(0);
  expect(await rows()).toEqual([]);
  expect((await take()).slot).toBe(0);
});

test('one that lost its connection knows, and does not get it back', async () => {
  const lease = await take();
  expect(await lease.confirm()).toBe(true);
  await kill(lease);
  expect(await lease.confirm()).toBe(false);
  expect((await take()).slot).toBe(0);
});

test('the last one cannot leave, nor can two that are the last', async () => {
  const [first, second] = [await take(), await take()];
  await first.record({ clientIds: ['a'], filters: [] });
  expect(await first.leave(), 'nobody else is on record').toBe(false);
  await second.record({ clientIds: ['b'], filters: [] });
  expect((await Promise.all([first.leave(), second.leave()])).sort()).toEqual([false, true]);
});

test('a heartbeat shows when a worker was last there', async () => {
  const lease = await take();
  await lease.record({ clientIds: [], filters: [] });
  await db.pool.query("UPDATE ingest_slots SET seen_at = '2000-01-01'");
  const stale = async () => (await db.pool.query("SELECT FROM ingest_slots WHERE seen_at < '2020-01-01'")).rowCount;
  await expect.poll(stale, POLL).toBe(0);
});
