/** The service as a process of its own, and its API as its operators use it: for the demo, and for tests that kill it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { instrumentsCsv } from './folder.ts';
import type { SimulatedInstrument } from './ledger.ts';

const MAIN = resolve(import.meta.dirname, '../src/main.ts');
export const ADMIN_PASSWORD = 'a long enough password';

/** A command of the service. */
export type Role = 'serve' | 'ingest' | 'work' | 'api';

export class Service {
  readonly httpPort: number;
  readonly mqttPort: number;
  readonly dataDir: string;
  readonly #role: Role;
  readonly #env: Record<string, string>;
  #child: ChildProcess | undefined;
  #output = '';
  #token = '';

  private constructor(httpPort: number, mqttPort: number, dataDir: string, role: Role, env: Record<string, string>) {
    this.#role = role;
    this.httpPort = httpPort;
    this.mqttPort = mqttPort;
    this.dataDir = dataDir;
    this.#env = env;
  }

  /** On free ports and an empty data folder. */
  static async create(env: Record<string, string> = {}, role: Role = 'serve'): Promise<Service> {
    const dataDir = mkdtempSync(join(tmpdir(), 'meterwarden-service-'));
    chmodSync(dataDir, 0o755); // as root, PostgreSQL runs as another user, who must reach it
    return new Service(await freePort(), await freePort(), dataDir, role, env);
  }

  get output(): string {
    return this.#output;
  }

  get mqttUrl(): string {
    return `mqtt://127.0.0.1:${this.mqttPort}`;
  }

  /** Resolves when the service says that it listens. */
  async start(): Promise<void> {
    if (this.#child) throw new Error('the service runs already');
    this.#output = '';
    const child = spawn(process.execPath, [MAIN, this.#role], {
      env: {
        ...process.env,
        HTTP_PORT: String(this.httpPort),
        MQTT_PORT: String(this.mqttPort),
        METERWARDEN_DATA: this.dataDir,
        METERWARDEN_LANG: 'en',
        ADMIN_PASSWORD,
        LOG_LEVEL: 'info',
        ...this.#env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    const listening = new Promise<void>((done, fail) => {
      const collect = (chunk: Buffer) => {
        this.#output = (this.#output + chunk.toString('utf8')).slice(-100_000);
        // The line that says where it listens, in any language.
        if (this.#output.includes(`://127.0.0.1:${this.httpPort}`)) done();
      };
      child.stdout!.on('data', collect);
      child.stderr!.on('data', collect);
      child.once('exit', () => {
        if (this.#child === child) this.#child = undefined;
      });
      child.once('exit', (code, signal) => fail(new Error(`the service ended (${signal ?? code}):\n${this.#output}`)));
    });
    await listening;
  }

  /** As a power cut does it. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  async stop(): Promise<number | null> {
    return await this.#end('SIGTERM');
  }

  /** For good. */
  async leave(): Promise<number | null> {
    return await this.#end('SIGUSR2');
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  async #end(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
    const exited = once(child, 'exit');
    child.kill(signal);
    const [code] = await exited;
    return code;
  }

  /** Stops it and everything it left behind. */
  async remove(): Promise<void> {
    // A killed service leaves its PostgreSQL running; the next start takes it over, and then stops it in order.
    if (!this.#child && this.#role === 'serve') await this.start().catch(() => {});
    await this.stop();
    rmSync(this.dataDir, { recursive: true, force: true });
  }

  async request(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Response> {
    const text = typeof body === 'string';
    return await fetch(`http://127.0.0.1:${this.httpPort}${path}`, {
      method,
      headers: {
        'accept-language': this.#env.METERWARDEN_LANG ?? 'en',
        ...(body === undefined ? {} : { 'content-type': text ? 'text/csv' : 'application/json' }),
        ...(this.#token ? { authorization: `Bearer ${this.#token}` } : {}),
        ...headers,
      },
      ...(body === undefined ? {} : { body: text ? body : JSON.stringify(body) }),
    });
  }

  /** The parsed answer; an answer that is no success fails the test with what it says. */
  async call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await this.request(method, path, body);
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return (text ? JSON.parse(text) : undefined) as T;
  }

  async signIn(): Promise<void> {
    this.#token = '';
    const { token } = await this.call<{ token: string }>('POST', '/api/v1/sessions', {
      username: 'admin',
      password: ADMIN_PASSWORD,
    });
    this.#token = token;
  }

  /** The fleet in the ledger, and one secret for all its gateways. */
  async provision(instruments: readonly SimulatedInstrument[], secret: string): Promise<void> {
    await this.call('POST', '/api/v1/instruments/import', instrumentsCsv(instruments));
    for (const id of new Set(instruments.map(({ id, gateway }) => gateway || id))) {
      await this.call('PUT', `/api/v1/gateways/${encodeURIComponent(id)}`, { secret });
    }
  }

  /** All pages of a list. */
  async all<T>(path: string, items: string): Promise<T[]> {
    const found: T[] = [];
    let next: string | undefined;
    do {
      const query = `${path}${path.includes('?') ? '&' : '?'}limit=500${next ? `&cursor=${encodeURIComponent(next)}` : ''}`;
      const page = await this.call<Record<string, unknown>>('GET', query);
      found.push(...(page[items] as T[]));
      next = (page.next ?? undefined) as string | undefined;
    } while (next);
    return found;
  }

  async metric(name: string): Promise<number> {
    const text = await (await this.request('GET', '/metrics')).text();
    let sum = 0;
    for (const line of text.split('\n'))
      if (line.startsWith(`${name} `) || line.startsWith(`${name}{`)) sum += Number(line.split(' ').at(-1));
    return sum;
  }
}

export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as { port: number };
  probe.close();
  return port;
}
