/** One queue of BullMQ with its worker, on PostgreSQL or Redis: connected, told of jobs, and ended although a server is away. */
import {
  type BulkJobOptions,
  createPostgresBackend,
  FlowProducer,
  type Job,
  Queue,
  Worker,
  type WorkerOptions,
} from 'bullmq';
import { connectQueue, connectWorker, type RedisClient, RedisMemory, requireRedis } from './redis.ts';
import { parseRedisUrl } from './redis-url.ts';

/** Where jobs are kept; `url` of Redis as `parseRedisUrl` takes it. */
export interface QueuePlace {
  readonly product: 'postgres' | 'redis';
  readonly url: string;
}

export interface QueueJob<Data> {
  readonly name: string;
  readonly data: Data;
  readonly opts: BulkJobOptions;
}

export interface ConnectedQueueOptions<Data> {
  readonly name: string;
  readonly place: QueuePlace;
  readonly concurrency: number;
  readonly work: (job: Job<Data>) => Promise<unknown>;
  /** A server that was away is there again. */
  readonly onReady?: () => void;
  readonly onError: (error: unknown) => void;
}

export type QueueDepths = Readonly<Record<'waiting' | 'active' | 'delayed' | 'failed', number>>;

/** The schema of BullMQ's own tables, beside ours in the same database. */
const SCHEMA = 'bullmq';
const CONNECTIONS = 3;
/** A database that is silent so long is given up: the next query has another connection. */
const ANSWER_TIMEOUT_MS = 10_000;
/** After a lost connection; the default of 15 s would leave a raised task unassigned for longer than people wait. */
const RECONNECT_DELAY_MS = 1_000;
const STOP_TIMEOUT_MS = 5_000;

type AnyQueue<Data> = {
  addBulk(jobs: QueueJob<Data>[]): Promise<unknown>;
  getJobCounts(...types: (keyof QueueDepths)[]): Promise<Record<string, number>>;
  close(): Promise<void>;
};
type AnyFlows = Pick<FlowProducer, 'add' | 'close'>;
type AnyWorker = {
  on(event: 'error', listener: (error: unknown) => void): unknown;
  on(event: 'failed', listener: (job: unknown, error: unknown) => void): unknown;
  waitUntilReady(): Promise<unknown>;
  close(force?: boolean): Promise<void>;
};

interface RedisParts {
  readonly memory: RedisMemory;
  /** All there are. */
  readonly clients: Pick<RedisClient, 'disconnect'>[];
}

export class ConnectedQueue<Data> {
  readonly #options: ConnectedQueueOptions<Data>;
  readonly #starting = new AbortController();
  #queue: AnyQueue<Data> | undefined;
  #flows: AnyFlows | undefined;
  #worker: AnyWorker | undefined;
  #redis: RedisParts | undefined;
  readonly #running = new Set<Promise<unknown>>();

  constructor(options: ConnectedQueueOptions<Data>) {
    this.#options = options;
  }

  /** Rejects when the server cannot be used; `stop` ends it in between. */
  async start(): Promise<void> {
    const { product, url } = this.#options.place;
    if (product === 'postgres') await this.#startOnPostgres(url);
    else await this.#startOnRedis(url);
  }

  get connected(): boolean {
    return this.#queue !== undefined;
  }

  /** What Redis may have forgotten; undefined = PostgreSQL, which does not. */
  get memory(): RedisMemory | undefined {
    return this.#redis?.memory;
  }

  async add(jobs: readonly QueueJob<Data>[]): Promise<void> {
    if (jobs.length > 0) await this.#queue!.addBulk([...jobs]);
  }

  /** `parent` is due when all `children` are done with. */
  async addFlow(parent: QueueJob<Data>, children: readonly QueueJob<Data>[]): Promise<void> {
    const { name: queueName, place } = this.#options;
    const prefix = place.product === 'redis' ? { prefix: parseRedisUrl(place.url).prefix } : {};
    this.#flows ??= this.#openFlows();
    const nodes = children.map((child) => ({ ...child, queueName, ...prefix }));
    await this.#flows.add({ ...parent, queueName, ...prefix, children: nodes });
  }

  async depths(): Promise<QueueDepths> {
    const counts = await this.#queue!.getJobCounts('waiting', 'active', 'delayed', 'failed');
    const { waiting = 0, active = 0, delayed = 0, failed = 0 } = counts;
    return { waiting, active, delayed, failed };
  }

  /** Takes no further job, waits for `telling` and for running jobs, but not for a server that is away. Safe to call twice. */
  async stop(telling: Promise<unknown>): Promise<void> {
    this.#starting.abort();
    const away = this.#redis !== undefined && !(await this.#redis.memory.answers());
    if (away) this.#disconnect();
    await within(STOP_TIMEOUT_MS / 2, [telling]);
    const closing = [this.#worker?.close(away), this.#flows?.close(), this.#queue?.close(), ...this.#running];
    await within(STOP_TIMEOUT_MS, closing);
    this.#disconnect();
    this.#worker = undefined;
    this.#flows = undefined;
    this.#queue = undefined;
    this.#redis = undefined;
  }

  async #startOnPostgres(url: string): Promise<void> {
    const { name, onError } = this.#options;
    const connection = postgresConnection(url);
    const queue = new Queue(name, { connection: { ...connection, migrate: true } }, createPostgresBackend);
    queue.on('error', onError);
    this.#queue = queue;
    await queue.waitUntilReady();
    if (this.#starting.signal.aborted) return;
    await this.#ready(new Worker(name, this.#work, { ...this.#workerOptions, connection }, createPostgresBackend));
  }

  async #startOnRedis(url: string): Promise<void> {
    const { name, onError, onReady } = this.#options;
    const servers = parseRedisUrl(url);
    await requireRedis(servers, this.#starting.signal);
    this.#starting.signal.throwIfAborted();
    const { prefix } = servers;
    const [adding, working] = [connectQueue(servers), connectWorker(servers)];
    this.#redis = { memory: new RedisMemory(adding, servers), clients: [adding, working] };
    if (onReady) adding.on('ready', onReady);
    const queue = new Queue<Data>(name, { connection: adding, prefix });
    queue.on('error', onError);
    this.#queue = queue as AnyQueue<Data>;
    const worker = new Worker<Data>(name, this.#work, { ...this.#workerOptions, connection: working, prefix });
    await Promise.all([queue.waitUntilReady(), this.#ready(worker)]);
    // BullMQ has made a third connection, and stops listening to it before it is closed.
    const blocking = (await worker.getBackend().blockingClient)!;
    blocking.on('error', () => {});
    this.#redis?.clients.push(blocking);
  }

  #openFlows(): AnyFlows {
    const { place, onError } = this.#options;
    if (place.product === 'redis') {
      const servers = parseRedisUrl(place.url);
      const client = connectQueue(servers);
      this.#redis!.clients.push(client);
      const flows = new FlowProducer({ connection: client, prefix: servers.prefix });
      flows.on('error', onError);
      return flows;
    }
    const flows = new FlowProducer({ connection: postgresConnection(place.url) }, createPostgresBackend);
    flows.on('error', onError);
    return flows;
  }

  get #workerOptions(): Omit<WorkerOptions, 'connection'> {
    return { concurrency: this.#options.concurrency, runRetryDelay: RECONNECT_DELAY_MS };
  }

  #disconnect(): void {
    for (const client of this.#redis?.clients ?? []) client.disconnect();
  }

  async #ready(worker: AnyWorker): Promise<void> {
    worker.on('error', this.#options.onError);
    worker.on('failed', (_job, error) => this.#options.onError(error));
    this.#worker = worker;
    await worker.waitUntilReady();
  }

  readonly #work = async (job: Job<Data>): Promise<unknown> => {
    const running = this.#options.work(job);
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  };
}

function postgresConnection(url: string) {
  return {
    connectionString: url,
    schema: SCHEMA,
    max: CONNECTIONS,
    application_name: 'meterwarden queue',
    connectionTimeoutMillis: ANSWER_TIMEOUT_MS,
    query_timeout: ANSWER_TIMEOUT_MS,
    keepAlive: true,
  };
}

/** Waits for all of these, but not longer: a server that does not answer must not keep the process from ending. */
async function within(timeoutMs: number, closing: readonly (Promise<unknown> | undefined)[]): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((done) => {
    timer = setTimeout(done, timeoutMs);
  });
  await Promise.race([Promise.allSettled(closing), timeout]);
  clearTimeout(timer);
}
