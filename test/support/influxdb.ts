/**
 * InfluxDB 1.6 (Debian's influxd) and VictoriaMetrics as processes of a test. 1.6 is older than `/api/v2/write`, so a front
 * stands before it that maps this path onto `/write`, as 1.8 does, and can answer in the server's place.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../simulators/service.ts';

export const REQUIRED = process.env.METERWARDEN_REQUIRE_PRODUCTS === '1';
export const INFLUXD = onPath('influxd');
export const VICTORIA = onPath('victoria-metrics');
export const TOKEN = 'warden:a secret of InfluxDB';
export const ORG = 'city';
const START_TIMEOUT_MS = 30_000;

function onPath(name: string): string | undefined {
  return [...(process.env.PATH ?? '').split(':'), '/usr/bin', '/usr/sbin', '/usr/local/bin']
    .map((dir) => join(dir, name))
    .find((file) => existsSync(file));
}

export class TestInflux {
  readonly front: Front;
  readonly #folder: string;
  readonly #port: number;
  readonly #config: string;
  #child: ChildProcess | undefined;

  private constructor(folder: string, port: number, config: string, front: Front) {
    this.#folder = folder;
    this.#port = port;
    this.#config = config;
    this.front = front;
  }

  static async start(): Promise<TestInflux> {
    if (INFLUXD === undefined) throw new Error('no influxd on PATH');
    const folder = mkdtempSync(join(tmpdir(), 'meterwarden-influxdb-'));
    const [port, rpcPort] = [await freePort(), await freePort()];
    const config = join(folder, 'influxdb.conf');
    writeFileSync(
      config,
      `reporting-disabled = true
bind-address = "127.0.0.1:${rpcPort}"
[meta]
  dir = "${folder}/meta"
[data]
  dir = "${folder}/data"
  wal-dir = "${folder}/wal"
  index-version = "tsi1"
  query-log-enabled = false
  max-series-per-database = 0
  max-values-per-tag = 0
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:${port}"
  log-enabled = false
[logging]
  level = "error"
`,
    );
    const influx = new TestInflux(folder, port, config, await Front.start(port));
    await influx.run();
    return influx;
  }

  async run(): Promise<void> {
    this.#child = spawn(INFLUXD!, ['-config', this.#config], { stdio: 'ignore' });
    await answers(`http://127.0.0.1:${this.#port}/ping`);
  }

  /** As a power cut does it. */
  async kill(): Promise<void> {
    await killed(this.#child);
    this.#child = undefined;
  }

  /** Straight to the server. */
  async query(
    q: string,
    db = '',
  ): Promise<{ columns: string[]; values: unknown[][]; tags?: Record<string, string> }[]> {
    const form = new URLSearchParams({ q, db, epoch: 'ms' });
    const response = await fetch(`http://127.0.0.1:${this.#port}/query`, { method: 'POST', body: form });
    const { results } = (await response.json()) as { results: { error?: string; series?: [] }[] };
    const failed = results.find(({ error }) => error);
    if (failed) throw new Error(`${q}: ${failed.error}`);
    return results.flatMap(({ series }) => series ?? []);
  }

  async write(db: string, lines: string): Promise<void> {
    const url = `http://127.0.0.1:${this.#port}/write?db=${db}&precision=ms`;
    const response = await fetch(url, { method: 'POST', body: lines });
    if (!response.ok) throw new Error(await response.text());
  }

  async stop(): Promise<void> {
    await this.front.stop();
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

type Answer = (request: IncomingMessage, response: ServerResponse, body: Buffer) => boolean | Promise<boolean>;

export class Front {
  /** Answers in the server's place and returns true, or lets the request through. */
  answer: Answer = () => false;
  readonly seen: { readonly path: string }[] = [];
  readonly #server: Server;
  readonly #port: number;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.#port = port;
  }

  static async start(port: number): Promise<Front> {
    const server = createServer();
    const front = new Front(server, port);
    server.on('request', (incoming, response) => {
      front.#serve(incoming, response).catch(() => response.destroy());
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return front;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }

  async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const url = new URL(incoming.url!, 'http://front');
    this.seen.push({ path: url.pathname });
    if (await this.answer(incoming, response, body)) return;
    if (url.pathname !== '/ping' && incoming.headers.authorization !== `Token ${TOKEN}`)
      return refuse(response, 401, { code: 'unauthorized', message: 'unauthorized access' });
    let path = incoming.url!;
    if (url.pathname === '/api/v2/write') {
      if (url.searchParams.get('org') !== ORG)
        return refuse(response, 404, { code: 'not found', message: 'organization name not found' });
      const [db = '', rp = ''] = url.searchParams.get('bucket')!.split('/');
      path = `/write?${new URLSearchParams({ db, rp, precision: url.searchParams.get('precision')!.replace('us', 'u') })}`;
    } else if (url.pathname === '/write') return refuse(response, 404, { error: 'not found' });
    const { authorization: _, ...headers } = incoming.headers;
    const passed = request(
      { host: '127.0.0.1', port: this.#port, path, method: incoming.method, headers, agent: false },
      (answer) => {
        response.writeHead(answer.statusCode!, answer.headers);
        answer.pipe(response);
        answer.on('error', () => response.destroy());
      },
    );
    passed.on('error', () => response.destroy());
    response.on('close', () => passed.destroy());
    passed.end(body);
  }
}

export function refuse(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', ...headers });
  response.end(JSON.stringify(body));
}

export class TestVictoria {
  readonly url: string;
  readonly #folder: string;
  readonly #child: ChildProcess;

  private constructor(url: string, folder: string, child: ChildProcess) {
    this.url = url;
    this.#folder = folder;
    this.#child = child;
  }

  static async start(): Promise<TestVictoria> {
    if (VICTORIA === undefined) throw new Error('no victoria-metrics on PATH');
    const folder = mkdtempSync(join(tmpdir(), 'meterwarden-victoria-'));
    const port = await freePort();
    const flags = [
      `-storageDataPath=${folder}`,
      `-httpListenAddr=127.0.0.1:${port}`,
      '-retentionPeriod=100y',
      '-search.latencyOffset=0s',
    ];
    const child = spawn(VICTORIA, flags, { cwd: folder, stdio: 'ignore' });
    const url = `http://127.0.0.1:${port}`;
    await answers(`${url}/health`);
    return new TestVictoria(url, folder, child);
  }

  /** Every sample of the series that `match` selects, once what was written can be searched. */
  async exported(match: string): Promise<{ metric: Record<string, string>; values: number[]; timestamps: number[] }[]> {
    await fetch(`${this.url}/internal/force_flush`);
    const response = await fetch(`${this.url}/api/v1/export?${new URLSearchParams({ 'match[]': match })}`);
    const lines = (await response.text()).split('\n').filter(Boolean);
    return lines.map((line) => JSON.parse(line));
  }

  async stop(): Promise<void> {
    await killed(this.#child);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

async function answers(url: string): Promise<void> {
  const endsMs = performance.now() + START_TIMEOUT_MS;
  while (performance.now() < endsMs) {
    const ok = await fetch(url).then(
      (response) => response.ok,
      () => false,
    );
    if (ok) return;
    await sleep(50);
  }
  throw new Error(`${url} does not answer`);
}

async function killed(child: ChildProcess | undefined): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}
