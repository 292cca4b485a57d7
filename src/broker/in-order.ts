/**
 * Answers of one connection leave in the order of its messages, and answers to wholly refused messages no faster than a
 * given rate: a client that sends nothing but nonsense is slowed down, because aedes reads its socket on only when what it
 * has read is answered.
 */
export interface RefusalRate {
  /** Refused messages answered at once. */
  readonly burst: number;
  readonly perSecond: number;
}

interface Answer {
  ready: boolean;
  refused: boolean;
  send: () => void;
}

export class InOrder {
  readonly #queue: Answer[] = [];
  readonly #rate: RefusalRate;
  readonly #nowMs: () => number;
  readonly #wake: (afterMs: number, run: () => void) => void;
  #tokens: number;
  #refilledMs: number;
  #sleeping = false;

  constructor(rate: RefusalRate, nowMs: () => number, wake: (afterMs: number, run: () => void) => void) {
    this.#rate = rate;
    this.#nowMs = nowMs;
    this.#wake = wake;
    this.#tokens = rate.burst;
    this.#refilledMs = nowMs();
  }

  get waiting(): number {
    return this.#queue.length;
  }

  /** Reserves the next place; call the result once with what to send and whether all of the message was refused. */
  place(): (send: () => void, refused: boolean) => void {
    const answer: Answer = { ready: false, refused: false, send: () => {} };
    this.#queue.push(answer);
    return (send, refused) => {
      answer.ready = true;
      answer.refused = refused;
      answer.send = send;
      this.#drain();
    };
  }

  #drain(): void {
    while (!this.#sleeping && this.#queue[0]?.ready) {
      if (this.#queue[0].refused && !this.#spend()) return this.#sleep();
      this.#queue.shift()!.send();
    }
  }

  #spend(): boolean {
    const nowMs = this.#nowMs();
    this.#tokens = Math.min(
      this.#rate.burst,
      this.#tokens + ((nowMs - this.#refilledMs) / 1000) * this.#rate.perSecond,
    );
    this.#refilledMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  #sleep(): void {
    this.#sleeping = true;
    this.#wake(1000 / this.#rate.perSecond, () => {
      this.#sleeping = false;
      this.#drain();
    });
  }
}
