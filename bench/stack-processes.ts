/** Mosquitto, Node-RED and InfluxDB 1 as processes of this run, on free ports, with their data in the temporary folder. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freePort } from '../simulators/service.ts';
import { INFLUXD } from '../test/support/influxdb.ts';
import { MOSQUITTO } from '../test/support/mosquitto.ts';
import type { Credentials } from './fleet.ts';
import { gatewayCredentials } from './fleet.ts';
import { stopChild } from './process.ts';
import { request } from './service.ts';
import { nodeRedFlow } from './stack-flow.ts';

const NODE_RED = 'node-red@5.0.7';
const DATABASE = 'bench';
const MEASUREMENT = 'readings';
const START_TIMEOUT_MS = 60_000;
const POLL_MS = 100;

export interface RunningStack {
  mqttPort: number;
  credentials(gateway: number): Credentials;
  storedReadings(): Promise<number>;
  stop(): Promise<void>;
}

/** The reason why the stack cannot run here, or undefined. Installs Node-RED outside of the repository when need be. */
export async function whyNoStack(): Promise<string | undefined> {
  if (!MOSQUITTO) return 'mosquitto is not installed (Debian package mosquitto)';
  if (!INFLUXD) return 'influxd is not installed (Debian package influxdb)';
  if (existsSync(nodeRedEntry())) return undefined;
  await mkdir(nodeRedFolder(), { recursive: true });
  const install = ['install', '--no-audit', '--no-fund', '--prefix', nodeRedFolder(), NODE_RED];
  const failed = await promisify(execFile)('npm', install).then(
    () => undefined,
    (error: Error) => error,
  );
  return failed ? `${NODE_RED} could not be installed from npm: ${failed.message.split('\n').at(-1)}` : undefined;
}

const nodeRedFolder = () => join(tmpdir(), `meterwarden-bench-${NODE_RED.replace('@', '-')}`);
const nodeRedEntry = () => join(nodeRedFolder(), 'node_modules', 'node-red', 'red.js');

export async function startStack(): Promise<RunningStack> {
  const folder = await mkdtemp(join(tmpdir(), 'meterwarden-bench-stack-'));
  const children: ChildProcess[] = [];
  const stop = async () => {
    for (const child of children.toReversed()) await stopChild(child);
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const influxUrl = await startInflux(folder, children);
    const mqttPort = await startMosquitto(folder, children);
    await startNodeRed(
      folder,
      children,
      nodeRedFlow({ mqttPort, writeUrl: `${influxUrl}/write?db=${DATABASE}&precision=ms` }),
    );
    return { mqttPort, credentials: gatewayCredentials, storedReadings: () => countStored(influxUrl), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startInflux(folder: string, children: ChildProcess[]): Promise<string> {
  const [httpPort, rpcPort] = [await freePort(), await freePort()];
  const config = join(folder, 'influxdb.conf');
  const data = join(folder, 'influxdb');
  // Defaults, but for places, ports and logs.
  await writeFile(
    config,
    `reporting-disabled = true
bind-address = "127.0.0.1:${rpcPort}"
[meta]
  dir = "${data}/meta"
[data]
  dir = "${data}/data"
  wal-dir = "${data}/wal"
  query-log-enabled = false
[http]
  bind-address = "127.0.0.1:${httpPort}"
  log-enabled = false
[logging]
  level = "error"
`,
  );
  children.push(spawn(INFLUXD!, ['-config', config], { stdio: 'ignore' }));
  const url = `http://127.0.0.1:${httpPort}`;
  await until('InfluxDB', () => fetch(`${url}/ping`).then((response) => response.ok));
  await request(`${url}/query?${new URLSearchParams({ q: `CREATE DATABASE ${DATABASE}` })}`, { method: 'POST' });
  return url;
}

async function countStored(influxUrl: string): Promise<number> {
  const query = new URLSearchParams({ db: DATABASE, q: `SELECT COUNT(active_import_kwh) FROM ${MEASUREMENT}` });
  const answer = await request<{ results: { series?: { values: [string, number][] }[] }[] }>(
    `${influxUrl}/query?${query}`,
    {},
  );
  return answer.results[0]?.series?.[0]?.values[0]?.[1] ?? 0;
}

async function startMosquitto(folder: string, children: ChildProcess[]): Promise<number> {
  const port = await freePort();
  const config = join(folder, 'mosquitto.conf');
  const lines = [
    `listener ${port} 127.0.0.1`,
    'allow_anonymous true',
    'persistence true',
    `persistence_location ${folder}/`,
  ];
  // As root it would change to a user who cannot write here.
  if (process.getuid?.() === 0) lines.push('user root');
  await writeFile(config, `${lines.join('\n')}\n`);
  children.push(spawn(MOSQUITTO!, ['-c', config], { stdio: 'ignore' }));
  await until('Mosquitto', () => accepts(port));
  return port;
}

async function startNodeRed(folder: string, children: ChildProcess[], flow: object[]): Promise<void> {
  const userDir = join(folder, 'node-red');
  await mkdir(userDir);
  await writeFile(join(userDir, 'flows.json'), JSON.stringify(flow));
  const settings = { uiPort: await freePort(), uiHost: '127.0.0.1', flowFile: 'flows.json', httpAdminRoot: false };
  await writeFile(join(userDir, 'settings.js'), `module.exports = ${JSON.stringify(settings)};\n`);
  const nodeRed = spawn(process.execPath, [nodeRedEntry(), '--userDir', userDir], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(nodeRed);
  let log = '';
  for (const stream of [nodeRed.stdout, nodeRed.stderr])
    stream.on('data', (chunk: Buffer) => {
      // Refusals under load would fill it without end.
      if (log.length < 100_000) log += chunk.toString();
    });
  await until(
    'Node-RED',
    async () => log.includes('Connected to broker'),
    () => log,
  );
}

async function until(name: string, isThere: () => Promise<boolean>, log: () => string = () => ''): Promise<void> {
  for (const deadlineMs = performance.now() + START_TIMEOUT_MS; performance.now() < deadlineMs; ) {
    if (await isThere().catch(() => false)) return;
    await sleep(POLL_MS);
  }
  throw new Error(`${name} did not start\n${log()}`);
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    const settle = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => settle(true));
    socket.once('error', () => settle(false));
  });
}
