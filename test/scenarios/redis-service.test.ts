/** The real service with its queue in Redis: what it refuses to start with, and what a failing Redis does not touch. */
import mqtt from 'mqtt';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Service } from '../../simulators/service.ts';
import { MAIN, run } from '../support/command-line.ts';
import { type TestDatabase, testDatabase } from '../support/postgres.ts';
import { REDIS, REQUIRED, RedisServer } from '../support/redis.ts';

const SECRET = 'a gateway secret';
const LEDGER = `id,kind,role,district,region,gateway
M-1,electricity,user,D-1,220302,GW-1
M-2,electricity,user,D-1,220302,GW-1
`;
const POLL = { timeout: 20_000, interval: 50 };
/** Far more than an acknowledgement takes, far less than anything waits for Redis. */
const ACKNOWLEDGED_WITHIN_MS = 2_000;
const STOPPED_WITHIN_MS = 9_000;

interface Task {
  readonly instrument: string | null;
  readonly state: string;
}

describe.skipIf(REDIS === undefined && !REQUIRED)('the service with REDIS_URL', { timeout: 60_000 }, () => {
  let database: TestDatabase;
  let redis: RedisServer;
  let service: Service;
  let client: mqtt.MqttClient;

  beforeEach(async () => {
    database = await testDatabase();
    redis = await RedisServer.start();
  });
  afterEach(async () => {
    await client?.endAsync(true);
    await redis?.stop();
    await service?.stop();
    await database?.close();
  });

  it('says in one sentence why this Redis will not do', async () => {
    const start = (url: string, language = 'en') =>
      run(MAIN, ['serve'], {
        DATABASE_URL: database.url,
        REDIS_URL: url,
        METERWARDEN_LANG: language,
        HTTP_PORT: '0',
        MQTT_PORT: '0',
        LOG_LEVEL: 'warn',
      });
    const { port } = redis;
    await redis.call('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru');
    for (const [url, language, sentence] of [
      [
        `redis://127.0.0.1:${port}`,
        'en',
        `REDIS_URL: The setting “redis://127.0.0.1:${port}” cannot be used: maxmemory-policy of 127.0.0.1:${port} is allkeys-lru, which throws data of the queue away; it must be noeviction`,
      ],
      [
        `redis://127.0.0.1:${port}`,
        'zh-CN',
        `REDIS_URL: 设置值“redis://127.0.0.1:${port}”无法使用:127.0.0.1:${port} 的 maxmemory-policy 是 allkeys-lru,会丢弃队列中的数据,应为 noeviction`,
      ],
      [
        'redis://:hunter2@127.0.0.1:1',
        'en',
        'REDIS_URL: The setting “redis://127.0.0.1:1” cannot be used: nothing listens at 127.0.0.1:1',
      ],
      [
        'redis+sentinel://:hunter2@127.0.0.1',
        'en',
        'REDIS_URL: The setting “…” cannot be used: it lacks the name by which the Sentinels know the master',
      ],
    ] as const) {
      const { code, out } = await start(url, language);
      expect(code, out).toBe(1);
      expect(out).toContain(sentence);
      expect(out).not.toContain('hunter2');
      expect(out.trimEnd()).not.toContain('\n');
    }
  });

  it('acknowledges, stores and raises while Redis is away, and catches up when it is back, empty', async () => {
    service = await Service.create({ DATABASE_URL: database.url, REDIS_URL: redis.url });
    await service.start();
    await service.signIn();
    await service.call('POST', '/api/v1/instruments/import', LEDGER);
    await service.call('PUT', '/api/v1/gateways/GW-1', { secret: SECRET });
    const person = { username: 'wang', password: 'correct horse', role: 'inspector', region: '220302' };
    await service.call('POST', '/api/v1/people', person);
    client = await mqtt.connectAsync(service.mqttUrl, { username: 'GW-1', password: SECRET, reconnectPeriod: 0 });
    const startMs = Date.now() - 100 * 60_000;
    let minute = 0;
    const publish = async (values: Record<string, number>) => {
      const sentMs = performance.now();
      const readings = Object.entries(values).map(([id, kwh]) => [
        id,
        [{ ts: startMs + minute * 60_000, values: { active_import_kwh: kwh } }],
      ]);
      minute++;
      await client.publishAsync('v1/gateway/telemetry', JSON.stringify(Object.fromEntries(readings)), { qos: 1 });
      expect(performance.now() - sentMs).toBeLessThan(ACKNOWLEDGED_WITHIN_MS);
    };
    const taskOf = async (id: string) =>
      (await service.all<Task>('/api/v1/tasks', 'tasks')).find(({ instrument }) => instrument === id)?.state;

    await publish({ 'M-1': 1_000, 'M-2': 1_000 });
    await publish({ 'M-1': 500, 'M-2': 1_000.01 });
    await expect.poll(() => taskOf('M-1'), POLL).toBe('assigned');

    await redis.kill();
    for (let i = 0; i < 50; i++) await publish({ 'M-2': 1_000.02 + i / 100 });
    await publish({ 'M-2': 600 });
    await expect.poll(() => taskOf('M-2'), POLL).toBe('raised');
    expect(await service.metric('meterwarden_readings_stored_total')).toBe(55);
    expect((await service.request('GET', '/readyz')).status).toBe(200);
    expect(await service.metric('meterwarden_queue_ready')).toBe(0);
    // Several sweeps later it has not been said more than once a minute.
    await expect.poll(() => queueLines(), POLL).toBeGreaterThan(1);
    expect(queueLines()).toBeLessThan(6);

    await redis.run();
    await expect.poll(() => taskOf('M-2'), POLL).toBe('assigned');
    expect(await service.metric('meterwarden_queue_depth')).toBe(4);
    expect(await service.metric('meterwarden_queue_ready')).toBe(1);

    await redis.call('CONFIG', 'SET', 'maxmemory-policy', 'volatile-ttl');
    await expect.poll(() => service.metric('meterwarden_queue_ready'), POLL).toBe(0);
    expect(service.output).toContain('is volatile-ttl, which throws data of the queue away');
  });

  it.each([
    ['gone', () => redis.kill()],
    ['silent', async () => redis.pause()],
  ])('stops in order although Redis is %s', async (_, fail) => {
    service = await Service.create({ DATABASE_URL: database.url, REDIS_URL: redis.url });
    await service.start();
    await fail();
    const stoppedMs = performance.now();
    expect(await service.stop(), service.output).toBe(0);
    expect(performance.now() - stoppedMs).toBeLessThan(STOPPED_WITHIN_MS);
  });

  function queueLines(): number {
    return service.output.split('\n').filter((line) => line.includes('"stage":"queue"')).length;
  }
});
