/** Instruments as their rows say. */
import type pg from 'pg';
import type { Instrument, InstrumentState } from '../fleet/instrument.ts';
import { INSTRUMENT_COLUMNS, type InstrumentColumn, type InstrumentLine } from '../fleet/instrument-line.ts';
import { patient } from './postgres.ts';
import { LOCKS } from './postgres-lock.ts';

export const COLUMNS = Object.keys(INSTRUMENT_COLUMNS) as InstrumentColumn[];
export const COLUMN_LIST = COLUMNS.join(', ');
export const ROW = `key, ${COLUMN_LIST.replace('installed_on', 'installed_on::text')}`;

export interface InstrumentRow {
  readonly key: number;
  readonly id: string;
  readonly installed_on: string | null;
  readonly state: InstrumentState;
  readonly [column: string]: unknown;
}

export function instrumentOf(row: InstrumentRow): Instrument {
  const line = Object.fromEntries(COLUMNS.map((name) => [INSTRUMENT_COLUMNS[name], row[name] ?? '']));
  return { ...(line as unknown as InstrumentLine), key: row.key };
}

/** Until the end of the transaction nobody else changes the ledger. */
export async function takeTurn(client: pg.PoolClient): Promise<void> {
  await client.query(patient('SELECT pg_advisory_xact_lock($1)', [LOCKS.ledger]));
}
