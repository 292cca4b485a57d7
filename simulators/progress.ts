/** Shows how far a long command is: a bar on a terminal, otherwise a line every few seconds. */

import { SingleBar } from 'cli-progress';
import type { Speaker, TextKey } from './texts.ts';

/** Often enough to see life, seldom enough for a log. */
const LINE_EVERY_MS = 5_000;

export interface Progress {
  update(doneReadings: number): void;
  /** `finalReadings` when all went well: the total was an upper bound, as silent instruments send nothing. */
  stop(finalReadings?: number): void;
}

/** `totalReadings` undefined = not known beforehand. */
export function startProgress(label: TextKey, totalReadings: number | undefined, say: Speaker): Progress {
  return process.stderr.isTTY ? barProgress(label, totalReadings, say) : lineProgress(label, totalReadings, say);
}

function progressText(label: TextKey, done: number | string, total: number | string | undefined, say: Speaker): string {
  if (total === undefined) return say('progressOpen', { label: say(label), done });
  return say('progress', { label: say(label), done, total });
}

function barProgress(label: TextKey, total: number | undefined, say: Speaker): Progress {
  const text = progressText(label, '{value}', total === undefined ? undefined : '{total}', say);
  const format = total === undefined ? text : `${text} {bar} {percentage}% {duration_formatted}`;
  const bar = new SingleBar({ stream: process.stderr, format, hideCursor: true, etaBuffer: 100 });
  bar.start(total ?? 0, 0);
  return {
    update: (done) => bar.update(done),
    stop(finalReadings) {
      if (finalReadings !== undefined) {
        bar.setTotal(finalReadings);
        bar.update(finalReadings);
      }
      bar.stop();
    },
  };
}

function lineProgress(label: TextKey, total: number | undefined, say: Speaker): Progress {
  let lastMs = performance.now();
  return {
    update(done) {
      if (performance.now() - lastMs < LINE_EVERY_MS) return;
      lastMs = performance.now();
      process.stderr.write(`${progressText(label, done, total, say)}\n`);
    },
    stop() {},
  };
}
