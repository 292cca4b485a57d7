/** How long one instrument's day takes to read back over HTTP once many readings are stored. */
import { createHistogram } from 'node:perf_hooks';
import { instrumentId } from './fleet.ts';
import { historyStartMs, type IngestSettings, withLoadedPipeline } from './ingest.ts';
import type { Pipeline, RunningPipeline } from './pipelines/pipeline.ts';
import type { BenchPostgres } from './postgres.ts';
import { STEP_MS } from './publishes.ts';
import { request } from './service.ts';

export interface DayRead {
  storedReadings: number;
  fillReadingsPerSecond: number;
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
}

const DAY_MS = 86_400_000;
const READINGS_PER_DAY = DAY_MS / STEP_MS;
const READS = 300;
/** First requests compile the route and open connections. */
const WARMUP_READS = 20;

export async function measureDayRead(
  postgres: BenchPostgres,
  pipeline: Pipeline,
  settings: IngestSettings,
  readings: number,
): Promise<DayRead> {
  const { fleet } = settings;
  const publishesPerConnection = Math.ceil(readings / (fleet.gateways * fleet.instrumentsPerGateway));
  if (publishesPerConnection < READINGS_PER_DAY)
    throw new Error('--fill is less than a day of every instrument: raise it, or lower --gateways');
  // The newest reading is to be about a day old, whatever the size of the fill.
  const historyDays = Math.ceil(publishesPerConnection / READINGS_PER_DAY) + 1;
  return withLoadedPipeline(postgres, pipeline, { fleet, historyDays }, async (running, load) => {
    const startMs = historyStartMs(historyDays);
    const filled = await load.fill({ window: settings.window.gateway, publishesPerConnection });
    const days = Math.floor(publishesPerConnection / READINGS_PER_DAY);
    const latencyUs = createHistogram({ figures: 3 });
    for (let read = -WARMUP_READS; read < READS; read++) {
      // Two strides prime to the counts visit instruments and days evenly, the same ones every run.
      const instrument = instrumentId(
        (Math.abs(read) * 37) % fleet.gateways,
        (Math.abs(read) * 11) % fleet.instrumentsPerGateway,
      );
      const tookMs = await readDay(running, instrument, startMs + ((Math.abs(read) * 7) % days) * DAY_MS);
      if (read >= 0) latencyUs.record(Math.max(1, Math.round(tookMs * 1000)));
    }
    return {
      storedReadings: publishesPerConnection * fleet.gateways * fleet.instrumentsPerGateway,
      fillReadingsPerSecond: filled.readingsPerSecond,
      p50Ms: latencyUs.percentile(50) / 1000,
      p99Ms: latencyUs.percentile(99) / 1000,
      maxMs: latencyUs.max / 1000,
    };
  });
}

async function readDay(running: RunningPipeline, instrument: string, fromMs: number): Promise<number> {
  if (!running.http) throw new Error('only a pipeline with an HTTP interface reads days back');
  const query = new URLSearchParams({
    from: new Date(fromMs).toISOString(),
    to: new Date(fromMs + DAY_MS - 1).toISOString(),
    limit: String(READINGS_PER_DAY + 1),
  });
  const before = performance.now();
  const { readings } = await request<{ readings: unknown[] }>(
    `${running.http.url}/api/v1/instruments/${instrument}/readings?${query}`,
    { headers: { authorization: `Bearer ${running.http.token}` } },
  );
  const tookMs = performance.now() - before;
  if (readings.length !== READINGS_PER_DAY)
    throw new Error(`${instrument}: ${readings.length} readings in a day instead of ${READINGS_PER_DAY}`);
  return tookMs;
}
