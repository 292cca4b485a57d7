/** What the figures were measured on. */
import { cpus, loadavg, totalmem } from 'node:os';

export interface Machine {
  cpu: string;
  cores: number;
  memoryGb: number;
  node: string;
  postgres: string;
  /** Load of the minute before the run: well above zero means that something else was running. */
  loadBefore: number;
}

export function describeMachine(postgres: string): Machine {
  const cores = cpus();
  return {
    cpu: cores[0]?.model.trim() ?? 'unknown',
    cores: cores.length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    node: process.versions.node,
    postgres,
    loadBefore: Math.round((loadavg()[0] ?? 0) * 10) / 10,
  };
}

export const machineLine = (m: Machine) =>
  `${m.cpu}, ${m.cores} cores shared by service, PostgreSQL and load generator, ${m.memoryGb} GB, ` +
  `Node ${m.node}, PostgreSQL ${m.postgres}, load before the run ${m.loadBefore}`;
