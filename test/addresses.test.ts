import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { listening, requireAddresses } from '../src/addresses.ts';
import type { MeterwardenError } from '../src/errors.ts';
import { sayError } from '../src/texts/errors.ts';
import { asNobody } from './support/nobody.ts';

const LOWEST = '/proc/sys/net/ipv4/ip_unprivileged_port_start';
const here: Parameters<typeof requireAddresses>[0] = { host: '127.0.0.1', httpPort: 0, mqttPort: 0, mqttsPort: 'off' };

async function refusal(addresses: typeof here): Promise<MeterwardenError> {
  return await requireAddresses(addresses, ['HTTP_PORT', 'MQTT_PORT', 'MQTTS_PORT']).then(
    () => expect.unreachable('it was not refused'),
    (error) => error,
  );
}

async function taken(): Promise<{ port: number; free(): Promise<void> }> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  return { port, free: () => new Promise((done) => server.close(() => done())) };
}

describe('addresses', () => {
  it('that are free are left free', async () => {
    const { port, free } = await taken();
    await free();
    await requireAddresses({ ...here, httpPort: port }, ['HTTP_PORT', 'MQTT_PORT', 'MQTTS_PORT']);
    await requireAddresses({ ...here, mqttPort: port }, ['HTTP_PORT', 'MQTT_PORT', 'MQTTS_PORT']);
  });

  it.each([
    ['httpPort', 'HTTP_PORT'],
    ['mqttPort', 'MQTT_PORT'],
    ['mqttsPort', 'MQTTS_PORT'],
  ])('whose %s is taken are refused by %s', async (field, path) => {
    const { port, free } = await taken();
    const error = await refusal({ ...here, [field]: port });
    expect(error).toMatchObject({ code: 'unusable_setting', path, params: { value: port, problem: 'port_taken' } });
    expect(sayError(error, 'en')).toBe(
      `The setting “${port}” cannot be used: the port is taken; choose one that is not`,
    );
    await free();
  });

  it('are not tried when they are off', async () => {
    const { port, free } = await taken();
    await requireAddresses({ ...here, mqttPort: 'off' }, ['MQTT_PORT', 'MQTTS_PORT']);
    expect(await listening('MQTT_PORT', { ...here, mqttPort: 'off' }, async () => port)).toBeUndefined();
    await free();
  });

  it('are refused when both ports are one', async () => {
    const { port, free } = await taken();
    await free();
    const error = await refusal({ ...here, httpPort: port, mqttPort: port });
    expect(error).toMatchObject({ path: 'MQTT_PORT', params: { problem: 'port_taken' } });
  });

  it.each([
    ['192.0.2.1', /^foreign_address$/], // a block for documentation, nobody's address
    ['no-such-host.invalid', /^(unknown_host|no_name_service)$/],
    ['127.0.0.1:80', /^(unknown_host|no_name_service)$/],
  ])('at %s are refused by HOST', async (host, problem) => {
    const error = await refusal({ ...here, host });
    expect(error).toMatchObject({ code: 'unusable_setting', path: 'HOST', params: { value: host } });
    expect(error.params.problem).toMatch(problem);
    for (const language of ['zh-CN', 'en'] as const) expect(sayError(error, language)).toContain(host);
  });

  it('below 1024 need a privilege, where the system has not lowered that', async () => {
    if (existsSync(LOWEST) && Number(readFileSync(LOWEST, 'utf8')) <= 1) return;
    const error = await asNobody(() => refusal({ ...here, httpPort: 1 }));
    expect(error).toMatchObject({ path: 'HTTP_PORT', params: { value: 1, problem: 'port_forbidden' } });
  });

  it('leave other errors alone', async () => {
    const defect = new TypeError('no function');
    await expect(listening('HTTP_PORT', here, () => Promise.reject(defect))).rejects.toBe(defect);
  });
});
