/** One client id at an external broker: its session is served until told otherwise, or emptied and ended. */
import { setTimeout as delay } from 'node:timers/promises';
import { type LinkEnd, type LinkOptions, MqttLink } from './mqtt-link.ts';

export interface SessionParts extends Omit<LinkOptions, 'clean'> {
  /** Is the client id still ours to use? Asked before every connection. */
  readonly mayConnect: () => Promise<boolean>;
  /** Ends in order: what was received is answered first. */
  readonly stop: AbortSignal;
  /** Ends at once: the client id is somebody else's. */
  readonly lost: AbortSignal;
  readonly onDown: (end: LinkEnd) => void;
  readonly onError: (error: unknown) => void;
  readonly pace: Pace;
}

export interface Pace {
  /** Before connecting again: the first time, doubling up to the longest; half of it is random. */
  readonly minBackoffMs: number;
  readonly maxBackoffMs: number;
  /** From 0 to 1. */
  readonly random: () => number;
  /** A session to which nothing comes so long, twice, is empty. */
  readonly quietMs: number;
  /** For the answers to what was received before the connection is ended. */
  readonly patienceMs: number;
}

/** A connection that held so long was a good one. */
const STEADY_MS = 10_000;
/** The longest back-off follows. */
const MANY_FAILURES = 20;

/** Subscribed to `filters`, and no longer to `stale` ones, until stopped. `ready` is called at every success. */
export async function serve(
  parts: SessionParts,
  { filters, stale, ready }: { filters: readonly string[]; stale: readonly string[]; ready: () => void },
): Promise<void> {
  await connected(parts, async (link) => {
    await link.unsubscribe(stale);
    await link.subscribe(filters);
    ready();
    await link.ended;
    return 'again';
  });
}

/**
 * No longer subscribed to `filters`; what the broker kept for the session is received; then the session is ended at the
 * broker. False = stopped before that.
 */
export async function drain(parts: SessionParts, filters: readonly string[]): Promise<boolean> {
  return await connected(parts, async (link) => {
    for (let quiet = 0; quiet < 2; ) {
      const before = link.received;
      await link.unsubscribe(filters);
      await Promise.race([delay(parts.pace.quietMs, undefined, { ref: false }), link.ended]);
      if (link.over) return 'again';
      quiet = link.received === before && link.waiting === 0 ? quiet + 1 : 0;
    }
    await link.finish(parts.pace.patienceMs, true);
    if (parts.protocolVersion === 4) await endSession(parts);
    return 'done';
  });
}

/** MQTT 3.1.1, 3.1.2.4: a clean session begins by discarding the one before and ends with its connection. */
async function endSession(parts: SessionParts): Promise<void> {
  const over = AbortSignal.any([parts.stop, parts.lost]);
  const link = await MqttLink.open({ ...parts, clean: true, onMessage: () => {} }, over);
  await link.finish(0);
}

/** Connects again and again until the work is done (true), or stopped, or the client id is no longer ours. */
async function connected(parts: SessionParts, work: (link: MqttLink) => Promise<Result>): Promise<boolean> {
  const { pace } = parts;
  const over = AbortSignal.any([parts.stop, parts.lost]);
  for (let failures = 0; (await parts.mayConnect()) && !over.aborted; ) {
    const startedMs = performance.now();
    const { result, end, kept, error } = await once(parts, over, work);
    if (result === 'done') return true;
    if (over.aborted) break;
    if (error) parts.onError(error);
    // Whoever took the client id over while it is ours by the database is no worker of ours: no fight.
    if (end === 'taken-over') failures = MANY_FAILURES;
    else if (kept > 0 || (end === 'lost' && performance.now() - startedMs >= STEADY_MS)) failures = 0;
    const fullMs = Math.min(pace.maxBackoffMs, pace.minBackoffMs * 2 ** failures++);
    await delay(fullMs * (0.5 + pace.random() / 2), undefined, { signal: over }).catch(() => {});
  }
  return false;
}

type Result = 'done' | 'again';

interface Once {
  readonly result: Result;
  readonly end: LinkEnd | undefined;
  readonly kept: number;
  readonly error: unknown;
}

/** One connection, over when this resolves. */
async function once(parts: SessionParts, over: AbortSignal, work: (link: MqttLink) => Promise<Result>): Promise<Once> {
  let link: MqttLink;
  try {
    link = await MqttLink.open(parts, over);
  } catch (error) {
    return { result: 'again', end: undefined, kept: 0, error };
  }
  const finish = () => void link.finish(parts.pace.patienceMs);
  const cut = () => link.cut();
  parts.stop.addEventListener('abort', finish);
  parts.lost.addEventListener('abort', cut);
  try {
    if (parts.lost.aborted) cut();
    else if (parts.stop.aborted) finish();
    const { result, error } = await attempt(() => work(link));
    if (!parts.stop.aborted) cut();
    const end = await link.ended;
    parts.onDown(end);
    return { result, end, kept: link.kept, error: link.error ?? error };
  } finally {
    parts.stop.removeEventListener('abort', finish);
    parts.lost.removeEventListener('abort', cut);
  }
}

async function attempt(work: () => Promise<Result>): Promise<{ result: Result; error?: unknown }> {
  try {
    return { result: await work() };
  } catch (error) {
    return { result: 'again', error };
  }
}
