/** Counts what became of published readings. */

import type { GatewayMessage, GatewayObserver } from './gateway-mqtt.ts';

export interface PublishReport {
  readonly acknowledgedMessages: number;
  readonly acknowledgedReadings: number;
  /** Messages on the rejected topic, and the readings they name. */
  readonly rejectedMessages: number;
  readonly rejectedReadings: number;
  readonly resentMessages: number;
  readonly reconnects: number;
  readonly unacknowledgedMessages: number;
  readonly durationMs: number;
  readonly readingsPerSecond: number;
  readonly ackP50Ms: number;
  readonly ackP99Ms: number;
}

export class PublishTally implements GatewayObserver {
  acknowledgedMessages = 0;
  acknowledgedReadings = 0;
  rejectedMessages = 0;
  rejectedReadings = 0;
  resentMessages = 0;
  reconnects = 0;
  readonly #latency = new LatencyHistogram();

  acknowledged(message: GatewayMessage, latencyMs: number): void {
    this.acknowledgedMessages++;
    this.acknowledgedReadings += message.readings;
    this.#latency.add(latencyMs);
  }

  rejected(payload: Buffer): void {
    this.rejectedMessages++;
    this.rejectedReadings += rejectedReadings(payload);
  }

  reconnecting(): void {
    this.reconnects++;
  }

  resent(): void {
    this.resentMessages++;
  }

  report(durationMs: number, unacknowledgedMessages: number): PublishReport {
    return {
      acknowledgedMessages: this.acknowledgedMessages,
      acknowledgedReadings: this.acknowledgedReadings,
      rejectedMessages: this.rejectedMessages,
      rejectedReadings: this.rejectedReadings,
      resentMessages: this.resentMessages,
      reconnects: this.reconnects,
      unacknowledgedMessages,
      durationMs,
      readingsPerSecond: durationMs > 0 ? (this.acknowledgedReadings * 1000) / durationMs : 0,
      ackP50Ms: this.#latency.quantileMs(0.5),
      ackP99Ms: this.#latency.quantileMs(0.99),
    };
  }
}

/** A refusal names its readings as a list or a number, bare or under `rejected`, `rejections`, `count`; otherwise it is one. */
function rejectedReadings(payload: Buffer): number {
  let content: unknown;
  try {
    content = JSON.parse(payload.toString());
  } catch {
    return 1;
  }
  const counted = countOf(content);
  if (counted !== undefined) return counted;
  if (typeof content !== 'object' || content === null) return 1;
  for (const key of ['rejected', 'rejections', 'count']) {
    const inside = countOf((content as Record<string, unknown>)[key]);
    if (inside !== undefined) return inside;
  }
  return 1;
}

function countOf(value: unknown): number | undefined {
  if (Array.isArray(value)) return value.length;
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

/** Latencies in buckets 5 % wide, so that memory does not grow with messages. */
class LatencyHistogram {
  static readonly #SHORTEST_MS = 0.01;
  static readonly #RATIO = 1.05;
  /** 0.01 ms · 1.05^400 is 50 minutes. */
  readonly #buckets = new Uint32Array(400);
  #count = 0;

  add(latencyMs: number): void {
    const ratio = Math.max(1, latencyMs / LatencyHistogram.#SHORTEST_MS);
    const bucket = Math.floor(Math.log(ratio) / Math.log(LatencyHistogram.#RATIO));
    this.#buckets[Math.min(bucket, this.#buckets.length - 1)]!++;
    this.#count++;
  }

  /** The upper edge of the bucket that holds the quantile; 0 when nothing was measured. */
  quantileMs(quantile: number): number {
    let left = Math.ceil(this.#count * quantile);
    if (left === 0) return 0;
    const bucket = this.#buckets.findIndex((count) => {
      left -= count;
      return left <= 0;
    });
    return LatencyHistogram.#SHORTEST_MS * LatencyHistogram.#RATIO ** (bucket + 1);
  }
}
