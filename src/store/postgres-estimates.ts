/** Estimates of running errors in PostgreSQL: one row per district and window, one per meter, kept as history. */
import type pg from 'pg';
import { MIN_APART_MS, type OpenConclusion, type Seen, type SeenMeter } from '../accuracy/conclusions.ts';
import type {
  Balance,
  DistrictEstimate,
  DistrictNote,
  ErrorChange,
  Method,
  Reason,
  Verdict,
  VerdictReason,
} from '../accuracy/district.ts';
import { SYSTEM } from '../tasks/workflow.ts';
import { patient } from './postgres.ts';
import type { PlacedFindings, PostgresFindings } from './postgres-findings.ts';
import { Conditions, type Page, type PageRequest, page, pageLimit } from './postgres-paging.ts';
import type { PostgresSiteResults } from './postgres-site-results.ts';
import { taskTransaction } from './postgres-task-history.ts';
import type { EstimatePoint } from './task-evidence.ts';

/** What an estimate says of one meter, as it is kept; null = nothing could be said. */
export interface MeterRecord {
  /** Of the run. */
  readonly id: string;
  readonly instrument: string;
  readonly from: Date;
  readonly to: Date;
  readonly errorPct: number | null;
  readonly sdPct: number | null;
  readonly lowPct: number | null;
  readonly highPct: number | null;
  readonly pInaccurate: number | null;
  readonly mpePct: number;
  readonly verdict: Verdict;
  readonly reason: Reason<VerdictReason> | null;
  readonly rowsUsed: number;
  readonly rowsRefused: number;
  readonly energyKwh: number | null;
  readonly clockOffsetS: number | null;
  readonly change: ErrorChange | null;
}

export interface DistrictRecord {
  /** Of the run. */
  readonly id: string;
  readonly district: string;
  readonly from: Date;
  readonly to: Date;
  readonly finishedAt: Date;
  readonly askedBy: string;
  readonly rows: number;
  readonly method: Method;
  /** null = it could not be balanced. */
  readonly balance: Balance | null;
  readonly notes: readonly DistrictNote[];
}

/** Ledger key and MPE of a meter by its id. */
export type Known = (instrument: string) => { readonly key: number; readonly mpePct: number } | undefined;

export interface Estimated {
  readonly estimate: DistrictEstimate;
  /** No reading before it was looked at. */
  readonly fromMs: number;
  readonly known: Known;
}

/** Estimates of every night are kept so long, then one a week: windows of neighbouring nights hold nearly the same rows. */
const NIGHTLY_DAYS = 60;
/** Sunday. */
const KEPT_ISO_WEEKDAY = 7;
const DAY_MS = 86_400_000;
const DELETED_AT_ONCE = 1_000;
const POINTS_MAX = 60;
/** Meters of one district in an answer. */
const METERS_MAX = 2_000;

const METER = `m.run::text AS id, i.id AS instrument, e.from_ts AS "from", e.to_ts AS "to", m.error_pct AS "errorPct", m.sd_pct AS "sdPct",
  m.low_pct AS "lowPct", m.high_pct AS "highPct", m.p_inaccurate AS "pInaccurate", m.mpe_pct AS "mpePct", m.verdict, m.reason,
  m.rows_used AS "rowsUsed", m.rows_refused AS "rowsRefused", m.energy_kwh AS "energyKwh", m.clock_offset_s AS "clockOffsetS", m.change`;
const METERS = `meter_estimates m JOIN district_estimates e ON e.id = m.run JOIN instruments i ON i.key = m.instrument`;
const DISTRICT = `e.id::text AS id, e.district, e.from_ts AS "from", e.to_ts AS "to", e.finished_at AS "finishedAt", e.asked_by AS "askedBy",
  e.rows, e.method, e.balance, e.notes`;

export class PostgresEstimates {
  readonly #pool: pg.Pool;
  readonly #findings: Pick<PostgresFindings, 'write'>;
  readonly #site: Pick<PostgresSiteResults, 'compare'>;

  constructor(pool: pg.Pool, findings: Pick<PostgresFindings, 'write'>, site: Pick<PostgresSiteResults, 'compare'>) {
    this.#pool = pool;
    this.#findings = findings;
    this.#site = site;
  }

  /** Keeps an estimate with the findings made of it; false when another process has done so meanwhile. */
  record(run: string, { estimate, fromMs, known }: Estimated, found: PlacedFindings, at: Date): Promise<boolean> {
    return taskTransaction(this.#pool, async (client) => {
      if (!(await this.#keep(client, run, { estimate, fromMs, known }, at))) return false;
      await this.#findings.write(client, found, at);
      await this.#site.compare(client, run, at);
      return true;
    });
  }

  async #keep(client: pg.PoolClient, run: string, { estimate, fromMs, known }: Estimated, at: Date): Promise<boolean> {
    const { rowCount } = await client.query(
      `UPDATE district_estimates SET state = 'done', finished_at = $2, failure = NULL, from_ts = $3, rows = $4, method = $5, balance = $6, notes = $7
       WHERE id = $1 AND state IN ('waiting', 'running')`,
      [
        run,
        at,
        new Date(Math.max(estimate.fromMs, fromMs)),
        estimate.rows,
        JSON.stringify(estimate.method),
        estimate.balance ? JSON.stringify(estimate.balance) : null,
        JSON.stringify(estimate.notes),
      ],
    );
    if (rowCount === 0) return false;
    const rows = estimate.meters.flatMap((meter) => {
      const found = known(meter.instrument);
      // NaN becomes null in JSON.
      return found ? [{ ...meter, instrument: found.key, mpePct: found.mpePct }] : [];
    });
    await client.query(
      `INSERT INTO meter_estimates (run, instrument, error_pct, sd_pct, low_pct, high_pct, p_inaccurate, mpe_pct, verdict, reason, rows_used,
         rows_refused, energy_kwh, clock_offset_s, change)
       SELECT $1, m.instrument, m."errorPct", m."sdPct", m."lowPct", m."highPct", m."pInaccurate", m."mpePct", m.verdict, m.reason, m."rowsUsed",
         m."rowsRefused", m."energyKwh", m."clockOffsetS", m.change
       FROM jsonb_to_recordset($2::jsonb) AS m (instrument int, "errorPct" float8, "sdPct" float8, "lowPct" float8, "highPct" float8,
         "pInaccurate" float8, "mpePct" float8, verdict text, reason jsonb, "rowsUsed" int, "rowsRefused" int, "energyKwh" float8,
         "clockOffsetS" float8, change jsonb)`,
      [run, JSON.stringify(rows)],
    );
    return true;
  }

  /** Runs of a district whose windows end after `sinceMs` and one after the other by `MIN_APART_MS`, back from `toMs`, newest first. */
  async before(district: string, sinceMs: number, toMs: number, count: number): Promise<string[]> {
    const { rows } = await this.#pool.query<{ id: string }>(
      `WITH RECURSIVE counted (to_ts, n) AS (
         SELECT $3::timestamptz, 0
         UNION ALL
         SELECT (SELECT max(e.to_ts) FROM district_estimates e WHERE e.district = $1 AND e.state = 'done' AND e.to_ts > $2
                 AND e.to_ts <= c.to_ts - ${MIN_APART_MS} * interval '1 ms'), n + 1
         FROM counted c WHERE c.to_ts IS NOT NULL AND n < $4
       )
       SELECT e.id FROM counted c JOIN district_estimates e ON e.district = $1 AND e.to_ts = c.to_ts WHERE n > 0 ORDER BY n`,
      [district, since(sinceMs), new Date(toMs), count],
    );
    return rows.map(({ id }) => id);
  }

  /** In the order of the ids. */
  async seen(ids: readonly string[]): Promise<Seen[]> {
    if (ids.length === 0) return [];
    const [runs, meters] = await Promise.all([
      this.#pool.query<DistrictRecord>(`SELECT ${DISTRICT} FROM district_estimates e WHERE e.id = ANY ($1::bigint[])`, [
        ids,
      ]),
      this.#pool.query<MeterRecord>(`SELECT ${METER} FROM ${METERS} WHERE m.run = ANY ($1::bigint[])`, [ids]),
    ]);
    const byRun = Map.groupBy(meters.rows, ({ id }) => id);
    const byId = new Map(runs.rows.map((run) => [run.id, run]));
    return ids.flatMap((id): Seen[] => {
      const run = byId.get(id);
      if (!run) return [];
      const seen = (byRun.get(id) ?? []).map(seenMeter);
      return [{ toMs: run.to.getTime(), balanced: run.balance !== null, meters: seen, notes: run.notes }];
    });
  }

  /** Open findings of these rules about a district or its instruments. */
  async open(district: string, rules: readonly string[]): Promise<OpenConclusion[]> {
    const { rows } = await this.#pool.query<{ rule: string; instrument: number | null; from_ts: Date }>(
      'SELECT rule, instrument, from_ts FROM findings WHERE district = $1 AND rule = ANY ($2) AND to_ts IS NULL ORDER BY id',
      [district, rules],
    );
    return rows.map(({ rule, instrument, from_ts }) => ({
      rule,
      subject: instrument === null ? { type: 'district', district } : { type: 'instrument', key: instrument },
      fromMs: from_ts.getTime(),
    }));
  }

  /** Of one meter, the last of each day (UTC) whose window ends before `toMs`; oldest first, the newest of them. */
  async points(key: number, toMs: number): Promise<EstimatePoint[]> {
    const { rows } = await this.#pool.query<MeterRecord>(
      `SELECT DISTINCT ON ((e.to_ts AT TIME ZONE 'UTC')::date) ${METER} FROM ${METERS} WHERE m.instrument = $1 AND e.to_ts < $2
       ORDER BY (e.to_ts AT TIME ZONE 'UTC')::date DESC, e.to_ts DESC LIMIT ${POINTS_MAX}`,
      [key, new Date(toMs)],
    );
    return rows.toReversed().map(pointOf);
  }

  /** Of one meter, newest first. */
  async ofInstrument(key: number, request: PageRequest = {}): Promise<Page<MeterRecord>> {
    const limit = pageLimit(request.limit);
    const conditions = new Conditions().add('m.instrument = ?', key).before('m.run', request.cursor);
    const { rows } = await this.#pool.query<MeterRecord>(
      `SELECT ${METER} FROM ${METERS} WHERE ${conditions} ORDER BY m.run DESC LIMIT ${limit + 1}`,
      conditions.params,
    );
    return page(rows, limit);
  }

  /** Newest first. */
  async ofDistrict(district: string, request: PageRequest = {}): Promise<Page<DistrictRecord>> {
    const limit = pageLimit(request.limit);
    const conditions = new Conditions().add('e.district = ?', district).before('e.id', request.cursor);
    const { rows } = await this.#pool.query<DistrictRecord>(
      `SELECT ${DISTRICT} FROM district_estimates e WHERE e.state = 'done' AND ${conditions} ORDER BY e.id DESC LIMIT ${limit + 1}`,
      conditions.params,
    );
    return page(rows, limit);
  }

  /** The newest by the end of its window. */
  async newest(district: string): Promise<DistrictRecord | undefined> {
    const { rows } = await this.#pool.query<DistrictRecord>(
      `SELECT ${DISTRICT} FROM district_estimates e WHERE e.district = $1 AND e.state = 'done' ORDER BY e.to_ts DESC LIMIT 1`,
      [district],
    );
    return rows[0];
  }

  /** In order of id. */
  async metersOf(run: string): Promise<MeterRecord[]> {
    const { rows } = await this.#pool.query<MeterRecord>(
      `SELECT ${METER} FROM ${METERS} WHERE m.run = $1 ORDER BY i.id LIMIT ${METERS_MAX}`,
      [run],
    );
    return rows;
  }

  /** Drops what is older than `oldestMs`, and thins what is no longer needed night by night. Returns how many runs went. */
  async tend(nowMs: number, oldestMs: number): Promise<number> {
    const { rowCount } = await this.#pool.query(
      patient(
        `DELETE FROM district_estimates WHERE id IN (
           SELECT id FROM district_estimates
           WHERE to_ts < $1 OR (to_ts < $2 AND (state <> 'done' OR asked_by <> $3 OR extract(isodow FROM to_ts AT TIME ZONE 'UTC') <> ${KEPT_ISO_WEEKDAY}))
           ORDER BY to_ts LIMIT ${DELETED_AT_ONCE} FOR UPDATE SKIP LOCKED)`,
        [new Date(oldestMs), new Date(nowMs - NIGHTLY_DAYS * DAY_MS), SYSTEM.username],
      ),
    );
    return rowCount ?? 0;
  }
}

function since(ms: number): Date | '-infinity' {
  return Number.isFinite(ms) ? new Date(ms) : '-infinity';
}

function seenMeter(row: MeterRecord): SeenMeter {
  const { instrument, verdict, mpePct } = row;
  const number = (value: number | null) => value ?? Number.NaN;
  return {
    instrument,
    verdict,
    mpePct,
    change: row.change ?? undefined,
    errorPct: number(row.errorPct),
    lowPct: number(row.lowPct),
    highPct: number(row.highPct),
    pInaccurate: number(row.pInaccurate),
  };
}

function pointOf({ id, to, errorPct, lowPct, highPct, pInaccurate, verdict }: MeterRecord): EstimatePoint {
  return { run: id, toMs: to.getTime(), errorPct, lowPct, highPct, pInaccurate, verdict };
}
