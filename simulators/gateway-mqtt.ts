/** One gateway on one MQTT 3.1.1 connection: sends in order, keeps what is not acknowledged, comes back by itself. */

import mqtt, { type ErrorWithReasonCode, type MqttClient } from 'mqtt';
import { SimulatorError } from './errors.ts';
import type { Random } from './random.ts';

const TELEMETRY_TOPIC = 'v1/gateway/telemetry';
const REJECTED_TOPIC = 'v1/gateway/telemetry/rejected';

/** CONNACK return codes that no retry will cure: identifier rejected, bad credentials, not authorised (MQTT 3.1.1, 3.2.2.3). */
const FINAL_CONNACK_CODES = [2, 4, 5];

export interface GatewayMessage {
  readonly payload: string;
  readonly readings: number;
}

export interface GatewayOptions {
  readonly url: string;
  readonly secret: string;
  /** What stands before every topic at a broker that others share, `{client}` being the gateway; empty at the service's own. */
  readonly topicPrefix: string;
  /** Messages sent and not yet acknowledged. */
  readonly window: number;
  /** Waiting time after the first failed attempt; doubles up to `maxBackoffMs`, half of it random. */
  readonly minBackoffMs: number;
  readonly maxBackoffMs: number;
  /** A connection whose oldest message waits longer is given up and the message sent again. */
  readonly ackTimeoutMs: number;
  /** How long the very first connection may take before the broker counts as unreachable. */
  readonly firstConnectMs: number;
  /** Jitter of the waiting times. */
  readonly random: Random;
}

/** What happens on the connection, for the report. */
export interface GatewayObserver {
  acknowledged(message: GatewayMessage, latencyMs: number): void;
  rejected(payload: Buffer): void;
  reconnecting(): void;
  resent(message: GatewayMessage): void;
}

interface Pending extends GatewayMessage {
  sentAtMs: number;
  acknowledged: boolean;
  sendings: number;
}

export class GatewayConnection {
  readonly #id: string;
  readonly #options: GatewayOptions;
  readonly #observer: GatewayObserver;
  /** In order of time, the oldest unacknowledged first; `#sent` of them are on this connection. */
  readonly #buffer: Pending[] = [];
  #sent = 0;
  #client: MqttClient | undefined;
  #attempts = 0;
  #everConnected = false;
  #lastError = '';
  readonly #startedAtMs = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #failure: SimulatorError | undefined;
  #closed = false;
  #waiting: (() => void)[] = [];

  constructor(id: string, options: GatewayOptions, observer: GatewayObserver) {
    this.#id = id;
    this.#options = options;
    this.#observer = observer;
    this.#connect();
  }

  /** Takes a message; resolves when at most `limit` messages are buffered. */
  async send(message: GatewayMessage, limit: number): Promise<void> {
    this.#buffer.push({ ...message, sentAtMs: 0, acknowledged: false, sendings: 0 });
    this.#pump();
    await this.settle(limit);
  }

  /** Resolves when at most `limit` messages are unacknowledged; rejects when that can no longer happen. */
  async settle(limit: number): Promise<void> {
    while (!this.#failure && !this.#closed && this.#buffer.length > limit) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    if (this.#failure) throw this.#failure;
  }

  get unacknowledged(): number {
    return this.#buffer.length;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#wake();
    await this.#client?.endAsync(!this.#client.connected);
  }

  #topic(topic: string): string {
    return this.#options.topicPrefix.replace('{client}', () => this.#id) + topic;
  }

  #connect(): void {
    const client = mqtt.connect(this.#options.url, {
      protocolVersion: 4,
      clientId: this.#id,
      username: this.#id,
      password: this.#options.secret,
      clean: true,
      // Reconnecting, resending and their order are this class's business.
      reconnectPeriod: 0,
      resubscribe: false,
      connectTimeout: this.#options.firstConnectMs,
    });
    this.#client = client;
    client.on('connect', () => this.#onConnect(client));
    client.on('message', (topic, payload) => {
      if (topic === this.#topic(REJECTED_TOPIC)) this.#observer.rejected(payload);
    });
    client.on('error', (error) => this.#onError(error));
    client.on('close', () => this.#onClose(client));
  }

  #onConnect(client: MqttClient): void {
    this.#everConnected = true;
    this.#attempts = 0;
    this.#sent = 0;
    client.subscribe(this.#topic(REJECTED_TOPIC), { qos: 1 }, (error) => {
      // A broker that forbids the subscription still takes readings.
      if (error) this.#lastError = error.message;
    });
    this.#watchAcknowledgements();
    this.#pump();
  }

  #onError(error: Error | ErrorWithReasonCode): void {
    this.#lastError = error.message || String((error as NodeJS.ErrnoException).code ?? error);
    if ('code' in error && FINAL_CONNACK_CODES.includes(Number(error.code))) {
      this.#fail(new SimulatorError('broker_refused', { gateway: this.#id, reason: this.#lastError }));
    }
  }

  #onClose(client: MqttClient): void {
    if (client !== this.#client || this.#closed || this.#failure) return;
    this.#client = undefined;
    this.#sent = 0;
    clearTimeout(this.#timer);
    client.end(true);
    if (!this.#everConnected && performance.now() - this.#startedAtMs > this.#options.firstConnectMs) {
      const { url } = this.#options;
      this.#fail(new SimulatorError('broker_unreachable', { url, reason: this.#lastError }));
      return;
    }
    this.#observer.reconnecting();
    this.#timer = setTimeout(() => this.#connect(), this.#backoffMs());
  }

  #backoffMs(): number {
    const fullMs = Math.min(this.#options.maxBackoffMs, this.#options.minBackoffMs * 2 ** this.#attempts);
    this.#attempts++;
    return fullMs * this.#options.random.between(0.5, 1);
  }

  #pump(): void {
    const client = this.#client;
    if (!client?.connected) return;
    while (this.#sent < this.#buffer.length && this.#sent < this.#options.window) {
      const message = this.#buffer[this.#sent++]!;
      if (message.acknowledged) continue;
      if (message.sendings++ > 0) this.#observer.resent(message);
      message.sentAtMs = performance.now();
      client.publish(this.#topic(TELEMETRY_TOPIC), message.payload, { qos: 1 }, (error) => {
        if (!error && client === this.#client) this.#onAcknowledged(message);
      });
    }
  }

  #onAcknowledged(message: Pending): void {
    if (message.acknowledged) return;
    message.acknowledged = true;
    this.#observer.acknowledged(message, performance.now() - message.sentAtMs);
    while (this.#buffer[0]?.acknowledged) {
      this.#buffer.shift();
      this.#sent--;
    }
    this.#pump();
    this.#wake();
  }

  #watchAcknowledgements(): void {
    const { ackTimeoutMs } = this.#options;
    this.#timer = setTimeout(() => {
      const oldest = this.#buffer[0];
      const isLate = this.#sent > 0 && oldest && performance.now() - oldest.sentAtMs > ackTimeoutMs;
      if (isLate) this.#client?.stream.destroy();
      else this.#watchAcknowledgements();
    }, ackTimeoutMs / 4);
  }

  #fail(failure: SimulatorError): void {
    this.#failure = failure;
    clearTimeout(this.#timer);
    this.#client?.end(true);
    this.#wake();
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
