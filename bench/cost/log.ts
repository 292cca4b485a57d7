/** What the log costs that several ingest processes share: bytes, processor time, and time under its lock. */
import { migrate, openPool } from '../../src/store/postgres.ts';
import { PostgresReadingLog } from '../../src/store/postgres-reading-log.ts';
import { type BenchPostgres, queryOnce } from '../postgres.ts';
import type { LogCost } from './costs.ts';
import { familyUs } from './processor.ts';
import { readingsOfStep } from './readings.ts';

const DATABASE = 'bench_log';
const READINGS_PER_ENTRY = 2_000;
const ENTRIES = 200;
const WARMUP_ENTRIES = 20;
/** The quantile of times by the clock that stands for a machine of one's own. */
const UNDISTURBED = 0.1;

export async function measureLog(postgres: BenchPostgres): Promise<LogCost> {
  const url = await postgres.freshDatabase(DATABASE);
  const pool = openPool(url, 1);
  try {
    await migrate(pool);
    const log = new PostgresReadingLog(pool);
    const times = async (entries: number, readings: ReturnType<typeof readingsOfStep>) => {
      const tookMs: number[] = [];
      for (let i = 0; i < entries; i++) {
        const before = performance.now();
        await log.append(readings);
        tookMs.push(performance.now() - before);
      }
      return tookMs.toSorted((a, b) => a - b)[Math.floor(entries * UNDISTURBED)]!;
    };
    const batch = readingsOfStep(1, READINGS_PER_ENTRY, 0);
    await times(WARMUP_ENTRIES, batch);
    const emptyAppendMs = await times(ENTRIES, []);
    await pool.query('TRUNCATE reading_log');
    const walBefore = await walOf(url);
    const cpuBefore = await familyUs(postgres.postmaster);
    const appendMs = await times(ENTRIES, batch);
    const readings = ENTRIES * READINGS_PER_ENTRY;
    const [size] = await queryOnce(url, `SELECT pg_total_relation_size('reading_log')::float8 AS bytes`);
    return {
      readingsPerEntry: READINGS_PER_ENTRY,
      bytes: Number(size?.bytes) / readings,
      walBytes: ((await walOf(url)) - walBefore) / readings,
      postgresUs: ((await familyUs(postgres.postmaster)) - cpuBefore) / readings,
      appendMs,
      emptyAppendMs,
    };
  } finally {
    await pool.end();
    await postgres.dropDatabase(DATABASE);
  }
}

async function walOf(url: string): Promise<number> {
  const [wal] = await queryOnce(url, `SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8 AS bytes`);
  return Number(wal?.bytes);
}
