/** Which Redis is taken, and what is said of the others. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../simulators/service.ts';
import type { MeterwardenError } from '../../src/errors.ts';
import { requireRedis } from '../../src/tasks/redis.ts';
import { parseRedisUrl } from '../../src/tasks/redis-url.ts';
import { sayError } from '../../src/texts/errors.ts';
import { testCertificates } from '../support/certificates.ts';
import { ClusterRedis, REDIS, REQUIRED, RedisServer, SentinelRedis } from '../support/redis.ts';
import { QueueCity } from './queue-fixture.ts';

const taken = (url: string) => requireRedis(parseRedisUrl(url), new AbortController().signal);

async function refused(url: string, params: Record<string, unknown>): Promise<void> {
  const error = (await taken(url).catch((thrown) => thrown)) as MeterwardenError;
  expect(error, url).toMatchObject({ code: 'unusable_setting', path: 'REDIS_URL', params });
  for (const language of ['zh-CN', 'en'] as const) {
    const sentence = sayError(error, language);
    expect(sentence).not.toMatch(/secret|[{}…]|redis_/);
    expect(sentence).toContain(
      String(error.params[/host|name/.test(String(error.params.problem)) ? 'host' : 'address']),
    );
  }
}

/** A Redis of another time or another house, which answers with these. */
async function pretender(answers: Readonly<Record<string, string>>): Promise<{ server: Server; url: string }> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      // One command after another, as arrays of strings.
      for (const command of chunk.toString().split(/(?=\*\d+\r\n)/)) {
        const words = command.split('\r\n').filter((word) => word !== '' && !/^[*$]\d+$/.test(word));
        const answer = answers[words[0]!.toUpperCase()] ?? '+OK\r\n';
        socket.write(answer);
      }
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return { server, url: `redis://127.0.0.1:${(server.address() as { port: number }).port}` };
}

function bulk(lines: Readonly<Record<string, string>>): string {
  const text = Object.entries(lines)
    .map(([name, value]) => `${name}:${value}\r\n`)
    .join('');
  return `$${text.length}\r\n${text}\r\n`;
}

describe('a server that is no usable Redis', () => {
  const servers: Server[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
  });
  const pretending = async (answers: Record<string, string>) => {
    const { server, url } = await pretender(answers);
    servers.push(server);
    return url;
  };
  const denied = '-NOPERM this user has no permissions to run the command\r\n';

  it('is older than 6.2', async () => {
    for (const version of ['6.0.16', '5.0.14', '2.8']) {
      const INFO = bulk({ redis_version: version, maxmemory_policy: 'noeviction' });
      await refused(await pretending({ INFO }), { problem: 'redis_too_old', version, needed: '6.2' });
    }
    for (const version of ['6.2.0', '7.4.1', '10.0.0'])
      await taken(
        await pretending({ INFO: bulk({ redis_version: version, maxmemory_policy: 'noeviction' }), CONFIG: denied }),
      );
  });

  it('tells its policy nowhere', async () => {
    const INFO = bulk({ redis_version: '7.2.4' });
    await refused(await pretending({ INFO, CONFIG: denied }), { problem: 'redis_policy_untold' });
    await refused(await pretending({ INFO, CONFIG: '*0\r\n' }), { problem: 'redis_policy_untold' });
  });

  it('forbids what is needed', async () => {
    await refused(await pretending({ INFO: denied }), { problem: 'not_permitted', user: 'default' });
    await refused(await pretending({ INFO: '-ERR busy\r\n' }), { problem: 'redis_answered', answer: 'ERR busy' });
  });

  it('is something else', async () => {
    const other = createServer((socket) => socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    servers.push(other);
    await new Promise<void>((done) => other.listen(0, '127.0.0.1', done));
    const { port } = other.address() as { port: number };
    await refused(`redis://127.0.0.1:${port}`, { problem: 'redis_breaks_off' });
    await refused(`rediss://127.0.0.1:${port}`, { problem: 'redis_breaks_off' });
  });

  it('is not there', async () => {
    const port = await freePort();
    for (const rest of ['', '+sentinel', '+cluster']) {
      const url = `redis${rest}://u:secret@127.0.0.1:${port}${rest === '+sentinel' ? '/m' : ''}`;
      await refused(url, { problem: 'nobody_listens', address: `127.0.0.1:${port}` });
    }
    await refused('redis://no-such-host.invalid', { problem: expect.stringMatching(/unknown_host|no_name_service/) });
  });

  it('is not waited for when the start is called off', async () => {
    const silent = createServer();
    servers.push(silent);
    await new Promise<void>((done) => silent.listen(0, '127.0.0.1', done));
    const off = new AbortController();
    const asked = requireRedis(
      parseRedisUrl(`redis://127.0.0.1:${(silent.address() as { port: number }).port}`),
      off.signal,
    );
    off.abort();
    await expect(asked).rejects.toThrow();
  });
});

describe.skipIf(REDIS === undefined && !REQUIRED)('Redis', () => {
  const started: { stop(): Promise<void> }[] = [];
  const start = async <T extends { stop(): Promise<void> }>(starting: Promise<T>): Promise<T> => {
    const server = await starting;
    started.push(server);
    return server;
  };
  const server = (settings: Record<string, string | number> = {}) => start(RedisServer.start(settings));
  afterEach(async () => {
    await Promise.all(started.splice(0).map((one) => one.stop()));
  });

  it('is taken with noeviction only', async () => {
    const redis = await server();
    await taken(`${redis.url}/15`);
    for (const policy of ['allkeys-lru', 'volatile-ttl']) {
      await redis.call('CONFIG', 'SET', 'maxmemory-policy', policy);
      await refused(redis.url, { problem: 'redis_evicts', policy, address: `127.0.0.1:${redis.port}` });
    }
  });

  it('tells by INFO where CONFIG is forbidden', async () => {
    const forbidden = { 'rename-command': 'CONFIG ""' };
    await taken((await server(forbidden)).url);
    const evicting = await server({ ...forbidden, 'maxmemory-policy': 'allkeys-lfu' });
    await refused(evicting.url, { problem: 'redis_evicts', policy: 'allkeys-lfu' });
  });

  it('asks for a password', async () => {
    const redis = await server({ requirepass: 'secret', user: 'queue on >another-secret ~* &* +@all' });
    const at = (credentials: string) => redis.url.replace('//', `//${credentials}`);
    await taken(at(':secret@'));
    await taken(at('queue:another-secret@'));
    await refused(redis.url, { problem: 'password_missing', user: 'default' });
    await refused(at(':other-secret@'), { problem: 'wrong_password', user: 'default' });
    await refused(at('nobody:secret@'), { problem: 'wrong_password', user: 'nobody' });
  });

  it('has no such database', async () => {
    const redis = await server({ databases: 2 });
    await taken(`${redis.url}/1`);
    await refused(`${redis.url}/2`, { problem: 'no_database', database: 2 });
  });

  it('is a replica', async () => {
    const redis = await server({ replicaof: `127.0.0.1 ${await freePort()}` });
    await refused(redis.url, { problem: 'redis_replica' });
  });

  it('is known to Sentinels', async () => {
    const redis = await start(SentinelRedis.start());
    await taken(redis.url);
    const nobody = await freePort();
    await taken(redis.url.replace('//', `//127.0.0.1:${nobody},`));
    await refused(redis.url.replace(/\w+$/, 'other'), { problem: 'redis_unknown_master', master: 'other' });
    await refused(`redis://127.0.0.1:${redis.sentinel.port}`, { problem: 'redis_other_mode', mode: 'sentinel' });
    await redis.servers[0].call('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru');
    const address = `127.0.0.1:${redis.servers[0].port}`;
    await refused(redis.url, { problem: 'redis_evicts', address });
  });

  it('is a Cluster', async () => {
    const cluster = await start(ClusterRedis.start());
    await taken(cluster.url);
    const nobody = await freePort();
    await taken(cluster.url.replace('//', `//127.0.0.1:${nobody},`));
    const [first, , third] = cluster.nodes;
    await refused(first!.url, { problem: 'redis_other_mode', mode: 'cluster', scheme: 'redis+cluster://' });
    await third!.call('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru');
    await refused(`redis+cluster://127.0.0.1:${first!.port}`, {
      problem: 'redis_evicts',
      address: `127.0.0.1:${third!.port}`,
    });
    const alone = await server();
    await refused(`redis+cluster://127.0.0.1:${alone.port}`, { problem: 'redis_other_mode', mode: 'standalone' });
    const empty = await start(RedisServer.startNode({}));
    await refused(`redis+cluster://127.0.0.1:${empty.port}`, { problem: 'redis_cluster_down' });
  });

  describe('with TLS', () => {
    const trusted = getCACertificates('default');
    const folder = mkdtempSync(join(tmpdir(), 'meterwarden-redis-tls-'));
    let redis: RedisServer;
    let ca: string;
    beforeAll(async () => {
      const certificates = await testCertificates('a city');
      ca = certificates.ca;
      for (const [name, text] of Object.entries({ ca, ...certificates.server }))
        writeFileSync(join(folder, name), text);
    });
    afterAll(() => {
      setDefaultCACertificates(trusted);
      rmSync(folder, { recursive: true, force: true });
    });

    it('is trusted by the certificates that Node trusts', async () => {
      const tlsPort = await freePort();
      redis = await server({
        'tls-port': tlsPort,
        'tls-cert-file': join(folder, 'certificate'),
        'tls-key-file': join(folder, 'key'),
        'tls-ca-cert-file': join(folder, 'ca'),
        'tls-auth-clients': 'no',
      });
      const url = `rediss://127.0.0.1:${tlsPort}`;
      await refused(url, { problem: 'untrusted' });
      await refused(`redis://127.0.0.1:${tlsPort}`, { problem: 'redis_breaks_off' });
      await refused(redis.url.replace('redis:', 'rediss:'), { problem: 'redis_no_answer_by_tls' });
      setDefaultCACertificates([...trusted, ca]);
      await taken(url);

      const city = await QueueCity.open(url);
      const queue = await city.start();
      const id = await city.raise();
      await queue.sweep();
      expect((await queue.depths()).delayed).toBe(2);
      expect(await city.happened(id)).toEqual(['raised']);
      await city.close();
      expect(city.errors).toEqual([]);
    });
  });
});
