/**
 * The rules of a service of several processes: whoever owns them follows the log of what all of them stored, keeps what the
 * rules remember, and tells the findings. In a service of one process the pipeline does this as it commits.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Finding } from './fleet/finding.ts';
import { pause, Recording } from './recording.ts';
import type { Follow } from './rules/follow.ts';
import type { PostgresReadingLog } from './store/postgres-reading-log.ts';

export interface JudgeParts {
  readonly log: Pick<PostgresReadingLog, 'after' | 'nowMs' | 'trim'>;
  readonly follow: Follow;
  readonly record: (findings: readonly Finding[]) => Promise<void>;
  /** Keeps what the rules remember, together with how far they have come. */
  readonly save: (seenId: number, seenMs: number) => Promise<void>;
  readonly nowMs: () => number;
  readonly onError: (stage: string, error: unknown) => void;
}

/** How soon a new entry is noticed. */
const POLL_MS = 200;
/** What a crash costs the next owner is to follow at most so much again. */
const SAVE_MS = 30_000;
/** Batches of findings waiting to be recorded, beyond which the log has to wait. */
const MAX_UNRECORDED = 100;

export class Judge {
  readonly #parts: JudgeParts;
  readonly #recording: Recording;
  #lastId: number;
  #logMs = Number.NaN;

  constructor(parts: JudgeParts) {
    this.#parts = parts;
    this.#recording = new Recording(parts);
    this.#lastId = parts.follow.seenId;
  }

  /** Milliseconds of the log that the rules have not seen; NaN = none has been looked at. */
  get behindMs(): number {
    return this.#logMs - this.#parts.follow.seenMs;
  }

  /** Follows the log until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { nowMs, onError } = this.#parts;
    let savedMs = nowMs();
    for (let failures = 0; !signal.aborted; ) {
      try {
        const moved = await this.#advance();
        if (this.#recording.waiting > MAX_UNRECORDED) await this.#recording.recorded();
        if (nowMs() - savedMs >= SAVE_MS) {
          savedMs = nowMs();
          await this.#save();
        }
        failures = 0;
        if (!moved) await delay(POLL_MS, undefined, { signal }).catch(() => {});
      } catch (error) {
        onError('rules', error);
        await pause(failures++);
      }
    }
    await this.#recording.stop();
    await this.#save();
  }

  async #advance(): Promise<boolean> {
    const { log, follow } = this.#parts;
    // Asked first: what is logged between the two questions must not be later than the time that passes without it.
    const logMs = await log.nowMs();
    this.#logMs = logMs;
    const entries = await log.after(this.#lastId);
    for (const entry of entries) {
      this.#lastId = entry.id;
      this.#recording.found(follow.next(entry));
    }
    if (entries.length === 0) this.#recording.found(follow.idle(logMs));
    return entries.length > 0;
  }

  async #save(): Promise<void> {
    const { log, follow, save } = this.#parts;
    const { seenId, seenMs } = follow;
    if (Number.isNaN(seenMs)) return;
    await this.#recording.recorded();
    await save(seenId, seenMs);
    await log.trim(seenId);
  }
}
