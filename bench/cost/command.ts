/** `bench cost`: what one reading, one instrument and one connection cost, and the machines that follow from it. */
import { readFile, writeFile } from 'node:fs/promises';
import { describeMachine } from '../machine.ts';
import { renew } from '../markdown.ts';
import { startPostgres } from '../postgres.ts';
import type { Costs } from './costs.ts';
import { measureDisk } from './disk.ts';
import { measureFleet } from './fleet.ts';
import { measureInProcess } from './in-process.ts';
import { measureIngestCost } from './ingest.ts';
import { measureLog } from './log.ts';
import { costParts } from './report.ts';

export interface CostOptions {
  seconds: number;
  instruments: number;
  from?: string;
  json?: string;
  doc?: string;
}

export async function cost(options: CostOptions, progress: (line: string) => void): Promise<void> {
  const costs = options.from ? await readCosts(options.from) : await measureCosts(options, progress);
  if (options.json) await writeFile(options.json, `${JSON.stringify(costs, null, 2)}\n`);
  const parts = costParts(costs);
  if (options.doc) await renew(options.doc, parts);
  process.stdout.write(`${Object.values(parts).join('\n\n')}\n`);
}

export const readCosts = async (path: string) => JSON.parse(await readFile(path, 'utf8')) as Costs;

async function measureCosts({ seconds, instruments }: CostOptions, progress: (line: string) => void): Promise<Costs> {
  const postgres = await startPostgres();
  try {
    const machine = describeMachine(postgres.version);
    progress('rules and encoders in a process of their own');
    const inProcess = await measureInProcess(instruments);
    progress('the log');
    const log = await measureLog(postgres);
    progress('readings at fixed rates');
    const { idle, ingest } = await measureIngestCost(postgres, seconds, (run) =>
      progress(
        `${run.shape}, ${Math.round(run.readingsPerSecond)} readings/s: service ${(run.serviceUs / run.readings).toFixed(1)} µs, ` +
          `PostgreSQL ${(run.postgresUs / run.readings).toFixed(1)} µs, ${Math.round(run.readings / run.commits)} to a commit`,
      ),
    );
    progress('a day on disk');
    const disk = await measureDisk(postgres);
    progress(`${instruments} instruments`);
    const fleet = await measureFleet(postgres, instruments);
    const measuredOn = new Date().toISOString().slice(0, 10);
    return { measuredOn, machine, idle, ingest, disk, log, inProcess, fleet };
  } finally {
    await postgres.stop();
  }
}
