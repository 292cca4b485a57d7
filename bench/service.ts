/** The service as users start it, in a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort, type Role } from '../simulators/service.ts';
import { type BenchFleet, gatewayCredentials, instrumentsCsv } from './fleet.ts';
import { stopChild } from './process.ts';

const REPOSITORY = fileURLToPath(new URL('..', import.meta.url));
const ENTRY = join(REPOSITORY, 'src', 'main.ts');
const ADMIN_PASSWORD = 'bench-admin-password';
const READY_TIMEOUT_MS = 120_000;
const READY_POLL_MS = 20;
/** Requests at once: a few keep both cores busy. */
const SECRETS_AT_ONCE = 8;
const LOG_LINES_KEPT = 40;

export const isServiceThere = () => existsSync(ENTRY);

export interface ServiceProcess {
  pid: number;
  url: string;
  mqttPort: number;
  /** From the start of the process until it could serve. */
  readyMs: number;
  stop(): Promise<void>;
}

/** A process that serves people: `serve` or `api`. */
export interface Service extends ServiceProcess {
  token: string;
}

export interface ServiceOptions {
  role?: Role;
  /** Its settings; `DATABASE_URL` at least. */
  env: Readonly<Record<string, string>>;
  /** Of the process, before the file it runs. */
  nodeFlags?: readonly string[];
}

export async function startService(options: ServiceOptions): Promise<Service> {
  const started = await startProcess(options);
  try {
    return { ...started, token: await logIn(started.url) };
  } catch (error) {
    await started.stop();
    throw error;
  }
}

export async function startProcess({ role = 'serve', env, nodeFlags = [] }: ServiceOptions): Promise<ServiceProcess> {
  const dataDir = await mkdtemp(join(tmpdir(), 'meterwarden-bench-data-'));
  const [httpPort, mqttPort] = [await freePort(), await freePort()];
  const startedMs = performance.now();
  const child = spawn(process.execPath, [...nodeFlags, ENTRY, role], {
    cwd: REPOSITORY,
    env: {
      ...process.env,
      HTTP_PORT: String(httpPort),
      MQTT_PORT: String(mqttPort),
      METERWARDEN_DATA: dataDir,
      ADMIN_PASSWORD,
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const log = keepLog(child);
  const stop = async () => {
    await stopChild(child);
    await rm(dataDir, { recursive: true, force: true });
  };
  const url = `http://127.0.0.1:${httpPort}`;
  try {
    await untilReady(child, url);
    return { pid: child.pid!, url, mqttPort, readyMs: performance.now() - startedMs, stop };
  } catch (error) {
    await stop();
    throw new Error(`the service did not get ready; its last words:\n${log().join('\n')}`, { cause: error });
  }
}

function keepLog(service: ChildProcess): () => string[] {
  let lines: string[] = [];
  const keep = (chunk: Buffer) => {
    lines = [...lines, ...chunk.toString().trimEnd().split('\n')].slice(-LOG_LINES_KEPT);
  };
  service.stdout?.on('data', keep);
  service.stderr?.on('data', keep);
  return () => lines;
}

async function untilReady(service: ChildProcess, url: string): Promise<void> {
  for (const deadlineMs = performance.now() + READY_TIMEOUT_MS; performance.now() < deadlineMs; ) {
    if (service.exitCode !== null) throw new Error(`the service ended (${service.exitCode})`);
    const ready = await fetch(`${url}/readyz`).catch(() => undefined);
    await ready?.body?.cancel();
    if (ready?.ok) return;
    await sleep(READY_POLL_MS);
  }
  throw new Error(`/readyz did not answer 200 within ${READY_TIMEOUT_MS} ms`);
}

async function logIn(url: string): Promise<string> {
  const { token } = await request<{ token: string }>(`${url}/api/v1/sessions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username: 'admin', password: ADMIN_PASSWORD }),
  });
  return token;
}

/** Puts the fleet into the ledger and gives every gateway its secret. */
export async function provision({ url, token }: Pick<Service, 'url' | 'token'>, fleet: BenchFleet): Promise<void> {
  const authorization = `Bearer ${token}`;
  const imported = await request<{ created: number; rejected: unknown[] }>(`${url}/api/v1/instruments/import`, {
    method: 'POST',
    headers: { authorization, 'content-type': 'text/csv' },
    body: instrumentsCsv(fleet),
  });
  if (imported.created !== fleet.gateways * fleet.instrumentsPerGateway)
    throw new Error(
      `the import made ${imported.created} instruments; first refusal: ${JSON.stringify(imported.rejected[0])}`,
    );
  const waiting = Array.from({ length: fleet.gateways }, (_, gateway) => gatewayCredentials(gateway));
  const worker = async () => {
    for (let next = waiting.pop(); next; next = waiting.pop())
      await request(`${url}/api/v1/gateways/${next.username}`, {
        method: 'PUT',
        headers: { authorization, 'content-type': 'application/json' },
        body: JSON.stringify({ secret: next.password }),
      });
  };
  await Promise.all(Array.from({ length: SECRETS_AT_ONCE }, worker));
}

/** What `GET /metrics` says: sums over labels. */
export async function metricsOf(url: string): Promise<(name: string) => number> {
  const response = await fetch(`${url}/metrics`);
  const text = await response.text();
  const sums = new Map<string, number>();
  for (const [, name, value] of text.matchAll(/^([a-z]\w*)(?:\{[^}]*\})? (\S+)$/gm))
    sums.set(name!, (sums.get(name!) ?? 0) + Number(value));
  return (name) => {
    const sum = sums.get(name);
    if (sum === undefined) throw new Error(`the service has no metric ${name}`);
    return sum;
  };
}

export async function request<T = unknown>(url: string, init: RequestInit): Promise<T> {
  const response = await fetch(url, init);
  const body = await response.text();
  if (!response.ok) throw new Error(`${init.method ?? 'GET'} ${url}: ${response.status} ${body.slice(0, 500)}`);
  return (body ? JSON.parse(body) : undefined) as T;
}
