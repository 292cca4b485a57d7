/** Bursts as tables. */
import { type Machine, machineLine } from '../machine.ts';
import { count, table } from '../markdown.ts';
import type { MeasuredBurst } from './measure.ts';
import type { Burst, BurstResult } from './model.ts';

export interface Comparison {
  measured: MeasuredBurst;
  predicted: BurstResult;
}

export interface Comparisons {
  machine: Machine;
  bursts: Comparison[];
}

const seconds = (ms: number) => `${(ms / 1000).toFixed(ms < 9_995 ? 2 : 0)} s`;

export function predictionTable(rows: readonly { burst: Burst; result: BurstResult }[]): string {
  return table(
    [
      'instruments',
      'in a message',
      'within',
      'workers',
      'most waiting',
      'unread',
      'p50',
      'p99',
      'shed',
      'drained after',
      'rules behind',
    ],
    rows.map(({ burst, result }) => [
      count(burst.readings),
      count(burst.readingsPerMessage),
      seconds(burst.windowMs),
      String(burst.workers),
      `${count(result.maxWaitingReadings)} readings`,
      `${count(result.maxUnreadMessages)} messages`,
      seconds(result.p50Ms),
      seconds(result.p99Ms),
      `${count(result.shedMessages)} messages`,
      seconds(result.drainedMs),
      burst.log ? seconds(result.rulesBehindMs) : 'as committed',
    ]),
  );
}

export function comparisonTable({ machine, bursts }: Comparisons): string {
  const both = (predicted: string, measured: string) => `${predicted} / ${measured}`;
  const rows = bursts.map(({ measured, predicted }) => [
    `${count(measured.readings)} readings, ${measured.shape === 'gateway' ? '100 to a message' : 'one to a message'}, in ${seconds(measured.windowMs)}`,
    measured.freeCores.toFixed(2),
    `${measured.serviceUs.toFixed(1)} + ${measured.postgresUs.toFixed(1)} µs`,
    both(count(predicted.maxWaitingReadings), count(measured.maxInFlightReadings)),
    both(seconds(predicted.p50Ms), seconds(measured.p50Ms)),
    both(seconds(predicted.p99Ms), seconds(measured.p99Ms)),
    both(seconds(predicted.drainedMs), seconds(measured.drainedMs)),
    both(count(predicted.commits), count(measured.commits)),
  ]);
  const head = [
    'predicted / measured',
    'cores left by others',
    'service + PostgreSQL per reading',
    'most in flight',
    'p50',
    'p99',
    'drained after',
    'commits',
  ];
  return `${machineLine(machine)}\n\n${table(head, rows)}`;
}
