import { afterAll, beforeAll, expect, test } from 'vitest';
import { migrate } from '../../src/store/postgres.ts';
import { type TestDatabase, testDatabase } from '../support/postgres.ts';

let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
});
afterAll(() => db.close());

test('migrating an up-to-date schema changes nothing, also when two start at once', async () => {
  const before = await db.pool.query('SELECT name, at FROM migrations ORDER BY name');
  await Promise.all([migrate(db.pool), migrate(db.pool)]);
  const after = await db.pool.query('SELECT name, at FROM migrations ORDER BY name');
  expect(after.rows).toEqual(before.rows);
  expect(after.rows.length).toBeGreaterThanOrEqual(4);
});
