import { expect, test } from 'vitest';
import { loadDomain } from '../../src/config.ts';
import { PostgresChanges } from '../../src/store/postgres-changes.ts';
import { LEDGER_CHANGES_CHANNEL, PostgresLedger } from '../../src/store/postgres-ledger.ts';
import { testDatabase } from '../support/postgres.ts';

const { kinds } = loadDomain();
const csv = async function* (ids: readonly string[], district = 'D1') {
  const lines = ids.map((id) => `${id},electricity,user,${district},220,60`);
  yield Buffer.from(['id,kind,role,district,nominal_voltage_v,max_current_a', ...lines].join('\n'));
};

test('another process learns of imports and credentials, and only of what is newer than it knows', async () => {
  const db = await testDatabase();
  const writer = await PostgresLedger.open(db.pool, kinds);
  const told: string[] = [];
  const rotated: string[] = [];
  const reader = await PostgresLedger.open(
    db.pool,
    kinds,
    ({ id }) => told.push(id),
    (id) => rotated.push(id),
  );
  await writer.importCsv(csv(['A', 'B']));
  await writer.putGateway('GW', 'a secret of the gateway');
  expect(reader.ledger.byId('A')).toBeUndefined();
  await reader.refresh();
  expect(told).toEqual(['A', 'B']);
  expect(reader.ledger.byId('A')).toEqual(writer.ledger.byId('A'));
  expect(reader.verifyGateway('GW', 'a secret of the gateway')).toBe(true);
  await writer.importCsv(csv(['B', 'C'], 'D2'));
  await writer.putGateway('GW', 'another secret');
  await Promise.all([reader.refresh(), reader.refresh()]);
  expect(told).toEqual(['A', 'B', 'B', 'C']);
  expect(rotated).toEqual(['GW']);
  expect(reader.verifyGateway('GW', 'a secret of the gateway')).toBe(false);
  expect(reader.ledger.ofDistrict('D2').map(({ id }) => id)).toEqual(['B', 'C']);
  await db.close();
});

test('a commit that changes the ledger is announced', async () => {
  const db = await testDatabase();
  const writer = await PostgresLedger.open(db.pool, kinds);
  const reader = await PostgresLedger.open(db.pool, kinds);
  const changes = new PostgresChanges(db.url, LEDGER_CHANGES_CHANNEL, () => void reader.refresh());
  await changes.start();
  await writer.importCsv(csv(['A']));
  await writer.putGateway('GW', 'a secret of the gateway');
  await expect.poll(() => reader.ledger.byId('A')?.district, { timeout: 5_000 }).toBe('D1');
  await expect.poll(() => reader.verifyGateway('GW', 'a secret of the gateway'), { timeout: 5_000 }).toBe(true);
  await changes.stop();
  await db.close();
});
