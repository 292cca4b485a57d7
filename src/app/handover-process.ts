/** A process of its own for one hand-over; it ends with the one that started it. */
import { setPriority } from 'node:os';
import { MeterwardenError } from '../errors.ts';
import { sayError } from '../texts/errors.ts';
import { type HandoverMessage, type HandoverTask, runHandover } from './handover.ts';

/** Whoever takes in readings goes first. */
const NICE = 10;

const stopping = new AbortController();
process.on('SIGTERM', () => stopping.abort());
process.on('disconnect', () => process.exit(1));
process.once('message', async ({ settings, options }: HandoverTask) => {
  setPriority(NICE);
  try {
    const summary = await runHandover(settings, options, {
      signal: stopping.signal,
      nowMs: Date.now,
      onProgress: (progress) => tell({ progress }),
    });
    tell({ summary });
  } catch (error) {
    tell({ failure: failureOf(error) });
  }
  process.disconnect();
});

function tell(message: HandoverMessage): void {
  process.send!(message);
}

function failureOf(error: unknown): { message: string; code?: string; params?: object } {
  if (!(error instanceof MeterwardenError)) return { message: (error as Error).message };
  const { code, path, params } = error;
  return { message: `${path}: ${sayError(error, 'en')}`, code, params };
}
