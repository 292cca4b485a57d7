/** What the API needs of the other stages, and the type of its routes. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { SecureContextOptions } from 'node:tls';
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { Registry } from 'prom-client';
import type { EstimationPolicy } from '../accuracy/policy.ts';
import type { Kinds } from '../fleet/kind.ts';
import type { PostgresEstimateRuns } from '../store/postgres-estimate-runs.ts';
import type { PostgresEstimates } from '../store/postgres-estimates.ts';
import type { PostgresFindings } from '../store/postgres-findings.ts';
import type { PostgresLedger } from '../store/postgres-ledger.ts';
import type { Page, PageRequest } from '../store/postgres-paging.ts';
import type { PostgresPeople } from '../store/postgres-people.ts';
import type { RejectionCount, RejectionRecord } from '../store/postgres-rejections.ts';
import type { PostgresSiteResults } from '../store/postgres-site-results.ts';
import type { PostgresTasks } from '../store/postgres-tasks.ts';
import type { ReadingStore } from '../store/readings.ts';
import type { Language, Text } from '../texts/text.ts';

/** What every process tells about itself. */
export interface HealthParts {
  readonly registry: Registry;
  /** Is the process itself well: a restart would help if not. */
  readonly health: () => PartsReady | Promise<PartsReady>;
  /** Can it serve now. */
  readonly readiness: () => PartsReady | Promise<PartsReady>;
  /** For readers who ask for no language; Chinese if not given. */
  readonly language?: Language;
  readonly onError: (stage: string, error: unknown) => void;
  /** undefined = plain HTTP. */
  readonly tls?: SecureContextOptions | undefined;
}

export interface InspectorParts extends HealthParts {
  readonly ledger: Pick<
    PostgresLedger,
    'ledger' | 'importCsv' | 'changeState' | 'list' | 'putGateway' | 'listGateways'
  >;
  /** The name by which the service connects to an external broker, and no device may; undefined = there is none. */
  readonly brokerUser?: string | undefined;
  readonly people: Pick<PostgresPeople, 'signIn' | 'session' | 'signOut' | 'list' | 'create' | 'change'>;
  readonly readings: Pick<ReadingStore, 'range'>;
  readonly findings: Pick<PostgresFindings, 'list'>;
  readonly tasks: Pick<PostgresTasks, 'list' | 'get' | 'act' | 'changesAfter' | 'latestChange'>;
  readonly accuracy: {
    readonly estimates: Pick<PostgresEstimates, 'ofInstrument' | 'ofDistrict' | 'newest' | 'metersOf'>;
    readonly runs: Pick<PostgresEstimateRuns, 'ask' | 'get'>;
    readonly site: Pick<PostgresSiteResults, 'ofInstrument'>;
    readonly policy: Pick<EstimationPolicy, 'defaultMpePct'>;
  };
  readonly rejections: {
    list(filter: RejectionFilter): Promise<Page<RejectionRecord>>;
    counts(): Promise<RejectionCount[]>;
  };
  /** Calls `wake` whenever tasks may have changed; started and stopped with the server. */
  readonly changes: (wake: () => void) => { start(): Promise<void>; stop(): Promise<void> };
  readonly kinds: Kinds;
  readonly rules: ReadonlyMap<string, { readonly name: Text }>;
  readonly nowMs: () => number;
  /** Of the live stream; left out except in tests. */
  readonly streamTimes?: { readonly heartbeatMs: number; readonly pollMs: number };
}

/** Parts of the service by name: true = in order. */
export type PartsReady = Readonly<Record<string, boolean>>;

export interface RejectionFilter extends PageRequest {
  readonly client?: string | undefined;
  readonly code?: string | undefined;
}

export type Api = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  ZodTypeProvider
>;
