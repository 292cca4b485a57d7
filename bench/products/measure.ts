/** Measures combinations in turn, several rounds; every reading is counted in the store afterwards. */
import { childrenUs, processTime } from '../cost/processor.ts';
import { expectAllStored, withLoadedPipeline } from '../ingest.ts';
import type { Load } from '../load.ts';
import { type BenchPostgres, findOperatorPostgres, startOperatorPostgres } from '../postgres.ts';
import type { Shape } from '../publishes.ts';
import { type Combination, inRound, type Run } from './combinations.ts';
import { FIRST, FLEET, HISTORY_DAYS, offered, SHAPES } from './offered.ts';
import { pipelineOf, type RunningCombination } from './start.ts';

export interface ProductSettings {
  rounds: number;
  warmupMs: number;
  measureMs: number;
}

export async function measureProducts(
  embedded: BenchPostgres,
  combinations: readonly Combination[],
  settings: ProductSettings,
  onMeasured: (run: Run) => void,
): Promise<Run[]> {
  const external = combinations.some(({ store }) => store === 'postgres')
    ? await startOperatorPostgres(findOperatorPostgres()!)
    : undefined;
  try {
    const runs: Run[] = [];
    for (let round = 1; round <= settings.rounds; round++) {
      for (const combination of inRound(combinations, round)) {
        const postgres = combination.store === 'postgres' ? external! : embedded;
        for (const measured of await measureOne(postgres, combination, settings)) {
          const run = { combination: combination.name, round, ...measured };
          onMeasured(run);
          runs.push(run);
        }
      }
    }
    return runs;
  } finally {
    await external?.stop();
  }
}

type Measured = Omit<Run, 'combination' | 'round'>;

async function measureOne(
  postgres: BenchPostgres,
  combination: Combination,
  settings: ProductSettings,
): Promise<Measured[]> {
  const fleet = { fleet: FLEET, historyDays: HISTORY_DAYS };
  return withLoadedPipeline(postgres, pipelineOf(combination), fleet, async (running, load) => {
    const measured: Measured[] = [];
    const { acknowledged } = await load.fill(FIRST);
    let sent = acknowledged * FLEET.instrumentsPerGateway;
    for (const shape of SHAPES) {
      await postgres.checkpoint();
      const { readings, ...run } = await measureShape(running, load, combination, shape, settings);
      measured.push(run);
      sent += readings;
      const stored = await running.storedInAll();
      if (stored !== sent) throw new Error(`${combination.name}: ${sent} readings sent, ${stored} stored`);
    }
    return measured;
  });
}

async function measureShape(
  running: RunningCombination,
  load: Load,
  combination: Combination,
  shape: Shape,
  { warmupMs, measureMs }: ProductSettings,
): Promise<Measured & { readings: number }> {
  const before = await usage(running);
  const result = await load.run({ ...offered(combination, shape), warmupMs, measureMs });
  const after = await usage(running);
  await expectAllStored(running, result);
  const readings = result.acknowledged * (shape === 'gateway' ? FLEET.instrumentsPerGateway : 1);
  const used = (name: keyof typeof before) => (after[name] - before[name]) / readings;
  return {
    shape,
    readings,
    readingsPerSecond: result.storedReadingsPerSecond!,
    cpuUs: { service: used('service'), store: used('store'), broker: used('broker'), front: used('front') },
    generatorCpu: result.generatorCpu,
  };
}

/** Processor time so far, of each. */
async function usage({ pids }: RunningCombination) {
  const children = await childrenUs();
  const service = await Promise.all(pids.map(async (pid) => (await processTime(pid)).totalUs));
  const { user, system } = process.cpuUsage();
  const of = (program: string) => children.get(program) ?? 0;
  return {
    service: service.reduce((sum, us) => sum + us, 0),
    store: of('postgres') + of('influxd'),
    broker: of('mosquitto'),
    front: user + system,
  };
}
