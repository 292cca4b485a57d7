/** The thread that reads a district's window and estimates it: neither is felt by what takes in readings. */
import { readlinkSync } from 'node:fs';
import { setPriority } from 'node:os';
import { workerData } from 'node:worker_threads';
import type { DistrictEstimate } from '../accuracy/district.ts';
import { estimateDistrict } from '../accuracy/estimate.ts';
import { ESTIMATED_KIND } from '../accuracy/policy.ts';
import { DistrictCollector, isEstimated } from '../accuracy/window.ts';
import { loadDomain } from '../config.ts';
import type { EstimateOrder } from '../estimating.ts';
import type { Instrument } from '../fleet/instrument.ts';
import { InfluxReadings } from '../store/influxdb-readings.ts';
import { openPool } from '../store/postgres.ts';
import { PostgresReadings } from '../store/postgres-readings.ts';
import type { ReadingStore } from '../store/readings.ts';
import { answerOrders } from '../threads.ts';
import type { EstimateThreadSettings } from './estimates.ts';

/** A window is read page by page; nothing else is asked. */
const CONNECTIONS = 1;
/** As long as a page may take: windows are read when the database has time. */
const QUERY_TIMEOUT_MS = 120_000;
/** Behind all others, where a thread can have a priority of its own (Linux). */
const NICE = 10;

const { databaseUrl, influx, configDir } = workerData as EstimateThreadSettings;
const { kinds, accuracy: policy } = loadDomain(configDir);
/** By key, of the district that is read. */
let ids: ReadonlyMap<number, string> = new Map();
const readings = openReadings();
stepBack();

answerOrders(estimate);

async function estimate({
  district,
  instruments,
  fromMs,
  toMs,
  siteResults,
}: EstimateOrder): Promise<DistrictEstimate> {
  ids = new Map(instruments.map(({ key, id }) => [key, id]));
  const estimated = instruments.filter(isEstimated);
  const collector = new DistrictCollector(district, estimated);
  const sinceMs = await completeSince(instruments, fromMs, toMs);
  const keys = estimated.map(({ key }) => key);
  for await (const reading of readings.window(keys, sinceMs, toMs + 1)) collector.add(reading);
  const { window } = collector.collect({ kinds, policy, siteResults });
  return estimateDistrict(window, policy);
}

/** As long as a meter that has left reported, the others are not all there was. */
async function completeSince(instruments: readonly Instrument[], fromMs: number, toMs: number): Promise<number> {
  const gone = instruments.filter(
    ({ kind, role, state }) => kind === ESTIMATED_KIND && role === 'user' && state === 'retired',
  );
  if (gone.length === 0) return fromMs;
  const latest = await readings.latest(gone.map(({ key }) => key));
  return Math.max(fromMs, ...[...latest.values()].map(({ tsMs }) => tsMs).filter((tsMs) => tsMs < toMs));
}

function openReadings(): Pick<ReadingStore, 'window' | 'latest'> {
  if (!influx) return new PostgresReadings(openPool(databaseUrl, CONNECTIONS, undefined, QUERY_TIMEOUT_MS), Date.now);
  return new InfluxReadings({
    ...influx,
    idOf: (key) => ids.get(key),
    keys: () => [...ids.keys()],
    nowMs: Date.now,
  });
}

function stepBack(): void {
  try {
    const [, thread] = /\/task\/(\d+)$/.exec(readlinkSync('/proc/thread-self')) ?? [];
    if (thread !== undefined) setPriority(Number(thread), NICE);
  } catch {} // elsewhere it works with the priority of the process
}
