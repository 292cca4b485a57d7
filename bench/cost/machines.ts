/** From constants to machines: arithmetic on what was measured, with every assumption in one place. */
import { STEP_MS } from '../publishes.ts';
import { type Constants, type Costs, constantsOf, type FleetCost } from './costs.ts';

/** What was not measured here. */
export const ASSUMED = {
  /** Gateways send a quarter of an hour's readings within so many seconds of its beginning, evenly. */
  windowS: 300,
  /** Share of a core that is planned for; the rest is for garbage, checkpoints, queries and bad minutes. */
  utilisation: 0.6,
  metersPerGateway: 500,
  readingsPerMessage: 100,
  retentionDays: 800,
  /** A database of its own for every city of at most so many meters. */
  metersPerCity: 2_000_000,
  /** Before the day's index is hot in memory: heap pages being filled, connections, the work of queries. */
  postgresBaseGb: 8,
  /** Disk that stays free, for vacuum, a day's partition too many, and growth. */
  diskReserve: 0.2,
  /** InfluxDB's own sizing guide: about three bytes for a number; here four numbers and the time of receipt. */
  influxBytesPerReading: 5 * 3,
  /** VictoriaMetrics counts on a byte for a sample of ordinary metrics; measured values of meters compress less, so two. */
  victoriaBytesPerReading: 4 * 2,
  /** Of a gateway per ingest process of ours; aedes refuses more connections. */
  connectionsPerProcess: 50_000,
  /** V8's heap on a machine of 16 GB or more without further settings. */
  heapGb: 4,
  /** Share of the heap beyond which collecting garbage takes over. */
  heapShare: 0.75,
  /** Tasks per meter and day, steps of each, and a job in the memory of Redis. */
  tasksPerMeterDay: 0.001,
  stepsPerTask: 3,
  taskDays: 14,
  jobBytes: 1_500,
} as const;

const GB = 1e9;
const TB = 1e12;
const QUARTERS_PER_DAY = 86_400_000 / STEP_MS;
const QUARTER_S = STEP_MS / 1000;

/** Of one installation: a database with the processes before it. */
export interface Machines {
  meters: number;
  averagePerSecond: number;
  peakPerSecond: number;
  ingestWorkers: number;
  /** Of a process that has everybody in its ledger and has heard of all, as the system sees it and as JavaScript does. */
  processGb: number;
  heapGb: number;
  postgresCores: number;
  postgresGb: number;
  rulesCores: number;
  /** Whether that is within what V8 takes by itself. */
  fitsHeap: boolean;
  tbPerYear: number;
  tbRetained: number;
  walMbPerSecond: number;
  commitsPerSecond: number;
  /** Pages of a checkpoint that lasts a quarter of an hour. */
  pagesPerSecond: number;
  influxTb: number;
  victoriaTb: number;
  gateways: number;
  gatewaysGb: number;
  directGb: number;
  redisGb: number;
}

/** The system's figures hold what loading left behind; what connections use is told from the heap, whose room they fill. */
export function memoryOf({ empty, ledger, connected, reported, instruments, connections }: FleetCost) {
  const bytesPerConnection = (connected.heapBytes - ledger.heapBytes) / connections;
  const ofConnections = connected.heapBytes - ledger.heapBytes;
  return {
    bytesPerConnection,
    ledgerHeapPerInstrument: (ledger.heapBytes - empty.heapBytes) / instruments,
    heapPerInstrument: (reported.heapBytes - ofConnections - empty.heapBytes) / instruments,
    rssPerInstrument: (reported.rssBytes - ofConnections - empty.rssBytes) / instruments,
  };
}

/** One installation for so many meters. */
export function machinesFor(meters: number, costs: Costs): Machines {
  const constants = constantsOf(costs);
  const { disk, fleet } = costs;
  const averagePerSecond = meters / QUARTER_S;
  const peakPerSecond = meters / ASSUMED.windowS;
  const cores = (usPerReading: number) => (peakPerSecond * usPerReading) / 1e6 / ASSUMED.utilisation;
  const perInstrument = (bytes: number) => (meters * bytes) / GB;
  const perDay = meters * QUARTERS_PER_DAY;
  const bytesOnDisk = disk.tableBytes + disk.indexBytes;
  const memory = memoryOf(fleet);
  const processGb = fleet.empty.rssBytes / GB + perInstrument(memory.rssPerInstrument);
  const heapGb = fleet.empty.heapBytes / GB + perInstrument(memory.heapPerInstrument);
  const gateways = meters / ASSUMED.metersPerGateway;
  const jobs = meters * ASSUMED.tasksPerMeterDay * ASSUMED.taskDays * ASSUMED.stepsPerTask;
  return {
    meters,
    averagePerSecond,
    peakPerSecond,
    ingestWorkers: Math.ceil(cores(workerUs(constants))),
    processGb,
    heapGb,
    postgresCores: Math.ceil(cores(postgresUs(constants))),
    postgresGb: ASSUMED.postgresBaseGb + (perDay * disk.indexBytes) / GB,
    rulesCores: cores(constants.followUs),
    fitsHeap: heapGb <= ASSUMED.heapGb * ASSUMED.heapShare,
    tbPerYear: (perDay * 365 * bytesOnDisk) / TB,
    tbRetained: (perDay * ASSUMED.retentionDays * bytesOnDisk * (1 + ASSUMED.diskReserve)) / TB,
    walMbPerSecond: (averagePerSecond * (disk.walBytesAfterCheckpoint + costs.log.walBytes)) / 1e6,
    commitsPerSecond: Math.min(peakPerSecond / ASSUMED.readingsPerMessage, 1000 / constants.logMs),
    pagesPerSecond: averagePerSecond * disk.pagesAfterCheckpoint,
    influxTb: (perDay * ASSUMED.retentionDays * ASSUMED.influxBytesPerReading * (1 + ASSUMED.diskReserve)) / TB,
    victoriaTb: (perDay * ASSUMED.retentionDays * ASSUMED.victoriaBytesPerReading * (1 + ASSUMED.diskReserve)) / TB,
    gateways,
    gatewaysGb: (gateways * memory.bytesPerConnection) / GB,
    directGb: (meters * memory.bytesPerConnection) / GB,
    redisGb: (jobs * ASSUMED.jobBytes) / GB,
  };
}

/** Main thread of an ingest process that logs instead of judging, per reading of a full message. */
export function workerUs({ messageUs, readingUs, turnUs, judgeUs, encodeLogUs }: Constants): number {
  return messageUs / ASSUMED.readingsPerMessage + turnUs / MODERATE_COMMIT + readingUs - judgeUs + encodeLogUs;
}

/** PostgreSQL per reading, in commits of a few messages: what is stored, and the log. */
export function postgresUs({ commitUs, storeUs, logUs }: Constants): number {
  return commitUs / MODERATE_COMMIT + storeUs + logUs;
}

/** Readings of a commit at a rate that leaves room: it grows with the load, and its fixed part matters less. */
export const MODERATE_COMMIT = 1_000;

/** Cities that share so many meters evenly, each an installation of its own. */
export const citiesOf = (meters: number) => Math.ceil(meters / ASSUMED.metersPerCity);

export interface District {
  serviceMs: number;
  postgresMs: number;
  rulesMs: number;
  diskBytes: number;
  walBytes: number;
  logBytes: number;
}

/** What a district of a hundred instruments costs in a quarter of an hour. */
export function districtCost(costs: Costs): District {
  const constants = constantsOf(costs);
  const { disk, log, inProcess } = costs;
  const instruments = 100;
  const ms = (usPerReading: number) => (usPerReading * instruments) / 1000;
  return {
    serviceMs: ms(workerUs(constants)) * constants.threads,
    postgresMs: ms(postgresUs(constants)),
    rulesMs: ms(constants.followUs) + inProcess.quarterHourTicksUs / inProcess.districts / 1000,
    diskBytes: instruments * (disk.tableBytes + disk.indexBytes),
    walBytes: instruments * (disk.walBytesAfterCheckpoint + log.walBytes),
    logBytes: instruments * log.bytes,
  };
}
