/** Mosquitto as a process of a test, with the configuration that deploy/mosquitto documents. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import mqtt from 'mqtt';
import { freePort } from '../../simulators/service.ts';
import { mosquittoPasswordLine, writeMosquittoFiles } from '../../src/broker/mosquitto.ts';

export const REQUIRED = process.env.METERWARDEN_REQUIRE_PRODUCTS === '1';
export const MOSQUITTO = onPath('mosquitto');
const DEPLOY = resolve(import.meta.dirname, '../../deploy/mosquitto');
const START_TIMEOUT_MS = 10_000;

function onPath(name: string): string | undefined {
  return [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/usr/bin']
    .map((dir) => join(dir, name))
    .find((file) => existsSync(file));
}

export class Mosquitto {
  readonly port: number;
  readonly #folder: string;
  readonly #files: string;
  #child: ChildProcess | undefined;

  private constructor(port: number, folder: string, files: string) {
    this.port = port;
    this.#folder = folder;
    this.#files = files;
  }

  /** `users`: names and their passwords. `more`: lines of configuration; `acl`: in place of the documented one. */
  static async start(
    users: Readonly<Record<string, string>>,
    { more = '', acl = readFileSync(join(DEPLOY, 'acl'), 'utf8') } = {},
  ): Promise<Mosquitto> {
    const files = mkdtempSync(join(tmpdir(), 'meterwarden-mosquitto-files-'));
    const lines = Object.entries(users).map(([name, password]) => mosquittoPasswordLine(name, password)!);
    writeMosquittoFiles(files, lines, acl);
    return await Mosquitto.with(files, more);
  }

  /** `files`: the folder of `passwd` and `acl`, which goes with it. */
  static async with(files: string, more = ''): Promise<Mosquitto> {
    if (MOSQUITTO === undefined) throw new Error('no mosquitto on PATH');
    const data = mkdtempSync(join(tmpdir(), 'meterwarden-mosquitto-'));
    const port = await freePort();
    const config = readFileSync(join(DEPLOY, 'mosquitto.conf'), 'utf8')
      .replace('listener 1883', `listener ${port} 127.0.0.1`)
      .replaceAll('/mosquitto/files/', `${files}/`)
      .replaceAll('/mosquitto/data/', `${data}/`);
    // As root it would become another user, who cannot read what is ours.
    const user = process.getuid?.() === 0 ? 'user root' : '';
    writeFileSync(join(data, 'mosquitto.conf'), `${config}\n${user}\n${more}\n`);
    const mosquitto = new Mosquitto(port, data, files);
    await mosquitto.run();
    return mosquitto;
  }

  url(user: string, password: string): string {
    return `mqtt://${encodeURIComponent(user)}:${encodeURIComponent(password)}@127.0.0.1:${this.port}`;
  }

  async run(): Promise<void> {
    this.#child = spawn(MOSQUITTO!, ['-c', join(this.#folder, 'mosquitto.conf')], { stdio: 'ignore' });
    for (const deadlineMs = performance.now() + START_TIMEOUT_MS; performance.now() < deadlineMs; await sleep(50)) {
      if (await this.#listens()) return;
      if (this.#child.exitCode !== null) throw new Error(`mosquitto ended (${this.#child.exitCode})`);
    }
    throw new Error('mosquitto does not listen');
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
  }

  /** Files are read again. */
  reload(): void {
    this.#child!.kill('SIGHUP');
  }

  /** Does it still keep one of that name? */
  async hasSession(clientId: string, username: string, password: string): Promise<boolean> {
    const client = mqtt.connect({
      ...{ host: '127.0.0.1', port: this.port, username, password },
      ...{ clientId, clean: false, reconnectPeriod: 0 },
    });
    const sessionPresent = await new Promise<boolean>((done) => {
      client.once('connect', (connack) => done(connack.sessionPresent));
    });
    await client.endAsync();
    return sessionPresent;
  }

  /** Connections stay open, and nothing is answered. */
  pause(): void {
    this.#child!.kill('SIGSTOP');
  }

  resume(): void {
    this.#child!.kill('SIGCONT');
  }

  async stop(): Promise<void> {
    await this.end('SIGTERM');
    for (const folder of [this.#folder, this.#files]) rmSync(folder, { recursive: true, force: true });
  }

  async #listens(): Promise<boolean> {
    const socket = connect(this.port, '127.0.0.1');
    const listens = await Promise.race([
      once(socket, 'connect').then(() => true),
      once(socket, 'error').then(() => false),
    ]).catch(() => false);
    socket.destroy();
    return listens;
  }
}
