/** One connection's share of the load: a window of publishes in flight over a raw socket, acknowledged first in, first out. */
import { connect, type Socket } from 'node:net';
import mqttPacket from 'mqtt-packet';
import type { Credentials } from './fleet.ts';
import type { LoadConnection } from './load.ts';
import { encodeTemplates, type Shape, StepText, type Template, writePublish } from './publishes.ts';

const PUBACK = 0x40;
const PUBACK_BYTES = 4;
const CONNECT_TIMEOUT_MS = 30_000;
/** Nothing pings: the longest pause between two runs stays well below this. */
const KEEPALIVE_S = 3600;

/** Open-loop schedule of a lane: its n-th publish is due at `startMs + n * intervalMs`, whatever the answers do. */
export interface Pace {
  startMs: number;
  intervalMs: number;
}

export interface LaneRun {
  shape: Shape;
  window: number;
  pace?: Pace;
}

export class Lane {
  /** Publishes this run may still reach in total; lowered to end a run. */
  limit = 0;
  sent = 0;
  acknowledged = 0;
  /** 15 minute steps begun, which is the number of readings the lane's first instrument has sent. */
  steps = 0;
  readonly #socket: Socket;
  readonly #connection: LoadConnection;
  readonly #text: StepText;
  readonly #onAck: (sentMs: number, nowMs: number) => void;
  readonly #onLost: (error: Error) => void;
  #templates: Template[] = [];
  #next = 0;
  #window = 0;
  #pace: Pace | undefined;
  #size = 0;
  #ring = Buffer.alloc(0);
  #sentMs = new Float64Array(0);
  #partial: Buffer = Buffer.alloc(0);

  constructor(
    socket: Socket,
    connection: LoadConnection,
    startMs: number,
    onAck: (sentMs: number, nowMs: number) => void,
    onLost: (error: Error) => void,
  ) {
    this.#socket = socket;
    this.#connection = connection;
    this.#text = new StepText(startMs);
    this.#onAck = onAck;
    this.#onLost = onLost;
    socket.on('data', (chunk) => this.#receive(chunk));
    socket.on('error', onLost);
    socket.on('close', () => onLost(new Error('the broker closed a connection')));
  }

  begin(run: LaneRun): void {
    this.#templates = encodeTemplates(run.shape, this.#connection.instruments, this.#connection.topic);
    this.#next = 0;
    this.#window = run.window;
    this.#pace = run.pace;
    this.#size = this.#templates[0]!.bytes.length;
    this.#ring = Buffer.alloc(this.#size * run.window);
    this.#sentMs = new Float64Array(run.window);
    this.sent = 0;
    this.acknowledged = 0;
    this.limit = Number.POSITIVE_INFINITY;
  }

  /** How many publishes the schedule wants sent by `nowMs`. */
  dueBy(nowMs: number): number {
    if (!this.#pace) return Number.POSITIVE_INFINITY;
    return Math.max(0, Math.floor((nowMs - this.#pace.startMs) / this.#pace.intervalMs) + 1);
  }

  /** Sends what is due and fits into the window. */
  pump(nowMs: number): void {
    const room = this.#window - (this.sent - this.acknowledged);
    const count = Math.min(room, Math.min(this.limit, this.dueBy(nowMs)) - this.sent);
    if (count <= 0) return;
    const first = this.sent % this.#window;
    for (let i = 0; i < count; i++) this.#prepare((first + i) % this.#window, nowMs);
    const untilEnd = Math.min(count, this.#window - first);
    // A slot is written again only after its acknowledgement, so its bytes have left.
    this.#write(first, untilEnd);
    if (count > untilEnd) this.#write(0, count - untilEnd);
  }

  close(): void {
    this.#socket.removeAllListeners('close');
    this.#socket.removeAllListeners('error');
    this.#socket.on('error', () => {});
    this.#socket.destroy();
  }

  #prepare(slot: number, nowMs: number): void {
    if (this.#next === 0) {
      this.#text.goTo(this.steps, Date.now());
      this.steps++;
    }
    writePublish(this.#ring, slot * this.#size, this.#templates[this.#next]!, slot + 1, this.#text);
    this.#next = (this.#next + 1) % this.#templates.length;
    // With a schedule, latency counts from the moment the publish was due (coordinated omission).
    this.#sentMs[slot] = this.#pace ? this.#pace.startMs + this.sent * this.#pace.intervalMs : nowMs;
    this.sent++;
  }

  #write(slot: number, count: number): void {
    this.#socket.write(this.#ring.subarray(slot * this.#size, (slot + count) * this.#size));
  }

  #receive(chunk: Buffer): void {
    const bytes = this.#partial.length > 0 ? Buffer.concat([this.#partial, chunk]) : chunk;
    const nowMs = performance.now();
    let at = 0;
    for (; at + PUBACK_BYTES <= bytes.length; at += PUBACK_BYTES) {
      const slot = this.acknowledged % this.#window;
      if (bytes[at] !== PUBACK || bytes.readUInt16BE(at + 2) !== slot + 1) {
        this.#onLost(new Error('a packet that is not the acknowledgement of the oldest publish in flight'));
        return;
      }
      this.acknowledged++;
      this.#onAck(this.#sentMs[slot]!, nowMs);
    }
    this.#partial = bytes.subarray(at);
    try {
      this.pump(nowMs);
    } catch (error) {
      this.#onLost(error as Error);
    }
  }
}

/** Connects and authenticates; resolves when the broker has accepted the connection. */
export function openConnection(port: number, credentials: Credentials): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true });
    const fail = (reason: string) => {
      socket.destroy();
      reject(new Error(`${credentials.username} could not connect: ${reason}`));
    };
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => fail('timeout'));
    socket.once('error', (error) => fail(error.message));
    socket.once('close', () => fail('closed'));
    socket.once('connect', () => {
      socket.write(
        mqttPacket.generate({
          cmd: 'connect',
          protocolId: 'MQTT',
          protocolVersion: 4,
          clean: true,
          clientId: credentials.username,
          keepalive: KEEPALIVE_S,
          username: credentials.username,
          password: Buffer.from(credentials.password),
        }),
      );
    });
    socket.once('data', (chunk: Buffer) => {
      if (chunk.length !== 4 || chunk[0] !== 0x20 || chunk[3] !== 0) return fail(`refused (${chunk.toString('hex')})`);
      socket.removeAllListeners();
      socket.setTimeout(0);
      resolve(socket);
    });
  });
}
