/** Processor time from /proc: what others run beside a measurement hardly shows in it, unlike in a rate. */
import { readdir, readFile } from 'node:fs/promises';

/** Linux counts in hundredths of a second for everybody. */
const TICK_US = 10_000;

interface Stat {
  parent: number;
  /** User and system time, of the process itself and of the children it has waited for. */
  ownUs: number;
  reapedUs: number;
}

/** Fields after the name, which is in parentheses and may hold anything: `state ppid …`. */
export function parseStat(stat: string): Stat {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = (index: number) => Number(fields[index]) * TICK_US;
  return { parent: Number(fields[1]), ownUs: ticks(11) + ticks(12), reapedUs: ticks(13) + ticks(14) };
}

const statOf = async (path: string) => parseStat(await readFile(`/proc/${path}/stat`, 'utf8'));

export interface ProcessTime {
  /** All its threads. */
  totalUs: number;
  /** The thread that runs JavaScript. */
  mainUs: number;
}

export async function processTime(pid: number): Promise<ProcessTime> {
  return { totalUs: (await statOf(`${pid}`)).ownUs, mainUs: (await statOf(`${pid}/task/${pid}`)).ownUs };
}

export const parentOf = async (pid: number) => (await statOf(`${pid}`)).parent;

/** A process with its children, those that have ended included. */
export async function familyUs(pid: number): Promise<number> {
  const head = await statOf(`${pid}`);
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const others = await Promise.all(pids.map((other) => statOf(other).catch(() => undefined)));
  const children = others.filter((stat) => stat?.parent === pid);
  return children.reduce((sum, child) => sum + child!.ownUs, head.ownUs + head.reapedUs);
}

/** Programs that this process started, with what each of them started, by name. */
export async function childrenUs(): Promise<ReadonlyMap<string, number>> {
  const times = new Map<string, number>();
  const children = (await readFile(`/proc/self/task/${process.pid}/children`, 'utf8')).split(' ').filter(Boolean);
  for (const pid of children.map(Number)) {
    const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => undefined);
    if (name) times.set(name.trim(), (times.get(name.trim()) ?? 0) + (await familyUs(pid)));
  }
  return times;
}

/** Memory of a process that is in RAM, in bytes. */
export async function residentBytes(pid: number): Promise<number> {
  const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kib) * 1024;
}

/** All processors of the machine, since it was started. */
export async function machineUs(): Promise<number> {
  const [, user, nice, system, , , irq, softirq] = (await readFile('/proc/stat', 'utf8')).split(/\s+/, 8);
  return [user, nice, system, irq, softirq].reduce((sum, ticks) => sum + Number(ticks ?? 0) * TICK_US, 0);
}
