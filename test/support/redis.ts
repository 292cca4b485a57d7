/** Redis as processes of a test: one server, a master with a replica and a Sentinel, a Cluster. Nothing of them outlives `stop`. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freePort } from '../../simulators/service.ts';

export const REQUIRED = process.env.METERWARDEN_REQUIRE_PRODUCTS === '1';
export const REDIS = onPath('redis-server') && onPath('redis-cli');
const WAIT_MS = 30_000;
const POLL_MS = 20;

type Settings = Readonly<Record<string, string | number>>;

function onPath(name: string): string | undefined {
  return [...(process.env.PATH ?? '').split(':'), '/usr/bin', '/usr/local/bin']
    .map((dir) => join(dir, name))
    .find((file) => existsSync(file));
}

/** Without persistence: what is killed comes back empty. */
export class RedisServer {
  readonly port: number;
  readonly #folder = mkdtempSync(join(tmpdir(), 'meterwarden-redis-'));
  readonly #arguments: readonly string[];
  #child: ChildProcess | undefined;

  private constructor(port: number, settings: Settings, mode: readonly string[] = []) {
    this.port = port;
    const all = { port, bind: '127.0.0.1', ...(mode.length === 0 && { save: '', appendonly: 'no' }), ...settings };
    const config = join(this.#folder, 'redis.conf');
    writeFileSync(
      config,
      Object.entries(all)
        .map(([name, value]) => `${name} ${value === '' ? '""' : value}\n`)
        .join(''),
    );
    this.#arguments = [config, '--dir', this.#folder, ...mode];
  }

  static async start(settings: Settings = {}, mode?: readonly string[]): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), settings, mode);
    await server.run();
    return server;
  }

  /** A port whose cluster bus, 10 000 above, is a port too. */
  static async startNode(settings: Settings): Promise<RedisServer> {
    let port = await freePort();
    while (port > 55_535) port = await freePort();
    const server = new RedisServer(port, { 'cluster-enabled': 'yes', ...settings });
    await server.run();
    return server;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  async run(): Promise<void> {
    if (REDIS === undefined) throw new Error('no redis-server and redis-cli on PATH');
    this.#child = spawn(onPath('redis-server')!, this.#arguments, { cwd: this.#folder, stdio: 'ignore' });
    await until(`Redis at port ${this.port}`, () => this.answers());
  }

  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }

  /** It keeps its connections and answers nothing. */
  pause(): void {
    this.#child!.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** What it answers; an error of Redis is an answer too. */
  async call(...words: readonly (string | number)[]): Promise<string> {
    return await redisCli('-p', this.port, ...words);
  }

  async answers(): Promise<boolean> {
    return await this.call('PING').then(
      (answer) => /^PONG|NOAUTH/.test(answer),
      () => false,
    );
  }
}

async function redisCli(...words: readonly (string | number)[]): Promise<string> {
  const { stdout } = await promisify(execFile)(onPath('redis-cli')!, words.map(String));
  return stdout.trim();
}

export async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const endsMs = performance.now() + WAIT_MS;
  while (performance.now() < endsMs) {
    if (await holds()) return;
    await sleep(POLL_MS);
  }
  throw new Error(`${what}: not within ${WAIT_MS / 1_000} s`);
}

export const MASTER = 'queue';

export class SentinelRedis {
  readonly servers: readonly [RedisServer, RedisServer];
  readonly sentinel: RedisServer;

  private constructor(servers: readonly [RedisServer, RedisServer], sentinel: RedisServer) {
    this.servers = servers;
    this.sentinel = sentinel;
  }

  static async start(): Promise<SentinelRedis> {
    const master = await RedisServer.start({ 'repl-diskless-sync-delay': 0 });
    const replica = await RedisServer.start({ replicaof: `127.0.0.1 ${master.port}` });
    await until('the replica', async () => (await master.call('INFO', 'replication')).includes('state=online'));
    const sentinel = await RedisServer.start(
      {
        [`sentinel monitor ${MASTER}`]: `127.0.0.1 ${master.port} 1`,
        [`sentinel down-after-milliseconds ${MASTER}`]: 500,
        [`sentinel failover-timeout ${MASTER}`]: 3_000,
      },
      ['--sentinel'],
    );
    await until('the Sentinel', async () =>
      (await sentinel.call('SENTINEL', 'replicas', MASTER)).includes(String(replica.port)),
    );
    return new SentinelRedis([master, replica], sentinel);
  }

  get url(): string {
    return `redis+sentinel://127.0.0.1:${this.sentinel.port}/${MASTER}`;
  }

  async master(): Promise<RedisServer> {
    const answer = await this.sentinel.call('SENTINEL', 'get-master-addr-by-name', MASTER);
    return this.servers.find(({ port }) => answer.endsWith(`\n${port}`))!;
  }

  async stop(): Promise<void> {
    await Promise.all([this.sentinel.stop(), ...this.servers.map((server) => server.stop())]);
  }
}

export class ClusterRedis {
  readonly nodes: readonly RedisServer[];

  private constructor(nodes: readonly RedisServer[]) {
    this.nodes = nodes;
  }

  static async start(): Promise<ClusterRedis> {
    const nodes: RedisServer[] = [];
    for (let i = 0; i < 3; i++) nodes.push(await RedisServer.startNode({ 'cluster-node-timeout': 1_000 }));
    const addresses = nodes.map(({ port }) => `127.0.0.1:${port}`);
    await redisCli('--cluster', 'create', ...addresses, '--cluster-yes');
    const cluster = new ClusterRedis(nodes);
    await cluster.ready();
    return cluster;
  }

  /** Every node knows who has all slots. */
  async ready(): Promise<void> {
    for (const node of this.nodes)
      await until('the Cluster', async () => (await node.call('CLUSTER', 'INFO')).includes('cluster_state:ok'));
  }

  get url(): string {
    return `redis+cluster://${this.nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')}`;
  }

  async nodeOf(key: string): Promise<RedisServer> {
    for (const node of this.nodes) {
      // Another node answers with where the key is.
      if (!(await node.call('EXISTS', key)).startsWith('MOVED')) return node;
    }
    throw new Error(`no node has ${key}`);
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
  }
}
