/** The measured combinations as one page of markdown: medians of the rounds, and ratios within each round. */
import { type Machine, machineLine } from '../machine.ts';
import { count, table } from '../markdown.ts';
import type { Shape } from '../publishes.ts';
import { median } from '../summary.ts';
import {
  BROKERS,
  COMBINATIONS,
  type Combination,
  type CpuUs,
  DEFAULT,
  type Installed,
  missingFor,
  QUEUES,
  type Run,
  STORES,
} from './combinations.ts';
import { AHEAD, FLEET, WINDOW, WINDOW_OUTSIDE } from './offered.ts';

export interface Products {
  measuredOn: string;
  machine: Machine;
  installed: Installed;
  runs: Run[];
}

export interface Row {
  combination: Combination;
  shape: Shape;
  readingsPerSecond: number;
  /** To the default in the same round; absent where that was not measured. */
  ratio: { median: number; least: number; most: number } | undefined;
  cpuUs: CpuUs;
  generatorCpu: number;
}

const SHAPE_TITLES: Record<Shape, string> = { single: '1 reading', gateway: '100 readings' };
const GENERATOR_LIMIT = 0.9;

export function summarizeProducts(runs: readonly Run[]): Row[] {
  return COMBINATIONS.flatMap((combination) =>
    (['single', 'gateway'] as const).flatMap((shape) => {
      const group = runs.filter((run) => run.combination === combination.name && run.shape === shape);
      return group.length > 0 ? [rowOf(combination, shape, group, runs)] : [];
    }),
  );
}

function rowOf(combination: Combination, shape: Shape, group: readonly Run[], runs: readonly Run[]): Row {
  const of = (value: (run: Run) => number) => median(group.map(value));
  const ratios = group.flatMap(({ round, readingsPerSecond }) => {
    const base = runs.find((run) => run.combination === DEFAULT.name && run.shape === shape && run.round === round);
    return base ? [readingsPerSecond / base.readingsPerSecond] : [];
  });
  return {
    combination,
    shape,
    readingsPerSecond: of((run) => run.readingsPerSecond),
    ratio:
      ratios.length > 0 ? { median: median(ratios), least: Math.min(...ratios), most: Math.max(...ratios) } : undefined,
    cpuUs: {
      service: of((run) => run.cpuUs.service),
      store: of((run) => run.cpuUs.store),
      broker: of((run) => run.cpuUs.broker),
      front: of((run) => run.cpuUs.front),
    },
    generatorCpu: of((run) => run.generatorCpu),
  };
}

export function renderProducts({ machine, measuredOn, installed, runs }: Products): string {
  const rows = summarizeProducts(runs);
  const rounds = Math.max(...runs.map(({ round }) => round));
  const { postgres, influxdb, mosquitto, redis } = installed;
  const versions = Object.entries({ PostgreSQL: postgres, InfluxDB: influxdb, Mosquitto: mosquitto, Redis: redis });
  const external = versions.flatMap(([name, version]) => (version ? [`${name} ${version}`] : []));
  return [
    `${machineLine(machine)}${external.length > 0 ? `; external: ${external.join(', ')}` : ''}; ${measuredOn}, ` +
      `${rounds} ${rounds === 1 ? 'round' : 'rounds'}`,
    table(
      [
        'store',
        'broker',
        'queue',
        'publish',
        'stored readings/s',
        '÷ default',
        'from … to',
        'µs in service',
        'in store',
        'in broker',
      ],
      rows.map(cells),
    ),
    [...notes(rows, machine.cores), ...skipped(runs, installed)].map((note) => `- ${note}`).join('\n'),
  ].join('\n\n');
}

function cells({ combination, shape, readingsPerSecond, ratio, cpuUs }: Row): string[] {
  const { store, broker, queue } = combination;
  return [
    STORES[store],
    `${BROKERS[broker]}${workersOf(combination)}`,
    QUEUES[queue],
    SHAPE_TITLES[shape],
    count(readingsPerSecond),
    ratio ? `${ratio.median.toFixed(2)} ×` : '',
    ratio ? `${ratio.least.toFixed(2)} … ${ratio.most.toFixed(2)}` : '',
    cpuUs.service.toFixed(1),
    cpuUs.store.toFixed(1),
    broker === 'embedded' ? '' : cpuUs.broker.toFixed(1),
  ];
}

const us = (value: number) => `${value.toFixed(1)} µs`;
const workersOf = ({ workers }: Combination) => (workers ? `, ${workers} ingest + work + api` : '');

function notes(rows: readonly Row[], cores: number): string[] {
  const among = (is: (combination: Combination) => boolean) => rows.filter(({ combination }) => is(combination));
  const fronts = among(({ store }) => store === 'influxdb').map(({ cpuUs }) => cpuUs.front);
  const limited = rows.filter(({ generatorCpu }) => generatorCpu > GENERATOR_LIMIT);
  const found = [
    'Medians of the rounds; ÷ default is to embedded PostgreSQL, aedes and queue in the same round. The last columns are processor time of a reading. Every reading sent was found in the store, once.',
    'Not all twelve: the queue carries tasks, and no reading passes it, so Redis is measured with the default and with everything external only.',
  ];
  if (among(({ broker }) => broker === 'mosquitto').length > 0)
    found.push(
      `Mosquitto acknowledges before anything is stored, so the load follows what is stored, at most ${count(AHEAD.single * FLEET.gateways)} publishes of 1 reading or ${count(AHEAD.gateway * FLEET.gateways)} of 100 ahead. A worker's sessions share the messages, so some overtake those of the same gateway before them, and the store has to look whether it knows them: more than in service, where a gateway sends once in a quarter of an hour, and less than with the ${WINDOW.gateway} publishes of 100 in flight per gateway that the embedded broker is offered; ${WINDOW_OUTSIDE.gateway} here.`,
    );
  if (fronts.length > 0)
    found.push(
      `InfluxDB 1.6 has no /api/v2/write: a front that adds it takes ${us(Math.min(...fronts))} to ${us(Math.max(...fronts))} of each reading on the same cores; a newer InfluxDB needs none.`,
    );
  if (among(({ workers }) => workers !== undefined).length > 0)
    found.push(
      `Several processes share ${cores} cores with the load, the broker and the database here: the row tells what dividing the work costs, not what it gains on machines of their own.`,
    );
  for (const { combination, shape } of limited)
    found.push(
      `the load generator was the limit of ${combination.name}, ${SHAPE_TITLES[shape]}: its figure is too low`,
    );
  return found;
}

function skipped(runs: readonly Run[], installed: Installed): string[] {
  return COMBINATIONS.flatMap((combination) => {
    const missing = missingFor(combination, installed);
    if (missing.length === 0 || runs.some((run) => run.combination === combination.name)) return [];
    return [`skipped ${combination.name}: ${missing.join(' and ')} not installed`];
  });
}
