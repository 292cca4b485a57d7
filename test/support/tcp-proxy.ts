/** Stands between clients and a server and can fall silent: connections stay open, and nothing passes any more. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** Each connection falls silent after so many further bytes of requests. */
export interface Silence {
  readonly requestsAfter: number;
  readonly answersAfter: number;
}

export class TcpProxy {
  readonly #server: Server;
  readonly #lines = new Set<Line>();
  #silence: Silence | undefined;
  #onHeld = () => {};

  private constructor(server: Server, target: URL) {
    this.#server = server;
    server.on('connection', (client) => {
      const line = new Line(client, connect(Number(target.port), target.hostname), () => this.#onHeld());
      if (this.#silence) line.hold(this.#silence);
      this.#lines.add(line);
    });
  }

  static async start(url: string): Promise<TcpProxy> {
    const server = createServer();
    const proxy = new TcpProxy(server, new URL(url));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return proxy;
  }

  /** `url` with the address of the proxy. */
  through(url: string): string {
    const proxied = new URL(url);
    proxied.host = `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    return proxied.href;
  }

  /** Resolves when something was held back. */
  async fallSilent(silence: Silence): Promise<void> {
    this.#silence = silence;
    for (const line of this.#lines) {
      line.old = true;
      line.hold(silence);
    }
    await new Promise<void>((done) => {
      this.#onHeld = done;
    });
  }

  /** Connections begun in the silence are heard; of older ones nobody hears again. */
  heal(): void {
    this.#silence = undefined;
    for (const line of this.#lines) if (!line.old) line.release();
  }

  /** What was held back arrives after all. */
  deliver(): void {
    for (const line of this.#lines) line.release();
  }

  async stop(): Promise<void> {
    this.deliver();
    for (const { client, server } of this.#lines) {
      client.destroy();
      server.destroy();
    }
    this.#server.close();
    await once(this.#server, 'close');
  }
}

class Line {
  readonly client: Socket;
  readonly server: Socket;
  /** Begun before the silence. */
  old = false;
  #silence: Silence | undefined;
  /** Of requests, since the silence was announced. */
  #passed = 0;
  readonly #held: (() => void)[] = [];
  readonly #onHeld: () => void;

  constructor(client: Socket, server: Socket, onHeld: () => void) {
    this.client = client;
    this.server = server;
    this.#onHeld = onHeld;
    for (const socket of [client, server]) {
      socket.on('error', () => {});
      socket.setNoDelay(true);
    }
    client.on('data', (bytes) => this.#request(bytes));
    server.on('data', (bytes) => this.#pass(this.#answers, () => client.write(bytes)));
    client.on('close', () => this.#pass(!this.#silence, () => server.destroy()));
    server.on('close', () => this.#pass(!this.#silence, () => client.destroy()));
  }

  hold(silence: Silence): void {
    this.#silence = silence;
    this.#passed = 0;
  }

  release(): void {
    this.#silence = undefined;
    for (const act of this.#held.splice(0)) act();
  }

  get #answers(): boolean {
    return !this.#silence || this.#passed < this.#silence.answersAfter;
  }

  #request(bytes: Buffer): void {
    const left = this.#silence ? this.#silence.requestsAfter - this.#passed : Number.POSITIVE_INFINITY;
    const passing = bytes.subarray(0, Math.min(left, bytes.length));
    const held = bytes.subarray(passing.length);
    this.#passed += passing.length;
    if (passing.length > 0) this.server.write(passing);
    if (held.length > 0) this.#pass(false, () => this.server.write(held));
  }

  #pass(heard: boolean, act: () => void): void {
    if (heard) return void act();
    this.#held.push(act);
    this.#onHeld();
  }
}
