/** Seeded randomness: sfc32 (Chris Doty-Humphrey, PractRand) for sequences, a hash for values looked up by position. */

export class Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number) {
    this.#a = mix(seed);
    this.#b = mix(this.#a ^ 0x9e3779b9);
    this.#c = mix(this.#b ^ 0x85ebca6b);
    // sfc32 needs about a dozen rounds before its state no longer shows the seed.
    for (let i = 0; i < 12; i++) this.#next();
  }

  /** 32 uniform bits. */
  #next(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    return sum >>> 0;
  }

  seed(): number {
    return this.#next();
  }

  between(low: number, high: number): number {
    return low + ((high - low) * this.#next()) / 2 ** 32;
  }

  /** An integer in [0, count). */
  below(count: number): number {
    return Math.floor(this.between(0, count));
  }

  chance(probability: number): boolean {
    return this.between(0, 1) < probability;
  }

  /** Box and Muller, 1958. */
  normal(sd: number): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.between(0, 1)));
    return sd * radius * Math.cos(2 * Math.PI * this.between(0, 1));
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }

  shuffled<T>(items: readonly T[]): T[] {
    const shuffled = [...items];
    for (let i = shuffled.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [shuffled[i], shuffled[j]] = [shuffled[j]!, shuffled[i]!];
    }
    return shuffled;
  }
}

/** The seed of one part of a whole: parts do not shift when another part is added. */
export function partSeed(seed: number, ...positions: readonly number[]): number {
  let hash = mix(seed);
  for (const position of positions) hash = mix(hash ^ mix(position + 0x9e3779b9));
  return hash;
}

/** Uniform in (0, 1) by position instead of by order, so that time may be entered anywhere. */
export function unitAt(seed: number, position: number, part: number): number {
  return (mix(mix(seed ^ Math.imul(position, 0x9e3779b1)) ^ Math.imul(part + 1, 0x85ebca77)) + 0.5) / 2 ** 32;
}

/** Smooth noise in [-1, 1] with a knot every `knotMs`. */
export function smoothAt(seed: number, part: number, atMs: number, knotMs: number): number {
  const knot = Math.floor(atMs / knotMs);
  const share = atMs / knotMs - knot;
  const ease = share * share * (3 - 2 * share);
  return 2 * (unitAt(seed, knot, part) * (1 - ease) + unitAt(seed, knot + 1, part) * ease) - 1;
}

/** The 32-bit finaliser of MurmurHash3 (Austin Appleby). */
function mix(value: number): number {
  let hash = (value + 0x6d2b79f5) | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
