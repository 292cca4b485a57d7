/** Work that comes round, and waiting that can be called off. */

/** Something to do when the app stops; steps run in the reverse order of their start. */
export type OnStop = (step: () => Promise<unknown> | unknown) => void;

/** Runs `work` again and again, never twice at once; stopping waits for a running one. */
export function every(
  periodMs: number,
  work: () => Promise<unknown>,
  onError: (stage: string, error: unknown) => void,
  onStop: OnStop,
): void {
  let running: Promise<unknown> | undefined;
  const timer = setInterval(() => {
    running ??= work()
      .catch((error) => onError('timer', error))
      .finally(() => {
        running = undefined;
      });
  }, periodMs);
  onStop(async () => {
    clearInterval(timer);
    await running;
  });
}

/** Rejects when the start is called off, whatever `work` is waiting for. */
export async function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  let fail = () => {};
  const aborted = new Promise<never>((_, reject) => {
    fail = () => reject(signal.reason);
  });
  signal.addEventListener('abort', fail);
  if (signal.aborted) fail();
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', fail);
  }
}
