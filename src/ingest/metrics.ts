/** Conservation of readings: received = stored + duplicate + rejected + in flight, counted where each happens. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { AppendResult } from '../store/readings.ts';
import type { Decoded } from './decode.ts';

const LATENCY_BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20];

export class IngestMetrics {
  readonly #received: Counter;
  readonly #stored: Counter;
  readonly #duplicates: Counter;
  readonly #rejected: Counter<'code'>;
  readonly #notes: Counter<'code'>;
  readonly #inFlight: Gauge;
  readonly #commitSeconds: Histogram;
  readonly #ackSeconds: Histogram;

  constructor(registry: Registry) {
    const registers = [registry];
    const counter = (name: string, help: string) =>
      new Counter({ name: `meterwarden_readings_${name}`, help, registers });
    this.#received = counter('received_total', 'Readings received, and messages nothing could be read from');
    this.#stored = counter('stored_total', 'Readings stored for the first time');
    this.#duplicates = counter('duplicate_total', 'Readings that were stored already');
    this.#rejected = new Counter({
      name: 'meterwarden_readings_rejected_total',
      help: 'Readings refused, by code; overloaded = not acknowledged, the client sends it again',
      labelNames: ['code'],
      registers,
    });
    this.#notes = new Counter({
      name: 'meterwarden_notes_total',
      help: 'Notes on readings that were taken all the same, by code',
      labelNames: ['code'],
      registers,
    });
    this.#inFlight = new Gauge({
      name: 'meterwarden_readings_in_flight',
      help: 'Readings waiting for their commit',
      registers,
    });
    const histogram = (name: string, help: string) =>
      new Histogram({ name, help, buckets: LATENCY_BUCKETS_S, registers });
    this.#commitSeconds = histogram('meterwarden_commit_seconds', 'Time to store one batch durably');
    this.#ackSeconds = histogram('meterwarden_ack_seconds', 'Time from receipt of a message to its acknowledgement');
  }

  received(decoded: Decoded): void {
    const readings = readingsOf(decoded);
    this.#received.inc(readings);
    this.#inFlight.inc(readings);
  }

  committed(result: AppendResult, refusals: Decoded['refusals'], seconds: number): void {
    this.#stored.inc(result.stored);
    this.#duplicates.inc(result.duplicates);
    if (result.conflicts.length > 0) this.#rejected.inc({ code: 'conflicting_reading' }, result.conflicts.length);
    let rejected = result.conflicts.length;
    for (const { code, readings } of refusals) {
      if (readings > 0) this.#rejected.inc({ code }, readings);
      else this.#notes.inc({ code });
      rejected += readings;
    }
    this.#inFlight.dec(result.stored + result.duplicates + rejected);
    this.#commitSeconds.observe(seconds);
  }

  acknowledged(seconds: number): void {
    this.#ackSeconds.observe(seconds);
  }

  shed(decoded: Decoded): void {
    const readings = readingsOf(decoded);
    if (readings === 0) return;
    this.#rejected.inc({ code: 'overloaded' }, readings);
    this.#inFlight.dec(readings);
  }
}

function readingsOf({ readings, refusals }: Decoded): number {
  let count = readings.length;
  for (const refusal of refusals) count += refusal.readings;
  return count;
}
