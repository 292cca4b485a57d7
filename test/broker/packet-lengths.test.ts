import { expect, test } from 'vitest';
import { PacketLengths } from '../../src/broker/packet-lengths.ts';

const connect = (length: number) => packet(0x10, length);
function packet(type: number, length: number): number[] {
  const bytes = [type];
  for (let left = length; ; ) {
    const digit = left % 128;
    left = Math.floor(left / 128);
    bytes.push(left > 0 ? digit | 0x80 : digit);
    if (left === 0) break;
  }
  return bytes;
}
const said = (name: string, level: number) => [0, name.length, ...Buffer.from(name), level, 2, 0, 60, 0, 1, 99];
const body = (length: number) => new Array<number>(length).fill(0xff);

test.each([
  ['a connect within its limit', [...connect(100), ...body(100)], 'ok'],
  ['a connect above its limit', connect(101), 'too-large'],
  ['a publish before connect', packet(0x30, 5), 'malformed'],
  ['a publish within the limit', [...connect(3), ...body(3), ...packet(0x30, 1000), ...body(1000)], 'ok'],
  ['a publish above the limit', [...connect(3), ...body(3), ...packet(0x30, 1001)], 'too-large'],
  [
    'a large publish behind small ones',
    [...connect(0), ...packet(0xc0, 0), ...packet(0xc0, 0), ...packet(0x32, 100_000_000)],
    'too-large',
  ],
  ['MQTT 3.1', [...connect(15), ...said('MQIsdp', 3)], 'ok'],
  ['MQTT 3.1.1', [...connect(13), ...said('MQTT', 4)], 'ok'],
  ['a bridge of Mosquitto', [...connect(13), ...said('MQTT', 0x84)], 'ok'],
  ['MQTT 5', [...connect(13), ...said('MQTT', 5)], 'unknown-level'],
  ['no level there is', [...connect(13), ...said('MQTT', 0)], 'unknown-level'],
  ['a connect that ends before its level', [...connect(2), 0, 4, ...packet(0x30, 10), ...body(10)], 'ok'],
  ['a connect by another name', [...connect(13), ...said('NATS!!!', 7).slice(0, 13)], 'ok'],
  ['a length of five bytes', [...connect(0), 0x30, 0x80, 0x80, 0x80, 0x80, 0x01], 'malformed'],
])('%s', (_name, bytes, verdict) => {
  expect(new PacketLengths(100, 1000).see(Uint8Array.from(bytes))).toBe(verdict);
  const byByte = new PacketLengths(100, 1000);
  const verdicts = bytes.map((byte) => byByte.see(Uint8Array.of(byte)));
  expect(verdicts.find((seen) => seen !== 'ok') ?? 'ok').toBe(verdict);
});
