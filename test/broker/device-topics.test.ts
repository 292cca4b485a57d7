import { expect, test } from 'vitest';
import { DEFAULT_PREFIX, DeviceTopics, isTopicPrefix } from '../../src/broker/device-topics.ts';

const TOPICS = ['v1/gateway/telemetry', 'meterwarden/v1/{instrument}/registers'];
const byTopic = new DeviceTopics({ topics: TOPICS, prefix: DEFAULT_PREFIX });
const byProperty = new DeviceTopics({ topics: TOPICS, prefix: DEFAULT_PREFIX, clientProperty: 'client' });

test('a filter for every topic, captures as one level', () => {
  expect(byTopic.filters).toEqual(['devices/+/v1/gateway/telemetry', 'devices/+/meterwarden/v1/+/registers']);
  expect(byProperty.filters).toEqual(['v1/gateway/telemetry', 'meterwarden/v1/+/registers']);
});

test.each([
  ['devices/GW-1/v1/gateway/telemetry', 'GW-1', 'v1/gateway/telemetry'],
  ['devices/表-1/meterwarden/v1/M/registers', '表-1', 'meterwarden/v1/M/registers'],
  ['devices/GW-1/', 'GW-1', ''],
])('%s is from %s', (topic, client, rest) => {
  expect(byTopic.origin(topic, undefined)).toEqual({ client, claimed: client, topic: rest });
});

test.each([
  ['devices/GW 1/v1', 'GW 1'],
  ['devices/GW+/v1', 'GW+'],
  ['devices/#/v1', '#'],
  ['devices/a\0b/v1', 'a\0b'],
  [`devices/${'x'.repeat(65)}/v1`, 'x'.repeat(65)],
  ['devices//v1', ''],
  ['devices/GW-1', ''],
  ['other/GW-1/v1', ''],
  ['', ''],
])('%j is from nobody', (topic, claimed) => {
  expect(byTopic.origin(topic, { client: 'GW-1' })).toMatchObject({ client: undefined, claimed });
});

test('what follows the client in the prefix belongs to it', () => {
  const topics = new DeviceTopics({ topics: TOPICS, prefix: 'city/{client}/up/' });
  expect(topics.filters[0]).toBe('city/+/up/v1/gateway/telemetry');
  expect(topics.origin('city/GW/up/v1/gateway/telemetry', undefined)).toMatchObject({
    client: 'GW',
    topic: 'v1/gateway/telemetry',
  });
  expect(topics.origin('city/GW/down/v1/gateway/telemetry', undefined).client).toBeUndefined();
  expect(topics.refusalTopic('$&', 'r')).toBe('city/$&/up/r');
});

test('the identity is a property of the message', () => {
  const topic = TOPICS[0]!;
  expect(byProperty.origin(topic, { client: 'GW-1' })).toEqual({ client: 'GW-1', claimed: 'GW-1', topic });
  for (const properties of [undefined, {}, { client: '' }, { client: 'a/b' }, { client: ['GW-1', 'GW-2'] }]) {
    expect(byProperty.origin(topic, properties).client).toBeUndefined();
  }
  expect(byProperty.refusalTopic('GW-1', 'v1/gateway/telemetry/rejected')).toBe(
    'devices/GW-1/v1/gateway/telemetry/rejected',
  );
});

test.each([
  ['devices/{client}/', true],
  ['{client}/', true],
  ['a/b/{client}/c/', true],
  ['devices/{client}', false],
  ['devices/', false],
  ['{client}/{client}/', false],
  ['devices/x{client}/', false],
  ['$share/{client}/', false],
  ['a/+/{client}/', false],
  ['', false],
])('prefix %j: %s', (prefix, expected) => {
  expect(isTopicPrefix(prefix)).toBe(expected);
});
