/** Transitions of findings become rows. */
import type pg from 'pg';
import { type Finding, type Reason, type Severity, type Subject, subjectId } from '../fleet/finding.ts';
import type { Instrument } from '../fleet/instrument.ts';

type Opened = Extract<Finding, { change: 'opened' }>;
type Clearing = Extract<Finding, { change: 'cleared' }>;
/** `toMs` when the same call clears it. */
type Opening = Opened & { readonly toMs: number | null };

/** An opening and where its subject lies. */
export type PlacedOpening = Opening & {
  readonly subjectId: string;
  /** Of the instrument it is about; null for a district. */
  readonly key: number | null;
  /** Whose readings show it: the instrument itself, or the master of the district. */
  readonly witness: Instrument | null;
  readonly district: string;
  readonly region: string;
};

/** One that is in the table now. */
export type NewFinding = PlacedOpening & { readonly id: string };

interface Folded {
  readonly openings: readonly Opening[];
  readonly clearings: readonly Clearing[];
}

/** Each identity once; what is opened and cleared in one call is inserted as cleared, so that it never blocks its successor. */
export function fold(findings: readonly Finding[]): Folded {
  const openings = new Map<string, Opening>();
  const clearings = new Map<string, Clearing>();
  for (const finding of findings) {
    const id = identity(finding);
    if (finding.change === 'opened') {
      if (!openings.has(id)) openings.set(id, { ...finding, toMs: clearings.get(id)?.toMs ?? null });
      continue;
    }
    if (!clearings.has(id)) clearings.set(id, finding);
    const opening = openings.get(id);
    if (opening?.toMs === null) openings.set(id, { ...opening, toMs: finding.toMs });
  }
  return { openings: [...openings.values()], clearings: [...clearings.values()] };
}

export function identity(finding: {
  readonly subject: Subject;
  readonly rule: string;
  readonly fromMs: number;
}): string {
  return `${finding.rule} ${finding.fromMs} ${subjectId(finding.subject)}`;
}

export function iso(ms: number): string {
  return new Date(ms).toISOString();
}

/** To be called before `insert`: a finding that ends here makes room for the next of its subject and rule. */
export async function clear(
  client: pg.PoolClient,
  clearings: readonly Clearing[],
  at: Date,
): Promise<{ task: string | null; rule: string }[]> {
  if (clearings.length === 0) return [];
  const { rows } = await client.query<{ task: string | null; rule: string }>(
    `UPDATE findings f SET to_ts = c.to_ts, cleared_at = $5
     FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[]) AS c (subject, rule, from_ts, to_ts)
     WHERE f.subject = c.subject AND f.rule = c.rule AND f.from_ts = c.from_ts AND f.to_ts IS NULL
     RETURNING f.task, f.rule`,
    [
      clearings.map(({ subject }) => subjectId(subject)),
      clearings.map(({ rule }) => rule),
      clearings.map(({ fromMs }) => iso(fromMs)),
      clearings.map(({ toMs }) => iso(toMs)),
      at,
    ],
  );
  return rows;
}

/** Those that were not there yet and whose subject has no open finding of this rule. */
export async function insert(
  client: pg.PoolClient,
  openings: readonly PlacedOpening[],
  at: Date,
): Promise<NewFinding[]> {
  if (openings.length === 0) return [];
  const { rows } = await client.query<{ id: string; subject: string; rule: string; from_ts: Date }>(
    `INSERT INTO findings (rule, subject, instrument, district, region, from_ts, to_ts, severity, reason_code, reason_params, opened_at, cleared_at)
     SELECT o.rule, o.subject, o.instrument, o.district, o.region, o.from_ts, o.to_ts, o.severity, o.code, o.params, $2,
       CASE WHEN o.to_ts IS NOT NULL THEN $2::timestamptz END
     FROM jsonb_to_recordset($1::jsonb) AS o (rule text, subject text, instrument int, district text, region text,
       from_ts timestamptz, to_ts timestamptz, severity text, code text, params jsonb)
     ON CONFLICT DO NOTHING RETURNING id, subject, rule, from_ts`,
    [JSON.stringify(openings.map(insertable)), at],
  );
  const byIdentity = new Map(rows.map((row) => [`${row.rule} ${row.from_ts.getTime()} ${row.subject}`, row.id]));
  return openings.flatMap((opening) => {
    const id = byIdentity.get(identity(opening));
    return id === undefined ? [] : [{ ...opening, id }];
  });
}

function insertable(opening: PlacedOpening): object {
  return {
    rule: opening.rule,
    subject: opening.subjectId,
    instrument: opening.key,
    district: opening.district,
    region: opening.region,
    from_ts: iso(opening.fromMs),
    to_ts: opening.toMs === null ? null : iso(opening.toMs),
    severity: opening.severity,
    code: opening.reason.code,
    params: opening.reason.params,
  };
}

/** A finding as it is kept. */
export interface FindingRecord {
  readonly id: string;
  readonly rule: string;
  /** Ledger id; null when it is about a whole district. */
  readonly instrument: string | null;
  readonly district: string;
  readonly region: string;
  readonly from: Date;
  /** null = still open. */
  readonly to: Date | null;
  readonly severity: Severity;
  readonly reason: Reason;
  readonly task: string | null;
  readonly openedAt: Date;
  readonly clearedAt: Date | null;
}

export const FINDING_COLUMNS = `f.id, f.rule, i.id AS instrument, f.district, f.region, f.from_ts, f.to_ts, f.severity,
  f.reason_code, f.reason_params, f.task, f.opened_at, f.cleared_at`;
export const FINDING_TABLES = 'findings f LEFT JOIN instruments i ON i.key = f.instrument';

export interface FindingRow {
  id: string;
  rule: string;
  instrument: string | null;
  district: string;
  region: string;
  from_ts: Date;
  to_ts: Date | null;
  severity: Severity;
  reason_code: string;
  reason_params: Record<string, number | string>;
  task: string | null;
  opened_at: Date;
  cleared_at: Date | null;
}

export function findingOf(row: FindingRow): FindingRecord {
  return {
    id: row.id,
    rule: row.rule,
    instrument: row.instrument,
    district: row.district,
    region: row.region,
    from: row.from_ts,
    to: row.to_ts,
    severity: row.severity,
    reason: { code: row.reason_code, params: row.reason_params },
    task: row.task,
    openedAt: row.opened_at,
    clearedAt: row.cleared_at,
  };
}
