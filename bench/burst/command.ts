/** `bench burst`: the quarter-hour burst of a fleet, predicted from measured constants; with `--measure`, beside a real one. */
import { writeFile } from 'node:fs/promises';
import { readCosts } from '../cost/command.ts';
import { type Constants, constantsOf } from '../cost/costs.ts';
import { describeMachine } from '../machine.ts';
import { renew } from '../markdown.ts';
import { startPostgres } from '../postgres.ts';
import { FLEET, type MeasuredBurst, measureBursts } from './measure.ts';
import { type Burst, simulate } from './model.ts';
import { type Comparisons, comparisonTable, predictionTable } from './report.ts';

export interface BurstOptions {
  instruments: number;
  window: number[];
  workers: number[];
  postgresCores: number;
  perMessage: number;
  costs: string;
  measure: boolean;
  json?: string;
  doc?: string;
}

/** A reading of four quantities as JSON. */
export const BYTES_PER_READING = 125;

/** Bursts a machine of two cores can make and take. */
const MEASURED = [
  { shape: 'gateway', readings: 100_000, windowMs: 1_000 },
  { shape: 'gateway', readings: 400_000, windowMs: 2_000 },
  { shape: 'single', readings: 100_000, windowMs: 2_000 },
] as const;

export async function burst(options: BurstOptions, progress: (line: string) => void): Promise<void> {
  const constants = constantsOf(await readCosts(options.costs));
  const parts: Record<string, string> = { 'burst predicted': predictionTable(predictions(options, constants)) };
  if (options.measure) {
    progress('bursts into the real service');
    const comparisons = await compare(constants);
    if (options.json) await writeFile(options.json, `${JSON.stringify(comparisons, null, 2)}\n`);
    parts['burst measured'] = comparisonTable(comparisons);
  }
  if (options.doc) await renew(options.doc, parts);
  process.stdout.write(`${Object.values(parts).join('\n\n')}\n`);
}

export function predictions(
  { instruments, window, workers, postgresCores, perMessage }: Omit<BurstOptions, 'costs' | 'measure'>,
  constants: Constants,
) {
  return window.flatMap((seconds) =>
    workers.map((count) => {
      const planned: Burst = {
        readings: instruments,
        readingsPerMessage: perMessage,
        bytesPerReading: BYTES_PER_READING,
        windowMs: seconds * 1000,
        workers: count,
        postgresCores,
        log: count > 1,
      };
      return { burst: planned, result: simulate(planned, constants) };
    }),
  );
}

async function compare(constants: Constants): Promise<Comparisons> {
  const postgres = await startPostgres();
  try {
    const machine = describeMachine(postgres.version);
    const measured = await measureBursts(postgres, MEASURED);
    return {
      machine,
      bursts: measured.map((one) => ({ measured: one, predicted: simulate(asBurst(one), constants) })),
    };
  } finally {
    await postgres.stop();
  }
}

export function asBurst({ shape, readings, windowMs, freeCores }: MeasuredBurst): Burst {
  return {
    readings,
    readingsPerMessage: shape === 'gateway' ? FLEET.instrumentsPerGateway : 1,
    bytesPerReading: BYTES_PER_READING,
    windowMs,
    workers: 1,
    postgresCores: 1,
    log: false,
    sharedCores: freeCores,
  };
}
