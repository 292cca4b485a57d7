/** Work on threads of its own: what takes seconds of a core holds nobody up. */
import { parentPort, Worker } from 'node:worker_threads';

export interface Threads<Order, Result> {
  /** What is transferred is empty afterwards. Rejects when the thread fails, which the others survive. */
  run(order: Order, transferred?: readonly ArrayBuffer[]): Promise<Result>;
  /** Ends the threads; what they were at is rejected. Safe to call twice. */
  stop(): Promise<void>;
}

export interface ThreadsOptions {
  /** Calls `answerOrders`. */
  readonly file: URL;
  /** At most so many at once; they start when they are needed. */
  readonly count: number;
  readonly workerData?: unknown;
  readonly maxHeapMb?: number;
  /** A thread that takes longer for an order is given up. */
  readonly timeoutMs?: number;
  /** A thread without an order for so long gives its memory back. */
  readonly idleMs?: number;
}

type Answer<Result> = { readonly result: Result } | { readonly error: Error };

interface Call<Order, Result> {
  readonly order: Order;
  readonly transferred: readonly ArrayBuffer[];
  resolve(result: Result): void;
  reject(error: Error): void;
}

/** The thread's side. */
export function answerOrders<Order, Result>(work: (order: Order) => Result | Promise<Result>): void {
  parentPort!.on('message', async (order: Order) => {
    let answer: Answer<Result>;
    try {
      answer = { result: await work(order) };
    } catch (error) {
      answer = { error: error instanceof Error ? error : new Error(String(error)) };
    }
    parentPort!.postMessage(answer);
  });
}

export function openThreads<Order, Result>(options: ThreadsOptions): Threads<Order, Result> {
  const idle: Thread<Order, Result>[] = [];
  const all = new Set<Thread<Order, Result>>();
  const waiting: Call<Order, Result>[] = [];
  let isStopped = false;

  const next = () => {
    while (waiting.length > 0) {
      const thread = idle.pop() ?? (all.size < options.count ? started() : undefined);
      if (!thread) return;
      thread.run(waiting.shift()!);
    }
  };
  const started = () => {
    const thread: Thread<Order, Result> = new Thread(options, {
      onIdle: () => {
        idle.push(thread);
        next();
      },
      onEnd: () => {
        all.delete(thread);
        if (idle.includes(thread)) idle.splice(idle.indexOf(thread), 1);
        next();
      },
    });
    all.add(thread);
    return thread;
  };
  return {
    run: (order, transferred = []) =>
      new Promise((resolve, reject) => {
        if (isStopped) return reject(new Error('stopped'));
        waiting.push({ order, transferred, resolve, reject });
        next();
      }),
    async stop() {
      isStopped = true;
      for (const call of waiting.splice(0)) call.reject(new Error('stopped'));
      await Promise.all([...all].map((thread) => thread.end('stopped')));
    },
  };
}

class Thread<Order, Result> {
  readonly #worker: Worker;
  readonly #options: ThreadsOptions;
  readonly #onIdle: () => void;
  readonly #onEnd: () => void;
  #call: Call<Order, Result> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ThreadsOptions, { onIdle, onEnd }: { onIdle(): void; onEnd(): void }) {
    const { file, workerData, maxHeapMb } = options;
    this.#options = options;
    this.#onIdle = onIdle;
    this.#onEnd = onEnd;
    this.#worker = new Worker(file, {
      workerData,
      ...(maxHeapMb !== undefined && { resourceLimits: { maxOldGenerationSizeMb: maxHeapMb } }),
    });
    let failure: Error | undefined;
    this.#worker.on('message', (answer: Answer<Result>) => this.#settle(answer));
    this.#worker.on('error', (error: Error) => {
      failure = error;
    });
    this.#worker.on('exit', (code) => {
      this.#take()?.reject(failure ?? new Error(`the thread ended with ${code}`));
      onEnd();
    });
    this.#worker.unref(); // an idle one keeps nobody waiting
  }

  run(call: Call<Order, Result>): void {
    const { timeoutMs } = this.#options;
    this.#call = call;
    this.#endAfter(timeoutMs, `no answer within ${timeoutMs} ms`);
    this.#worker.ref();
    try {
      this.#worker.postMessage(call.order, [...call.transferred]);
    } catch (error) {
      this.#settle({ error: error as Error });
    }
  }

  /** From now on it is given nothing. */
  async end(because: string): Promise<void> {
    this.#take()?.reject(new Error(because));
    this.#onEnd();
    await this.#worker.terminate();
  }

  #settle(answer: Answer<Result>): void {
    const call = this.#take();
    if (!call) return;
    this.#worker.unref();
    this.#endAfter(this.#options.idleMs, 'idle');
    if ('error' in answer) call.reject(answer.error);
    else call.resolve(answer.result);
    this.#onIdle();
  }

  #take(): Call<Order, Result> | undefined {
    clearTimeout(this.#timer);
    const call = this.#call;
    this.#call = undefined;
    return call;
  }

  #endAfter(ms: number | undefined, because: string): void {
    clearTimeout(this.#timer);
    if (ms !== undefined) this.#timer = setTimeout(() => void this.end(because), ms).unref();
  }
}
