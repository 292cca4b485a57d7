/** Watches the lengths of MQTT packets go by (MQTT 3.1.1, section 2.2.3), so that nobody can make us hold a huge one. */

const CONNECT = 1;
const MAX_LENGTH_BYTES = 4;

export type LengthVerdict = 'ok' | 'too-large' | 'malformed';

export class PacketLengths {
  /** The first packet, which must be CONNECT, and all that come before the client is known. */
  readonly #maxConnectBytes: number;
  readonly #maxPacketBytes: number;
  #first = true;
  #bodyLeft = 0;
  /** Inside a fixed header: -1 = the type byte is next, else how many length bytes were read. */
  #lengthBytes = -1;
  #length = 0;

  constructor(maxConnectBytes: number, maxPacketBytes: number) {
    this.#maxConnectBytes = maxConnectBytes;
    this.#maxPacketBytes = maxPacketBytes;
  }

  see(chunk: Uint8Array): LengthVerdict {
    let at = 0;
    while (at < chunk.length) {
      if (this.#bodyLeft > 0) {
        const skipped = Math.min(this.#bodyLeft, chunk.length - at);
        this.#bodyLeft -= skipped;
        at += skipped;
        continue;
      }
      const byte = chunk[at++]!;
      if (this.#lengthBytes < 0) {
        if (this.#first && byte >> 4 !== CONNECT) return 'malformed';
        this.#lengthBytes = 0;
        this.#length = 0;
        continue;
      }
      this.#length += (byte & 0x7f) * 128 ** this.#lengthBytes++;
      if (byte & 0x80) {
        if (this.#lengthBytes === MAX_LENGTH_BYTES) return 'malformed';
        continue;
      }
      if (this.#length > (this.#first ? this.#maxConnectBytes : this.#maxPacketBytes)) return 'too-large';
      this.#first = false;
      this.#bodyLeft = this.#length;
      this.#lengthBytes = -1;
    }
    return 'ok';
  }
}
