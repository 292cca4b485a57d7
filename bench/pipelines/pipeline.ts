/** What the benchmark loads: something that acknowledges publishes, started on a fresh database. */
import type { BenchFleet, Credentials } from '../fleet.ts';

export interface PipelineContext {
  databaseUrl: string;
  fleet: BenchFleet;
}

export interface RunningPipeline {
  /** Of the process that serves, when it is one of its own. */
  pid?: number;
  databaseUrl?: string;
  mqttPort: number;
  credentials(gateway: number): Credentials;
  /** The topic of a gateway, where it is not the service's own. */
  topic?(gateway: number): string;
  /** Addresses of the processes that count what they store, when they are to be asked. */
  storedBy?: string[];
  /** Readings found in the store for one instrument; absent when the pipeline stores nothing. */
  storedReadings?(instrument: string): Promise<number>;
  /** Where the HTTP interface answers and with what token; absent when there is none. */
  http?: { url: string; token: string };
  stop(): Promise<void>;
}

export interface Pipeline<R extends RunningPipeline = RunningPipeline> {
  name: 'A' | 'B' | 'ours';
  title: string;
  start(context: PipelineContext): Promise<R>;
}
