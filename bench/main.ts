/** `npm run bench`: the service's speed as ratios to what else runs on the same machine in the same minutes. */
import { writeFile } from 'node:fs/promises';
import { Command, InvalidArgumentError, Option } from 'commander';
import { type AccuracyOptions, accuracy, CASES, presetsNamed } from './accuracy/command.ts';
import { type BurstOptions, burst } from './burst/command.ts';
import { type CostOptions, cost } from './cost/command.ts';
import { type DayRead, measureDayRead } from './day-read.ts';
import { type IngestSettings, measureIngest } from './ingest.ts';
import { describeMachine } from './machine.ts';
import { bareAedes } from './pipelines/bare-aedes.ts';
import { meterwarden } from './pipelines/meterwarden.ts';
import type { Pipeline } from './pipelines/pipeline.ts';
import { plainInsert } from './pipelines/plain-insert.ts';
import { type BenchPostgres, startPostgres } from './postgres.ts';
import { COMBINATIONS, type Combination } from './products/combinations.ts';
import { type ProductOptions, products } from './products/command.ts';
import type { Shape } from './publishes.ts';
import { renderReport } from './report.ts';
import { measureRulesMemory, type RulesMemory } from './rules-memory.ts';
import { isServiceThere } from './service.ts';
import { measureStack, type StackResult } from './stack.ts';
import { whyNoStack } from './stack-processes.ts';
import { judge, summarize } from './summary.ts';

const PIPELINES: Pipeline[] = [bareAedes, plainInsert, meterwarden];

interface IngestOptions {
  pipelines: Pipeline[];
  shapes: Shape[];
  rounds: number;
  warmup: number;
  seconds: number;
  gateways: number;
  instruments: number;
  window: number;
  gatewayWindow: number;
  historyDays: number;
  fill: number;
  memory: boolean;
  withStack: boolean;
  json?: string;
}

const progress = (line: string) => process.stderr.write(`${line}\n`);

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError('a number above 0 is needed');
  return value;
}

const positives = (text: string) => text.split(',').map(positive);

function whole(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw new InvalidArgumentError('a whole number is needed');
  return value;
}

function pipelinesNamed(text: string): Pipeline[] {
  return text.split(',').map((name) => {
    const pipeline = PIPELINES.find((p) => p.name.toLowerCase() === name.trim().toLowerCase());
    if (!pipeline) throw new InvalidArgumentError(`'${name}' is none of ${PIPELINES.map((p) => p.name).join(', ')}`);
    return pipeline;
  });
}

function shapesNamed(text: string): Shape[] {
  return text.split(',').map((name) => {
    if (name !== 'single' && name !== 'gateway') throw new InvalidArgumentError(`'${name}' is none of single, gateway`);
    return name;
  });
}

function combinationsNamed(text: string): Combination[] {
  return text.split(',').map((name) => {
    const combination = COMBINATIONS.find((c) => c.name === name.trim());
    if (!combination)
      throw new InvalidArgumentError(`'${name}' is none of ${COMBINATIONS.map((c) => c.name).join(', ')}`);
    return combination;
  });
}

function presets(text: string) {
  const names = presetsNamed(text);
  if (!names) throw new InvalidArgumentError('presets of simulators/presets.ts are needed');
  return names;
}

function cases(text: string): string[] {
  const names = text.split(',');
  if (names.some((name) => !Object.hasOwn(CASES, name)))
    throw new InvalidArgumentError(`of ${Object.keys(CASES).join(', ')}`);
  return names;
}

async function ingest(options: IngestOptions): Promise<void> {
  const settings: IngestSettings = {
    fleet: { gateways: options.gateways, instrumentsPerGateway: options.instruments },
    shapes: options.shapes,
    window: { single: options.window, gateway: options.gatewayWindow },
    rounds: options.rounds,
    warmupMs: options.warmup * 1000,
    measureMs: options.seconds * 1000,
    historyDays: options.historyDays,
  };
  const notes: string[] = [];
  let pipelines = options.pipelines;
  if (pipelines.includes(meterwarden) && !isServiceThere()) {
    notes.push('ours was left out: there is no src/main.ts');
    pipelines = pipelines.filter((pipeline) => pipeline !== meterwarden);
  }
  const postgres = await startPostgres();
  try {
    const machine = describeMachine(postgres.version);
    const rulesMemory = options.memory ? await memoryOfRules() : undefined;
    const measurements = await measureIngest(postgres, pipelines, settings, (m) =>
      progress(
        `round ${m.round}/${settings.rounds} ${m.pipeline} ${m.shape}: ${Math.round(m.maximum.readingsPerSecond)} readings/s, ` +
          `p99 ${m.maximum.p99Ms.toFixed(1)} ms; at half p99 ${m.half.p99Ms.toFixed(1)} ms`,
      ),
    );
    const dayRead = pipelines.includes(meterwarden) ? await readDays(postgres, settings, options.fill) : undefined;
    const stack = options.withStack ? await stackInstead(settings, notes) : [];
    const rows = summarize(measurements);
    const targets = judge(rows, dayRead, rulesMemory);
    const titles = Object.fromEntries(PIPELINES.map(({ name, title }) => [name, title]));
    process.stdout.write(renderReport({ machine, titles, rows, stack, dayRead, targets, notes }));
    const everything = { machine, settings, rows, stack, dayRead, rulesMemory, targets, notes, measurements };
    if (options.json) await writeFile(options.json, `${JSON.stringify(everything, null, 2)}\n`);
  } finally {
    await postgres.stop();
  }
}

async function memoryOfRules(): Promise<RulesMemory> {
  const memory = await measureRulesMemory();
  progress(`rules: ${memory.bytesPerInstrument.toFixed(0)} bytes per idle instrument`);
  return memory;
}

async function readDays(postgres: BenchPostgres, settings: IngestSettings, fill: number): Promise<DayRead | undefined> {
  if (fill === 0) return undefined;
  progress(`filling with ${fill} readings`);
  return measureDayRead(postgres, meterwarden, settings, fill);
}

async function stackInstead(settings: IngestSettings, notes: string[]): Promise<StackResult[]> {
  const reason = await whyNoStack();
  if (reason) notes.push(`C was left out: ${reason}`);
  return reason ? [] : measureStack(settings, progress);
}

const program = new Command('bench').description('measure speed, as ratios to other things measured in the same run');
program
  .command('ingest', { isDefault: true })
  .description('publishes acknowledged after they are stored')
  .addOption(
    new Option('--pipelines <names>', 'of A, B, ours').default(PIPELINES, 'A,B,ours').argParser(pipelinesNamed),
  )
  .addOption(
    new Option('--shapes <names>', 'of single, gateway')
      .default(['single', 'gateway'], 'single,gateway')
      .argParser(shapesNamed),
  )
  .option('--rounds <n>', 'rounds over all pipelines; the medians count', positive, 3)
  .option('--warmup <s>', 'seconds before each measurement', positive, 3)
  .option('--seconds <s>', 'seconds of each measurement', positive, 8)
  .option('--gateways <n>', 'connections', positive, 100)
  .option('--instruments <n>', 'instruments per gateway', positive, 100)
  .option('--window <n>', 'single-reading publishes in flight per connection', positive, 20)
  .option('--gateway-window <n>', 'publishes of many readings in flight per connection', positive, 4)
  .option('--history-days <n>', 'how long ago the readings begin', positive, 300)
  .option('--fill <readings>', 'readings stored before days are read back; 0 = leave that out', whole, 10_000_000)
  .option('--no-memory', 'leave out the memory of the rules')
  .option('--with-stack', 'also measure Mosquitto → Node-RED → InfluxDB', false)
  .option('--json <file>', 'everything measured, as JSON')
  .action(ingest);
program
  .command('products')
  .description('the service on each combination of products, as ratios to the embedded default')
  .option('--rounds <n>', 'rounds over all combinations; the medians count', positive, 3)
  .option('--warmup <s>', 'seconds before each measurement', positive, 1.5)
  .option('--seconds <s>', 'seconds of each measurement', positive, 3)
  .addOption(
    new Option('--only <names>', 'besides the default').default(COMBINATIONS, 'all').argParser(combinationsNamed),
  )
  .option('--from <file>', 'render what was measured before, instead of measuring')
  .option('--json <file>', 'everything measured, as JSON')
  .option('--doc <files...>', 'pages whose marked part is renewed')
  .action((options: ProductOptions) => products(options, progress));
program
  .command('cost')
  .description('processor time, bytes and memory per reading, instrument and connection, at moderate rates')
  .option('--seconds <s>', 'seconds at each rate', positive, 15)
  .option('--instruments <n>', 'instruments in the large ledger', positive, 200_000)
  .option('--from <file>', 'render what was measured before, instead of measuring')
  .option('--json <file>', 'everything measured, as JSON')
  .option('--doc <file>', 'the page whose marked parts are renewed')
  .action((options: CostOptions) => cost(options, progress));
program
  .command('accuracy')
  .description('estimates of running errors against the truth of simulated districts, beside ridge regression')
  .option('--presets <names>', 'how bad the data are', presets, ['clean', 'field', 'messy', 'blind'])
  .option('--cases <names>', 'which districts; those for judging if not given', cases)
  .option('--large', 'also the time for 300 meters × 60 days', false)
  .option('--json <file>', 'everything measured, as JSON')
  .option('--doc <files...>', 'pages whose marked part is renewed')
  .action((options: AccuracyOptions) => accuracy(options, progress));
program
  .command('burst')
  .description('the quarter-hour burst of a fleet, predicted from what bench cost measured')
  .option('--instruments <n>', 'instruments that report once', positive, 1_000_000)
  .option('--window <seconds>', 'lists of: time within which they do', positives, [10, 60, 300])
  .option('--workers <n>', 'ingest processes', positives, [1, 2, 4])
  .option('--postgres-cores <n>', 'cores of the PostgreSQL behind them', positive, 4)
  .option('--per-message <n>', 'readings in a message; 1 = meters that connect themselves', positives, [100])
  .option('--costs <file>', 'what bench cost wrote', 'docs/scale-cost.json')
  .option('--measure', 'also send bursts to the real service, and predict them', false)
  .option('--json <file>', 'the real bursts with their predictions, as JSON')
  .option('--doc <file>', 'the page whose marked parts are renewed')
  .action((options: BurstOptions) => burst(options, progress));

await program.parseAsync();
