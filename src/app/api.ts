/** People and programs ask and act: the HTTP API. Roles without one still tell how they are. */
import { listening } from '../addresses.ts';
import { addressOf } from '../broker/mqtt-refusals.ts';
import type { PartsReady } from '../inspector/parts.ts';
import { buildHealthServer, buildServer, setSecureContext } from '../inspector/server.ts';
import { PostgresPeople } from '../store/postgres-people.ts';
import { countRejections, listRejections } from '../store/postgres-rejections.ts';
import { PostgresTaskChanges } from '../store/postgres-task-changes.ts';
import type { Foundation } from './foundation.ts';

/** Parts of the process, by name, that have to be in order for it to serve. */
export type Readiness = () => PartsReady | Promise<PartsReady>;

export interface Served {
  readonly httpPort: number;
  /** Made up at the first start when none was given; told once. */
  readonly adminPassword: string | undefined;
}

export async function startApi(foundation: Foundation, readiness: Readiness): Promise<Served> {
  const { settings, domain, registry, databaseUrl, pool, ledger, readings, findings, tasks } = foundation;
  const { nowMs, onError } = foundation;
  const people = new PostgresPeople(pool);
  const adminPassword = await people.ensureAdmin(settings.adminPassword);
  const server = buildServer({
    ledger,
    brokerUser: settings.mqttUrl && addressOf({ url: settings.mqttUrl }).username,
    people,
    readings,
    findings,
    tasks,
    accuracy: { ...foundation.accuracy, policy: domain.accuracy },
    rejections: { list: (filter) => listRejections(pool, filter), counts: () => countRejections(pool) },
    changes: (wake) => new PostgresTaskChanges(databaseUrl, wake),
    kinds: domain.kinds,
    language: settings.language,
    rules: domain.rules.rules,
    registry,
    health: () => ({ process: true }),
    readiness,
    nowMs,
    onError,
    tls: foundation.certificates?.current.people,
  });
  return { httpPort: await listen(foundation, server), adminPassword };
}

export async function startHealth(foundation: Foundation, readiness: Readiness): Promise<Served> {
  const { registry, settings, certificates, onError } = foundation;
  const parts = {
    registry,
    language: settings.language,
    health: () => ({ process: true }),
    readiness,
    onError,
    tls: certificates?.current.people,
  };
  return { httpPort: await listen(foundation, buildHealthServer(parts)), adminPassword: undefined };
}

async function listen(
  { settings, certificates, onStop }: Foundation,
  server: ReturnType<typeof buildServer>,
): Promise<number> {
  onStop(() => server.close());
  await listening('HTTP_PORT', settings, (host, port) => server.listen({ host, port }));
  certificates?.use(({ people }) => setSecureContext(server, people));
  return (server.server.address() as { port: number }).port;
}
