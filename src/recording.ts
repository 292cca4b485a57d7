/** Findings on their way to the record: in order, each until it is kept, while the readings go on. */
import type { Finding } from './fleet/finding.ts';

export interface RecordingParts {
  readonly record: (findings: readonly Finding[]) => Promise<void>;
  readonly onError: (stage: string, error: unknown) => void;
}

/** Attempts after which a finding the database refuses is given up, so that the others can follow. */
const MAX_ATTEMPTS = 10;
const RETRY_MS = [50, 200, 500, 1000] as const;

export class Recording {
  readonly #parts: RecordingParts;
  #tail: Promise<void> = Promise.resolve();
  #waiting = 0;
  #stopped = false;
  #lost = false;

  constructor(parts: RecordingParts) {
    this.#parts = parts;
  }

  /** Batches of findings not recorded yet. */
  get waiting(): number {
    return this.#waiting;
  }

  /** To be recorded after all earlier ones. */
  found(findings: readonly Finding[]): void {
    if (findings.length === 0) return;
    this.#waiting++;
    this.#tail = this.#tail
      .then(() => this.#recordUntilDone(findings))
      .finally(() => {
        this.#waiting--;
      });
  }

  /** Resolves when everything found so far is recorded; rejects when some of it had to be given up. */
  async recorded(): Promise<void> {
    await this.#tail;
    if (this.#lost)
      throw new Error('findings could not be recorded; they are found again from the readings at the next start');
  }

  /** From now on a database that does not answer is waited for only a few attempts. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#tail;
  }

  async #recordUntilDone(findings: readonly Finding[]): Promise<void> {
    for (let attempt = 0; !this.#lost; attempt++) {
      try {
        return await this.#parts.record(findings);
      } catch (error) {
        this.#parts.onError('record', error);
        if (this.#stopped && attempt > RETRY_MS.length) {
          this.#lost = true; // and with it all that follow: they are found again together
          return;
        }
        if (attempt >= MAX_ATTEMPTS && isRefusedByDatabase(error)) {
          if (findings.length === 1) return this.#parts.onError('finding given up', findings[0]);
          for (const finding of findings) await this.#recordUntilDone([finding]);
          return;
        }
        await pause(attempt);
      }
    }
  }
}

/** Ever longer between the attempts of something that has to succeed. */
export async function pause(attempt: number): Promise<void> {
  await new Promise((done) => setTimeout(done, RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)]));
}

/** SQLSTATE classes 22 and 23, data exception and integrity violation: trying again will not help. */
function isRefusedByDatabase(error: unknown): boolean {
  return /^2[23]/.test(String((error as { code?: unknown }).code ?? ''));
}
