/** What a large ledger, its rules and its connections cost the service: memory, idle processor time, time to start. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type BenchFleet, gatewayCredentials } from '../fleet.ts';
import { connectLoad } from '../ingest.ts';
import { type BenchPostgres, queryOnce } from '../postgres.ts';
import { metricsOf, provision, type Service, startService } from '../service.ts';
import type { FleetCost, Settled, Start } from './costs.ts';
import { processTime, residentBytes } from './processor.ts';

const DATABASE = 'bench_fleet';
const GATEWAYS = 2_000;
/** On this signal the service collects its garbage: otherwise its size would tell of what it did before. */
const GC_FLAGS = ['--expose-gc', '--import', 'data:text/javascript,process.on("SIGUSR2",()=>{gc();gc()})'];
const GC_MS = 3_000;
const IDLE_MS = 20_000;
/** The service writes a snapshot every 30 s. */
const SNAPSHOT_MS = 35_000;
/** Two steps ago: a reading that is neither of the future nor long missing. */
const HISTORY_DAYS = 2 / 96;

export async function measureFleet(postgres: BenchPostgres, instruments: number): Promise<FleetCost> {
  const fleet: BenchFleet = { gateways: GATEWAYS, instrumentsPerGateway: instruments / GATEWAYS };
  const databaseUrl = await postgres.freshDatabase(DATABASE);
  const during = <T>(use: (service: Service, start: Start) => Promise<T>) => duringService(databaseUrl, use);
  try {
    const empty = await during(async (service, emptyStart) => ({ emptyStart, empty: await settled(service) }));
    const imported = await during((service) => importing(service, fleet));
    const full = await during((service, ledgerStart) => filling(service, ledgerStart, fleet, databaseUrl));
    const rulesStart = await during(async (_, start) => start);
    return { instruments, connections: GATEWAYS, ...empty, ...imported, ...full, rulesStart };
  } finally {
    await postgres.dropDatabase(DATABASE);
  }
}

async function duringService<T>(databaseUrl: string, use: (service: Service, start: Start) => Promise<T>): Promise<T> {
  const service = await startService({ env: { DATABASE_URL: databaseUrl }, nodeFlags: GC_FLAGS });
  try {
    return await use(service, { ms: service.readyMs, cpuMs: (await processTime(service.pid)).totalUs / 1000 });
  } finally {
    await service.stop();
  }
}

async function importing(service: Service, fleet: BenchFleet) {
  const [beforeMs, before] = [performance.now(), await processTime(service.pid)];
  await provision(service, fleet);
  const after = await processTime(service.pid);
  return {
    importSeconds: (performance.now() - beforeMs) / 1000,
    importCpuSeconds: (after.totalUs - before.totalUs) / 1e6,
  };
}

async function filling(service: Service, ledgerStart: Start, fleet: BenchFleet, databaseUrl: string) {
  const ledger = await settled(service);
  const load = await connectLoad({ mqttPort: service.mqttPort, credentials: gatewayCredentials }, fleet, HISTORY_DAYS);
  try {
    const connected = await settled(service);
    await load.fill({ window: 1, publishesPerConnection: 1 });
    await sleep(SNAPSHOT_MS);
    const reported = await settled(service);
    const [row] = await queryOnce(databaseUrl, 'SELECT sum(octet_length(state))::float8 AS bytes FROM rule_snapshots');
    return { ledgerStart, ledger, connected, reported, snapshotBytes: Number(row?.bytes) };
  } finally {
    await load.stop();
  }
}

/** Size without garbage, and what doing nothing costs. */
async function settled({ pid, url }: Service): Promise<Settled> {
  await sleep(GC_MS);
  process.kill(pid, 'SIGUSR2');
  await sleep(GC_MS);
  const rssBytes = await residentBytes(pid);
  const metric = await metricsOf(url);
  const before = await processTime(pid);
  await sleep(IDLE_MS);
  const after = await processTime(pid);
  return {
    rssBytes,
    heapBytes: metric('nodejs_heap_size_used_bytes') + metric('nodejs_external_memory_bytes'),
    idleUsPerSecond: ((after.totalUs - before.totalUs) * 1000) / IDLE_MS,
  };
}
