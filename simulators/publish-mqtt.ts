/** Publishes a fleet as its gateways would: history as fast as it is acknowledged, then live readings. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { NamedValues } from '../src/fleet/reading.ts';
import type { Row } from './district.ts';
import { SimulatorError } from './errors.ts';
import type { Fleet, Step } from './fleet.ts';
import type { FolderContent } from './folder.ts';
import { GatewayConnection, type GatewayOptions } from './gateway-mqtt.ts';
import type { SimulatedInstrument } from './ledger.ts';
import { type PublishReport, PublishTally } from './publish-report.ts';
import { Random } from './random.ts';

/** Where readings come from. */
export interface Source {
  readonly instruments: readonly SimulatedInstrument[];
  history(): Iterable<Step> | AsyncIterable<Step>;
  /** Readings of this moment, later than all history. */
  live(tsMs: number): Step;
}

export interface PublishOptions {
  readonly url: string;
  /** The password of every gateway. */
  readonly secret: string;
  /** Of a broker that others share, with `{client}`. */
  readonly topicPrefix?: string;
  readonly window?: number;
  readonly readingsPerMessage?: number;
  readonly liveMs?: number;
  readonly liveEveryMs?: number;
  readonly minBackoffMs?: number;
  readonly maxBackoffMs?: number;
  readonly ackTimeoutMs?: number;
  readonly firstConnectMs?: number;
  /** Of the reconnect jitter. */
  readonly seed?: number;
  readonly onProgress?: (acknowledgedReadings: number) => void;
  /** Stops producing; what is buffered still gets `stopMs` to be acknowledged. */
  readonly signal?: AbortSignal;
  readonly stopMs?: number;
}

export const PUBLISH_DEFAULTS = {
  topicPrefix: '',
  window: 20,
  /** About 60 kB of JSON. */
  readingsPerMessage: 500,
  liveMs: 0,
  liveEveryMs: 10_000,
  minBackoffMs: 500,
  maxBackoffMs: 30_000,
  ackTimeoutMs: 30_000,
  firstConnectMs: 15_000,
  seed: 1,
  stopMs: 5_000,
};

/** A live gateway keeps this many messages through an outage: at one every 10 s, almost three hours. */
const MAX_LIVE_BUFFER = 1_000;
/** History waits for acknowledgements instead of memory: this many windows are read ahead. */
const HISTORY_WINDOWS_AHEAD = 2;
/** A refusal may come just after the acknowledgement of the same message. */
const REJECTION_LINGER_MS = 300;

export function generatedSource(fleet: Fleet): Source {
  const run = fleet.start();
  return { instruments: fleet.instruments, history: run.steps, live: run.advance };
}

/** Replays a folder; live readings hold each instrument's last power. */
export function replayedSource(folder: Pick<FolderContent, 'instruments' | 'steps'>): Source {
  const last = new Map<string, { tsMs: number; values: NamedValues }>();
  let endMs = 0;
  async function* history(): AsyncGenerator<Step> {
    for await (const step of folder.steps()) {
      for (const { instrument, values } of step.rows) last.set(instrument, { tsMs: step.tsMs, values });
      endMs = step.tsMs;
      yield step;
    }
  }
  let previousMs: number | undefined;
  const live = (tsMs: number): Step => {
    const hours = previousMs === undefined ? 0 : (tsMs - previousMs) / 3_600_000;
    previousMs = tsMs;
    const rows: Row[] = [];
    for (const [instrument, entry] of last) {
      // Who had fallen silent stays silent.
      if (entry.tsMs < endMs) continue;
      const registerKwh = entry.values.active_import_kwh;
      const energyKwh = (Math.max(0, entry.values.active_power_w ?? 0) * hours) / 1000;
      const values = { ...entry.values };
      if (registerKwh !== undefined) {
        values.active_import_kwh = Math.floor((registerKwh + energyKwh) * 100 + 1e-6) / 100;
        entry.values = { ...entry.values, active_import_kwh: registerKwh + energyKwh };
      }
      rows.push({ instrument, values });
    }
    return { tsMs, rows };
  };
  return { instruments: folder.instruments, history, live };
}

/** Resolves when every reading is acknowledged (or the signal stopped it); rejects when the broker refuses a gateway. */
export async function publish(source: Source, chosen: PublishOptions): Promise<PublishReport> {
  const options = { ...PUBLISH_DEFAULTS, ...chosen };
  const startedAtMs = performance.now();
  const tally = new PublishTally();
  const random = new Random(options.seed);
  const lines = new Map<string, Outbox>();
  const gatewayOf = new Map(source.instruments.map((one) => [one.id, one.gateway || one.id]));
  for (const id of new Set(gatewayOf.values())) {
    const connection = new GatewayConnection(id, gatewayOptions(options, random), tally);
    lines.set(id, new Outbox(connection, options.readingsPerMessage));
  }
  const outboxes = [...lines.values()];
  let historyEndMs = Number.NEGATIVE_INFINITY;
  const report = () => options.onProgress?.(tally.acknowledgedReadings);
  const closeAll = () => Promise.all(outboxes.map((outbox) => outbox.connection.close()));
  const callOff = closeAfterStop(options.signal, options.stopMs, closeAll);
  try {
    for await (const step of source.history()) {
      if (options.signal?.aborted) break;
      await post(step, gatewayOf, lines, options.window * HISTORY_WINDOWS_AHEAD);
      historyEndMs = step.tsMs;
      report();
    }
    for (const outbox of outboxes) await outbox.flush(Number.POSITIVE_INFINITY);
    await goLive(source, historyEndMs, options, async (step) => {
      await post(step, gatewayOf, lines, MAX_LIVE_BUFFER);
      for (const outbox of outboxes) await outbox.flush(MAX_LIVE_BUFFER);
      report();
    });
    await settleAll(outboxes, report);
    const durationMs = performance.now() - startedAtMs;
    await sleep(REJECTION_LINGER_MS);
    return tally.report(
      durationMs,
      outboxes.reduce((sum, outbox) => sum + outbox.connection.unacknowledged, 0),
    );
  } finally {
    callOff();
    await closeAll();
  }
}

function gatewayOptions(options: PublishOptions & typeof PUBLISH_DEFAULTS, random: Random): GatewayOptions {
  return { ...options, random: new Random(random.seed()) };
}

/** Hands every reading to its gateway, then waits until no gateway holds more than `limit` messages. */
async function post(
  step: Step,
  gatewayOf: ReadonlyMap<string, string>,
  lines: ReadonlyMap<string, Outbox>,
  limit: number,
): Promise<void> {
  for (const { instrument, values } of step.rows) {
    const waiting = lines.get(gatewayOf.get(instrument)!)!.add(instrument, step.tsMs, values, limit);
    if (waiting) await waiting;
  }
}

async function goLive(
  source: Source,
  historyEndMs: number,
  options: { liveMs: number; liveEveryMs: number; signal?: AbortSignal },
  send: (step: Step) => Promise<void>,
): Promise<void> {
  const endMs = Date.now() + options.liveMs;
  if (options.liveMs > 0 && historyEndMs >= Date.now()) {
    throw new SimulatorError('history_in_future', { end: new Date(historyEndMs).toISOString() });
  }
  while (Date.now() < endMs && !options.signal?.aborted) {
    const tickMs = Date.now();
    await send(source.live(tickMs));
    const restMs = Math.min(tickMs + options.liveEveryMs, endMs) - Date.now();
    await sleep(Math.max(0, restMs), undefined, options.signal ? { signal: options.signal } : {}).catch(() => {});
  }
}

/** Waits for the last acknowledgements. */
async function settleAll(outboxes: readonly Outbox[], report: () => void): Promise<void> {
  const ticking = setInterval(report, 200);
  try {
    await Promise.all(outboxes.map((outbox) => outbox.connection.settle(0)));
  } finally {
    clearInterval(ticking);
    report();
  }
}

/** Some time after the signal closes every connection, which ends all waiting; returns how to call that off. */
function closeAfterStop(signal: AbortSignal | undefined, stopMs: number, closeAll: () => Promise<unknown>): () => void {
  let timer: NodeJS.Timeout | undefined;
  const start = () => {
    timer = setTimeout(() => void closeAll(), stopMs);
  };
  if (signal?.aborted) start();
  else signal?.addEventListener('abort', start, { once: true });
  return () => {
    clearTimeout(timer);
    signal?.removeEventListener('abort', start);
  };
}

/** Readings of one gateway on their way into a message. */
class Outbox {
  readonly connection: GatewayConnection;
  readonly #readingsPerMessage: number;
  #readings = 0;
  #pending: Record<string, { ts: number; values: NamedValues }[]> = {};

  constructor(connection: GatewayConnection, readingsPerMessage: number) {
    this.connection = connection;
    this.#readingsPerMessage = readingsPerMessage;
  }

  /** A promise only when a message filled up: most readings need not wait. */
  add(instrument: string, tsMs: number, values: NamedValues, limit: number): Promise<void> | undefined {
    this.#pending[instrument] ??= [];
    this.#pending[instrument].push({ ts: tsMs, values });
    this.#readings++;
    return this.#readings >= this.#readingsPerMessage ? this.flush(limit) : undefined;
  }

  async flush(limit: number): Promise<void> {
    if (this.#readings === 0) return;
    const message = { payload: JSON.stringify(this.#pending), readings: this.#readings };
    this.#pending = {};
    this.#readings = 0;
    await this.connection.send(message, limit);
  }
}
