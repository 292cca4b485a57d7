/** The API over a small city: districts D-1 in 220302 and D-2 in 220303, a supervisor of both, an inspector in each. */
import { scryptSync } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import { Registry } from 'prom-client';
import type { z } from 'zod';
import { type Accuracy, openAccuracy } from '../../src/app/accuracy.ts';
import { loadDomain } from '../../src/config.ts';
import type { Finding } from '../../src/fleet/finding.ts';
import type { NamedValues } from '../../src/fleet/reading.ts';
import { orderedValues } from '../../src/fleet/reading.ts';
import type { InspectorParts, PartsReady } from '../../src/inspector/parts.ts';
import type { errorBody } from '../../src/inspector/schemas.ts';
import { buildServer } from '../../src/inspector/server.ts';
import { PostgresFindings } from '../../src/store/postgres-findings.ts';
import { PostgresLedger } from '../../src/store/postgres-ledger.ts';
import { PostgresPeople } from '../../src/store/postgres-people.ts';
import { PostgresReadings } from '../../src/store/postgres-readings.ts';
import {
  countRejections,
  insertRejections,
  listRejections,
  type Rejection,
} from '../../src/store/postgres-rejections.ts';
import { PostgresTaskChanges } from '../../src/store/postgres-task-changes.ts';
import { PostgresTasks } from '../../src/store/postgres-tasks.ts';
import { type TestDatabase, testDatabase } from '../support/postgres.ts';

export const T0 = Date.UTC(2024, 4, 1, 8);
export const MINUTE_MS = 60_000;
const PASSWORD = 'correct horse';
/** As the store writes it, with the least cost: dozens of sign-ins are not what is tested here. */
const CHEAP_HASH = `scrypt$2$1$1$${Buffer.from('salt').toString('base64')}$${scryptSync(PASSWORD, 'salt', 32, { N: 2, r: 1, p: 1 }).toString('base64')}`;
const PEOPLE = [
  { username: 'root', role: 'admin', region: '' },
  { username: 'chief', role: 'supervisor', region: '220300' },
  { username: 'county', role: 'supervisor', region: '220302' },
  { username: 'wang', role: 'inspector', region: '220302' },
  { username: 'li', role: 'inspector', region: '220303' },
] as const;

export type Username = (typeof PEOPLE)[number]['username'];

export const CSV = `id,kind,role,district,region,gateway
M-1,electricity,master,D-1,220302,GW-1
M-2,electricity,user,D-1,220302,GW-1
M-3,electricity,user,D-1,220302,
M-4,electricity,master,D-2,220303,GW-2
M-5,electricity,user,D-2,220303,GW-2
`;

export interface Answer<Body> {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: Body;
}

/** What is told when something is refused. */
type Refusal = z.output<typeof errorBody>;
/** A page of a list. */
export type Listed<Name extends string, Row> = { readonly [name in Name]: readonly Row[] } & { readonly next?: string };

export interface Request {
  readonly as?: Username;
  readonly body?: object | string | Buffer;
  readonly headers?: Record<string, string>;
}

export interface City {
  readonly server: FastifyInstance;
  readonly parts: InspectorParts;
  readonly database: TestDatabase;
  readonly accuracy: Accuracy;
  readonly tokens: Readonly<Record<Username, string>>;
  /** Errors that the server told its operator. */
  readonly errors: unknown[];
  now: number;
  ready: () => PartsReady | Promise<PartsReady>;
  /** `Body`: what the test expects, which its judgements have to show. */
  ask<Body = Refusal>(
    method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    url: string,
    request?: Request,
  ): Promise<Answer<Body>>;
  find(...findings: Finding[]): Promise<void>;
  read(id: string, tsMs: number, values: NamedValues): Promise<void>;
  reject(...rejections: Partial<Rejection>[]): Promise<void>;
  close(): Promise<void>;
}

export async function city(given: Partial<InspectorParts> = {}): Promise<City> {
  const database = await testDatabase();
  const { pool, url } = database;
  const domain = loadDomain();
  const { kinds, rules, tasks: policies } = domain;
  const ledger = await PostgresLedger.open(pool, kinds);
  await ledger.importCsv(chunks(CSV));
  const people = new PostgresPeople(pool);
  const readings = new PostgresReadings(pool, () => T0);
  const range = readings.range.bind(readings);
  const policyOf = (rule: string) => rules.rules.get(rule);
  const findings = new PostgresFindings({ pool, ledger: ledger.ledger, policies, policyOf, range });
  const accuracy = openAccuracy(domain, pool, ledger.ledger, findings);
  const made: Pick<City, 'now' | 'ready' | 'errors'> = { now: T0, ready: () => ({ store: true }), errors: [] };
  const parts: InspectorParts = {
    ledger,
    people,
    readings,
    findings,
    tasks: new PostgresTasks(pool, policies, accuracy.site),
    accuracy: { ...accuracy, policy: domain.accuracy },
    rejections: { list: (filter) => listRejections(pool, filter), counts: () => countRejections(pool) },
    changes: (wake) => new PostgresTaskChanges(url, wake),
    kinds,
    rules: rules.rules,
    registry: new Registry(),
    health: () => ({ process: true }),
    readiness: () => made.ready(),
    nowMs: () => made.now,
    onError: (_stage, error) => made.errors.push(error),
    ...given,
  };
  const server = buildServer(parts);
  await server.ready();
  for (const { username, role, region } of PEOPLE) {
    const person = [username, CHEAP_HASH, role, region];
    await pool.query('INSERT INTO people (username, password_hash, role, region) VALUES ($1, $2, $3, $4)', person);
  }
  const signIns = PEOPLE.map(async ({ username }) => [
    username,
    (await people.signIn(username, PASSWORD, 'test', new Date(T0))).token,
  ]);
  const tokens: Record<Username, string> = Object.fromEntries(await Promise.all(signIns));
  return Object.assign(made, {
    server,
    parts,
    database,
    accuracy,
    tokens,
    ask: async (method: 'GET', url: string, { as, body, headers = {} }: Request = {}) => {
      const response = await server.inject({
        method,
        url,
        headers: {
          ...(as && { authorization: `Bearer ${tokens[as]}` }),
          ...(typeof body === 'string' && { 'content-type': 'text/csv' }),
          ...headers,
        },
        ...(body !== undefined && { payload: body }),
      });
      const json = String(response.headers['content-type']).includes('json') && response.payload !== '';
      return {
        status: response.statusCode,
        headers: response.headers,
        body: json ? response.json() : response.payload,
      };
    },
    find: (...found: Finding[]) => findings.record(found, new Date(made.now)),
    read: async (id: string, tsMs: number, values: NamedValues) => {
      await readings.append([{ key: ledger.ledger.byId(id)!.key, tsMs, values: orderedValues(values) }]);
    },
    reject: (...rejections: Partial<Rejection>[]) =>
      insertRejections(
        pool,
        rejections.map((rejection) => ({ ...A_REJECTION, ...rejection })),
      ),
    close: async () => {
      await server.close();
      await database.close();
    },
  });
}

const A_REJECTION: Rejection = {
  atMs: T0,
  client: 'GW-1',
  topic: 'v1/gateway/telemetry',
  code: 'out_of_range',
  path: 'M-1[0].values.voltage_v',
  params: { value: 1e9, min: 0, max: 1000 },
  readings: 1,
  payload: Buffer.from('{}'),
  payloadBytes: 2,
};

export function opened(rule: string, key: number, fromMs: number): Finding {
  const reason = { code: 'no_reading', params: { periods: 4, period_min: 15 } };
  return { change: 'opened', rule, subject: { type: 'instrument', key }, fromMs, severity: 'warning', reason };
}

export async function* chunks(text: string): AsyncGenerator<Buffer> {
  yield Buffer.from(text);
}
