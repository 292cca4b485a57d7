import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { namedValues } from '../../src/fleet/reading.ts';
import { decode } from '../../src/ingest/decode.ts';
import { parseProfiles } from '../../src/ingest/profile.ts';
import { parseKinds } from '../../src/kinds.ts';
import { ledgerOf } from '../support/fleet.ts';

const NOW = Date.UTC(2026, 2, 1, 12);
const TS = NOW - 60_000;
const DAY = 86_400_000;
const context = {
  ledger: ledgerOf(
    { key: 1 },
    { key: 2 },
    { key: 3, gateway: 'GW-2' },
    { key: 4, gateway: '', id: 'SELF-4' },
    { key: 5, state: 'retired' },
    { key: 6, kind: 'water', gateway: 'GW-1' },
  ),
  kinds: parseKinds(parse(readFileSync('config/kinds.yaml', 'utf8'))),
  profiles: parseProfiles(parse(readFileSync('config/profiles.yaml', 'utf8'))),
  limits: { maxPayloadBytes: 256 * 1024, maxFutureMs: 300_000, maxAgeMs: 800 * DAY },
};
const GATEWAY = 'v1/gateway/telemetry';
const DEVICE = 'v1/devices/me/telemetry';
const NATIVE = 'meterwarden/v1/M-1/registers';

function take(payload: unknown, topic = GATEWAY, client = topic === DEVICE ? 'SELF-4' : 'GW-1') {
  const bytes = Buffer.isBuffer(payload)
    ? payload
    : Buffer.from(typeof payload === 'string' ? payload : JSON.stringify(payload));
  const { readings, refusals } = decode({ client, topic, payload: bytes }, context, NOW);
  return {
    readings: readings.map(({ key, tsMs, values }) => [key, tsMs, namedValues(values)]),
    refusals: refusals.map(({ code, path }) => `${code} ${path}`.trim()),
    kept: refusals.map(({ readings }) => readings),
  };
}

describe('what becomes readings', () => {
  test.each([
    [
      'gateway telemetry of many instruments, names and OBIS codes',
      GATEWAY,
      {
        'M-1': [{ ts: TS, values: { active_import_kwh: 1.25, '1-0:12.7.0': 229.9 } }],
        'M-2': [{ ts: TS, values: { '1-0:1.8.0': 7 } }],
      },
      [
        [1, TS, { active_import_kwh: 1.25, voltage_v: 229.9 }],
        [2, TS, { active_import_kwh: 7 }],
      ],
    ],
    [
      'device telemetry with time',
      DEVICE,
      { ts: TS, values: { active_import_kwh: 1 } },
      [[4, TS, { active_import_kwh: 1 }]],
    ],
    [
      'an array of device telemetry',
      DEVICE,
      [
        { ts: TS, values: { active_import_kwh: 1 } },
        { ts: TS + 1, values: { active_import_kwh: 2 } },
      ],
      [
        [4, TS, { active_import_kwh: 1 }],
        [4, TS + 1, { active_import_kwh: 2 }],
      ],
    ],
    [
      'bare device telemetry is of the time of receipt',
      DEVICE,
      { active_import_kwh: 3 },
      [[4, NOW, { active_import_kwh: 3 }]],
    ],
    [
      'null is not reported',
      GATEWAY,
      { 'M-1': [{ ts: TS, values: { active_import_kwh: 1, voltage_v: null } }] },
      [[1, TS, { active_import_kwh: 1 }]],
    ],
    [
      'time as RFC 3339',
      GATEWAY,
      { 'M-1': [{ ts: '2026-03-01T19:59:00+08:00', values: { active_import_kwh: 1 } }] },
      [[1, TS, { active_import_kwh: 1 }]],
    ],
    [
      'five minutes ahead is still now',
      GATEWAY,
      { 'M-1': [{ ts: NOW + 300_000, values: { active_import_kwh: 1 } }] },
      [[1, NOW + 300_000, { active_import_kwh: 1 }]],
    ],
    [
      'OBIS registers with units',
      NATIVE,
      {
        ts: TS,
        registers: [
          { obis: '1-0:1.8.0', value: 1250, unit: 'Wh', quality: 'good' },
          { obis: '1-0:12.7.0', value: 230, unit: 'V' },
        ],
      },
      [[1, TS, { active_import_kwh: 1.25, voltage_v: 230 }]],
    ],
    [
      'two names of one quantity that agree',
      GATEWAY,
      {
        'M-1': [{ ts: TS, values: { active_import_kwh: 1.25, '1-0:1.8.0': 1.25, '1-0:12.7.0': null, voltage_v: 230 } }],
      },
      [[1, TS, { active_import_kwh: 1.25, voltage_v: 230 }]],
    ],
    [
      'a register twice in two units, up to rounding',
      NATIVE,
      {
        ts: TS,
        registers: [
          { obis: '1-0:1.8.0', value: 1.1, unit: 'kWh' },
          { obis: '1-0:1.8.0', value: 1100, unit: 'Wh' },
          { obis: 'active_import_kwh', value: 0.0011, unit: 'MWh' },
          { obis: '1-0:1.8.0', value: null },
        ],
      },
      [[1, TS, { active_import_kwh: 1.1 }]],
    ],
    [
      'another kind has its own codes',
      GATEWAY,
      { 'M-6': [{ ts: TS, values: { '8-0:1.0.0': 12.5 } }] },
      [[6, TS, { volume_m3: 12.5 }]],
    ],
  ])('%s', (_name, topic, payload, readings) => {
    expect(take(payload, topic)).toEqual({ readings, refusals: [], kept: [] });
  });
});

describe('what is refused, with code and path', () => {
  const one = (ts: unknown, values: unknown) => ({ 'M-1': [{ ts, values }] });
  test.each<[string, string, unknown, string]>([
    ['malformed JSON', GATEWAY, '{"M-1": [', 'malformed_json'],
    ['bytes that are no text', GATEWAY, Buffer.from([0xff, 0xfe, 0x00]), 'malformed_json'],
    ['nothing', GATEWAY, '', 'malformed_json'],
    ['another topic', 'v1/devices/me/attributes', { a: 1 }, 'unknown_topic'],
    ['a list where instruments belong', GATEWAY, [1], 'wrong_shape'],
    ['an instrument without a list', GATEWAY, { 'M-1': { ts: TS } }, 'wrong_shape M-1'],
    ['an entry without values', GATEWAY, { 'M-1': [{ ts: TS }] }, 'wrong_shape M-1[0]'],
    ['an empty object', GATEWAY, {}, 'empty_message'],
    ['an empty device array', DEVICE, [], 'empty_message'],
    ['a time without values', DEVICE, { ts: TS }, 'wrong_shape'],
    [
      'an unknown instrument',
      GATEWAY,
      { 'M-99': [{ ts: TS, values: { active_import_kwh: 1 } }] },
      'unknown_instrument M-99[0]',
    ],
    [
      'a name from the prototype',
      GATEWAY,
      '{"__proto__": [{"ts": 1, "values": {"active_import_kwh": 1}}]}',
      'unknown_instrument __proto__[0]',
    ],
    [
      "another gateway's instrument",
      GATEWAY,
      { 'M-3': [{ ts: TS, values: { active_import_kwh: 1 } }] },
      'not_your_instrument M-3[0]',
    ],
    [
      'a retired instrument',
      GATEWAY,
      { 'M-5': [{ ts: TS, values: { active_import_kwh: 1 } }] },
      'retired_instrument M-5[0]',
    ],
    ['no time', GATEWAY, { 'M-1': [{ values: { active_import_kwh: 1 } }] }, 'missing_timestamp M-1[0].ts'],
    ['a local time', GATEWAY, one('2026-03-01T12:00:00', { active_import_kwh: 1 }), 'invalid_timestamp M-1[0].ts'],
    [
      'a day that is none',
      GATEWAY,
      one('2026-02-30T12:00:00Z', { active_import_kwh: 1 }),
      'invalid_timestamp M-1[0].ts',
    ],
    ['24 o’clock', GATEWAY, one('2026-02-28T24:00:00Z', { active_import_kwh: 1 }), 'invalid_timestamp M-1[0].ts'],
    ['a time beyond all calendars', GATEWAY, one(1e300, { active_import_kwh: 1 }), 'invalid_timestamp M-1[0].ts'],
    ['a time that is true', GATEWAY, one(true, { active_import_kwh: 1 }), 'invalid_timestamp M-1[0].ts'],
    ['the future', GATEWAY, one(NOW + 300_001, { active_import_kwh: 1 }), 'future_timestamp M-1[0].ts'],
    [
      'seconds taken for milliseconds',
      GATEWAY,
      one(TS / 1000, { active_import_kwh: 1 }),
      'ancient_timestamp M-1[0].ts',
    ],
    [
      'a negative register',
      GATEWAY,
      one(TS, { active_import_kwh: -0.01 }),
      'out_of_range M-1[0].values.active_import_kwh',
    ],
    [
      'a billion volts',
      GATEWAY,
      one(TS, { active_import_kwh: 1, voltage_v: 1e9 }),
      'out_of_range M-1[0].values.voltage_v',
    ],
    [
      'infinity',
      GATEWAY,
      `{"M-1":[{"ts":${TS},"values":{"active_import_kwh":1e999}}]}`,
      'out_of_range M-1[0].values.active_import_kwh',
    ],
    ['text', GATEWAY, one(TS, { active_import_kwh: 'NaN' }), 'not_a_number M-1[0].values.active_import_kwh'],
    [
      'a nested value',
      GATEWAY,
      one(TS, { active_import_kwh: { a: 1 } }),
      'not_a_number M-1[0].values.active_import_kwh',
    ],
    [
      'a deep value',
      GATEWAY,
      one(TS, { active_import_kwh: JSON.parse(`${'['.repeat(50)}${']'.repeat(50)}`) }),
      'too_deep M-1[0].values.active_import_kwh',
    ],
    [
      'two names of one quantity with different values',
      GATEWAY,
      one(TS, { '1-0:1.8.0': 1, voltage_v: 230, active_import_kwh: 1.01 }),
      'conflicting_values M-1[0].values.active_import_kwh',
    ],
    [
      'two codes of one quantity with different values',
      GATEWAY,
      one(TS, { '1-0:1.7.0': 500, '1-0:16.7.0': -500 }),
      'conflicting_values M-1[0].values.1-0:16.7.0',
    ],
    [
      'a register twice with different values',
      NATIVE,
      {
        ts: TS,
        registers: [
          { obis: '1-0:1.8.0', value: 1, unit: 'kWh' },
          { obis: '1-0:1.8.0', value: 1, unit: 'Wh' },
        ],
      },
      'conflicting_values .registers[1].value',
    ],
    [
      'a register twice, once as text',
      NATIVE,
      {
        ts: TS,
        registers: [
          { obis: '1-0:1.8.0', value: 'x' },
          { obis: '1-0:1.8.0', value: 1 },
        ],
      },
      'not_a_number .registers[0].value',
    ],
    [
      'an impossible register',
      NATIVE,
      { ts: TS, registers: [{ obis: '1-0:1.8.0', value: -1, unit: 'kWh' }] },
      'out_of_range .registers[0].value',
    ],
    [
      'a register without a value',
      NATIVE,
      { ts: TS, registers: [{ obis: '1-0:1.8.0', unit: 'kWh' }] },
      'not_a_number .registers[0].value',
    ],
    ['nothing reported', GATEWAY, one(TS, { voltage_v: null }), 'no_known_quantity M-1[0]'],
    [
      'a unit of something else',
      NATIVE,
      { ts: TS, registers: [{ obis: '1-0:1.8.0', value: 1, unit: 'V' }] },
      'wrong_unit .registers[0].unit',
    ],
    [
      'a unit from the prototype',
      NATIVE,
      { ts: TS, registers: [{ obis: '1-0:1.8.0', value: 1, unit: 'constructor' }] },
      'wrong_unit .registers[0].unit',
    ],
    [
      'a value marked bad',
      NATIVE,
      { ts: TS, registers: [{ obis: '1-0:1.8.0', value: 1, quality: 'bad' }] },
      'bad_quality .registers[0].quality',
    ],
    ['registers without a code', NATIVE, { ts: TS, registers: [{ value: 1 }] }, 'wrong_shape .registers[0]'],
  ])('%s', (_name, topic, payload, refusal) => {
    expect(take(payload, topic)).toEqual({ readings: [], refusals: [refusal], kept: [1] });
  });

  test('a message larger than the limit', () => {
    expect(take(Buffer.alloc(256 * 1024 + 1, 0x20)).refusals).toEqual(['too_large']);
    expect(take(Buffer.alloc(256 * 1024, 0x20)).refusals).toEqual(['malformed_json']);
  });

  test('a whole message of brackets', () => {
    const half = 128 * 1024;
    expect(take('['.repeat(half) + ']'.repeat(half)).refusals).toEqual(['wrong_shape']);
    expect(take('['.repeat(2 * half)).refusals).toEqual(['malformed_json']);
  });

  test('what is shown of it is short and storable', () => {
    const id = `\0${'x'.repeat(5000)}\ud800`;
    const payload = Buffer.from(JSON.stringify({ [id]: [{ ts: TS, values: { a: 1 } }] }));
    const { refusals } = decode({ client: 'GW-1', topic: GATEWAY, payload }, context, NOW);
    expect(refusals[0]!.path).toHaveLength(200);
    expect(refusals[0]!.path).not.toContain('\0');
    expect(String(refusals[0]!.params.instrument).length).toBeLessThanOrEqual(200);
  });
});

test('good readings inside a message with bad ones are kept', () => {
  const payload = {
    'M-1': [
      { ts: TS, values: { active_import_kwh: 1 } },
      { ts: TS, values: { active_import_kwh: -1 } },
    ],
    'M-3': [{ ts: TS, values: { active_import_kwh: 1 } }],
    'M-2': [{ ts: TS, values: { active_import_kwh: 2 } }],
  };
  const { readings, refusals } = take(payload);
  expect(readings.map(([key]) => key)).toEqual([1, 2]);
  expect(refusals).toEqual(['out_of_range M-1[1].values.active_import_kwh', 'not_your_instrument M-3[0]']);
});

test('an unknown quantity beside known ones is a note, and the reading is taken', () => {
  const result = take({ 'M-1': [{ ts: TS, values: { active_import_kwh: 1, rssi_dbm: -70 } }] });
  expect(result).toEqual({
    readings: [[1, TS, { active_import_kwh: 1 }]],
    refusals: ['unknown_quantity M-1[0].values.rssi_dbm'],
    kept: [0],
  });
});

test("the samples of ThingsBoard's documentation are understood down to their quantities", () => {
  const samples = JSON.parse(readFileSync('test/ingest/thingsboard-samples.json', 'utf8')) as {
    topic: string;
    payload: unknown;
    entries: string[];
  }[];
  for (const { topic, payload, entries } of samples) {
    const ledger = ledgerOf(
      { key: 1, id: 'Device A', gateway: 'GW' },
      { key: 2, id: 'Device B', gateway: 'GW' },
      { key: 3, id: 'GW' },
    );
    const limits = { ...context.limits, maxAgeMs: Number.MAX_SAFE_INTEGER };
    const decoded = decode(
      { client: 'GW', topic, payload: Buffer.from(JSON.stringify(payload)) },
      { ...context, ledger, limits },
      NOW,
    );
    expect(decoded.refusals.filter(({ code }) => code === 'no_known_quantity').map(({ path }) => path)).toEqual(
      entries,
    );
    expect(new Set(decoded.refusals.map(({ code }) => code))).toEqual(
      new Set(['unknown_quantity', 'no_known_quantity']),
    );
  }
});
