/** Modules run as processes of their own: ask a question, get an answer, stop. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const STOP_TIMEOUT_MS = 15_000;

type Answer = { value: unknown } | { error: string };

export interface ModuleProcess {
  ask<T = void>(question: unknown): Promise<T>;
  stop(): Promise<void>;
}

/** Starts a module that calls `answerQuestions`. One question at a time. */
export function forkModule(module: URL, execArgv: string[] = []): ModuleProcess {
  const child = fork(fileURLToPath(module), { execArgv, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  return {
    ask: <T>(question: unknown) =>
      new Promise<T>((resolve, reject) => {
        const onExit = (code: number | null, signal: string | null) =>
          reject(new Error(`${fileURLToPath(module)} ended (${signal ?? code})`));
        if (!child.connected) return onExit(child.exitCode, child.signalCode);
        child.once('exit', onExit);
        child.once('message', (answer: Answer) => {
          child.off('exit', onExit);
          if ('error' in answer) reject(new Error(answer.error));
          else resolve(answer.value as T);
        });
        child.send(question as object);
      }),
    stop: () => stopChild(child),
  };
}

/** Asks a child to end, and ends it the hard way when it does not. */
export async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const hard = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
  await exited;
  clearTimeout(hard);
}

/** The other side of `ask`. The process ends with its parent. */
export function answerQuestions<Q>(answer: (question: Q) => Promise<unknown>): void {
  process.on('message', (question) => {
    answer(question as Q).then(
      (value) => process.send?.({ value } satisfies Answer),
      (error: unknown) =>
        process.send?.({ error: error instanceof Error ? error.message : String(error) } satisfies Answer),
    );
  });
  process.on('disconnect', () => process.exit());
}
