/** The load generator seen from the benchmark: a process of its own, so that it never shares an event loop with a service. */

import type { Credentials } from './fleet.ts';
import { forkModule, type ModuleProcess } from './process.ts';
import type { Shape } from './publishes.ts';

export interface LoadConnection extends Credentials {
  instruments: string[];
  /** Where it publishes, when a broker wants another topic than the service's own. */
  topic?: string;
}

export interface LoadTarget {
  port: number;
  connections: LoadConnection[];
  /** Addresses of the processes that store, when stored readings are to be counted as well. */
  storedBy?: string[];
  /** Time of the first reading of every instrument; each further reading is 15 minutes later. */
  startMs: number;
}

export interface LoadRun {
  shape: Shape;
  /** Publishes in flight per connection. */
  window: number;
  warmupMs: number;
  measureMs: number;
  /** Publishes per second over all connections, on a schedule that does not wait for answers; absent = as fast as acknowledged. */
  ratePerSecond?: number;
  /**
   * How many publishes of a connection may be ahead of what is stored. For a broker that acknowledges before anything is
   * stored: it would take in more than can be stored, and keep the processor busy with it.
   */
  ahead?: number;
}

export interface LoadFill {
  window: number;
  publishesPerConnection: number;
}

export interface LoadResult {
  publishesPerSecond: number;
  readingsPerSecond: number;
  acknowledged: number;
  /** Counted by those who store; absent when they are not asked. */
  storedReadingsPerSecond?: number;
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
  /** Share of one core the generator itself used. */
  generatorCpu: number;
  /** Readings acknowledged for the first instrument of each connection since the start. */
  steps: number[];
}

export type LoadRequest =
  | { kind: 'connect'; target: LoadTarget }
  | { kind: 'run'; run: LoadRun }
  | { kind: 'fill'; fill: LoadFill };

export interface Load {
  run(run: LoadRun): Promise<LoadResult>;
  /** As fast as acknowledged until every connection has published so many batches of all its instruments. */
  fill(fill: LoadFill): Promise<LoadResult>;
  stop(): Promise<void>;
}

export async function startLoad(target: LoadTarget): Promise<Load> {
  const child: ModuleProcess = forkModule(new URL('./load-process.ts', import.meta.url));
  try {
    await child.ask({ kind: 'connect', target } satisfies LoadRequest);
  } catch (error) {
    await child.stop();
    throw error;
  }
  return {
    run: (run) => child.ask<LoadResult>({ kind: 'run', run } satisfies LoadRequest),
    fill: (fill) => child.ask<LoadResult>({ kind: 'fill', fill } satisfies LoadRequest),
    stop: () => child.stop(),
  };
}
