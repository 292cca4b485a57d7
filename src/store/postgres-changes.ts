/** Tells when a commit of any process changed something: one LISTEN connection for everybody in this process who wants to know. */
import pg from 'pg';
import { KEEP_ALIVE_DELAY_MS } from './postgres.ts';

/** After a lost connection; changes missed meanwhile are announced by one call on reconnecting. */
const RECONNECT_DELAY_MS = 1_000;
/** To connect and to listen. */
const ANSWER_TIMEOUT_MS = 10_000;

export class PostgresChanges {
  readonly #url: string;
  readonly #channel: string;
  readonly #onChange: () => void;
  #client: pg.Client | undefined;
  #timer: NodeJS.Timeout | undefined;
  #connecting: Promise<void> = Promise.resolve();
  #stopped = false;

  /** `onChange` may be called without a change, but never misses one. */
  constructor(url: string, channel: string, onChange: () => void) {
    this.#url = url;
    this.#channel = channel;
    this.#onChange = onChange;
  }

  /** Rejects when the first connection fails; later losses are repaired by themselves. */
  async start(): Promise<void> {
    this.#connecting = this.#connect();
    await this.#connecting;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#connecting.catch(() => {});
    await this.#client?.end().catch(() => {});
    this.#client = undefined;
  }

  async #connect(): Promise<void> {
    const client = new pg.Client({
      connectionString: this.#url,
      application_name: 'meterwarden changes',
      connectionTimeoutMillis: ANSWER_TIMEOUT_MS,
      query_timeout: ANSWER_TIMEOUT_MS,
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEP_ALIVE_DELAY_MS,
    });
    client.on('error', () => {});
    client.on('end', () => this.#lost(client));
    client.on('notification', () => this.#onChange());
    try {
      await client.connect();
      await client.query(`LISTEN ${this.#channel}`);
    } catch (error) {
      await client.end().catch(() => {});
      throw error;
    }
    this.#client = client;
    this.#onChange();
  }

  #lost(client: pg.Client): void {
    if (this.#client !== client) return;
    this.#client = undefined;
    this.#reconnectLater();
  }

  #reconnectLater(): void {
    if (this.#stopped) return;
    this.#timer = setTimeout(() => {
      this.#connecting = this.#connect().catch(() => this.#reconnectLater());
    }, RECONNECT_DELAY_MS);
  }
}
