import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import mqtt from 'mqtt';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mosquittoAcl, mosquittoPasswordLine, writeMosquittoFiles } from '../../src/broker/mosquitto.ts';
import { loadDomain } from '../../src/config.ts';
import { MOSQUITTO, Mosquitto, REQUIRED } from '../support/mosquitto.ts';

const { profiles } = loadDomain();
const TELEMETRY = 'devices/GW-1/v1/gateway/telemetry';

test('the documented access list is the one for the shipped profiles', () => {
  const acl = mosquittoAcl({ user: 'meterwarden', topics: profiles.topics, refusalTopics: profiles.refusalTopics });
  expect(readFileSync(resolve(import.meta.dirname, '../../deploy/mosquitto/acl'), 'utf8')).toBe(acl);
});

test('EMQX’s list, which cannot be tried here, names every topic of the shipped profiles', () => {
  const acl = readFileSync(resolve(import.meta.dirname, '../../deploy/emqx/acl.conf'), 'utf8');
  for (const topic of [...profiles.topics.map((one) => one.replace('{instrument}', '+')), ...profiles.refusalTopics]) {
    for (const client of ['+', ['$', '{username}'].join('')]) expect(acl).toContain(`"devices/${client}/${topic}"`);
  }
});

test('an access list for another prefix', () => {
  const acl = mosquittoAcl({
    user: 'mw',
    prefix: 'city/{client}/',
    topics: ['a/{instrument}'],
    refusalTopics: ['a/no'],
  });
  expect(acl.split('\n').filter((line) => /^[a-z]/.test(line))).toEqual([
    'user mw',
    'topic read city/+/a/+',
    'topic write city/+/a/no',
    'pattern write city/%u/a/+',
    'pattern read city/%u/a/no',
  ]);
});

test.each(['a:b', 'a\nb', 'a\0b', ''])('%j cannot stand in a password file', (id) => {
  expect(mosquittoPasswordLine(id, 'secret')).toBeUndefined();
});

test('files are replaced whole', () => {
  const folder = mkdtempSync(join(tmpdir(), 'meterwarden-mosquitto-'));
  writeMosquittoFiles(folder, ['a:1', 'b:2'], 'acl\n');
  writeMosquittoFiles(folder, ['c:3'], 'acl\n');
  expect(readdirSync(folder).sort()).toEqual(['acl', 'passwd']);
  expect(readFileSync(join(folder, 'passwd'), 'utf8')).toBe('c:3\n');
  rmSync(folder, { recursive: true });
});

describe.skipIf(MOSQUITTO === undefined && !REQUIRED)('Mosquitto with these files', () => {
  let broker: Mosquitto;
  beforeAll(async () => {
    broker = await Mosquitto.start({ 'GW-1': 'a long secret', '表-2': '密码密码密码', meterwarden: 'mw' });
  });
  afterAll(() => broker.stop());

  async function connect(username: string, password: string): Promise<mqtt.MqttClient> {
    const client = mqtt.connect({ port: broker.port, host: '127.0.0.1', username, password, reconnectPeriod: 0 });
    await new Promise<void>((done, fail) => {
      client.once('connect', () => done());
      client.once('error', fail);
    });
    return client;
  }

  test.each([
    ['GW-1', 'a long secret'],
    ['表-2', '密码密码密码'],
  ])('%s gets in with its secret and no other', async (name, secret) => {
    await (await connect(name, secret)).endAsync();
    await expect(connect(name, `${secret}!`)).rejects.toThrow(/Not authorized/);
  });

  test('a device writes its own topics and hears its own refusals, and nothing else', async () => {
    const [workers, device, other] = await Promise.all([
      connect('meterwarden', 'mw'),
      connect('GW-1', 'a long secret'),
      connect('表-2', '密码密码密码'),
    ]);
    const heard: string[] = [];
    workers.on('message', (topic) => heard.push(`workers ${topic}`));
    device.on('message', (topic) => heard.push(`device ${topic}`));
    other.on('message', (topic) => heard.push(`other ${topic}`));
    for (const client of [workers, device, other]) await client.subscribeAsync(['devices/#', '#'], { qos: 1 });
    // Mosquitto acknowledges what it denies to MQTT 3.1.1, and may then close the connection.
    for (const [name, secret, topic] of [
      ['表-2', '密码密码密码', TELEMETRY],
      ['GW-1', 'a long secret', `${TELEMETRY}/rejected`],
    ] as const) {
      const denied = await connect(name, secret);
      await denied.publishAsync(topic, 'not mine', { qos: 1 });
      await denied.endAsync();
    }
    await device.publishAsync(TELEMETRY, 'mine', { qos: 1 });
    await workers.publishAsync(`${TELEMETRY}/rejected`, 'told', { qos: 1 });
    for (const client of [workers, device, other]) await client.unsubscribeAsync('#');
    expect([...new Set(heard)].sort()).toEqual([`device ${TELEMETRY}/rejected`, `workers ${TELEMETRY}`]);
    for (const client of [workers, device, other]) await client.endAsync();
  });
});
