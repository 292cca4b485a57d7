/** What the rules remember: a row of numbers per instrument in typed arrays, and the districts. Kept in chunks. */
import { District, decodeDistrict, encodeDistrict } from './district.ts';
import { hashOf, type Layout, layoutOf } from './layout.ts';
import type { RuleSet } from './ruleset.ts';

const CHUNK_BITS = 9;
/** Rows of one chunk: some tens of kilobytes as a snapshot. */
export const CHUNK_ROWS = 1 << CHUNK_BITS;
const ROW_MASK = CHUNK_ROWS - 1;
/** Districts are spread over so many chunks by a hash of their id: some dozen to a chunk in a city. */
const DISTRICT_CHUNKS = 64;
const VERSION = 1;

interface Header {
  readonly version: number;
  /** When the service last evaluated, wall clock. */
  readonly aliveMs: number;
  readonly names: readonly string[];
}

export class RuleState {
  readonly layout: Layout;
  readonly #chunks: (Float64Array | undefined)[] = [];
  readonly #districts = new Map<string, District>();
  /** By chunk: 1 = changed since it was last kept. */
  readonly #changed: number[] = [];
  /** Newest wall-clock time at which anything was evaluated; -Infinity = never. */
  aliveMs = Number.NEGATIVE_INFINITY;

  constructor(rules: RuleSet) {
    this.layout = layoutOf(rules);
  }

  /** The chunk with this instrument's row, for reading and writing; the row begins at `offset(key)`. */
  chunk(key: number): Float64Array {
    return this.#chunks[key >>> CHUNK_BITS] ?? this.#newChunk(key >>> CHUNK_BITS);
  }

  offset(key: number): number {
    return (key & ROW_MASK) * this.layout.stride;
  }

  touch(key: number): void {
    this.#changed[key >>> CHUNK_BITS] = 1;
  }

  forget(key: number): void {
    const at = this.offset(key);
    this.chunk(key).fill(Number.NaN, at, at + this.layout.stride);
    this.touch(key);
  }

  district(id: string): District {
    let district = this.#districts.get(id);
    if (!district) {
      district = new District(id);
      this.#districts.set(id, district);
    }
    return district;
  }

  districts(): Iterable<District> {
    return this.#districts.values();
  }

  #newChunk(index: number): Float64Array {
    const chunk = new Float64Array(CHUNK_ROWS * this.layout.stride).fill(Number.NaN);
    while (this.#chunks.length <= index) {
      this.#chunks.push(undefined);
      this.#changed.push(0);
    }
    this.#chunks[index] = chunk;
    return chunk;
  }

  /** Names of the chunks changed since `clean`. */
  *dirtyChunks(): Iterable<string> {
    for (const [index, changed] of this.#changed.entries()) if (changed) yield `instruments/${index}`;
    const districts = new Set(
      [...this.#districts.values()].filter(({ changed }) => changed).map(({ id }) => groupOf(id)),
    );
    for (const index of districts) yield `districts/${index}`;
  }

  /** Everything changed so far is kept elsewhere. */
  clean(): void {
    this.#changed.fill(0);
    for (const district of this.#districts.values()) district.changed = false;
  }

  /** These could not be kept after all. */
  spoil(names: readonly string[]): void {
    for (const name of names) {
      const [group, index] = name.split('/');
      if (group === 'instruments') this.#changed[Number(index)] = 1;
      else
        for (const district of this.#districts.values())
          if (groupOf(district.id) === Number(index)) district.changed = true;
    }
  }

  encodeChunk(name: string): Uint8Array {
    const [group, index] = name.split('/');
    return group === 'districts' ? this.#encodeDistricts(Number(index)) : this.#encodeRows(Number(index));
  }

  /** Takes over a chunk as it was kept, before an evaluator works with this; numbers of rules that have changed since are left out. */
  decodeChunk(name: string, bytes: Uint8Array): void {
    const [group, index] = name.split('/');
    const headerBytes = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + headerBytes))) as Header;
    if (header.version !== VERSION) return; // of another release: the rules begin anew
    this.aliveMs = Math.max(this.aliveMs, header.aliveMs ?? Number.NEGATIVE_INFINITY);
    const body = bytes.subarray(4 + headerBytes);
    if (group === 'districts') this.#decodeDistricts(body);
    else this.#decodeRows(Number(index), header.names, body);
  }

  #frame(names: readonly string[], body: Uint8Array): Uint8Array {
    const header = new TextEncoder().encode(JSON.stringify({ version: VERSION, aliveMs: this.aliveMs, names }));
    const bytes = new Uint8Array(4 + header.length + body.length);
    new DataView(bytes.buffer).setUint32(0, header.length);
    bytes.set(header, 4);
    bytes.set(body, 4 + header.length);
    return bytes;
  }

  /** Column after column: a bit per row that has a number, then those numbers, big-endian. */
  #encodeRows(index: number): Uint8Array {
    const { stride, names } = this.layout;
    const chunk = this.chunk(index << CHUNK_BITS);
    const body = new Uint8Array(names.length * (CHUNK_ROWS / 8 + CHUNK_ROWS * 8));
    const view = new DataView(body.buffer);
    let end = 0;
    for (let column = 0; column < stride; column++) {
      const bits = end;
      end += CHUNK_ROWS / 8;
      for (let row = 0; row < CHUNK_ROWS; row++) {
        const value = chunk[row * stride + column]!;
        if (Number.isNaN(value)) continue;
        body[bits + (row >>> 3)]! |= 1 << (row & 7);
        view.setFloat64(end, value);
        end += 8;
      }
    }
    return this.#frame(names, body.subarray(0, end));
  }

  #decodeRows(index: number, names: readonly string[], body: Uint8Array): void {
    const { stride } = this.layout;
    const chunk = this.#newChunk(index);
    const view = new DataView(body.buffer, body.byteOffset);
    let end = 0;
    for (const name of names) {
      const column = this.layout.names.indexOf(name);
      const bits = end;
      end += CHUNK_ROWS / 8;
      for (let row = 0; row < CHUNK_ROWS; row++) {
        if ((body[bits + (row >>> 3)]! & (1 << (row & 7))) === 0) continue;
        if (column >= 0) chunk[row * stride + column] = view.getFloat64(end);
        end += 8;
      }
    }
  }

  #encodeDistricts(index: number): Uint8Array {
    const kept = [...this.#districts.values()]
      .filter(({ id }) => groupOf(id) === index)
      .map((district) => [district.id, encodeDistrict(district)]);
    return this.#frame([], new TextEncoder().encode(JSON.stringify(kept)));
  }

  #decodeDistricts(body: Uint8Array): void {
    const kept = JSON.parse(new TextDecoder().decode(body)) as [string, ReturnType<typeof encodeDistrict>][];
    for (const [id, district] of kept) this.#districts.set(id, decodeDistrict(id, district));
  }
}

function groupOf(district: string): number {
  return hashOf(district) % DISTRICT_CHUNKS;
}
