/** A server that speaks S3 and checks signatures, as a process of a test; what it holds outlives its end. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { freePort } from '../../simulators/service.ts';
import type { S3Settings } from '../../src/handover/s3.ts';

export const BUCKET = 'lake';
/** The server's only account. */
const KEY = 'S3RVER';
const MAIN = createRequire(import.meta.url).resolve('@20minutes/s3rver');

export class TestS3 {
  readonly #folder = mkdtempSync(join(tmpdir(), 'meterwarden-s3-'));
  readonly #port: number;
  #child: ChildProcess | undefined;

  private constructor(port: number) {
    this.#port = port;
  }

  static async start(): Promise<TestS3> {
    const server = new TestS3(await freePort());
    await server.start();
    return server;
  }

  async start(): Promise<void> {
    const options = {
      directory: this.#folder,
      address: '127.0.0.1',
      port: this.#port,
      silent: true,
      configureBuckets: [{ name: BUCKET }],
    };
    const program = `new (require(${JSON.stringify(MAIN)}))(${JSON.stringify(options)}).run().then(() => console.log('ready'))`;
    this.#child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(createInterface(this.#child.stdout!), 'line');
  }

  get settings(): S3Settings {
    return {
      endpoint: `http://127.0.0.1:${this.#port}`,
      region: 'cn-north-1',
      accessKey: KEY,
      secretKey: KEY,
      pathStyle: true,
    };
  }

  /** What stands under a key. */
  object(key: string): Buffer {
    return readFileSync(join(this.#folder, BUCKET, `${key}._S3rver_object`));
  }

  /** The folder of the bucket, keys are paths with an ending of the server's. */
  get folder(): string {
    return join(this.#folder, BUCKET);
  }

  async kill(): Promise<void> {
    if (!this.#child || this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }

  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
