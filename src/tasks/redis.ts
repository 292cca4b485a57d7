/** Connections to Redis for BullMQ, what Redis has to be like, and whether it has forgotten what it was told. */
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import { addressOf, policyRefusal, redisRefusal, unusableRedis } from './redis-refusals.ts';
import type { RedisCredentials, RedisNode, RedisServers } from './redis-url.ts';

export type RedisClient = Redis | Cluster;
/** Answers have the shapes that BullMQ knows: those of RESP2. */
type Options = Omit<RedisOptions, 'replyMapping'>;

/** BullMQ's own recommendation; older ones lack commands it falls back from. */
const MIN_VERSION = [6, 2] as const;
const CONNECT_TIMEOUT_MS = 5_000;
/** Of an answer while starting. */
const ANSWER_TIMEOUT_MS = 5_000;
/** Between attempts to connect again: every server that is back is found within this time. */
const RECONNECT_DELAY_MS = 1_000;
/** A server that has gone without a word answers nothing: the connection is given up. */
const SILENCE_MS = 5_000;
/** A stopping process has no more time to find out whether there is a server. */
const PING_MS = 500;
/** BullMQ waits for a job up to 10 s in one command. */
const WORKER_SILENCE_MS = 15_000;

/** For adding and counting jobs: fails at once while there is no connection, since the next sweep comes soon. */
export function connectQueue(servers: RedisServers): RedisClient {
  return connect(servers, { maxRetriesPerRequest: 0, enableOfflineQueue: false, socketTimeout: SILENCE_MS });
}

/** For BullMQ's worker, which wants to wait for its server however long that is away. */
export function connectWorker(servers: RedisServers): RedisClient {
  return connect(servers, { maxRetriesPerRequest: null, socketTimeout: WORKER_SILENCE_MS });
}

function connect(servers: RedisServers, use: Options): RedisClient {
  const { tls, nodes } = servers;
  const retryStrategy = (times: number) => Math.min(50 * 2 ** Math.min(times, 10), RECONNECT_DELAY_MS);
  const options: Options = {
    ...use,
    ...shared(servers, tls),
    // A server that has become a replica: look for the master, and send the command there.
    reconnectOnError: ({ message }) => (message.includes('READONLY') ? 2 : false),
    retryStrategy,
  };
  let client: RedisClient;
  if (servers.mode === 'cluster') {
    const { retryStrategy: _, enableOfflineQueue = true, ...redisOptions } = options;
    client = new Cluster([...nodes], {
      enableOfflineQueue,
      clusterRetryStrategy: retryStrategy,
      slotsRefreshTimeout: CONNECT_TIMEOUT_MS,
      redisOptions,
      // A certificate is made out to a name.
      ...(tls && { dnsLookup: (name, done) => done(null, name) }),
    });
  } else if (servers.mode === 'sentinel') {
    const { master, db, sentinel } = servers;
    client = new Redis({
      ...options,
      sentinels: [...nodes],
      name: master,
      db,
      sentinelUsername: sentinel.username,
      sentinelPassword: sentinel.password,
      sentinelTLS: tls ? {} : undefined,
      enableTLSForSentinelMode: tls,
      sentinelCommandTimeout: ANSWER_TIMEOUT_MS,
      sentinelRetryStrategy: retryStrategy,
    });
  } else client = new Redis({ ...options, ...nodes[0]!, db: servers.db });
  // BullMQ passes errors on while it uses the connection; nobody else may have to.
  client.on('error', () => {});
  return client;
}

function shared({ username, password }: RedisCredentials, tls: boolean): Options {
  return {
    username,
    password,
    tls: tls ? {} : undefined,
    connectTimeout: CONNECT_TIMEOUT_MS,
    connectionName: 'meterwarden',
    protocol: 2, // the one BullMQ is tested with; proxies in front of Redis know it too
  };
}

/** Rejects with a refusal of REDIS_URL unless its Redis can be used as it is now. */
export async function requireRedis(servers: RedisServers, signal: AbortSignal): Promise<void> {
  for (const node of await dataNodes(servers, signal)) await requireServer(servers, node, signal);
}

/** Those that may be written to, as the first of the named ones that answers tells. */
async function dataNodes(servers: RedisServers, signal: AbortSignal): Promise<readonly RedisNode[]> {
  if (servers.mode === 'standalone') return servers.nodes;
  const credentials = servers.mode === 'sentinel' ? servers.sentinel : servers;
  let failure: unknown;
  for (const node of servers.nodes) {
    try {
      return await asked(servers, node, credentials, signal, (client) =>
        servers.mode === 'sentinel'
          ? masterOf(client, servers.master, servers, node)
          : mastersOf(client, servers, node),
      );
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

async function masterOf(client: Redis, name: string, servers: RedisServers, node: RedisNode): Promise<RedisNode[]> {
  const master = (await client.call('SENTINEL', 'get-master-addr-by-name', name)) as [string, string] | null;
  if (master === null) throw unusableRedis(servers, addressOf(node), { problem: 'redis_unknown_master', master: name });
  return [{ host: master[0], port: Number(master[1]) }];
}

async function mastersOf(client: Redis, servers: RedisServers, node: RedisNode): Promise<RedisNode[]> {
  const state = /cluster_state:(\w+)/.exec(String(await client.cluster('INFO')))?.[1];
  if (state !== 'ok') throw unusableRedis(servers, addressOf(node), { problem: 'redis_cluster_down' });
  const slots = (await client.call('CLUSTER', 'SLOTS')) as [number, number, ...[string | null, number][]][];
  const masters = new Map(
    slots.map(([, , [host, port] = [null, 0]]) => [`${host}:${port}`, { host: host || node.host, port }] as const),
  );
  return [...masters.values()];
}

async function requireServer(servers: RedisServers, node: RedisNode, signal: AbortSignal): Promise<void> {
  await asked(servers, node, servers, signal, async (client) => {
    const info = infoOf(await client.info());
    const address = addressOf(node);
    const refuse = (why: Parameters<typeof unusableRedis>[2]) => unusableRedis(servers, address, why);
    const mode = info.get('redis_mode') ?? 'standalone';
    if (mode === 'sentinel' || (mode === 'cluster' && servers.mode === 'standalone'))
      throw refuse({ problem: 'redis_other_mode', mode, scheme: `redis+${mode}://` });
    if (servers.mode !== 'cluster') await client.select(servers.db);
    const version = info.get('redis_version') ?? '?';
    const [major = 0, minor = 0] = version.split('.').map(Number);
    const [needed, neededMinor] = MIN_VERSION;
    if (!(major > needed || (major === needed && minor >= neededMinor)))
      throw refuse({ problem: 'redis_too_old', version, needed: MIN_VERSION.join('.') });
    if (info.get('role') === 'slave') throw refuse({ problem: 'redis_replica' });
    const refusal = policyRefusal(servers, address, (await configuredPolicy(client)) ?? info.get('maxmemory_policy'));
    if (refusal) throw refusal;
  });
}

/** Whoever runs Redis for others forbids CONFIG. */
async function configuredPolicy(client: Redis): Promise<string | undefined> {
  try {
    return ((await client.config('GET', 'maxmemory-policy')) as string[])[1];
  } catch {
    return undefined;
  }
}

/** What this one server answers, or a refusal that says why it does not. */
async function asked<T>(
  servers: RedisServers,
  node: RedisNode,
  credentials: RedisCredentials,
  signal: AbortSignal,
  ask: (client: Redis) => Promise<T>,
): Promise<T> {
  const client = new Redis({
    ...shared(credentials, servers.tls),
    ...node,
    lazyConnect: true,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    enableReadyCheck: false,
    commandTimeout: ANSWER_TIMEOUT_MS,
  });
  let failure: unknown;
  client.on('error', (error) => {
    failure ??= error;
  });
  const giveUp = () => client.disconnect();
  signal.addEventListener('abort', giveUp);
  try {
    signal.throwIfAborted();
    await client.connect();
    return await ask(client);
  } catch (error) {
    throw redisRefusal(failure ?? error, servers, node, credentials) ?? error;
  } finally {
    signal.removeEventListener('abort', giveUp);
    client.disconnect();
  }
}

/** The answer of INFO by name. */
function infoOf(answer: string): ReadonlyMap<string, string> {
  return new Map(
    answer.split('\r\n').map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon), line.slice(colon + 1)];
    }),
  );
}

/** Of the server that has the key, on a Cluster too. */
const LOOK = `return {redis.call('GET', KEYS[1]), redis.call('INFO', 'server'), redis.call('INFO', 'memory')}`;

/**
 * Whether Redis may have forgotten jobs. A mark in it names the process of Redis that has been told of everything: the mark is
 * gone from a Redis that was emptied, and names another process after a restart or a failover, which lose the last writes.
 */
export class RedisMemory {
  readonly #client: RedisClient;
  readonly #servers: RedisServers;
  readonly #mark: string;
  /** The process of Redis that was there last time, whatever other services have marked since. */
  #seen: string | undefined;
  #now: string | undefined;

  constructor(client: RedisClient, servers: RedisServers) {
    this.#client = client;
    this.#servers = servers;
    this.#mark = `${servers.prefix}:known`;
  }

  /** Whether it does so now. */
  async answers(): Promise<boolean> {
    const silence = AbortSignal.timeout(PING_MS);
    const silent = new Promise<false>((resolve) => silence.addEventListener('abort', () => resolve(false)));
    const answered = this.#client.ping().then(
      () => true,
      () => false,
    );
    return await Promise.race([answered, silent]);
  }

  /** `evicts`: its policy has become a wrong one. */
  async look(): Promise<{ readonly forgot: boolean; readonly evicts: Error | undefined }> {
    if (this.#client.status !== 'ready') throw new Error('no connection to Redis');
    const [mark, server, memory] = (await this.#client.eval(LOOK, 1, this.#mark)) as [string | null, string, string];
    this.#now = infoOf(server).get('run_id') ?? '?';
    const forgot = mark !== this.#now || (this.#seen !== undefined && this.#seen !== this.#now);
    if (!forgot) this.#seen = this.#now;
    const policy = infoOf(memory).get('maxmemory_policy');
    const evicts = policy === undefined ? undefined : policyRefusal(this.#servers, this.#servers.shown, policy);
    return { forgot, evicts };
  }

  /** What was armed before the last look is going to be armed again. */
  async remember(): Promise<void> {
    await this.#client.set(this.#mark, this.#now!);
    this.#seen = this.#now;
  }
}
