/** What rules, encoders and ledger cost by themselves, measured in a process of their own. */
import { forkModule } from '../process.ts';
import type { InProcessCost } from './costs.ts';

export async function measureInProcess(instruments: number): Promise<InProcessCost> {
  const child = forkModule(new URL('./in-process-process.ts', import.meta.url), ['--expose-gc']);
  try {
    return await child.ask<InProcessCost>({ instruments });
  } finally {
    await child.stop();
  }
}
