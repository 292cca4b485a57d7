/** The measured costs and the machines they lead to, as the marked parts of docs/scale.md. */
import { machineLine } from '../machine.ts';
import { count, table } from '../markdown.ts';
import { type Costs, constantsOf, fullConstantsOf, type IngestRun } from './costs.ts';
import { districtCost, memoryOf } from './machines.ts';
import { assumptions, chineseSummary, machinesTable, unshardedTable } from './machines-report.ts';

const us = (value: number) => `${value.toFixed(value < 10 ? 2 : 1)} µs`;
const ms = (value: number) => `${value.toFixed(1)} ms`;
const bytes = (value: number) => `${count(value)} B`;
const mb = (value: number) => `${(value / 1e6).toFixed(1)} MB`;
/** By the name of the part. */
export function costParts(
  costs: Costs,
): Record<'cost zh' | 'cost constants' | 'cost machines' | 'cost assumptions', string> {
  return {
    'cost zh': chineseSummary(costs),
    'cost constants': [
      `${machineLine(costs.machine)}, measured on ${costs.measuredOn}`,
      runsTable(costs.ingest),
      constantsTable(costs),
      districtLine(costs),
    ].join('\n\n'),
    'cost machines': `${machinesTable(costs)}\n\n${unshardedTable(costs)}`,
    'cost assumptions': assumptions(),
  };
}

function runsTable(runs: readonly IngestRun[]): string {
  const shapes = { single: '1 reading', gateway: '100 readings' };
  return table(
    [
      'publish',
      'readings/s',
      'readings per commit',
      'service per reading',
      'of it main thread',
      'PostgreSQL per reading',
      'p50',
      'p99',
    ],
    runs.map((run) => [
      shapes[run.shape],
      run.full ? `${count(run.readingsPerSecond)}, all it takes` : count(run.readingsPerSecond),
      count(run.readings / run.commits),
      us(run.serviceUs / run.readings),
      us(run.serviceMainUs / run.readings),
      us(run.postgresUs / run.readings),
      ms(run.p50Ms),
      ms(run.p99Ms),
    ]),
  );
}

function constantsTable(costs: Costs): string {
  const { disk, log, inProcess, fleet, idle } = costs;
  const c = constantsOf(costs);
  const full = fullConstantsOf(costs);
  const memory = memoryOf(fleet);
  const per100k = 100_000 / inProcess.instruments;
  const fleet100k = 100_000 / fleet.instruments;
  return table(
    ['constant', 'value', 'from'],
    [
      [
        'service, main thread',
        `${us(c.messageUs)} per message + ${us(c.readingUs)} per reading + ${us(c.turnUs)} per commit`,
        'fitted to the runs',
      ],
      [
        'the same with a backlog',
        `${us(full.messageUs)} per message + ${us(full.readingUs)} per reading; PostgreSQL ${us(full.storeUs)} per reading`,
        'fitted to the runs at full speed',
      ],
      ['all threads of the service', `${c.threads.toFixed(2)} × its main thread`, 'the runs'],
      ['PostgreSQL', `${us(c.commitUs)} per commit + ${us(c.storeUs)} per reading`, 'fitted to the runs'],
      ['of the service: encoding for COPY, judging', `${us(c.encodeUs)}, ${us(c.judgeUs)} per reading`, 'in process'],
      ['following the log: decoding, order, rules', `${us(c.followUs)} per reading`, 'in process'],
      ['a commit by the clock, nothing in it', ms(c.commitMs), 'log, p10'],
      [`an entry of ${count(log.readingsPerEntry)} readings in the log, under its lock`, ms(log.appendMs), 'log, p10'],
      [
        'on disk',
        `${bytes(disk.tableBytes)} table + ${bytes(disk.indexBytes)} index per reading`,
        `a day of ${count(disk.readings)} readings`,
      ],
      [
        'WAL',
        `${bytes(disk.walBytes)} per reading; ${bytes(disk.walBytesAfterCheckpoint)} when it is a page's first since a checkpoint`,
        'the same day',
      ],
      ['pages written per reading and checkpoint', disk.pagesAfterCheckpoint.toFixed(2), 'the same day'],
      [
        'log between ingest and rules',
        `${bytes(log.bytes)} and ${bytes(log.walBytes)} of WAL, ${us(log.postgresUs)} of PostgreSQL per reading`,
        'log',
      ],
      [
        'memory per instrument',
        `${bytes(memory.heapPerInstrument)} in use (ledger ${bytes(memory.ledgerHeapPerInstrument)}), ${bytes(memory.rssPerInstrument)} resident`,
        `service with ${count(fleet.instruments)}`,
      ],
      [
        'of these, by themselves: ledger, hints of the store, rules',
        `${bytes(inProcess.ledgerBytesPerInstrument)}, ${bytes(inProcess.hintBytesPerInstrument)}, ${bytes(inProcess.rulesBytesPerInstrument)}`,
        'in process',
      ],
      [
        'memory of an idle MQTT connection',
        bytes(memory.bytesPerConnection),
        `${count(fleet.connections)} of them, without the kernel's`,
      ],
      [
        'service without instruments',
        `${mb(fleet.empty.rssBytes)} resident, ${us(idle.serviceUsPerSecond)} per second; PostgreSQL ${us(idle.postgresUsPerSecond)}`,
        'service',
      ],
      [
        `tick of 100 000 instruments (${count((inProcess.districts * 100_000) / inProcess.instruments)} districts)`,
        `${us(inProcess.idleTickUs * per100k)} when nobody is due`,
        'in process',
      ],
      [
        'ticks of a district in a quarter of an hour',
        us(inProcess.quarterHourTicksUs / inProcess.districts),
        'in process',
      ],
      [
        'snapshot of the rules, 100 000 instruments',
        `${mb(inProcess.snapshotBytes * per100k)}, ${ms((inProcess.snapshotUs * per100k) / 1000)} of the main thread`,
        'in process',
      ],
      [
        'start: empty, with ledger, with ledger and rules',
        [fleet.emptyStart, fleet.ledgerStart, fleet.rulesStart]
          .map((start) => `${(start.ms / 1000).toFixed(1)} s`)
          .join(', '),
        `service with ${count(fleet.instruments)}`,
      ],
      [
        'of it processor time',
        [fleet.emptyStart, fleet.ledgerStart, fleet.rulesStart]
          .map((start) => `${(start.cpuMs / 1000).toFixed(1)} s`)
          .join(', '),
        'the same',
      ],
      [
        'import of 100 000 instruments',
        `${(fleet.importSeconds * fleet100k).toFixed(1)} s, ${(fleet.importCpuSeconds * fleet100k).toFixed(1)} s of the service`,
        "with 1 000 gateways' secrets",
      ],
    ],
  );
}

function districtLine(costs: Costs): string {
  const d = districtCost(costs);
  return (
    `A district (台区) of 100 instruments costs, in a quarter of an hour, ${ms(d.serviceMs)} of an ingest process, ` +
    `${ms(d.postgresMs)} of PostgreSQL and ${ms(d.rulesMs)} of the rules; ${(d.diskBytes / 1000).toFixed(1)} kB on disk, ` +
    `${(d.walBytes / 1000).toFixed(1)} kB of WAL, and ${(d.logBytes / 1000).toFixed(1)} kB of log for some seconds.`
  );
}
