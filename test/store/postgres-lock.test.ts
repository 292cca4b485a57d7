import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { asSoleOwner, LOCKS } from '../../src/store/postgres-lock.ts';
import { testDatabase } from '../support/postgres.ts';

test('every lock has its own number, and all numbers stand in one table', () => {
  const numbers = Object.values(LOCKS);
  expect(new Set(numbers).size).toBe(numbers.length);
  const files = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((name) => /\.(ts|sql)$/.test(name));
  const elsewhere = files
    .filter((name) => name !== 'store/postgres-lock.ts')
    .flatMap((name) =>
      [...readFileSync(`src/${name}`, 'utf8').matchAll(/\b7_?236_?\d{3}\b/g)].map(([number]) => [name, number]),
    );
  expect(elsewhere, 'SQL that has been released stays as it is').toEqual([
    ['store/migrations/006-ledger-versions.sql', String(LOCKS.ledger)],
  ]);
});

test('one works at a time; when its connection is lost its work is aborted and another takes over', async () => {
  const db = await testDatabase();
  const stop = new AbortController();
  const events: string[] = [];
  let working = 0;
  const contender = (name: string) =>
    asSoleOwner({ url: db.url, lock: LOCKS.rules, signal: stop.signal, onError: () => {} }, async (signal) => {
      working++;
      expect(working).toBe(1);
      events.push(`${name} began`);
      await delay(60_000, undefined, { signal }).catch(() => {});
      working--;
      events.push(`${name} ended`);
    });
  const contenders = Promise.all([contender('a'), contender('b')]);
  await expect.poll(() => events.length, { timeout: 5_000 }).toBe(1);
  const first = events[0]!.slice(0, 1);
  const other = first === 'a' ? 'b' : 'a';
  await db.pool.query(
    `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = $1 AND granted`,
    [LOCKS.rules],
  );
  await expect.poll(() => events.length, { timeout: 10_000 }).toBeGreaterThanOrEqual(3);
  expect(events[1]).toBe(`${first} ended`);
  expect([`${first} began`, `${other} began`]).toContain(events[2]);
  stop.abort();
  await contenders;
  expect(working).toBe(0);
  await db.close();
});
