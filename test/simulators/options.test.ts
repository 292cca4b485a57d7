import { expect, test } from 'vitest';
import { type FleetWords, type PublishWords, readFleetOptions, readPublishOptions } from '../../simulators/options.ts';
import { errorText, speaker } from '../../simulators/texts.ts';

const NOW_MS = Date.UTC(2026, 0, 31, 10, 7, 30);
const say = speaker('en');

const FLEET: FleetWords = {
  seed: '1',
  districts: '2',
  meters: '50',
  days: '14',
  period: '15m',
  faults: 'default',
  threePhase: '5',
  meterError: '0.3',
  masterError: '0.1',
  voltageGain: '0.2',
  unmetered: '0',
};

const PUBLISH: PublishWords = {
  mqtt: 'mqtt://127.0.0.1:1883',
  secret: 's',
  window: '20',
  readingsPerMessage: '500',
  live: '60',
  liveEvery: '5',
};

test('now is rounded down to the report period', () => {
  const options = readFleetOptions(FLEET, NOW_MS, say);
  expect(new Date(options.untilMs).toISOString()).toBe('2026-01-31T10:00:00.000Z');
  expect(options).toMatchObject({ districts: 2, metersPerDistrict: 50, faults: { outage: 1, silent: 1 } });
});

test('faults: none, chosen, default', () => {
  expect(readFleetOptions({ ...FLEET, faults: 'none' }, NOW_MS, say).faults).toEqual({});
  expect(readFleetOptions({ ...FLEET, faults: 'silent=2, drift=1' }, NOW_MS, say).faults).toEqual({
    silent: 2,
    drift: 1,
  });
});

test('every switch of a district', () => {
  const words: FleetWords = {
    network: 'ieee-eu-lv',
    loss: '1.8',
    step: '1m',
    variation: 'gamma',
    households: 'judging',
    solar: '10',
    voltages: 'instant',
    registerStep: '0',
    voltageStep: '1',
    clockOffset: '45',
    missing: '0.4',
    theft: '2000',
  };
  expect(readFleetOptions(words, NOW_MS, say)).toMatchObject({
    network: 'ieee-eu-lv',
    metersPerDistrict: 55,
    lossPct: 1.8,
    stepMs: 60_000,
    variation: 'gamma',
    households: 'judging',
    solarPct: 10,
    voltages: 'instant',
    registerStepKwh: 0,
    voltageStepV: 1,
    clockOffsetSdS: 45,
    missingPct: 0.4,
    theftW: 2_000,
  });
  expect(readFleetOptions({}, NOW_MS, say)).toMatchObject({ lossPct: null, stepMs: 15 * 60_000, seed: 1 });
});

test('what is given stands before the case, the case before the preset, the preset before the defaults', () => {
  const messy = readFleetOptions({ preset: 'messy', case: 'judging-6', theft: '500' }, NOW_MS, say);
  expect(messy).toMatchObject({ seed: 906, network: 'csiro-n', households: 'judging', metersPerDistrict: 120 });
  expect(messy).toMatchObject({ missingPct: 2, theftW: 500, threePhasePct: 0, meterErrorSdPct: 0.3 });
  expect(messy.faults).toEqual({ 'constant-error': 7, theft: 1, 'wrong-district': 1 });
  const quiet = readFleetOptions({ preset: 'messy', faults: 'none', loss: 'natural', step: '15m' }, NOW_MS, say);
  expect(quiet).toMatchObject({ faults: {}, lossPct: null, stepMs: 15 * 60_000 });
});

test('a case is the same whenever it is run, unless it is told otherwise', () => {
  const untilMs = (words: FleetWords, nowMs = NOW_MS) => readFleetOptions(words, nowMs, say).untilMs;
  expect(untilMs({ case: 'development-1' })).toBe(untilMs({ case: 'development-1' }, NOW_MS + 86_400_000));
  const chosen = untilMs({ case: 'development-1', until: '2026-01-01T00:00:00Z' });
  expect(chosen).toBe(Date.UTC(2026, 0, 1));
});

test.each<[keyof FleetWords, string, string]>([
  ['seed', '-1', '--seed'],
  ['districts', '0', '--districts'],
  ['meters', '12x', '--meters'],
  ['days', '', '--days'],
  ['until', '2026-01-30', '--until'],
  ['until', '2026-02-01T00:00:00Z', '--until'],
  ['period', '7m', '--period'],
  ['period', '30s', '--period'],
  ['faults', 'silnt=1', '--faults'],
  ['faults', '', '--faults'],
  ['threePhase', '101', '--three-phase'],
  ['preset', 'dirty', '--preset'],
  ['case', 'judging-0', '--case'],
  ['network', 'ieee', '--network'],
  ['loss', '0', '--loss'],
  ['step', '7m', '--step'],
  ['step', '1h', '--step'],
  ['variation', 'none', '--variation'],
  ['households', 'mine', '--households'],
  ['solar', '-1', '--solar'],
  ['voltages', 'raw', '--voltages'],
  ['registerStep', '11', '--register-step'],
  ['voltageStep', 'x', '--voltage-step'],
  ['clockOffset', '1e3', '--clock-offset'],
  ['missing', '51', '--missing'],
  ['theft', '30000', '--theft'],
])('%s "%s" is refused by name', (word, value, option) => {
  const read = () => readFleetOptions({ ...FLEET, [word]: value }, NOW_MS, say);
  expect(read).toThrow(
    expect.objectContaining({ code: 'invalid_option', params: expect.objectContaining({ option, value }) }),
  );
});

test.each<[keyof PublishWords, string, string]>([
  ['mqtt', 'http://x', '--mqtt'],
  ['mqtt', 'localhost', '--mqtt'],
  ['secret', '', '--secret'],
  ['topicPrefix', 'devices/', '--topic-prefix'],
  ['topicPrefix', '{client}', '--topic-prefix'],
  ['topicPrefix', '+/{client}/', '--topic-prefix'],
  ['window', '0', '--window'],
  ['live', 'soon', '--live'],
])('%s "%s" is refused by name', (word, value, option) => {
  const read = () => readPublishOptions({ ...PUBLISH, [word]: value }, say);
  expect(read).toThrow(
    expect.objectContaining({ code: 'invalid_option', params: expect.objectContaining({ option, value }) }),
  );
});

test('topics as at the service itself, or behind a prefix', () => {
  expect(readPublishOptions(PUBLISH, say).topicPrefix).toBe('');
  expect(readPublishOptions({ ...PUBLISH, topicPrefix: 'devices/{client}/' }, say).topicPrefix).toBe(
    'devices/{client}/',
  );
});

test('a refusal says what would be right, in both languages', () => {
  const params = { option: '--seed', value: 'x', expected: '0' };
  expect(errorText('en', 'invalid_option', params)).toBe('option --seed has the value "x": it should be 0');
  expect(errorText('zh-CN', 'invalid_option', params)).toBe('选项 --seed 的值“x”不正确:应为 0');
});
