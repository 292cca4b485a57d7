/** Readings as one block of bytes: column after column, only the quantities that some reading has. Big-endian. */
import { QUANTITIES, QUANTITY_COUNT } from '../fleet/quantity.ts';
import { emptyValues, type Reading } from '../fleet/reading.ts';

/** The order of quantities may only grow, so a block stays readable; another layout gets another number. */
const VERSION = 1;
/** Version, count, mask of quantities. */
const HEADER_BYTES = 1 + 4 + 4;
const MAX_QUANTITIES = 32;
const KEY_BYTES = 4;
const NUMBER_BYTES = 8;

export function encodeReadings(readings: readonly Reading[]): Buffer {
  const present = presentQuantities(readings);
  const count = readings.length;
  const block = Buffer.allocUnsafe(HEADER_BYTES + count * (KEY_BYTES + NUMBER_BYTES * (1 + present.length)));
  const view = new DataView(block.buffer, block.byteOffset, block.length);
  view.setUint8(0, VERSION);
  view.setUint32(1, count);
  view.setUint32(5, present.reduce((mask, quantity) => mask | (1 << quantity), 0) >>> 0);
  let at = HEADER_BYTES;
  for (const { key } of readings) {
    view.setInt32(at, key);
    at += KEY_BYTES;
  }
  for (const { tsMs } of readings) {
    view.setFloat64(at, tsMs);
    at += NUMBER_BYTES;
  }
  for (const quantity of present) {
    for (const { values } of readings) {
      view.setFloat64(at, values[quantity]!);
      at += NUMBER_BYTES;
    }
  }
  return block;
}

export function decodeReadings(block: Buffer): Reading[] {
  const view = new DataView(block.buffer, block.byteOffset, block.length);
  if (view.getUint8(0) !== VERSION) throw new Error(`readings logged by another release (layout ${view.getUint8(0)})`);
  const count = view.getUint32(1);
  const mask = view.getUint32(5);
  const readings = Array.from({ length: count }, (_, i) => ({
    key: view.getInt32(HEADER_BYTES + i * KEY_BYTES),
    tsMs: view.getFloat64(HEADER_BYTES + count * KEY_BYTES + i * NUMBER_BYTES),
    values: emptyValues(),
  }));
  let at = HEADER_BYTES + count * (KEY_BYTES + NUMBER_BYTES);
  for (let quantity = 0; quantity < MAX_QUANTITIES; quantity++) {
    if ((mask & (1 << quantity)) === 0) continue;
    for (const { values } of readings) {
      // Of a release that knows more quantities than this one: passed over.
      if (quantity < QUANTITY_COUNT) values[quantity] = view.getFloat64(at);
      at += NUMBER_BYTES;
    }
  }
  return readings;
}

/** Indices into `QUANTITIES` that some of these readings have, ascending. */
export function presentQuantities(readings: readonly Reading[]): number[] {
  const seen = new Uint8Array(QUANTITY_COUNT);
  for (const { values } of readings) {
    for (let i = 0; i < QUANTITY_COUNT; i++) if (!Number.isNaN(values[i]!)) seen[i] = 1;
  }
  return [...QUANTITIES.keys()].filter((index) => seen[index] === 1);
}
