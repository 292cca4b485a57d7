/**
 * One reading's journey. A device publishes; its message becomes readings or refusals; they are stored in one commit with
 * whatever else has arrived; only then is the message acknowledged; the rules turn the stored readings into findings;
 * findings raise tasks.
 */
import type { Finding } from './fleet/finding.ts';
import type { Reading } from './fleet/reading.ts';
import { type DecodeContext, type Decoded, decode, type Message, type Refusal, showable } from './ingest/decode.ts';
import type { IngestMetrics } from './ingest/metrics.ts';
import { pause, Recording } from './recording.ts';
import type { Rejection } from './store/postgres-rejections.ts';
import type { Conflict, ReadingStore, RefusedReading } from './store/readings.ts';

export interface PipelineParts extends DecodeContext {
  readonly store: Pick<ReadingStore, 'append'>;
  readonly reject: (rejections: readonly Rejection[]) => Promise<void>;
  readonly record: (findings: readonly Finding[]) => Promise<void>;
  /** The rules: readings of one commit, already stored. */
  readonly evaluate: (readings: readonly Reading[], nowMs: number) => Finding[];
  readonly conflictFindings: (conflicts: readonly Conflict[]) => Finding[];
  readonly metrics: IngestMetrics;
  readonly nowMs: () => number;
  readonly onError: (stage: string, error: unknown) => void;
}

/** `accepted`: stored, or refused for good. `shed`: not kept; the client must send it again. */
export type Outcome = 'accepted' | 'shed';
export type Settle = (outcome: Outcome, decoded: Decoded) => void;

interface Unit {
  readonly message: Message;
  readonly decoded: Decoded;
  readonly arrivedMs: number;
  readonly settle: Settle;
}

/** Readings in one commit: a few megabytes of rows, some tens of milliseconds of PostgreSQL. */
const MAX_COMMIT_READINGS = 20_000;
/** A refusal is a row with an excerpt of its message: as much work as so many readings. */
const READINGS_PER_REFUSAL = 10;
/** Commits whose findings wait to be recorded. */
const MAX_UNRECORDED = 1_000;
/** Waiting messages and bytes after which new ones are shed: the device keeps them, we cannot. */
const MAX_WAITING_MESSAGES = 100_000;
const MAX_WAITING_BYTES = 256 * 1024 * 1024;
/** A message not stored by then is shed, long before its client gives the connection up (1.5 × keepalive). */
const MAX_WAIT_MS = 20_000;
/** Also a message that has waited long in the queue gets one honest attempt. */
const MIN_ATTEMPT_MS = 2_000;
const PAYLOAD_EXCERPT_BYTES = 2048;
/** Readings of one message that the store refused, listed one by one; further ones are counted with the last. */
const MAX_LISTED_UNSTORED = 100;
/** Notes kept on record once per client and name; further names are only counted. */
const MAX_NOTES = 10_000;

export class Pipeline {
  readonly #parts: PipelineParts;
  #waiting: Unit[] = [];
  #waitingBytes = 0;
  #committing = false;
  #stopped = false;
  readonly #recording: Recording;
  readonly #notes = new Set<string>();
  #commitOfMs: number | undefined;

  constructor(parts: PipelineParts) {
    this.#parts = parts;
    this.#recording = new Recording(parts);
  }

  /** Never throws; `settle` is called once: in order of receipt for what is stored, at once for what is shed on arrival. */
  receive(message: Message, settle: Settle): void {
    const arrivedMs = this.#parts.nowMs();
    this.#enter({ message, decoded: decode(message, this.#parts, arrivedMs), arrivedMs, settle });
  }

  /** A message that need not be read to be refused: on record and counted like any other, then acknowledged. */
  refuse(message: Message, refusal: Refusal, settle: Settle): void {
    const decoded: Decoded = { readings: [], refusals: [refusal], profile: undefined };
    this.#enter({ message, decoded, arrivedMs: this.#parts.nowMs(), settle });
  }

  #enter(unit: Unit): void {
    this.#parts.metrics.received(unit.decoded);
    if (this.#stopped || this.#overloaded()) return this.#shed([unit]);
    this.#waiting.push(unit);
    this.#waitingBytes += unit.message.payload.length;
    if (!this.#committing) void this.#commitAll();
  }

  /** Milliseconds the oldest message that is not stored has been waiting. */
  get stalledMs(): number {
    const oldestMs = this.#commitOfMs ?? this.#waiting[0]?.arrivedMs;
    return oldestMs === undefined ? 0 : this.#parts.nowMs() - oldestMs;
  }

  /** Findings of a tick or a replay, recorded after all earlier ones. */
  found(findings: readonly Finding[]): void {
    this.#recording.found(findings);
  }

  /** Resolves when everything found so far is recorded; rejects when some of it had to be given up. */
  recorded(): Promise<void> {
    return this.#recording.recorded();
  }

  /** Stores and acknowledges what is waiting, then refuses whatever still comes. */
  async stop(): Promise<void> {
    this.#stopped = true;
    while (this.#committing) await new Promise((done) => setTimeout(done, 5));
    await this.#recording.stop();
  }

  async #commitAll(): Promise<void> {
    this.#committing = true;
    // What one socket read delivers arrives within this turn of the event loop: let it share the commit.
    await new Promise((done) => setImmediate(done));
    while (this.#waiting.length > 0) {
      const units = this.#take();
      this.#commitOfMs = units[0]!.arrivedMs;
      try {
        await this.#commit(units);
      } catch (error) {
        this.#parts.onError('commit', error);
        this.#shed(units);
      }
      this.#commitOfMs = undefined;
    }
    this.#committing = false;
  }

  #take(): Unit[] {
    let readings = 0;
    let count = 0;
    while (count < this.#waiting.length && (count === 0 || readings < MAX_COMMIT_READINGS)) {
      const unit = this.#waiting[count++]!;
      readings += unit.decoded.readings.length + READINGS_PER_REFUSAL * unit.decoded.refusals.length;
      this.#waitingBytes -= unit.message.payload.length;
    }
    const units = this.#waiting.slice(0, count);
    this.#waiting = this.#waiting.slice(count);
    return units;
  }

  async #commit(units: readonly Unit[]): Promise<void> {
    const { store, ledger, reject, metrics, nowMs, conflictFindings } = this.#parts;
    const readings = units.flatMap(({ decoded }) => decoded.readings as Reading[]);
    const startedMs = performance.now();
    // Whatever becomes of the acknowledgements, what is stored goes through the rules.
    const append = async () => {
      const result = await store.append(readings);
      const taken = withoutRefused(units, result.refused ?? [], ledger);
      this.#judge(taken.flatMap(({ decoded }) => decoded.readings as Reading[]));
      return { result, taken };
    };
    const { result, taken } = await this.#untilDone(units, append);
    const rejections = taken.flatMap((unit) => rejectionsOf(unit).filter((rejection) => this.#isNew(rejection)));
    const refusals = taken.flatMap(({ decoded }) => decoded.refusals);
    if (rejections.length > 0) await this.#untilDone(units, () => reject(rejections));
    // A contradiction leaves no trace among the readings, so its finding must be kept before the acknowledgement.
    const conflicts = conflictFindings(result.conflicts);
    if (conflicts.length > 0) await this.#untilDone(units, () => this.#parts.record(conflicts));
    const committedMs = nowMs();
    metrics.committed(result, refusals, (performance.now() - startedMs) / 1000);
    for (const { settle, decoded, arrivedMs } of taken) {
      metrics.acknowledged((committedMs - arrivedMs) / 1000);
      this.#settle(settle, 'accepted', decoded);
    }
  }

  /** A refusal always is; a note is when this client has not had it before: gateways send the same extra keys for ever. */
  #isNew({ readings, client, code, params }: Rejection): boolean {
    if (readings > 0) return true;
    const note = `${client} ${code} ${params.name ?? ''}`;
    if (this.#notes.has(note) || this.#notes.size >= MAX_NOTES) return false;
    this.#notes.add(note);
    return true;
  }

  #judge(readings: readonly Reading[]): void {
    try {
      this.found(this.#parts.evaluate(readings, this.#parts.nowMs()));
    } catch (error) {
      this.#parts.onError('rules', error);
    }
  }

  /** Tries again while the oldest of these messages can still wait; the store makes repetition harmless. */
  async #untilDone<T>(units: readonly Unit[], work: () => Promise<T>): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      const leftMs = MAX_WAIT_MS - (this.#parts.nowMs() - units[0]!.arrivedMs);
      try {
        return await within(Math.max(leftMs, MIN_ATTEMPT_MS), work());
      } catch (error) {
        if (leftMs <= 0) throw error;
        this.#parts.onError('store', error);
        await pause(attempt);
      }
    }
  }

  #overloaded(): boolean {
    return (
      this.#waiting.length >= MAX_WAITING_MESSAGES ||
      this.#waitingBytes >= MAX_WAITING_BYTES ||
      this.#recording.waiting >= MAX_UNRECORDED
    );
  }

  #shed(units: readonly Unit[]): void {
    for (const { settle, decoded } of units) {
      this.#parts.metrics.shed(decoded);
      this.#settle(settle, 'shed', decoded);
    }
  }

  /** One answer that fails must not cost the others theirs. */
  #settle(settle: Settle, outcome: Outcome, decoded: Decoded): void {
    try {
      settle(outcome, decoded);
    } catch (error) {
      this.#parts.onError('settle', error);
    }
  }
}

/** A database that hangs must not hold messages longer than one that refuses. */
async function within<T>(timeoutMs: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, fail) => {
    timer = setTimeout(() => fail(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([work, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/** What the store cannot take is refused like what could not be read: on record, acknowledged, and nothing for the rules. */
function withoutRefused(
  units: readonly Unit[],
  refused: readonly RefusedReading[],
  ledger: DecodeContext['ledger'],
): readonly Unit[] {
  if (refused.length === 0) return units;
  const refusedAt = Map.groupBy(refused, ({ key, tsMs }) => `${key}@${tsMs}`);
  return units.map((unit) => {
    const refusals = [...unit.decoded.refusals];
    let listed = 0;
    const readings = unit.decoded.readings.filter(({ key, tsMs }) => {
      const reason = refusedAt.get(`${key}@${tsMs}`)?.shift()?.reason;
      if (reason === undefined) return true;
      const last = refusals.at(-1);
      if (last && listed >= MAX_LISTED_UNSTORED) refusals.splice(-1, 1, { ...last, readings: last.readings + 1 });
      else refusals.push(unstored(ledger.byKey(key)?.id ?? '', tsMs, reason));
      listed++;
      return false;
    });
    return listed === 0 ? unit : { ...unit, decoded: { ...unit.decoded, readings, refusals } };
  });
}

function unstored(instrument: string, tsMs: number, reason: string): Refusal {
  const params = { instrument, ts: new Date(tsMs).toISOString(), reason: showable(reason) };
  return { code: 'not_stored', path: '', params, readings: 1 };
}

function rejectionsOf({ message, decoded, arrivedMs }: Unit): Rejection[] {
  return decoded.refusals.map((refusal) => ({
    ...refusal,
    atMs: arrivedMs,
    client: message.client,
    topic: showable(message.topic),
    payload: message.payload.subarray(0, PAYLOAD_EXCERPT_BYTES),
    payloadBytes: message.payload.length,
  }));
}
