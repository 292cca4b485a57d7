/** Answers of one connection leave in the order of its messages, and answers to refused messages no faster than its identity may. */

export interface RefusalRate {
  /** Refusals answered at once. */
  readonly burst: number;
  readonly perSecond: number;
}

/**
 * What one identity may still have refused without waiting, over all its connections. A client that sends nothing but
 * nonsense is slowed down, because aedes reads its socket on only when what it has read is answered.
 */
export class RefusalBudget {
  readonly #rate: RefusalRate;
  readonly #nowMs: () => number;
  #tokens: number;
  #refilledMs: number;

  constructor(rate: RefusalRate, nowMs: () => number) {
    this.#rate = rate;
    this.#nowMs = nowMs;
    this.#tokens = rate.burst;
    this.#refilledMs = nowMs();
  }

  /** `cost`: in messages wholly refused. A large one is taken at once and paid off afterwards. */
  spend(cost = 1): boolean {
    const nowMs = this.#nowMs();
    this.#tokens = Math.min(
      this.#rate.burst,
      this.#tokens + ((nowMs - this.#refilledMs) / 1000) * this.#rate.perSecond,
    );
    this.#refilledMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens -= cost;
    return true;
  }

  /** Until something may be spent again. */
  get refillMs(): number {
    return (Math.max(1, 1 - this.#tokens) * 1000) / this.#rate.perSecond;
  }
}

interface Answer {
  ready: boolean;
  cost: number;
  send: () => void;
}

export class InOrder {
  readonly #queue: Answer[] = [];
  readonly #budget: RefusalBudget;
  readonly #wake: (afterMs: number, run: () => void) => void;
  #sleeping = false;

  constructor(budget: RefusalBudget, wake: (afterMs: number, run: () => void) => void) {
    this.#budget = budget;
    this.#wake = wake;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  /** Reserves the next place; call the result once with what to send and what of the budget it takes, 0 = nothing. */
  place(): (send: () => void, cost: number) => void {
    const answer: Answer = { ready: false, cost: 0, send: () => {} };
    this.#queue.push(answer);
    return (send, cost) => {
      answer.ready = true;
      answer.cost = cost;
      answer.send = send;
      this.#drain();
    };
  }

  #drain(): void {
    while (!this.#sleeping && this.#queue[0]?.ready) {
      const { cost } = this.#queue[0];
      if (cost > 0 && !this.#budget.spend(cost)) return this.#sleep();
      this.#queue.shift()!.send();
    }
  }

  #sleep(): void {
    this.#sleeping = true;
    this.#wake(this.#budget.refillMs, () => {
      this.#sleeping = false;
      this.#drain();
    });
  }
}
