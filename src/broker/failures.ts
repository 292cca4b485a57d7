/** Who may not try again before the minute ends. */

/** Wrong secrets for one name from one address within a minute, after which that name is refused unheard. */
const MAX_FAILURES_PER_MINUTE = 60;
/** The same over all names: many gateways may share an address, and one of them may be set up wrongly. */
const MAX_FAILURES_PER_ADDRESS = 2_000;
const MAX_TRACKED_SOURCES = 20_000;

/** Wrong secrets and handshakes per minute, by address and by name at an address. */
export class Failures {
  readonly #nowMs: () => number;
  #minute = 0;
  #counts = new Map<string, number>();

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** `source`: see `sourceOf`; without one, it is not known who failed. */
  count(address: string, source?: string): void {
    this.#turn();
    for (const counted of source === undefined ? [address] : [address, `${address} ${source}`]) {
      const count = this.#counts.get(counted);
      if (count !== undefined || this.#counts.size < MAX_TRACKED_SOURCES) this.#counts.set(counted, (count ?? 0) + 1);
    }
  }

  blocked(address: string, source?: string): boolean {
    this.#turn();
    return (
      (this.#counts.get(address) ?? 0) >= MAX_FAILURES_PER_ADDRESS ||
      (source !== undefined && (this.#counts.get(`${address} ${source}`) ?? 0) >= MAX_FAILURES_PER_MINUTE)
    );
  }

  #turn(): void {
    const minute = Math.floor(this.#nowMs() / 60_000);
    if (minute === this.#minute) return;
    this.#minute = minute;
    this.#counts = new Map();
  }
}

/** Of failures: who guesses at a name's secret does not keep the holder of its certificate out. */
export function sourceOf(certificate: string | undefined, name: string): string {
  return certificate === undefined ? `secret ${name}` : `certificate ${name}`;
}
