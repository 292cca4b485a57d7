/** The addresses the service listens on: tried before anything is started, and in a sentence what is wrong with one. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import type { Settings } from './config.ts';
import { MeterwardenError } from './errors.ts';
import type { START_PROBLEMS } from './texts/start.ts';

type Addresses = Pick<Settings, 'host' | 'httpPort' | 'mqttPort' | 'mqttsPort'>;
const PORTS = { HTTP_PORT: 'httpPort', MQTT_PORT: 'mqttPort', MQTTS_PORT: 'mqttsPort' } as const;
export type PortSetting = keyof typeof PORTS;

/** All at once, so that one port for two purposes is found too. */
export async function requireAddresses(addresses: Addresses, names: readonly PortSetting[]): Promise<void> {
  const probes: Server[] = [];
  try {
    for (const name of names) {
      await listening(name, addresses, async (host, port) => {
        const probe = createServer();
        probes.push(probe);
        probe.listen(port, host);
        await once(probe, 'listening');
      });
    }
  } finally {
    for (const probe of probes) probe.close();
  }
}

/** Runs `listen`, unless the port is off; what the system refuses becomes a refusal of the setting that asked for it. */
export async function listening<T>(
  name: PortSetting,
  addresses: Addresses,
  listen: (host: string, port: number) => Promise<T>,
): Promise<T | undefined> {
  const { host, [PORTS[name]]: port } = addresses;
  if (port === 'off') return undefined;
  try {
    return await listen(host, port);
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException;
    if (code === undefined || syscall === undefined) throw error;
    const ofPort = code === 'EADDRINUSE' || code === 'EACCES';
    throw new MeterwardenError('unusable_setting', {
      path: ofPort ? name : 'HOST',
      params: { value: ofPort ? port : host, problem: PROBLEM_OF[code] ?? 'address_refused', host, code },
      cause: error,
    });
  }
}

const PROBLEM_OF: Readonly<Record<string, keyof typeof START_PROBLEMS>> = {
  EADDRINUSE: 'port_taken',
  EACCES: 'port_forbidden',
  EADDRNOTAVAIL: 'foreign_address',
  ENOTFOUND: 'unknown_host',
  EAI_AGAIN: 'no_name_service',
};
