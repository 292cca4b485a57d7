/** B: the simplest honest pipeline; see `plain-insert-process.ts`. */
import { gatewayCredentials } from '../fleet.ts';
import { queryOnce } from '../postgres.ts';
import { forkModule } from '../process.ts';
import type { Pipeline } from './pipeline.ts';

const SCHEMA = `
  CREATE TABLE reading (
    instrument text NOT NULL,
    ts timestamptz NOT NULL,
    active_import_kwh double precision,
    voltage_v double precision,
    current_a double precision,
    active_power_w double precision,
    UNIQUE (instrument, ts)
  )`;

export const plainInsert: Pipeline = {
  name: 'B',
  title: 'aedes + zod + insert every 5 ms',
  async start({ databaseUrl }) {
    await queryOnce(databaseUrl, SCHEMA);
    const child = forkModule(new URL('./plain-insert-process.ts', import.meta.url));
    const mqttPort = await child.ask<number>({ databaseUrl });
    return {
      mqttPort,
      credentials: gatewayCredentials,
      async storedReadings(instrument) {
        const rows = await queryOnce(databaseUrl, 'SELECT count(*)::int AS n FROM reading WHERE instrument = $1', [
          instrument,
        ]);
        return Number(rows[0]?.n);
      },
      stop: () => child.stop(),
    };
  },
};
