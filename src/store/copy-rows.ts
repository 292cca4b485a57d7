/** Readings as PostgreSQL's binary COPY format (documentation of COPY, "Binary Format"). */
import { QUANTITIES } from '../fleet/quantity.ts';
import type { Reading } from '../fleet/reading.ts';
import { presentQuantities } from './reading-blocks.ts';

/** PostgreSQL counts microseconds from 2000-01-01. */
const POSTGRES_EPOCH_MS = 946_684_800_000;
const HEADER = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1');
const FIXED_COLUMNS = 3;
const FIXED_BYTES = 2 + 4 + 4 + 2 * (4 + 8);
const VALUE_BYTES = 4 + 8;
const TRAILER_BYTES = 2;

export interface CopyRows {
  /** Columns in the order of the fields: instrument, ts, received_at, then every quantity some reading has. */
  readonly columns: readonly string[];
  readonly bytes: Buffer;
}

/** `receivedAtUs`: epoch microseconds, the same for every row. */
export function encodeCopyRows(readings: readonly Reading[], receivedAtUs: number): CopyRows {
  const present = presentQuantities(readings);
  const fields = FIXED_COLUMNS + present.length;
  const size = HEADER.length + readings.length * (FIXED_BYTES + present.length * VALUE_BYTES) + TRAILER_BYTES;
  const bytes = Buffer.allocUnsafe(size);
  const view = new DataView(bytes.buffer, bytes.byteOffset, size);
  HEADER.copy(bytes);
  let at = HEADER.length;
  const received = receivedAtUs - POSTGRES_EPOCH_MS * 1000;
  for (const { key, tsMs, values } of readings) {
    view.setInt16(at, fields);
    view.setInt32(at + 2, 4);
    view.setInt32(at + 6, key);
    setMicroseconds(view, at + 10, (tsMs - POSTGRES_EPOCH_MS) * 1000);
    setMicroseconds(view, at + 22, received);
    at += FIXED_BYTES;
    for (const quantity of present) {
      const value = values[quantity]!;
      if (Number.isNaN(value)) {
        view.setInt32(at, -1);
        at += 4;
      } else {
        view.setInt32(at, 8);
        view.setFloat64(at + 4, value);
        at += VALUE_BYTES;
      }
    }
  }
  view.setInt16(at, -1);
  return {
    columns: ['instrument', 'ts', 'received_at', ...present.map((index) => QUANTITIES[index]!)],
    bytes: bytes.subarray(0, at + TRAILER_BYTES),
  };
}

function setMicroseconds(view: DataView, at: number, us: number): void {
  view.setInt32(at, 8);
  view.setInt32(at + 4, Math.floor(us / 0x1_0000_0000));
  view.setUint32(at + 8, us >>> 0);
}
