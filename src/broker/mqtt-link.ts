/**
 * One network connection to an external broker. A message is acknowledged when it is settled, in order of receipt; many may
 * wait for that at a time.
 */
import type { Socket } from 'node:net';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import type { UserProperties } from './device-topics.ts';

export interface LinkOptions {
  readonly address: MqttAddress;
  readonly clientId: string;
  /** Read anew for every connection, so that renewed certificates are used. */
  readonly tls: (() => TlsFiles) | undefined;
  readonly protocolVersion: 4 | 5;
  /** Only of this connection: what an earlier one left at the broker is thrown away. */
  readonly clean?: boolean;
  readonly maxInFlight: number;
  /** `settle(false)`: not kept; the broker must send it again, so the connection ends. */
  readonly onMessage: (message: Delivery, settle: (kept: boolean) => void, link: MqttLink) => void;
}

export interface MqttAddress {
  readonly protocol: 'mqtt' | 'mqtts' | 'ws' | 'wss';
  readonly hostname: string;
  readonly port: number | undefined;
  readonly path: string;
  readonly username: string | undefined;
  readonly password: string | undefined;
}

/** Contents of PEM files. */
export interface TlsFiles {
  readonly ca?: string | Buffer | undefined;
  readonly cert?: string | Buffer | undefined;
  readonly key?: string | Buffer | undefined;
}

export interface Delivery {
  readonly topic: string;
  readonly payload: Buffer;
  readonly properties: UserProperties | undefined;
  /** The broker had kept it and sends it because we subscribed; what is published meanwhile comes without the mark. */
  readonly retained: boolean;
}

/**
 * `shed`: a message was not kept. `taken-over`: another connection uses the client id. `finished`: we ended it.
 * `lost`: the broker or the network did.
 */
export type LinkEnd = 'shed' | 'taken-over' | 'finished' | 'lost';

interface Receipt {
  /** undefined = QoS 0, which is not acknowledged. */
  readonly messageId: number | undefined;
  readonly bytes: number;
  settled: boolean;
}

/** How long a broker keeps a session that nobody uses: a city may be without its service over a long holiday. */
const SESSION_EXPIRY_S = 14 * 86_400;
/** A ping's answer waits behind messages that may not be read on; longer than the pipeline holds any message. */
const KEEPALIVE_S = 60;
const CONNECT_TIMEOUT_MS = 10_000;
/** To a subscription: the broker may have many of them to answer after a restart. */
const ANSWER_TIMEOUT_MS = 30_000;
/** After we said goodbye. */
const CLOSE_TIMEOUT_MS = 2_000;
/** Of messages waiting to be settled; beyond it the connection is not read on. */
const MAX_IN_FLIGHT_BYTES = 32 * 1024 * 1024;
/** Notices that the broker does not take off our hands. */
const MAX_UNSENT_BYTES = 1024 * 1024;
const SESSION_TAKEN_OVER = 0x8e;
const PUBACK = 0x40;

export class MqttLink {
  readonly ended: Promise<LinkEnd>;
  /** Messages that came, and those that were kept. */
  received = 0;
  kept = 0;
  readonly #options: LinkOptions;
  readonly #client: MqttClient;
  readonly #receipts: Receipt[] = [];
  #waitingBytes = 0;
  /** Messages whose acknowledgement leaves at the end of this turn. */
  #acknowledged: number[] = [];
  /** Reads on. */
  #held: (() => void) | undefined;
  #idle: (() => void)[] = [];
  #end: LinkEnd | undefined;
  #error: Error | undefined;
  #closing: NodeJS.Timeout | undefined;

  /** Resolves when the broker has admitted us; rejects with its reason, or that of the network, or when called off. */
  static async open(options: LinkOptions, signal: AbortSignal): Promise<MqttLink> {
    signal.throwIfAborted();
    const link = new MqttLink(options);
    const cut = () => link.cut();
    signal.addEventListener('abort', cut);
    try {
      await new Promise<void>((done, fail) => {
        link.#client.once('connect', () => done());
        void link.ended.then(() => fail(link.#error ?? new Error('the connection was closed')));
      });
    } finally {
      signal.removeEventListener('abort', cut);
    }
    return link;
  }

  private constructor(options: LinkOptions) {
    this.#options = options;
    this.#client = mqtt.connect(clientOptions(options));
    // mqtt.js keeps the next message back until the last one is acknowledged. As QoS 0 they come as they arrive, and
    // acknowledging is left to us.
    this.#client.on('packetreceive', (packet) => {
      if (packet.cmd === 'publish' && packet.qos === 1) packet.qos = 0;
    });
    this.#client.handleMessage = (packet, done) => {
      const { topic, messageId, properties } = packet;
      const payload = Buffer.isBuffer(packet.payload) ? packet.payload : Buffer.from(packet.payload);
      const userProperties = properties?.userProperties as UserProperties | undefined;
      this.#take({ topic, payload, properties: userProperties, retained: packet.retain }, messageId);
      if (this.#full) this.#held = done as () => void;
      else done();
    };
    this.#client.on('disconnect', (packet) => {
      const { reasonCode } = packet;
      if (reasonCode === SESSION_TAKEN_OVER) this.#end ??= 'taken-over';
      const said = this.#end === 'taken-over' ? 'somebody else uses the client id' : 'the broker ends the connection';
      this.#error ??= new Error(`${said} (reason code ${reasonCode})`);
      this.cut();
    });
    this.#client.on('error', (error) => {
      this.#error ??= error.message ? error : new Error(String((error as NodeJS.ErrnoException).code ?? error));
      this.cut(); // mqtt.js would go on after a packet it could not read
    });
    this.ended = new Promise((done) => {
      this.#client.once('close', () => {
        clearTimeout(this.#closing);
        this.#end ??= 'lost';
        this.#wake();
        done(this.#end);
      });
    });
    (this.#client.stream as Partial<Socket>).setNoDelay?.(true);
  }

  /** What the broker or the network said when it ended. */
  get error(): Error | undefined {
    return this.#error;
  }

  get over(): boolean {
    return this.#end !== undefined;
  }

  /** Messages not answered yet. */
  get waiting(): number {
    return this.#receipts.length;
  }

  async subscribe(filters: readonly string[]): Promise<void> {
    // At least once is all we need: storing a reading twice is harmless. What devices send with QoS 2 comes with QoS 1.
    // rh 2: nothing retained, which only MQTT 5 can ask for.
    await this.#answered(this.#client.subscribeAsync([...filters], { qos: 1, rh: 2 }));
  }

  /** Its answer comes behind everything the broker had sent before. */
  async unsubscribe(filters: readonly string[]): Promise<void> {
    if (filters.length > 0) await this.#answered(this.#client.unsubscribeAsync([...filters]));
  }

  /** With QoS 0, so that nothing piles up for a device that is away. False = the broker is too slow for it. */
  publish(topic: string, payload: Buffer): boolean {
    if (this.#end !== undefined || this.#client.stream.writableLength > MAX_UNSENT_BYTES) return false;
    this.#client.publish(topic, payload, { qos: 0 }, () => {});
    return true;
  }

  /** Takes no further message, waits so long for those it has, and says goodbye; the broker keeps the session, or ends it. */
  async finish(patienceMs: number, endSession = false): Promise<void> {
    if (this.#end === undefined) {
      this.#end = 'finished';
      this.#readOn();
      await this.#settled(patienceMs);
      this.#sayGoodbye(endSession);
    }
    await this.ended;
  }

  /** At once. */
  cut(): void {
    this.#client.end(true);
    this.#client.stream.destroy(); // end does nothing while an orderly one is under way
  }

  async #answered(answer: Promise<unknown>): Promise<void> {
    const timer = setTimeout(() => this.cut(), ANSWER_TIMEOUT_MS);
    try {
      await answer;
    } finally {
      clearTimeout(timer);
    }
  }

  get #full(): boolean {
    const { maxInFlight } = this.#options;
    return this.#receipts.length >= maxInFlight || this.#waitingBytes >= MAX_IN_FLIGHT_BYTES;
  }

  #take(message: Delivery, messageId: number | undefined): void {
    if (this.#end !== undefined) return; // not acknowledged: the broker sends it again
    const receipt: Receipt = { messageId, bytes: message.payload.length, settled: false };
    this.received++;
    this.#receipts.push(receipt);
    this.#waitingBytes += receipt.bytes;
    this.#options.onMessage(message, (kept) => this.#settle(receipt, kept), this);
  }

  #settle(receipt: Receipt, kept: boolean): void {
    if (this.#end !== undefined && this.#end !== 'finished') return;
    if (kept) this.kept++;
    else if (receipt.messageId !== undefined) return this.#shed();
    receipt.settled = true;
    while (this.#receipts[0]?.settled) {
      const { messageId, bytes } = this.#receipts.shift()!;
      this.#waitingBytes -= bytes;
      if (messageId !== undefined) this.#acknowledge(messageId);
    }
    if (!this.#full) this.#readOn();
    if (this.#receipts.length === 0) this.#wake();
  }

  #shed(): void {
    this.#end = 'shed';
    this.#sayGoodbye(false);
    this.#readOn();
  }

  #acknowledge(messageId: number): void {
    if (this.#acknowledged.length === 0) queueMicrotask(() => this.#sendAcknowledgements());
    this.#acknowledged.push(messageId);
  }

  /** MQTT 3.1.1, 3.4, and MQTT 5, 3.4.2.1: without a reason code it means success. */
  #sendAcknowledgements(): void {
    const messageIds = this.#acknowledged;
    this.#acknowledged = [];
    const { stream } = this.#client;
    if (messageIds.length === 0 || stream.destroyed || stream.writableEnded) return;
    const packets = Buffer.allocUnsafe(messageIds.length * 4);
    for (const [i, messageId] of messageIds.entries()) {
      packets.writeUInt16BE((PUBACK << 8) | 2, i * 4);
      packets.writeUInt16BE(messageId, i * 4 + 2);
    }
    stream.write(packets);
  }

  #readOn(): void {
    const done = this.#held;
    this.#held = undefined;
    done?.();
  }

  #wake(): void {
    for (const done of this.#idle.splice(0)) done();
  }

  async #settled(patienceMs: number): Promise<void> {
    if (this.#receipts.length === 0) return;
    await new Promise<void>((done) => {
      const timer = setTimeout(done, patienceMs);
      this.#idle.push(() => {
        clearTimeout(timer);
        done();
      });
    });
  }

  #sayGoodbye(endSession: boolean): void {
    this.#sendAcknowledgements();
    const properties = endSession && this.#options.protocolVersion === 5 ? { sessionExpiryInterval: 0 } : undefined;
    this.#client.end(false, properties ? { properties } : {});
    this.#closing = setTimeout(() => this.#client.stream.destroy(), CLOSE_TIMEOUT_MS);
  }
}

function clientOptions(options: LinkOptions): IClientOptions {
  const { address, tls, protocolVersion, clientId, clean = false, maxInFlight } = options;
  const { ca, cert, key } = tls?.() ?? {};
  return {
    protocol: address.protocol,
    hostname: address.hostname,
    ...(address.port !== undefined && { port: address.port }),
    path: address.path,
    ...(address.username !== undefined && { username: address.username }),
    ...(address.password !== undefined && { password: address.password }),
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    clientId,
    clean,
    protocolVersion,
    keepalive: KEEPALIVE_S,
    connectTimeout: CONNECT_TIMEOUT_MS,
    // Connecting again, with patience and only while the client id is ours, is the session's business.
    reconnectPeriod: 0,
    resubscribe: false,
    queueQoSZero: false,
    ...(protocolVersion === 5 && {
      properties: {
        sessionExpiryInterval: clean ? 0 : SESSION_EXPIRY_S,
        receiveMaximum: Math.min(maxInFlight, 65_535),
      },
    }),
  };
}
