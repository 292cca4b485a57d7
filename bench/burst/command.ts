/** `bench burst`: the quarter-hour burst of a fleet, predicted from measured constants; with `--measure`, beside a real one. */
import { writeFile } from 'node:fs/promises';
import { readCosts } from '../cost/command.ts';
import { type Constants, fullConstantsOf } from '../cost/costs.ts';
import { ASSUMED } from '../cost/machines.ts';
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
  perMessage: number[];
  costs: string;
  measure: boolean;
  json?: string;
  doc?: string;
}

/** A reading of four quantities as JSON. */
const BYTES_PER_READING = 125;

/** Bursts a machine of two cores can make and take. */
const MEASURED = [
  { shape: 'gateway', readings: 100_000, windowMs: 1_000 },
  { shape: 'gateway', readings: 400_000, windowMs: 2_000 },
  { shape: 'single', readings: 100_000, windowMs: 2_000 },
] as const;

export async function burst(options: BurstOptions, progress: (line: string) => void): Promise<void> {
  const constants = fullConstantsOf(await readCosts(options.costs));
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

function predictions(
  { instruments, window, workers, postgresCores, perMessage }: Omit<BurstOptions, 'costs' | 'measure'>,
  constants: Constants,
) {
  const planned = (readingsPerMessage: number, seconds: number, count: number): Burst => ({
    readings: instruments,
    readingsPerMessage,
    bytesPerReading: BYTES_PER_READING,
    windowMs: seconds * 1000,
    workers: count,
    connections: instruments / (readingsPerMessage > 1 ? ASSUMED.metersPerGateway : 1) / count,
    postgresCores,
    log: count > 1,
  });
  return perMessage.flatMap((readings) =>
    window.flatMap((seconds) =>
      workers.map((count) => {
        const one = planned(readings, seconds, count);
        return { burst: one, result: simulate(one, constants) };
      }),
    ),
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

function asBurst({ shape, readings, windowMs, freeCores }: MeasuredBurst): Burst {
  return {
    readings,
    readingsPerMessage: shape === 'gateway' ? FLEET.instrumentsPerGateway : 1,
    bytesPerReading: BYTES_PER_READING,
    windowMs,
    workers: 1,
    connections: FLEET.gateways,
    postgresCores: 1,
    log: false,
    sharedCores: freeCores,
  };
}
