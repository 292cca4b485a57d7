/** Loads the pipelines in turn, several rounds, so that the drift of a machine meets all of them alike. */
import { type BenchFleet, instrumentId, instrumentIds } from './fleet.ts';
import { type Load, type LoadResult, startLoad } from './load.ts';
import type { Pipeline, RunningPipeline } from './pipelines/pipeline.ts';
import type { BenchPostgres } from './postgres.ts';
import { type Shape, STEP_MS } from './publishes.ts';

export interface IngestSettings {
  fleet: BenchFleet;
  shapes: Shape[];
  /** Publishes in flight per connection. */
  window: Record<Shape, number>;
  rounds: number;
  warmupMs: number;
  measureMs: number;
  historyDays: number;
}

/** One pipeline under one shape of load in one round: as fast as it acknowledges, then at half of that. */
export interface Measurement {
  pipeline: Pipeline['name'];
  shape: Shape;
  round: number;
  maximum: LoadResult;
  half: LoadResult;
}

const DATABASE = 'bench';

export async function measureIngest(
  postgres: BenchPostgres,
  pipelines: Pipeline[],
  settings: IngestSettings,
  onMeasured: (measurement: Measurement) => void,
): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  for (let round = 1; round <= settings.rounds; round++) {
    for (const pipeline of pipelines) {
      await withLoadedPipeline(postgres, pipeline, settings, async (running, load) => {
        for (const shape of settings.shapes) {
          const measured = { pipeline: pipeline.name, round, ...(await measureShape(postgres, load, shape, settings)) };
          await expectAllStored(running, measured.half);
          onMeasured(measured);
          measurements.push(measured);
        }
      });
    }
  }
  return measurements;
}

/** A pipeline on a fresh database with a load generator connected to it; both are gone afterwards. */
export async function withLoadedPipeline<T, R extends RunningPipeline>(
  postgres: BenchPostgres,
  pipeline: Pick<Pipeline<R>, 'start'>,
  settings: Pick<IngestSettings, 'fleet' | 'historyDays'>,
  use: (running: R, load: Load) => Promise<T>,
): Promise<T> {
  const databaseUrl = await postgres.freshDatabase(DATABASE);
  const running = await pipeline.start({ databaseUrl, fleet: settings.fleet });
  try {
    const load = await connectLoad(running, settings.fleet, settings.historyDays);
    try {
      return await use(running, load);
    } finally {
      await load.stop();
    }
  } finally {
    await running.stop();
    await postgres.dropDatabase(DATABASE);
  }
}

export function connectLoad(
  target: Pick<RunningPipeline, 'mqttPort' | 'credentials' | 'topic' | 'storedBy'>,
  fleet: BenchFleet,
  historyDays: number,
): Promise<Load> {
  return startLoad({
    port: target.mqttPort,
    startMs: historyStartMs(historyDays),
    ...(target.storedBy && { storedBy: target.storedBy }),
    connections: Array.from({ length: fleet.gateways }, (_, gateway) => ({
      ...target.credentials(gateway),
      instruments: instrumentIds(fleet, gateway),
      ...(target.topic && { topic: target.topic(gateway) }),
    })),
  });
}

/** Every reading is 15 minutes after the one before, so the load has to begin days ago to stay out of the future. */
export const historyStartMs = (historyDays: number) =>
  Math.floor((Date.now() - historyDays * 86_400_000) / STEP_MS) * STEP_MS;

async function measureShape(
  postgres: BenchPostgres,
  load: Load,
  shape: Shape,
  settings: IngestSettings,
): Promise<Pick<Measurement, 'shape' | 'maximum' | 'half'>> {
  const { warmupMs, measureMs } = settings;
  const run = { shape, window: settings.window[shape], warmupMs, measureMs };
  await postgres.checkpoint();
  const maximum = await load.run(run);
  await postgres.checkpoint();
  const half = await load.run({ ...run, ratePerSecond: maximum.publishesPerSecond / 2 });
  return { shape, maximum, half };
}

/** Acknowledged means stored: counts the readings of a few instruments against what the generator had acknowledged. */
export async function expectAllStored(
  running: Pick<RunningPipeline, 'storedReadings'>,
  { steps }: LoadResult,
): Promise<void> {
  if (!running.storedReadings) return;
  for (const gateway of [0, Math.floor(steps.length / 2), steps.length - 1]) {
    const instrument = instrumentId(gateway, 0);
    const stored = await running.storedReadings(instrument);
    if (stored !== steps[gateway])
      throw new Error(`${instrument}: ${steps[gateway]} readings acknowledged, ${stored} stored`);
  }
}
