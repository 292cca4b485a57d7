/**
 * The quarter-hour burst as a fluid in steps of a millisecond or more: N instruments report once, evenly over a window, to k
 * ingest processes before one PostgreSQL.
 *
 *   arrivals   λ = messages / (k · window) per worker; unread until its thread has read them
 *   thread     one per worker; it reads messages (messageUs + r · (readingUs − encodeUs − judgeUs) each) and works for the commit
 *              that runs (turnUs + n · encodeUs before the store, n · judgeUs after it), which gets its turn when
 *              what was there before it has been read, at most `SOCKET_BYTES` of each connection
 *   commit     what is waiting, at most `maxCommitReadings`: encode → commitMs + (commitUs + n · storeUs) of a backend
 *              → with a log, one worker at a time: logMs for its readings per entry, in proportion → judge → acknowledged
 *   shed       a message read while `maxWaitingMessages` or `maxWaitingBytes` wait; a commit that takes longer than what is left
 *              of `maxWaitMs` since the arrival of its oldest message, though never less than `minAttemptMs`
 *   rules      follow the log at 1 / followUs, `holdMs` behind what is logged
 *   cores      a worker's thread has one of its own and PostgreSQL `postgresCores`, or all share `sharedCores`
 *
 * Not in it: the network, devices that send again, checkpoints, garbage collection beyond its share of processor time.
 */
import type { Constants } from '../cost/costs.ts';

export interface Limits {
  maxCommitReadings: number;
  maxWaitingMessages: number;
  maxWaitingBytes: number;
  maxWaitMs: number;
  minAttemptMs: number;
  holdMs: number;
}

/** Those of `src/pipeline.ts` and `src/app/rules.ts`; a test holds them to these files. */
export const SERVICE_LIMITS: Limits = {
  maxCommitReadings: 20_000,
  maxWaitingMessages: 100_000,
  maxWaitingBytes: 256 * 1024 * 1024,
  maxWaitMs: 20_000,
  minAttemptMs: 2_000,
  holdMs: 5_000,
};

export interface Burst {
  readings: number;
  readingsPerMessage: number;
  bytesPerReading: number;
  windowMs: number;
  workers: number;
  /** Of each worker. */
  connections: number;
  postgresCores: number;
  /** Several workers log what they stored; one alone judges as it commits. */
  log: boolean;
  /** All on one machine: as many cores of it as others leave. */
  sharedCores?: number;
}

export interface BurstResult {
  maxUnreadMessages: number;
  maxWaitingMessages: number;
  maxWaitingReadings: number;
  /** From a message's arrival to its acknowledgement. */
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
  shedMessages: number;
  /** From the first arrival until nothing waits. */
  drainedMs: number;
  commits: number;
  rulesBehindMs: number;
}

/** Messages that arrived in [fromMs, toMs). */
interface Span {
  fromMs: number;
  toMs: number;
  messages: number;
}

interface Commit {
  spans: Span[];
  messages: number;
  readings: number;
  startedMs: number;
  allowedMs: number;
  stage: 'encode' | 'wait' | 'store' | 'log' | 'judge';
  /** Of the stage: milliseconds of a thread, of a backend, or of the clock. */
  leftMs: number;
}

interface Worker {
  arrived: number;
  read: number;
  /** Messages it may still read before the commit has its turn. */
  turn: number;
  /** Read, in the order of arrival. */
  waiting: Span[];
  waitingMessages: number;
  commit: Commit | undefined;
}

/** What Node reads from a socket at once. */
const SOCKET_BYTES = 64 * 1024;
/** A millisecond each, up to a window of five minutes. */
const STEPS_PER_WINDOW = 300_000;
const GIVE_UP_MS = 3_600_000;
/** Parts of a commit's messages whose latency is told apart. */
const PARTS = 10;

export function simulate(burst: Burst, constants: Constants, limits: Limits = SERVICE_LIMITS): BurstResult {
  return new Simulation(burst, constants, limits).run();
}

class Simulation {
  readonly #burst: Burst;
  readonly #constants: Constants;
  readonly #limits: Limits;
  readonly #workers: Worker[];
  readonly #perWorker: number;
  readonly #stepMs: number;
  /** Messages that one read of every connection brings. */
  readonly #turn: number;
  #nowMs = 0;
  #logHeldBy: Worker | undefined;
  #shed = 0;
  #commits = 0;
  #latencies: { ms: number; messages: number }[] = [];
  #logged: { atMs: number; readings: number }[] = [];
  #maxUnread = 0;
  #maxWaiting = 0;

  constructor(burst: Burst, constants: Constants, limits: Limits) {
    this.#burst = burst;
    this.#constants = constants;
    this.#limits = limits;
    this.#perWorker = burst.readings / burst.readingsPerMessage / burst.workers;
    this.#turn = (burst.connections * SOCKET_BYTES) / (burst.readingsPerMessage * burst.bytesPerReading);
    this.#stepMs = Math.max(1, burst.windowMs / STEPS_PER_WINDOW);
    this.#workers = Array.from({ length: burst.workers }, () => ({
      arrived: 0,
      read: 0,
      turn: 0,
      waiting: [],
      waitingMessages: 0,
      commit: undefined,
    }));
  }

  run(): BurstResult {
    while (!this.#done() && this.#nowMs < GIVE_UP_MS) this.#step();
    const drainedMs = this.#nowMs;
    const latency = quantiles(this.#latencies);
    return {
      maxUnreadMessages: this.#maxUnread,
      maxWaitingMessages: this.#maxWaiting,
      maxWaitingReadings: this.#maxWaiting * this.#burst.readingsPerMessage,
      p50Ms: latency(0.5),
      p99Ms: latency(0.99),
      maxMs: latency(1),
      shedMessages: this.#shed,
      drainedMs,
      commits: this.#commits,
      rulesBehindMs: this.#burst.log ? this.#followed() : 0,
    };
  }

  #done(): boolean {
    return this.#workers.every(
      ({ read, waitingMessages, commit }) => read >= this.#perWorker - 1e-6 && waitingMessages <= 1e-9 && !commit,
    );
  }

  #step(): void {
    const dt = this.#stepMs;
    this.#nowMs += dt;
    const arrived = Math.min(this.#perWorker, (this.#perWorker * this.#nowMs) / this.#burst.windowMs);
    for (const worker of this.#workers) worker.arrived = arrived;
    const speed = this.#speeds();
    for (const worker of this.#workers) {
      this.#begin(worker);
      this.#useThread(worker, dt * speed.thread);
      this.#useStore(worker, dt, dt * speed.backend);
    }
    this.#maxUnread = Math.max(
      this.#maxUnread,
      sum(this.#workers, ({ arrived: a, read }) => a - read),
    );
    const waiting = ({ waitingMessages, commit }: Worker) => waitingMessages + (commit?.messages ?? 0);
    this.#maxWaiting = Math.max(this.#maxWaiting, sum(this.#workers, waiting));
  }

  /** How fast a thread and a backend go, when more of them run than there are cores. */
  #speeds(): { thread: number; backend: number } {
    const { sharedCores, postgresCores } = this.#burst;
    const backends = this.#workers.filter(({ commit }) => commit?.stage === 'store').length;
    if (sharedCores === undefined) return { thread: 1, backend: Math.min(1, postgresCores / Math.max(1, backends)) };
    const busy = this.#workers.filter((w) => w.arrived - w.read > 1e-6 || isOnThread(w.commit)).length;
    const speed = Math.min(1, sharedCores / Math.max(busy * this.#constants.threads + backends, 1e-9));
    return { thread: speed, backend: speed };
  }

  #begin(worker: Worker): void {
    const allRead = worker.read >= this.#perWorker - 1e-6;
    if (worker.commit || worker.waitingMessages < (allRead ? 1e-9 : 1)) return;
    const { readingsPerMessage } = this.#burst;
    const { turnUs, encodeUs, encodeLogUs } = this.#constants;
    const most = Math.max(1, Math.ceil(this.#limits.maxCommitReadings / readingsPerMessage));
    const spans = take(worker.waiting, most);
    const messages = sum(spans, (span) => span.messages);
    worker.waitingMessages = Math.max(0, worker.waitingMessages - messages);
    if (worker.waiting.length === 0) worker.waitingMessages = 0;
    const readings = messages * readingsPerMessage;
    const { maxWaitMs, minAttemptMs } = this.#limits;
    worker.commit = {
      spans,
      messages,
      readings,
      startedMs: this.#nowMs,
      allowedMs: Math.max(minAttemptMs, maxWaitMs - (this.#nowMs - spans[0]!.fromMs)),
      stage: 'encode',
      leftMs: (turnUs + readings * (encodeUs + (this.#burst.log ? encodeLogUs : 0))) / 1000,
    };
  }

  #useThread(worker: Worker, budgetMs: number): void {
    const messageMs = this.#messageMs();
    let leftMs = budgetMs;
    const read = (most: number) => {
      const messages = Math.min(worker.arrived - worker.read, most, leftMs / messageMs);
      this.#read(worker, messages);
      leftMs -= messages * messageMs;
      return messages;
    };
    if (isOnThread(worker.commit)) {
      worker.turn -= read(worker.turn);
      const waits = worker.turn > 1e-9 && worker.arrived - worker.read > 1e-9;
      if (waits) return;
      const used = Math.min(leftMs, worker.commit!.leftMs);
      leftMs -= used;
      this.#advance(worker, worker.commit!, used);
      if (isOnThread(worker.commit)) return;
    }
    read(Number.POSITIVE_INFINITY);
    // Sockets are served in the order in which something came: what is there now goes first, what comes later does not.
    worker.turn = Math.min(this.#turn, worker.arrived - worker.read);
  }

  #messageMs(): number {
    const { messageUs, readingUs, encodeUs, judgeUs } = this.#constants;
    return (messageUs + this.#burst.readingsPerMessage * Math.max(0, readingUs - encodeUs - judgeUs)) / 1000;
  }

  #read(worker: Worker, messages: number): void {
    if (messages <= 0) return;
    const { readingsPerMessage, bytesPerReading, windowMs } = this.#burst;
    const arrivalMs = (index: number) => (index / this.#perWorker) * windowMs;
    const fromMs = arrivalMs(worker.read);
    worker.read += messages;
    const room = Math.min(
      this.#limits.maxWaitingMessages,
      this.#limits.maxWaitingBytes / (readingsPerMessage * bytesPerReading),
    );
    if (worker.waitingMessages >= room) {
      this.#shed += messages;
      return;
    }
    worker.waiting.push({ fromMs, toMs: arrivalMs(worker.read), messages });
    worker.waitingMessages += messages;
  }

  #useStore(worker: Worker, clockMs: number, backendMs: number): void {
    const { commit } = worker;
    if (!commit) return;
    if (commit.stage === 'wait') this.#advance(worker, commit, clockMs);
    else if (commit.stage === 'store') this.#advance(worker, commit, backendMs);
    else if (commit.stage === 'log' && (this.#logHeldBy ?? worker) === worker) {
      this.#logHeldBy = worker;
      this.#advance(worker, commit, clockMs);
    }
    if (worker.commit && this.#nowMs - commit.startedMs > commit.allowedMs && commit.stage !== 'judge')
      this.#fail(worker);
  }

  #advance(worker: Worker, commit: Commit, byMs: number): void {
    commit.leftMs -= byMs;
    if (commit.leftMs > 1e-9) return;
    const { commitMs, commitUs, storeUs, judgeUs } = this.#constants;
    switch (commit.stage) {
      case 'encode':
        return enter(commit, 'store', (commitUs + commit.readings * storeUs) / 1000);
      case 'store':
        return enter(commit, 'wait', commitMs);
      case 'wait':
        if (this.#burst.log) return enter(commit, 'log', this.#logMs(commit.readings));
        return enter(commit, 'judge', (commit.readings * judgeUs) / 1000);
      case 'log':
        this.#logHeldBy = undefined;
        this.#logged.push({ atMs: this.#nowMs, readings: commit.readings });
        return enter(commit, 'judge', 0);
      case 'judge':
        this.#acknowledge(worker, commit);
    }
  }

  #logMs(readings: number): number {
    const { logMs, commitMs, logReadingsPerEntry } = this.#constants;
    return commitMs + (Math.max(0, logMs - commitMs) * readings) / logReadingsPerEntry;
  }

  #acknowledge(worker: Worker, commit: Commit): void {
    this.#commits++;
    for (const { fromMs, toMs, messages } of commit.spans.length > PARTS ? joined(commit.spans) : commit.spans)
      this.#latencies.push({ ms: this.#nowMs - (fromMs + toMs) / 2, messages });
    worker.commit = undefined;
  }

  #fail(worker: Worker): void {
    this.#shed += worker.commit!.messages;
    if (this.#logHeldBy === worker) this.#logHeldBy = undefined;
    worker.commit = undefined;
  }

  /** The rules read the log in its order, as fast as they can. */
  #followed(): number {
    const { holdMs } = this.#limits;
    let freeMs = 0;
    let behindMs = 0;
    for (const { atMs, readings } of this.#logged) {
      freeMs = Math.max(freeMs, atMs + holdMs) + (readings * this.#constants.followUs) / 1000;
      behindMs = Math.max(behindMs, freeMs - atMs);
    }
    return behindMs;
  }
}

const isOnThread = (commit: Commit | undefined) => commit?.stage === 'encode' || commit?.stage === 'judge';

function enter(commit: Commit, stage: Commit['stage'], leftMs: number): void {
  commit.stage = stage;
  commit.leftMs = leftMs;
}

/** The oldest messages, at most so many; a span that is too long is cut. */
function take(waiting: Span[], most: number): Span[] {
  const taken: Span[] = [];
  let left = most;
  let whole = 0;
  for (const span of waiting) {
    if (left <= 1e-9) break;
    if (span.messages <= left) {
      taken.push(span);
      left -= span.messages;
      whole++;
      continue;
    }
    const cutMs = span.fromMs + ((span.toMs - span.fromMs) * left) / span.messages;
    taken.push({ fromMs: span.fromMs, toMs: cutMs, messages: left });
    span.fromMs = cutMs;
    span.messages -= left;
    left = 0;
  }
  waiting.splice(0, whole);
  return taken;
}

/** Neighbouring spans together, `PARTS` of them. */
function joined(spans: readonly Span[]): Span[] {
  const size = Math.ceil(spans.length / PARTS);
  return Array.from({ length: Math.ceil(spans.length / size) }, (_, i) => {
    const part = spans.slice(i * size, (i + 1) * size);
    return { fromMs: part[0]!.fromMs, toMs: part.at(-1)!.toMs, messages: sum(part, ({ messages }) => messages) };
  });
}

function quantiles(latencies: readonly { ms: number; messages: number }[]): (share: number) => number {
  const sorted = latencies.toSorted((a, b) => a.ms - b.ms);
  const total = sum(sorted, ({ messages }) => messages);
  return (share) => {
    let seen = 0;
    for (const { ms, messages } of sorted) {
      seen += messages;
      if (seen >= share * total - 1e-9) return ms;
    }
    return 0;
  };
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0);
}
