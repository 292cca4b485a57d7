/** The districts of a folder one after the other, though its readings are sorted by time: as many at once as memory allows. */
import { type CollectedDistrict, DistrictCollector, isEstimated, type WindowOptions } from '../accuracy/window.ts';
import type { Instrument } from '../fleet/instrument.ts';
import type { Reading } from '../fleet/reading.ts';

export interface CollectCalls {
  /** With the readings seen so far in this pass. */
  onBlock(readings: number): void;
  /** The file has been read once; what remains is read in further passes. */
  onFirstPass(): void;
}

/** Readings held at once, 24 to 56 bytes each: about 28 districts of 120 meters over 49 days. */
const MAX_HELD = 16_000_000;

export async function* collectDistricts(
  instruments: readonly Instrument[],
  readings: () => AsyncIterable<readonly Reading[]>,
  options: WindowOptions,
  { onBlock, onFirstPass }: CollectCalls,
  maxHeld = MAX_HELD,
): AsyncGenerator<CollectedDistrict> {
  const districts = Map.groupBy(instruments.filter(isEstimated), ({ district }) => district);
  let waiting = [...districts.keys()];
  for (let pass = 1; pass === 1 || waiting.length > 0; pass++) {
    const held = new HeldDistricts(waiting, districts, maxHeld);
    let seen = 0;
    for await (const block of readings()) {
      for (const reading of block) held.add(reading);
      seen += block.length;
      onBlock(seen);
    }
    if (pass === 1) onFirstPass();
    waiting = held.letGo;
    for (const collector of held.take()) yield collector.collect(options);
  }
}

class HeldDistricts {
  /** Districts that did not fit. */
  readonly letGo: string[] = [];
  readonly #collectors: DistrictCollector[];
  readonly #byKey = new Map<number, DistrictCollector>();
  readonly #maxHeld: number;
  #held = 0;

  constructor(names: readonly string[], districts: ReadonlyMap<string, readonly Instrument[]>, maxHeld: number) {
    this.#maxHeld = maxHeld;
    this.#collectors = names.map((name) => {
      const collector = new DistrictCollector(name, districts.get(name)!);
      for (const { key } of districts.get(name)!) this.#byKey.set(key, collector);
      return collector;
    });
  }

  add(reading: Reading): void {
    const collector = this.#byKey.get(reading.key);
    if (!collector) return;
    collector.add(reading);
    this.#held++;
    while (this.#held > this.#maxHeld && this.#collectors.length > 1) this.#letLastGo();
  }

  /** Hands them over one by one, so that the arrays of one can be freed before the next are made. */
  *take(): Generator<DistrictCollector> {
    this.#byKey.clear();
    for (let next = this.#collectors.shift(); next; next = this.#collectors.shift()) yield next;
  }

  #letLastGo(): void {
    const last = this.#collectors.pop()!;
    for (const [key, collector] of this.#byKey) if (collector === last) this.#byKey.delete(key);
    this.#held -= last.readings;
    this.letGo.unshift(last.district);
  }
}
