/** The service on a PostgreSQL that somebody else runs: not ours, not as a superuser, and not in UTC. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import mqtt from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Service } from '../../simulators/service.ts';
import { OperatorPostgres, POSTGRES_BIN } from '../support/operator-postgres.ts';

const REQUIRED = process.env.METERWARDEN_REQUIRE_PRODUCTS === '1';
const MINUTE_MS = 60_000;
const SECRET = 'a gateway secret';
const PASSWORD = 'correct horse';
const POLL = { timeout: 15_000, interval: 50 };

describe.skipIf(POSTGRES_BIN === undefined && !REQUIRED)('a PostgreSQL of the operator', () => {
  let postgres: OperatorPostgres | undefined;
  let service: Service | undefined;
  let startMs: number;

  beforeAll(async () => {
    postgres = await OperatorPostgres.start({ timezone: 'Asia/Shanghai' });
    const url = await postgres.createDatabase('readings', 'warden', 'p w/d');
    service = await Service.create({ DATABASE_URL: url });
    await service.start();
    await service.signIn();
    startMs = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS - 120 * MINUTE_MS;
  });

  afterAll(async () => {
    await service?.remove();
    await postgres?.stop();
  });

  it('keeps ledger, readings, findings and tasks, and still has them after a restart of the service', async () => {
    const csv = 'id,kind,role,district,region,gateway,installed_on\nM-1,electricity,user,D-1,220302,GW-1,2024-02-29\n';
    expect(await service!.call('POST', '/api/v1/instruments/import', csv)).toMatchObject({ created: 1, rejected: [] });
    await service!.call('PUT', '/api/v1/gateways/GW-1', { secret: SECRET });
    const wang = { username: 'wang', role: 'inspector', region: '220302' };
    await service!.call('POST', '/api/v1/people', { ...wang, password: PASSWORD });

    await publish([0, 100], [15, 100.5], [30, 40]);
    await publish([15, 100.5]); // again: the same reading
    await publish([15, 99]); // and a contradiction
    await expect.poll(seen, POLL).toMatchObject({ tasks: [{ state: 'assigned', assignee: 'wang' }] });
    const before = await seen();
    expect(before).toMatchObject({
      instruments: [{ id: 'M-1', installedOn: '2024-02-29' }],
      readings: [
        { ts: at(0), active_import_kwh: 100 },
        { ts: at(15), active_import_kwh: 100.5 },
        { ts: at(30), active_import_kwh: 40 },
      ],
      findings: [
        { rule: 'conflicting-reading', instrument: 'M-1', from: at(15), to: at(15) },
        { rule: 'rollback', instrument: 'M-1', from: at(30), to: null },
      ],
      tasks: [{ kind: 'verify-on-site', instrument: 'M-1' }],
    });

    expect(await service!.stop()).toBe(0);
    await service!.start();
    await service!.signIn();
    expect(await seen()).toEqual(before);
    await publish([45, 40.5]);
    expect((await seen()).readings).toHaveLength(4);
    expect(existsSync(join(service!.dataDir, 'postgres'))).toBe(false); // ours was never asked
  });

  function at(minute: number): string {
    return new Date(startMs + minute * MINUTE_MS).toISOString();
  }

  async function publish(...readings: [minute: number, kwh: number][]): Promise<void> {
    const client = await mqtt.connectAsync(service!.mqttUrl, {
      username: 'GW-1',
      password: SECRET,
      reconnectPeriod: 0,
    });
    const list = readings.map(([minute, kwh]) => ({ ts: at(minute), values: { active_import_kwh: kwh } }));
    await client.publishAsync('v1/gateway/telemetry', JSON.stringify({ 'M-1': list }), { qos: 1 });
    await client.endAsync();
  }

  async function seen() {
    const list = async (path: string, items: string) =>
      (await service!.call<Record<string, object[]>>('GET', `/api/v1/${path}`))[items]!;
    return {
      instruments: await list('instruments', 'instruments'),
      readings: await list('instruments/M-1/readings', 'readings'),
      findings: await list('findings', 'findings'),
      tasks: await list('tasks', 'tasks'),
    };
  }
});
