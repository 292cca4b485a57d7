/** The files that the command writes, held against the real Mosquitto. */
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import mqtt from 'mqtt';
import { expect, it } from 'vitest';
import { loadDomain } from '../../src/config.ts';
import { PostgresLedger } from '../../src/store/postgres-ledger.ts';
import { MAIN, run } from '../support/command-line.ts';
import { MOSQUITTO, Mosquitto, REQUIRED } from '../support/mosquitto.ts';
import { testDatabase } from '../support/postgres.ts';

it('before any process has prepared the database, the workers alone', { timeout: 60_000 }, async () => {
  const db = await testDatabase();
  await db.pool.query('DROP SCHEMA public CASCADE; CREATE SCHEMA public');
  const out = mkdtempSync(join(tmpdir(), 'meterwarden-mosquitto-files-'));
  const told = await run(MAIN, ['mosquitto-files', '--out', out], {
    DATABASE_URL: db.url,
    MQTT_URL: 'mqtt://w:p@broker',
  });
  expect(told, told.out).toMatchObject({ code: 0 });
  expect(readFileSync(join(out, 'passwd'), 'utf8')).toMatch(/^w:\S+\n$/);
  await db.close();
});

it('the gateways of the ledger, and the workers, each with its own line', { timeout: 60_000 }, async () => {
  const db = await testDatabase();
  const ledger = await PostgresLedger.open(db.pool, loadDomain().kinds);
  await ledger.putGateway('GW-1', 'first secret');
  await ledger.putGateway('GW-2');
  await db.pool.query("UPDATE gateways SET mosquitto = NULL WHERE id = 'GW-2'");
  const out = mkdtempSync(join(tmpdir(), 'meterwarden-mosquitto-files-'));
  const env = { DATABASE_URL: db.url, MQTT_URL: 'mqtt://warden:its%20secret@broker' };
  const told = await run(MAIN, ['mosquitto-files', '--out', out], env);
  expect(told.out).toContain('1 gateways');
  expect(told.out).toContain('1 more');
  expect(told.out).not.toContain('“warden”');
  const passwords = readFileSync(join(out, 'passwd'), 'utf8').trim().split('\n');
  expect(passwords.map((line) => line.replace(/\$.*/, ''))).toEqual(['warden:', 'GW-1:']);
  expect(readFileSync(join(out, 'acl'), 'utf8')).toContain('pattern write devices/%u/v1/gateway/telemetry');
  await db.close();
});

it.skipIf(MOSQUITTO === undefined && !REQUIRED)(
  'a gateway of the workers’ name does not shut them out',
  { timeout: 60_000 },
  async () => {
    const db = await testDatabase();
    const ledger = await PostgresLedger.open(db.pool, loadDomain().kinds);
    await ledger.putGateway('warden', 'not that of the workers');
    const out = mkdtempSync(join(tmpdir(), 'meterwarden-mosquitto-files-'));
    const env = { DATABASE_URL: db.url, MQTT_URL: 'mqtt://warden:its%20secret@broker' };
    const told = await run(MAIN, ['mosquitto-files', '--out', out], env);
    expect(told.out).toContain('0 gateways');
    expect(told.out).toContain('“warden”');
    expect(readFileSync(join(out, 'passwd'), 'utf8').trim().split('\n')).toHaveLength(1);
    const broker = await Mosquitto.with(out);
    const workers = await mqtt.connectAsync(broker.url('warden', 'its secret'));
    await workers.endAsync();
    await broker.stop();
    await db.close();
  },
);
