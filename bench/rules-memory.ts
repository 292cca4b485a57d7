/** Memory the rules keep per instrument that reports and then stays idle, measured in a process of its own. */
import { forkModule } from './process.ts';

export interface RulesMemory {
  instruments: number;
  bytesPerInstrument: number;
}

export const RULES_MEMORY_INSTRUMENTS = 200_000;

export async function measureRulesMemory(instruments = RULES_MEMORY_INSTRUMENTS): Promise<RulesMemory> {
  const child = forkModule(new URL('./rules-memory-process.ts', import.meta.url), ['--expose-gc']);
  try {
    return await child.ask<RulesMemory>({ instruments });
  } finally {
    await child.stop();
  }
}
