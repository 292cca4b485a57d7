/** `influx-setup` on a real 1.6, and on a stand-in that answers as the handlers of 2.7 do. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { orderedValues } from '../../src/fleet/reading.ts';
import { InfluxReadings } from '../../src/store/influxdb-readings.ts';
import { type InfluxSetup, setUpInflux } from '../../src/store/influxdb-setup.ts';
import { INFLUXD, ORG, REQUIRED, refuse, TestInflux, TOKEN } from '../support/influxdb.ts';

const became = ({ steps }: InfluxSetup) => steps.map(({ what, name, became }) => `${what} ${name} ${became}`);
const KEPT = { retentionDays: 800, hourlyRetentionDays: 0 };

describe.skipIf(INFLUXD === undefined && !REQUIRED)('on InfluxDB 1.6', () => {
  let influx: TestInflux;
  beforeAll(async () => {
    influx = await TestInflux.start();
  });
  afterAll(async () => {
    await influx?.stop();
  });
  const setUp = (bucket: string, kept = KEPT) =>
    setUpInflux({ url: influx.front.url, token: TOKEN, org: ORG, bucket, ...kept });

  it('makes a database that readings can be stored in, and a second time nothing', async () => {
    const made = await setUp('city "one"');
    expect(became(made)).toEqual([
      'readings readings created',
      'hourly hourly created',
      'summary meterwarden_hourly created',
    ]);
    expect(made).toMatchObject({ version: expect.stringMatching(/^1\.6/), warnings: [] });
    expect(became(await setUp('city "one"'))).toEqual([
      'readings readings unchanged',
      'hourly hourly unchanged',
      'summary meterwarden_hourly unchanged',
    ]);
    const [policies] = await influx.query('SHOW RETENTION POLICIES ON "city \\"one\\""');
    expect(policies!.values).toEqual([
      ['readings', '19200h0m0s', '168h0m0s', 1, true],
      ['hourly', '0s', '168h0m0s', 1, false],
    ]);
  });

  it('summarizes hours: the last register, mean, lowest and highest voltage', async () => {
    await setUp('summed');
    const store = new InfluxReadings({
      url: influx.front.url,
      token: TOKEN,
      org: ORG,
      bucket: 'summed',
      idOf: (key) => `M-${key}`,
      keys: () => [],
      nowMs: Date.now,
    });
    const hourMs = Math.floor(Date.now() / 3_600_000) * 3_600_000 - 3_600_000;
    await store.append(
      [221, 219, 226].map((voltage_v, i) => ({
        key: 1,
        tsMs: hourMs + i * 900_000,
        values: orderedValues({ voltage_v, active_import_kwh: 10 + i }),
      })),
    );
    await store.close();
    // The server runs it at the next full hour; here its own text runs now.
    const [shown] = (await influx.query('SHOW CONTINUOUS QUERIES')).filter(({ values }) =>
      values?.some(([, query]) => String(query).includes(' ON summed ')),
    );
    const [, select] = / BEGIN (.*) END$/.exec(String(shown!.values[0]![1]))!;
    await influx.query(
      select!.replace(' GROUP BY', ` WHERE time >= ${hourMs}ms AND time < ${hourMs + 3_600_000}ms GROUP BY`),
    );
    const [hour] = await influx.query(
      'SELECT active_import_kwh, voltage_v_mean, voltage_v_min, voltage_v_max FROM hourly.readings_hourly GROUP BY instrument',
      'summed',
    );
    expect(hour).toMatchObject({ tags: { instrument: 'M-1' }, values: [[hourMs, 12, 222, 219, 226]] });
  });

  it('never shortens what is there, and says so', async () => {
    await influx.query('CREATE DATABASE old');
    const first = await setUp('old', { retentionDays: 30, hourlyRetentionDays: 60 });
    expect(became(first)[0]).toBe('readings autogen unchanged');
    expect(first.warnings).toEqual([{ what: 'kept_longer', name: 'autogen', days: 0, wanted: 30 }]);
    const longer = await setUp('old', { retentionDays: 30, hourlyRetentionDays: 90 });
    expect(became(longer)[1]).toBe('hourly hourly changed');
    const shorter = await setUp('old', { retentionDays: 30, hourlyRetentionDays: 7 });
    expect(shorter.warnings).toContainEqual({ what: 'kept_longer', name: 'hourly', days: 90, wanted: 7 });
    expect(became(await setUp('old/raw', KEPT))).toEqual([
      'readings raw created',
      'hourly hourly changed',
      'summary meterwarden_hourly changed',
    ]);
  });

  it('warns of limits that would refuse instruments', async () => {
    const limits = { columns: ['max-series-per-database', 'max-values-per-tag'], values: [[0, 100_000]] };
    influx.front.answer = (_, response, body) => {
      const asked = new URLSearchParams(body.toString()).get('q') === 'SHOW DIAGNOSTICS';
      if (asked) refuse(response, 200, { results: [{ series: [{ name: 'config-data', ...limits }] }] });
      return asked;
    };
    const { warnings } = await setUp('limited');
    influx.front.answer = () => false;
    expect(warnings).toEqual([{ what: 'server_limit', setting: 'max-values-per-tag', value: '100000' }]);
  });
});

/** Organizations, buckets, mappings and tasks of 2.7, as far as its setup asks for them. */
class StandIn {
  readonly made: { path: string; method: string; body: Record<string, unknown> }[] = [];
  readonly #kept = new Map<string, Record<string, unknown>[]>([['orgs', [{ id: 'org-1', name: ORG }]]]);
  readonly #server: Server;
  version = 'v2.7.6';

  constructor() {
    this.#server = createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const { pathname, searchParams } = new URL(request.url!, 'http://stand-in');
      if (pathname === '/ping') return response.writeHead(204, { 'x-influxdb-version': this.version }).end();
      if (request.headers.authorization !== `Token ${TOKEN}`)
        return refuse(response, 401, { code: 'unauthorized', message: 'unauthorized access' });
      const [, , , kind = '', id] = pathname.split('/');
      const rows = this.#kept.get(kind) ?? [];
      this.#kept.set(kind, rows);
      if (request.method === 'GET') {
        const filters = { name: searchParams.get('name') ?? searchParams.get('org'), database: searchParams.get('db') };
        const policy = searchParams.get('rp');
        const found = rows.filter(
          (row) =>
            Object.entries(filters).every(([name, value]) => value === null || row[name] === value) &&
            (policy === null || row.retention_policy === policy),
        );
        if (found.length === 0 && kind !== 'dbrps' && kind !== 'tasks')
          return refuse(response, 404, { code: 'not found', message: `${kind} not found` });
        return refuse(response, 200, { [kind === 'dbrps' ? 'content' : kind]: found });
      }
      const body = JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>;
      this.made.push({ path: pathname, method: request.method!, body });
      if (request.method === 'PATCH') {
        Object.assign(rows.find((row) => row.id === id)!, body);
        return refuse(response, 200, {});
      }
      const name = /name: "(\w+)"/.exec(String(body.flux))?.[1];
      const row = { ...(name && { name }), ...body, id: `${kind}-${rows.length + 1}` };
      rows.push(row);
      return refuse(response, 201, row);
    });
  }

  async start(): Promise<void> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

describe('on the API of InfluxDB 2.7', () => {
  let influx: StandIn;
  afterEach(() => influx.stop());
  const setUp = (options: Partial<Parameters<typeof setUpInflux>[0]> = {}) =>
    setUpInflux({ url: influx.url, token: TOKEN, org: ORG, bucket: 'city', ...KEPT, ...options });

  it('makes buckets, mappings and a task, and a second time nothing', async () => {
    influx = new StandIn();
    await influx.start();
    expect(became(await setUp())).toEqual([
      'readings city created',
      'hourly city-hourly created',
      'mapping city/autogen created',
      'mapping city/hourly created',
      'summary meterwarden_hourly created',
    ]);
    const [readings, , mapping, , task] = influx.made.map(({ body }) => body);
    expect(readings).toEqual({
      orgID: 'org-1',
      name: 'city',
      retentionRules: [{ type: 'expire', everySeconds: 800 * 86_400, shardGroupDurationSeconds: 7 * 86_400 }],
    });
    expect(mapping).toEqual({
      orgID: 'org-1',
      bucketID: 'buckets-1',
      database: 'city',
      retention_policy: 'autogen',
      default: true,
    });
    expect(task).toMatchObject({
      orgID: 'org-1',
      status: 'active',
      flux: expect.stringContaining('to(bucket: "city-hourly")'),
    });
    const made = influx.made.length;
    const again = await setUp();
    expect(became(again).every((step) => step.endsWith(' unchanged'))).toBe(true);
    expect(influx.made).toHaveLength(made);
    expect(again.warnings).toEqual([]);
    const longer = await setUp({ retentionDays: 900, hourlyRetentionDays: 30 });
    expect(influx.made.slice(made)).toEqual([
      {
        path: '/api/v2/buckets/buckets-1',
        method: 'PATCH',
        body: { retentionRules: [{ type: 'expire', everySeconds: 900 * 86_400 }] },
      },
    ]);
    expect(longer.warnings).toEqual([{ what: 'kept_longer', name: 'city-hourly', days: 0, wanted: 30 }]);
  });

  it('refuses a name that leads elsewhere, an unknown organization, a wrong token and InfluxDB 3', async () => {
    influx = new StandIn();
    await influx.start();
    await setUp({ bucket: 'a/b' });
    await setUp({ bucket: 'a/c' }).then(
      () => expect.unreachable(),
      (error) => expect(error).toMatchObject({ code: 'conflict', path: 'INFLUX_BUCKET' }),
    );
    await expect(setUp({ org: 'village' })).rejects.toMatchObject({ code: 'influx_no_org', path: 'INFLUX_ORG' });
    await expect(setUp({ token: 'guessed' })).rejects.toMatchObject({ code: 'influx_denied' });
    influx.version = '3.1.0';
    await expect(setUp()).rejects.toMatchObject({ code: 'influx_by_hand', params: { version: '3.1.0', days: 800 } });
  });
});
