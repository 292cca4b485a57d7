/**
 * Readings become findings in one of two ways. Alone and with its own broker, the process that stores readings judges them
 * as it commits. Otherwise what was stored is logged, and one process of all follows the log.
 */
import { Gauge, type Registry } from 'prom-client';
import type { Finding } from '../fleet/finding.ts';
import type { Reading } from '../fleet/reading.ts';
import { Judge } from '../judge.ts';
import type { Pipeline } from '../pipeline.ts';
import { Evaluator } from '../rules/evaluator.ts';
import { Follow, type FollowTimes } from '../rules/follow.ts';
import { RuleState } from '../rules/state.ts';
import { asSoleOwner, LOCKS } from '../store/postgres-lock.ts';
import { PostgresReadingLog } from '../store/postgres-reading-log.ts';
import { loadRuleState, type RuleProgress, saveRuleState, takeSnapshot } from '../store/postgres-rule-state.ts';
import type { Foundation } from './foundation.ts';
import { every, unlessAborted } from './timers.ts';

const TICK_MS = 5_000;
/** What a crash costs at the next start is a replay of at most this much. */
const SNAPSHOT_MS = 30_000;
/** How often a process that stores readings says that it lives. */
export const SIGN_OF_LIFE_MS = 5_000;
const HOLD_MS = 5_000;
const FOLLOW: FollowTimes = { holdMs: HOLD_MS, tickMs: TICK_MS, deafMs: 3 * SIGN_OF_LIFE_MS };
/** Between the clocks of machines that store readings; so much is judged twice when a service with a log becomes one without. */
const CLOCK_SKEW_MS = 60_000;

interface Restored {
  readonly rules: Evaluator;
  readonly state: RuleState;
  readonly progress: RuleProgress | undefined;
}

/** The rules of a process that stores all readings itself. */
export interface OwnRules {
  readonly evaluate: (readings: readonly Reading[], nowMs: number) => Finding[];
  /** Replays what was stored after the newest snapshot, then lets time pass. */
  start(pipeline: Pipeline): Promise<void>;
  /** The last snapshot, when the pipeline has stopped. */
  keep(): Promise<void>;
}

export async function openOwnRules(foundation: Foundation): Promise<OwnRules> {
  const { pool, readings, instrumentChanged, logger, onError, onStop, signal, nowMs } = foundation;
  const { rules, state, progress } = await restore(foundation);
  instrumentChanged.add((key) => rules.instrumentChanged(key));
  let evaluatedUs = progress?.receivedAtUs ?? 0;
  let recorded: (() => Promise<void>) | undefined;
  const snapshot = async () => {
    if (!recorded) return;
    const taken = takeSnapshot(state, { receivedAtUs: evaluatedUs, logId: undefined });
    await recorded();
    await saveRuleState(pool, state, taken);
  };
  return {
    evaluate: (batch, atMs) => {
      const found = rules.read(batch, atMs);
      evaluatedUs = readings.receivedAtUs;
      return found;
    },
    start: async (pipeline) => {
      // What was stored after the newest snapshot goes through the rules again, exactly as it was committed.
      let replayed = 0;
      for await (const batch of readings.receivedSince(evaluatedUs)) {
        signal.throwIfAborted();
        pipeline.found(rules.read(batch.readings, batch.receivedAtUs / 1000));
        replayed += batch.readings.length;
        evaluatedUs = batch.receivedAtUs;
      }
      await unlessAborted(signal, pipeline.recorded());
      recorded = () => pipeline.recorded();
      if (replayed > 0) logger.info({ readings: replayed }, 'rule state restored');
      rules.listen(nowMs());
      every(TICK_MS, async () => pipeline.found(rules.tick(nowMs())), onError, onStop);
      every(SNAPSHOT_MS, snapshot, onError, onStop);
    },
    keep: snapshot,
  };
}

/** The rules of a service with a log: whichever of its processes is first owns the rules, the others stand by. */
export function startSharedRules(foundation: Foundation): void {
  const { databaseUrl, registry, onError, onStop } = foundation;
  const stopping = new AbortController();
  const owned: Owned = { judge: undefined };
  reportRules(registry, owned);
  const owning = asSoleOwner(
    { url: databaseUrl, lock: LOCKS.rules, signal: stopping.signal, onError: (error) => onError('rules', error) },
    (signal) => judge(foundation, owned, signal),
  );
  onStop(async () => {
    stopping.abort();
    await owning;
  });
}

/** What this process judges with, while it owns the rules. */
interface Owned {
  judge: Judge | undefined;
}

async function judge(foundation: Foundation, owned: Owned, signal: AbortSignal): Promise<void> {
  const { pool, ledger, findings, instrumentChanged, logger, nowMs, onError } = foundation;
  const restored = await restore(foundation);
  const { rules, state, progress } = restored;
  const changed = (key: number) => rules.instrumentChanged(key);
  instrumentChanged.add(changed);
  try {
    const log = new PostgresReadingLog(pool);
    if (progress && progress.logId === undefined) await replayUnlogged(foundation, restored, log, signal);
    const seenId = progress?.logId ?? 0;
    const seenMs = progress?.logId === undefined ? Number.NaN : progress.receivedAtUs / 1000 + CLOCK_SKEW_MS;
    logger.info({ after: seenId }, 'following the log of readings');
    const district = (key: number) => ledger.ledger.byKey(key)?.district ?? '';
    owned.judge = new Judge({
      log,
      follow: new Follow(rules, district, FOLLOW, seenId, seenMs),
      record: (found) => findings.record(found, new Date(nowMs())),
      save: async (logId, atMs) => {
        const receivedAtUs = Math.floor((atMs - CLOCK_SKEW_MS) * 1000);
        await saveRuleState(pool, state, takeSnapshot(state, { receivedAtUs, logId }));
      },
      nowMs,
      onError,
    });
    await owned.judge.run(signal);
  } finally {
    owned.judge = undefined;
    instrumentChanged.delete(changed);
  }
}

/** What a process without a log had stored and not judged when it ended. */
async function replayUnlogged(
  { readings, findings, nowMs }: Foundation,
  { rules, progress }: Restored,
  log: PostgresReadingLog,
  signal: AbortSignal,
): Promise<void> {
  const [first] = await log.after(0);
  const untilMs = first ? first.atMs - CLOCK_SKEW_MS : Number.POSITIVE_INFINITY;
  for await (const batch of readings.receivedSince(progress!.receivedAtUs)) {
    signal.throwIfAborted();
    const atMs = batch.receivedAtUs / 1000;
    if (atMs >= untilMs) break;
    const found = rules.read(batch.readings, atMs);
    if (found.length > 0) await findings.record(found, new Date(nowMs()));
  }
}

function reportRules(registry: Registry, owned: Owned): void {
  new Gauge({
    name: 'meterwarden_rules_owner',
    help: '1 = this process owns the rules',
    registers: [registry],
    collect() {
      this.set(owned.judge ? 1 : 0);
    },
  });
  new Gauge({
    name: 'meterwarden_rules_behind_seconds',
    help: 'Age of what the rules have seen last, in the process that owns them; 0 elsewhere',
    registers: [registry],
    collect() {
      this.set((owned.judge?.behindMs || 0) / 1000);
    },
  });
}

async function restore({ pool, domain, ledger, findings }: Foundation): Promise<Restored> {
  const state = new RuleState(domain.rules);
  const progress = await loadRuleState(pool, state);
  const rules = new Evaluator(domain.rules, domain.kinds, ledger.ledger, state);
  rules.reopened(await findings.open());
  return { rules, state, progress };
}
