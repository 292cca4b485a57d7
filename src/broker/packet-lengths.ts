/**
 * Watches MQTT packets go by before a parser holds them: their lengths (MQTT 3.1.1, section 2.2.3), so that nobody can make us
 * hold a huge one, and the protocol level of CONNECT (3.1.2.2), so that who speaks another one can be told.
 */

const CONNECT = 1;
const MAX_LENGTH_BYTES = 4;
/** MQTT 3.1 and 3.1.1. */
const LEVELS: readonly number[] = [3, 4];
/** Set by bridges of Mosquitto and of RSMB. */
const BRIDGE_BIT = 0x80;
/** `MQIsdp` of MQTT 3.1; since then it is `MQTT`. */
const MAX_NAME_BYTES = 6;

export type LengthVerdict = 'ok' | 'too-large' | 'malformed' | 'unknown-level';

export class PacketLengths {
  /** The first packet, which must be CONNECT, and all that come before the client is known. */
  readonly #maxConnectBytes: number;
  readonly #maxPacketBytes: number;
  #first = true;
  #bodyLeft = 0;
  /** Inside a fixed header: -1 = the type byte is next, else how many length bytes were read. */
  #lengthBytes = -1;
  #length = 0;
  /** Of CONNECT: its protocol name behind two bytes of length, and the level behind it. */
  #connectByte = -1;
  #nameBytes = 0;
  #level = 0;

  constructor(maxConnectBytes: number, maxPacketBytes: number) {
    this.#maxConnectBytes = maxConnectBytes;
    this.#maxPacketBytes = maxPacketBytes;
  }

  /** What CONNECT says when the verdict is `unknown-level`. */
  get level(): number {
    return this.#level;
  }

  see(chunk: Uint8Array): LengthVerdict {
    let at = 0;
    while (at < chunk.length) {
      if (this.#bodyLeft > 0) {
        if (this.#connectByte >= 0) {
          this.#bodyLeft--;
          if (!this.#isKnownLevel(chunk[at++]!)) return 'unknown-level';
          continue;
        }
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
      this.#connectByte = this.#first ? 0 : -1;
      this.#first = false;
      this.#bodyLeft = this.#length;
      this.#lengthBytes = -1;
    }
    return 'ok';
  }

  /** Of one byte of CONNECT after the other; false at the level when it is none of ours. */
  #isKnownLevel(byte: number): boolean {
    const index = this.#connectByte++;
    if (index < 2) this.#nameBytes = this.#nameBytes * 256 + byte;
    if (index < 2 + this.#nameBytes && this.#nameBytes <= MAX_NAME_BYTES) return true;
    this.#connectByte = -1; // the rest is for the parser
    this.#level = byte & ~BRIDGE_BIT;
    return this.#nameBytes > MAX_NAME_BYTES || LEVELS.includes(this.#level);
  }
}
