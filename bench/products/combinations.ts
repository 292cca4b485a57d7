/** Which products are measured together. */
import type { Shape } from '../publishes.ts';

export const STORES = {
  embedded: 'embedded PostgreSQL',
  postgres: 'external PostgreSQL',
  influxdb: 'InfluxDB',
} as const;
export const BROKERS = { embedded: 'embedded aedes', mosquitto: 'Mosquitto' } as const;
export const QUEUES = { postgres: 'PostgreSQL', redis: 'Redis' } as const;

export interface Combination {
  name: string;
  store: keyof typeof STORES;
  broker: keyof typeof BROKERS;
  queue: keyof typeof QUEUES;
  /** Processes that take in readings, beside one for the rules and one for people; absent = one process does everything. */
  workers?: number;
}

const NAMED = (combination: Omit<Combination, 'name'>): Combination => {
  const { store, broker, queue, workers } = combination;
  return { name: `${store}/${broker}/${queue}${workers ? `/${workers}` : ''}`, ...combination };
};

/**
 * The default first. Every store with every broker; the queue carries tasks and not readings, so Redis is measured at the two
 * ends only, to show that it costs them nothing. And what a city runs, as several processes.
 */
export const COMBINATIONS: readonly Combination[] = [
  { store: 'embedded', broker: 'embedded', queue: 'postgres' } as const,
  { store: 'postgres', broker: 'embedded', queue: 'postgres' } as const,
  { store: 'influxdb', broker: 'embedded', queue: 'postgres' } as const,
  { store: 'embedded', broker: 'mosquitto', queue: 'postgres' } as const,
  { store: 'postgres', broker: 'mosquitto', queue: 'postgres' } as const,
  { store: 'influxdb', broker: 'mosquitto', queue: 'postgres' } as const,
  { store: 'embedded', broker: 'embedded', queue: 'redis' } as const,
  { store: 'influxdb', broker: 'mosquitto', queue: 'redis' } as const,
  { store: 'postgres', broker: 'mosquitto', queue: 'postgres', workers: 2 } as const,
].map(NAMED);

export const DEFAULT = COMBINATIONS[0]!;

/** Versions of what is installed; undefined = it is not. */
export interface Installed {
  postgres: string | undefined;
  influxdb: string | undefined;
  mosquitto: string | undefined;
  redis: string | undefined;
}

const PACKAGES: Readonly<Record<keyof Installed, string>> = {
  postgres: 'PostgreSQL 15 or newer (Debian package postgresql)',
  influxdb: 'influxd (Debian package influxdb)',
  mosquitto: 'mosquitto (Debian package mosquitto)',
  redis: 'redis-server and redis-cli (Debian package redis)',
};

/** What this machine lacks for a combination. */
export function missingFor({ store, broker, queue }: Combination, installed: Installed): string[] {
  const needed: (keyof Installed)[] = [];
  if (store !== 'embedded') needed.push(store);
  if (broker !== 'embedded') needed.push(broker);
  if (queue !== 'postgres') needed.push(queue);
  return needed.filter((product) => installed[product] === undefined).map((product) => PACKAGES[product]);
}

/** Who runs in what order: each round the other way round, so that the drift of a machine meets all of them alike. */
export function inRound(combinations: readonly Combination[], round: number): readonly Combination[] {
  return round % 2 === 1 ? combinations : combinations.toReversed();
}

/** One combination under one shape of load in one round. */
export interface Run {
  combination: string;
  shape: Shape;
  round: number;
  readingsPerSecond: number;
  /** Processor time of one reading. */
  cpuUs: CpuUs;
  generatorCpu: number;
}

export interface CpuUs {
  service: number;
  /** PostgreSQL, and InfluxDB where it is there. */
  store: number;
  /** One outside of the service. */
  broker: number;
  /** What stands before InfluxDB 1.6, here in the benchmark's own process, which is idle otherwise. */
  front: number;
}
