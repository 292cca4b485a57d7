/** `bench products`: the service's speed on each combination of products, as ratios to the embedded default. */
import { readFile, writeFile } from 'node:fs/promises';
import { describeMachine } from '../machine.ts';
import { renew } from '../markdown.ts';
import { startPostgres } from '../postgres.ts';
import { COMBINATIONS, type Combination, DEFAULT, missingFor } from './combinations.ts';
import { measureProducts } from './measure.ts';
import { type Products, renderProducts } from './report.ts';
import { findInstalled } from './start.ts';

export interface ProductOptions {
  rounds: number;
  warmup: number;
  seconds: number;
  only: readonly Combination[];
  from?: string;
  json?: string;
  doc?: string[];
}

export async function products(options: ProductOptions, progress: (line: string) => void): Promise<void> {
  const measured = options.from
    ? (JSON.parse(await readFile(options.from, 'utf8')) as Products)
    : await measureAll(options, progress);
  if (options.json) await writeFile(options.json, `${JSON.stringify(measured, null, 2)}\n`);
  const page = renderProducts(measured);
  for (const path of options.doc ?? []) await renew(path, { 'bench products': page });
  process.stdout.write(`${page}\n`);
}

async function measureAll(
  { rounds, warmup, seconds, only }: ProductOptions,
  progress: (line: string) => void,
): Promise<Products> {
  const installed = await findInstalled();
  const wanted = COMBINATIONS.filter((combination) => combination === DEFAULT || only.includes(combination));
  const combinations = wanted.filter((combination) => missingFor(combination, installed).length === 0);
  const postgres = await startPostgres();
  try {
    const machine = describeMachine(postgres.version);
    const settings = { rounds, warmupMs: warmup * 1000, measureMs: seconds * 1000 };
    const runs = await measureProducts(postgres, combinations, settings, (run) =>
      progress(
        `round ${run.round}/${rounds} ${run.combination} ${run.shape}: ${Math.round(run.readingsPerSecond)} readings/s; ` +
          `service ${run.cpuUs.service.toFixed(1)}, store ${run.cpuUs.store.toFixed(1)}, broker ${run.cpuUs.broker.toFixed(1)}, ` +
          `front ${run.cpuUs.front.toFixed(1)} µs a reading, generator ${run.generatorCpu.toFixed(2)}`,
      ),
    );
    return { measuredOn: new Date().toISOString().slice(0, 10), machine, installed, runs };
  } finally {
    await postgres.stop();
  }
}
