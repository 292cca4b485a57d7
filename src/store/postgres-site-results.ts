/** What is measured and replaced on site: kept for the next estimates, and what follows from it for findings and tasks. */
import type pg from 'pg';
import type { SiteResult } from '../accuracy/district.ts';
import { improvement } from '../accuracy/improvement.ts';
import { agedUncertaintyPct } from '../accuracy/measured.ts';
import { MeterwardenError } from '../errors.ts';
import type { Finding, Severity } from '../fleet/finding.ts';
import type { Instrument, Ledger } from '../fleet/instrument.ts';
import type { TaskState } from '../fleet/task.ts';
import type { Measurement, SiteVerdict } from '../tasks/measurement.ts';
import { type Actor, type Replacement, SYSTEM } from '../tasks/workflow.ts';
import type { DistrictRecord, MeterRecord } from './postgres-estimates.ts';
import { identity } from './postgres-finding-rows.ts';
import type { PostgresFindings } from './postgres-findings.ts';
import { appendHistory, type TaskNote } from './postgres-task-history.ts';
import type { PlacedTask } from './postgres-task-rows.ts';
import type { Evidence } from './task-evidence.ts';

export interface SiteResultsOptions {
  readonly ledger: Ledger;
  readonly findings: Pick<PostgresFindings, 'place' | 'write'>;
  readonly mpeOf: (instrument: Instrument) => number | undefined;
  /** What becomes of an error confirmed on site. */
  readonly confirmed: { readonly id: string; readonly severity: Severity } | undefined;
  /** Of findings about a meter's error, which end with a refuting result or with the meter. */
  readonly aboutErrors: readonly string[];
}

export interface SiteRecord {
  readonly id: string;
  readonly task: string;
  readonly errorPct: number;
  readonly expandedUncertaintyPct: number;
  readonly mpePct: number;
  readonly standard: string;
  readonly verdict: SiteVerdict;
  readonly measuredAt: Date;
  readonly enteredBy: string;
}

export interface ReplacementRecord {
  readonly task: string;
  readonly old: string;
  readonly new: string;
  readonly replacedAt: Date;
  /** null = not known yet. */
  readonly improved: boolean | null;
}

const SITE_RESULTS_MAX = 100;
const DAY_MS = 86_400_000;
/** Longer than any window, or who was refuted is accused again as soon as it has passed; after that a meter may have become another. */
const REMEMBERED_DAYS = 731;

export class PostgresSiteResults {
  readonly #pool: pg.Pool;
  readonly #options: SiteResultsOptions;

  constructor(pool: pg.Pool, options: SiteResultsOptions) {
    this.#pool = pool;
    this.#options = options;
  }

  /** The MPE of the meter a task is about; null = it has none. */
  mpeOf(instrument: string | null): number | null {
    const found = instrument === null ? undefined : this.#options.ledger.byId(instrument);
    return (found && this.#options.mpeOf(found)) ?? null;
  }

  /** Only inside `taskTransaction`, after the transition. */
  async measured(
    client: pg.PoolClient,
    task: PlacedTask,
    measurement: Measurement,
    verdict: SiteVerdict,
    { username }: Actor,
    at: Date,
  ): Promise<void> {
    const { key } = this.#options.ledger.byId(task.instrument!)!;
    const { errorPct, expandedUncertaintyPct, standard } = measurement;
    const measuredAt = notLater('measurement.measuredAt', measurement.measuredAtMs, at);
    await client.query(
      `INSERT INTO site_results (instrument, task, error_pct, expanded_uncertainty_pct, mpe_pct, standard, verdict, measured_at, entered_at, entered_by)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
      [key, task.id, errorPct, expandedUncertaintyPct, task.mpePct, standard, verdict, measuredAt, at, username],
    );
    if (verdict === 'refuted') await this.#end(client, key, measuredAt, at);
    else await this.#confirm(client, task, key, measurement, measuredAt, at);
  }

  /** Another finding, which raises the task to replace it with the evidence of this one. */
  async #confirm(
    client: pg.PoolClient,
    task: PlacedTask,
    key: number,
    { errorPct, expandedUncertaintyPct, standard }: Measurement,
    measuredAt: Date,
    at: Date,
  ): Promise<void> {
    const { findings, confirmed } = this.#options;
    if (!confirmed) return;
    const numbers = { error_pct: errorPct, uncertainty_pct: expandedUncertaintyPct, mpe_pct: task.mpePct!, standard };
    const finding = {
      change: 'opened',
      rule: confirmed.id,
      subject: { type: 'instrument', key },
      fromMs: measuredAt.getTime(),
      severity: confirmed.severity,
      reason: { code: 'error_confirmed_on_site', params: { ...numbers, task: task.id } },
    } as const satisfies Finding;
    const { rows } = await client.query<{ evidence: Evidence[] }>('SELECT evidence FROM tasks WHERE id = $1', [
      task.id,
    ]);
    const shown = rows[0]!.evidence.find(({ estimate }) => estimate !== undefined);
    const { rule, fromMs, severity, reason } = finding;
    const evidence: Evidence = {
      ...{ rule, fromMs, severity, reason, instrument: task.instrument, readings: [] },
      ...(shown?.estimate && { estimate: shown.estimate }),
    };
    await findings.write(
      client,
      { ...findings.place([finding]), evidence: new Map([[identity(finding), evidence]]) },
      at,
    );
    const raised = await client.query<{ task: string | null }>(
      `SELECT task FROM findings WHERE rule = $1 AND instrument = $2 AND to_ts IS NULL`,
      [confirmed.id, key],
    );
    const replace = raised.rows[0]?.task;
    if (replace) await note(client, task.id, 'done', 'replace-raised', { raised: replace }, at);
  }

  /** Only inside `taskTransaction`, after the transition. */
  async replaced(
    client: pg.PoolClient,
    task: PlacedTask,
    { instrument, replacedAtMs }: Replacement,
    { username }: Actor,
    at: Date,
  ): Promise<void> {
    const replacedAt = notLater('replacement.replacedAt', replacedAtMs, at);
    const old = this.#options.ledger.byId(task.instrument ?? '');
    if (!old) return;
    const fresh = await this.#inItsPlace(client, old, instrument);
    await client.query(
      `INSERT INTO replacements (task, old, new, district, replaced_at, entered_at, entered_by) VALUES ($1, $2, $3, $4, $5, $6, $7)
       ON CONFLICT (task) DO UPDATE SET new = excluded.new, replaced_at = excluded.replaced_at, entered_at = excluded.entered_at,
         entered_by = excluded.entered_by, improved = NULL, compared = NULL, compared_at = NULL`,
      [task.id, old.key, fresh, task.district, replacedAt, at, username],
    );
    await this.#end(client, old.key, replacedAt, at);
  }

  /** The key of the meter that is in service there now. */
  async #inItsPlace(client: pg.PoolClient, old: Instrument, id: string): Promise<number> {
    const { rows } = await client.query<{ key: number; id: string }>(
      `SELECT key, id FROM instruments WHERE id = ANY ($1) AND district = $2 AND kind = $3 AND role = $4 AND state = 'in-service'`,
      [[id, old.id], old.district, old.kind, old.role],
    );
    const fresh = rows.find((row) => row.id === id);
    const refused = (problem: string, params: Record<string, string>) =>
      new MeterwardenError('invalid_request', { path: 'replacement.instrument', params: { problem, ...params } });
    if (!fresh) throw refused('not_in_its_place', { district: old.district });
    if (rows.length > 1) throw refused('still_in_service', { instrument: old.id });
    return fresh.key;
  }

  async #end(client: pg.PoolClient, key: number, toTs: Date, at: Date): Promise<void> {
    const { findings, aboutErrors } = this.#options;
    const { rows } = await client.query<{ rule: string; from_ts: Date }>(
      'SELECT rule, from_ts FROM findings WHERE instrument = $1 AND rule = ANY ($2) AND to_ts IS NULL',
      [key, aboutErrors],
    );
    const ended = rows.map(({ rule, from_ts }): Finding => {
      const fromMs = from_ts.getTime();
      const toMs = Math.max(fromMs, toTs.getTime());
      return { change: 'cleared', rule, subject: { type: 'instrument', key }, fromMs, toMs };
    });
    await findings.write(client, findings.place(ended), at);
  }

  /**
   * What was measured of the meters that a district had at `toMs`, oldest first, as sure as it is of them then. Results of later
   * on are among them: of a window that is estimated late nobody is accused who was measured meanwhile.
   */
  async observations(district: string, toMs: number): Promise<SiteResult[]> {
    const { rows } = await this.#pool.query<Omit<SiteResult, 'atMs'> & { measured_at: Date }>(
      `SELECT i.id AS instrument, s.error_pct AS "errorPct", s.expanded_uncertainty_pct / 2 AS "uncertaintyPct", s.measured_at
       FROM site_results s JOIN instruments i ON i.key = s.instrument
       WHERE i.district = $1 AND s.measured_at >= $2
         AND NOT EXISTS (SELECT FROM replacements r WHERE r.old = s.instrument AND (r.replaced_at >= s.measured_at OR r.replaced_at > $3))
       ORDER BY s.measured_at, s.id`,
      [district, new Date(toMs - REMEMBERED_DAYS * DAY_MS), new Date(toMs)],
    );
    return rows.map(({ measured_at, uncertaintyPct, ...result }) => ({
      ...result,
      atMs: measured_at.getTime(),
      uncertaintyPct: agedUncertaintyPct(uncertaintyPct, Math.abs(toMs - measured_at.getTime())),
    }));
  }

  /** When a meter of the district was last replaced before `toMs`: estimates begin there. */
  async lastReplacedMs(district: string, toMs: number): Promise<number> {
    const { rows } = await this.#pool.query<{ at: Date | null }>(
      'SELECT max(replaced_at) AS at FROM replacements WHERE district = $1 AND replaced_at < $2',
      [district, new Date(toMs)],
    );
    return rows[0]!.at?.getTime() ?? Number.NEGATIVE_INFINITY;
  }

  /** Compares a run with the one before each replacement that was not judged yet. Only inside `taskTransaction`. */
  async compare(client: pg.PoolClient, run: string, at: Date): Promise<void> {
    const { rows } = await client.query<ReplacementRow>(
      `SELECT r.task, r.old, r.new, o.id AS old_id, n.id AS new_id, t.state, b.id AS before
       FROM district_estimates e
       JOIN replacements r ON r.district = e.district AND r.improved IS NULL AND r.replaced_at <= e.from_ts
       JOIN tasks t ON t.id = r.task JOIN instruments o ON o.key = r.old JOIN instruments n ON n.key = r.new
       JOIN LATERAL (SELECT id FROM district_estimates WHERE district = e.district AND state = 'done' AND balance IS NOT NULL
                     AND to_ts <= r.replaced_at ORDER BY to_ts DESC LIMIT 1) b ON true
       WHERE e.id = $1 AND e.balance IS NOT NULL`,
      [run],
    );
    for (const { task, old, new: fresh, old_id, new_id, state, before } of rows) {
      const figures = improvement(await windowOf(client, before, old), await windowOf(client, run, fresh));
      if (!figures) continue;
      await client.query('UPDATE replacements SET improved = $2, compared = $3, compared_at = $4 WHERE task = $1', [
        task,
        figures.improved,
        JSON.stringify({ ...figures, before, after: run }),
        at,
      ]);
      const params = {
        before_pct: rounded(figures.beforePct),
        after_pct: rounded(figures.afterPct),
        error_before_pct: rounded(figures.errorBeforePct),
        error_after_pct: rounded(figures.errorAfterPct),
        old: old_id,
        new: new_id,
      };
      await note(client, task, state, figures.improved ? 'improved' : 'not-improved', params, at);
    }
  }

  /** Newest first. */
  async ofInstrument(key: number): Promise<{ results: SiteRecord[]; replacements: ReplacementRecord[] }> {
    const results = await this.#pool.query<SiteRecord>(
      `SELECT id, task, error_pct AS "errorPct", expanded_uncertainty_pct AS "expandedUncertaintyPct", mpe_pct AS "mpePct", standard, verdict,
         measured_at AS "measuredAt", entered_by AS "enteredBy"
       FROM site_results WHERE instrument = $1 ORDER BY id DESC LIMIT ${SITE_RESULTS_MAX}`,
      [key],
    );
    const replacements = await this.#pool.query<ReplacementRecord>(
      `SELECT r.task, o.id AS old, n.id AS new, r.replaced_at AS "replacedAt", r.improved
       FROM replacements r JOIN instruments o ON o.key = r.old JOIN instruments n ON n.key = r.new
       WHERE r.old = $1 OR r.new = $1 ORDER BY r.task DESC LIMIT ${SITE_RESULTS_MAX}`,
      [key],
    );
    return { results: results.rows, replacements: replacements.rows };
  }
}

interface ReplacementRow {
  task: string;
  old: number;
  new: number;
  old_id: string;
  new_id: string;
  state: TaskState;
  before: string;
}

async function windowOf(client: pg.PoolClient, run: string, key: number) {
  const { rows } = await client.query<
    Pick<DistrictRecord, 'rows' | 'balance'> &
      Pick<MeterRecord, 'errorPct'> & { verdict: MeterRecord['verdict'] | null }
  >(
    `SELECT e.rows, e.balance, m.error_pct AS "errorPct", m.verdict
     FROM district_estimates e LEFT JOIN meter_estimates m ON m.run = e.id AND m.instrument = $2 WHERE e.id = $1`,
    [run, key],
  );
  const { rows: moments, balance, errorPct, verdict } = rows[0]!;
  const meter = verdict === null || errorPct === null ? undefined : { errorPct, verdict };
  return { rows: moments, balance: balance ?? undefined, meter };
}

async function note(
  client: pg.PoolClient,
  task: string,
  state: TaskState,
  action: TaskNote,
  params: Record<string, string | number>,
  at: Date,
): Promise<void> {
  await appendHistory(client, [{ task, actor: SYSTEM.username, action, from: state, to: state, params }], at);
}

function notLater(path: string, ms: number | undefined, at: Date): Date {
  if (ms === undefined) return at;
  if (ms > at.getTime()) throw new MeterwardenError('invalid_request', { path, params: { problem: 'in_the_future' } });
  return new Date(ms);
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}
