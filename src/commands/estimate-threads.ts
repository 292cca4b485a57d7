/** Estimates on threads of their own: one takes seconds of a core, for which nothing else may have to wait. */
import { Worker } from 'node:worker_threads';
import type { AccuracyPolicy, DistrictEstimate, DistrictWindow, MeterSeries } from '../accuracy/district.ts';

export interface EstimateThreads {
  /** The window's arrays go to the thread and are empty afterwards. Rejects when the thread fails, which the others survive. */
  estimate(window: DistrictWindow, policy: AccuracyPolicy): Promise<DistrictEstimate>;
  /** Ends the threads; what they were at is rejected. */
  stop(): Promise<void>;
}

/** What a thread answers. */
export type EstimateAnswer = { readonly estimate: DistrictEstimate } | { readonly problem: string };

interface Call {
  readonly window: DistrictWindow;
  readonly policy: AccuracyPolicy;
  resolve(estimate: DistrictEstimate): void;
  reject(error: Error): void;
}

/** At most `count` at once; they start when they are needed and stay. */
export function openEstimateThreads(count: number): EstimateThreads {
  const idle: Thread[] = [];
  const all = new Set<Thread>();
  const waiting: Call[] = [];
  let isStopped = false;

  const next = () => {
    while (waiting.length > 0) {
      const thread = idle.pop() ?? (all.size < count ? started() : undefined);
      if (!thread) return;
      thread.run(waiting.shift()!);
    }
  };
  const started = (): Thread => {
    const thread = new Thread({
      onIdle: () => {
        idle.push(thread);
        next();
      },
      onEnd: () => {
        all.delete(thread);
        if (idle.includes(thread)) idle.splice(idle.indexOf(thread), 1);
        if (!isStopped) next();
      },
    });
    all.add(thread);
    return thread;
  };
  return {
    estimate: (window, policy) =>
      new Promise((resolve, reject) => {
        if (isStopped) return reject(new Error('stopped'));
        waiting.push({ window, policy, resolve, reject });
        next();
      }),
    async stop() {
      isStopped = true;
      for (const call of waiting.splice(0)) call.reject(new Error('stopped'));
      await Promise.all([...all].map((thread) => thread.end()));
    },
  };
}

class Thread {
  readonly #worker = new Worker(new URL('./estimate-thread.ts', import.meta.url));
  readonly #onIdle: () => void;
  #call: Call | undefined;

  constructor({ onIdle, onEnd }: { onIdle(): void; onEnd(): void }) {
    this.#onIdle = onIdle;
    let failure: Error | undefined;
    this.#worker.on('message', (answer: EstimateAnswer) => this.#settle(answer));
    this.#worker.on('error', (error: Error) => {
      failure = error;
    });
    this.#worker.on('exit', (code) => {
      this.#take()?.reject(failure ?? new Error(`the thread ended with ${code}`));
      onEnd();
    });
    this.#worker.unref(); // an idle one keeps nobody waiting
  }

  run(call: Call): void {
    this.#call = call;
    this.#worker.ref();
    const { window, policy } = call;
    try {
      this.#worker.postMessage({ window, policy }, buffersOf(window));
    } catch (error) {
      this.#settle({ problem: (error as Error).message });
    }
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  #settle(answer: EstimateAnswer): void {
    const call = this.#take();
    this.#worker.unref();
    if ('problem' in answer) call?.reject(new Error(answer.problem));
    else call?.resolve(answer.estimate);
    this.#onIdle();
  }

  #take(): Call | undefined {
    const call = this.#call;
    this.#call = undefined;
    return call;
  }
}

function buffersOf({ master, users }: DistrictWindow): ArrayBuffer[] {
  const ofMeter = ({ importKwh, exportKwh, voltagesV }: MeterSeries) => [
    importKwh,
    ...(exportKwh ? [exportKwh] : []),
    ...voltagesV,
  ];
  const arrays = [...(master ? ofMeter(master) : []), ...users.flatMap(ofMeter)];
  return [...new Set(arrays.map(({ buffer }) => buffer as ArrayBuffer))];
}
