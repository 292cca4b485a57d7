/** Bytes on disk per reading: a day of a fleet, stored step by step as it would arrive. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { BenchFleet } from '../fleet.ts';
import { withLoadedPipeline } from '../ingest.ts';
import { meterwarden } from '../pipelines/meterwarden.ts';
import { type BenchPostgres, queryOnce } from '../postgres.ts';
import type { DiskCost } from './costs.ts';

const FLEET: BenchFleet = { gateways: 100, instrumentsPerGateway: 100 };
const READINGS_PER_STEP = FLEET.gateways * FLEET.instrumentsPerGateway;
const WINDOW = 2;
const STEPS_PER_DAY = 96;
/** The step stored right after a checkpoint, in the middle of the day: as full as pages are on average. */
const MIDDAY = STEPS_PER_DAY / 2;
const HISTORY_DAYS = 10;
/** A connection that has gone idle tells its counts within ten seconds. */
const COUNTS_MS = 11_000;

export async function measureDisk(postgres: BenchPostgres): Promise<DiskCost> {
  return withLoadedPipeline(
    postgres,
    meterwarden,
    { fleet: FLEET, historyDays: HISTORY_DAYS },
    async (running, load) => {
      const ask = (sql: string) => queryOnce(running.databaseUrl!, sql);
      const store = async (publishesPerConnection: number) => {
        const before = await walOf(ask);
        await load.fill({ window: WINDOW, publishesPerConnection });
        if (publishesPerConnection === 1) await sleep(COUNTS_MS);
        const after = await walOf(ask);
        const readings = publishesPerConnection * READINGS_PER_STEP;
        return { bytes: (after.bytes - before.bytes) / readings, pages: (after.pages - before.pages) / readings };
      };
      await store(2);
      const morning = await store(MIDDAY - 2);
      await postgres.checkpoint();
      await sleep(COUNTS_MS);
      const midday = await store(1);
      await store(STEPS_PER_DAY - MIDDAY - 1);
      const readings = STEPS_PER_DAY * READINGS_PER_STEP;
      const [size] = await ask(
        `SELECT sum(pg_total_relation_size(inhrelid))::float8 AS total, sum(pg_indexes_size(inhrelid))::float8 AS indexes
       FROM pg_inherits WHERE inhparent = 'readings'::regclass`,
      );
      return {
        readings,
        tableBytes: (Number(size?.total) - Number(size?.indexes)) / readings,
        indexBytes: Number(size?.indexes) / readings,
        walBytes: morning.bytes,
        walBytesAfterCheckpoint: midday.bytes,
        pagesAfterCheckpoint: midday.pages,
      };
    },
  );
}

async function walOf(ask: (sql: string) => Promise<Record<string, unknown>[]>) {
  const [wal] = await ask(
    `SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8 AS bytes, wal_fpi::float8 AS pages
     FROM (SELECT pg_stat_force_next_flush()) AS flush, pg_stat_wal`,
  );
  return { bytes: Number(wal?.bytes), pages: Number(wal?.pages) };
}
