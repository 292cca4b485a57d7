/** A thread that reads the window of a district and estimates it, one order after the other. */
import { parentPort, workerData } from 'node:worker_threads';
import type { DistrictEstimate } from '../accuracy/district.ts';
import { estimateDistrict } from '../accuracy/estimate.ts';
import { DistrictCollector, isEstimated } from '../accuracy/window.ts';
import { loadDomain } from '../config.ts';
import type { EstimateOrder } from '../estimating.ts';
import type { Instrument } from '../fleet/instrument.ts';
import { InfluxReadings } from '../store/influxdb-readings.ts';
import { openPool } from '../store/postgres.ts';
import { PostgresReadings } from '../store/postgres-readings.ts';
import type { ReadingStore } from '../store/readings.ts';
import type { EstimateAnswer, EstimateThreadSettings } from './estimates.ts';

const { databaseUrl, influx, configDir } = workerData as EstimateThreadSettings;
const { kinds, accuracy: policy } = loadDomain(configDir);
/** Of the order that is worked on. */
let instruments: ReadonlyMap<number, Instrument> = new Map();
const readings = openReadings();

parentPort!.on('message', async (order: EstimateOrder) => {
  let answer: EstimateAnswer;
  try {
    answer = { estimate: await calculate(order) };
  } catch (error) {
    answer = { failure: (error as Error).stack ?? String(error) };
  }
  parentPort!.postMessage(answer);
});

async function calculate({
  district,
  instruments: all,
  fromMs,
  toMs,
  siteResults,
}: EstimateOrder): Promise<DistrictEstimate> {
  const estimated = all.filter(isEstimated);
  instruments = new Map(estimated.map((instrument) => [instrument.key, instrument]));
  const collector = new DistrictCollector(district, estimated);
  for await (const reading of readings.window([...instruments.keys()], fromMs, toMs + 1)) collector.add(reading);
  const { window } = collector.collect({ kinds, policy, siteResults });
  return estimateDistrict(window, policy);
}

function openReadings(): Pick<ReadingStore, 'window'> {
  if (!influx) return new PostgresReadings(openPool(databaseUrl, 1), Date.now);
  return new InfluxReadings({
    ...influx,
    idOf: (key) => instruments.get(key)?.id,
    keys: () => instruments.keys(),
    nowMs: Date.now,
  });
}
