/** Findings in PostgreSQL, and the tasks they raise in the same transaction. */
import type pg from 'pg';
import { MeterwardenError } from '../errors.ts';
import { type Finding, type Subject, subjectId } from '../fleet/finding.ts';
import type { Ledger } from '../fleet/instrument.ts';
import type { TaskPolicies, TaskPolicyOf } from '../tasks/policy.ts';
import {
  clear,
  FINDING_COLUMNS,
  FINDING_TABLES,
  type FindingRecord,
  type FindingRow,
  findingOf,
  fold,
  identity,
  insert,
  iso,
  type PlacedOpening,
} from './postgres-finding-rows.ts';
import { Conditions, type Page, type PageRequest, page, pageLimit } from './postgres-paging.ts';
import { clearedEntries, raiseTasks } from './postgres-raise.ts';
import { appendHistory, taskTransaction } from './postgres-task-history.ts';
import type { ReadingStore } from './readings.ts';
import { type EstimateEvidence, type Evidence, readingsAround } from './task-evidence.ts';

export interface PostgresFindingsOptions {
  readonly pool: pg.Pool;
  readonly ledger: Ledger;
  readonly policyOf: TaskPolicyOf;
  readonly policies: TaskPolicies;
  /** Where the readings around a finding come from. */
  readonly range: ReadingStore['range'];
}

export interface FindingFilter extends PageRequest {
  /** Ledger id. */
  readonly instrument?: string | undefined;
  readonly district?: string | undefined;
  readonly rule?: string | undefined;
  readonly open?: boolean | undefined;
  /** Began at or after. */
  readonly from?: Date | undefined;
  /** Began before. */
  readonly to?: Date | undefined;
  readonly visibleRegion?: string | undefined;
}

/** Findings as they go into a transaction. */
export interface PlacedFindings {
  readonly openings: readonly PlacedOpening[];
  readonly clearings: ReturnType<typeof fold>['clearings'];
  /** By identity. */
  readonly evidence: ReadonlyMap<string, Evidence>;
}

export interface OpenFinding {
  readonly rule: string;
  readonly subject: Subject;
  readonly fromMs: number;
}

/** Findings written by one transaction: a few statements, and other writers wait some tens of milliseconds. */
const FINDINGS_PER_TRANSACTION = 500;
/** Windows of readings fetched at once. */
const EVIDENCE_CONCURRENCY = 4;

export class PostgresFindings {
  readonly #options: PostgresFindingsOptions;

  constructor(options: PostgresFindingsOptions) {
    this.#options = options;
  }

  /** Records transitions in their order, each once however often it is given; `at` is when the service saw them. */
  async record(findings: readonly Finding[], at: Date): Promise<void> {
    for (let start = 0; start < findings.length; start += FINDINGS_PER_TRANSACTION) {
      const placed = await this.prepare(findings.slice(start, start + FINDINGS_PER_TRANSACTION));
      await taskTransaction(this.#options.pool, (client) => this.write(client, placed, at));
    }
  }

  /**
   * Everything that needs no transaction: no other writer waits for it. A finding new by then is new in the transaction or not at
   * all. `estimateOf` adds what an estimate found.
   */
  async prepare(
    findings: readonly Finding[],
    estimateOf: (opening: PlacedOpening) => EstimateEvidence | undefined = () => undefined,
  ): Promise<PlacedFindings> {
    const placed = this.place(findings);
    const evidence = await this.#gather(await this.#unknown(placed.openings), estimateOf);
    return { ...placed, evidence };
  }

  /** The same without evidence, at once: for a transaction that is under way. */
  place(findings: readonly Finding[]): PlacedFindings {
    const { openings, clearings } = fold(findings);
    return { openings: openings.map((opening) => this.#place(opening)), clearings, evidence: new Map() };
  }

  /** Records them with their tasks. Only inside `taskTransaction`. */
  async write(client: pg.PoolClient, { openings, clearings, evidence }: PlacedFindings, at: Date): Promise<void> {
    const cleared = await clear(client, clearings, at);
    const inserted = await insert(client, openings, at);
    const raising = inserted.filter(({ rule }) => (this.#options.policyOf(rule)?.task ?? null) !== null);
    const entries = await clearedEntries(client, cleared);
    entries.push(...(await raiseTasks(client, raising, evidence, this.#options, at)));
    await appendHistory(client, entries, at);
  }

  #place(opening: Omit<PlacedOpening, 'subjectId' | 'key' | 'witness' | 'district' | 'region'>): PlacedOpening {
    const { ledger } = this.#options;
    const subject = subjectId(opening.subject);
    if (opening.subject.type === 'district') {
      const { district } = opening.subject;
      const members = ledger.ofDistrict(district);
      const serving = members.filter(({ state }) => state === 'in-service');
      const master = serving.find(({ role }) => role === 'master');
      const region = (master ?? serving[0] ?? members[0])?.region ?? '';
      return { ...opening, subjectId: subject, key: null, witness: master ?? null, district, region };
    }
    const instrument = ledger.byKey(opening.subject.key);
    if (!instrument) {
      throw new MeterwardenError('unknown_instrument', { path: subject, params: { instrument: opening.subject.key } });
    }
    const { key, district, region } = instrument;
    return { ...opening, subjectId: subject, key, witness: instrument, district, region };
  }

  async #unknown(placed: readonly PlacedOpening[]): Promise<PlacedOpening[]> {
    const raising = placed.filter(({ rule }) => (this.#options.policyOf(rule)?.task ?? null) !== null);
    if (raising.length === 0) return [];
    const { rows } = await this.#options.pool.query<{ n: number }>(
      `SELECT (o.n - 1)::int AS n FROM unnest($1::text[], $2::text[], $3::timestamptz[]) WITH ORDINALITY AS o (subject, rule, from_ts, n)
       WHERE NOT EXISTS (SELECT FROM findings f WHERE f.subject = o.subject AND f.rule = o.rule AND f.from_ts = o.from_ts)`,
      [raising.map((o) => o.subjectId), raising.map((o) => o.rule), raising.map((o) => iso(o.fromMs))],
    );
    return rows.map(({ n }) => raising[n]!);
  }

  async #gather(
    openings: readonly PlacedOpening[],
    estimateOf: (opening: PlacedOpening) => EstimateEvidence | undefined,
  ): Promise<Map<string, Evidence>> {
    const gathered = new Map<string, Evidence>();
    const waiting = openings.values();
    const gatherer = async () => {
      for (const opening of waiting) {
        const { rule, fromMs, severity, reason, witness } = opening;
        const readings = witness ? await readingsAround(this.#options.range, witness.key, fromMs) : [];
        const seen = { rule, fromMs, severity, reason, instrument: witness?.id ?? null, readings };
        const estimate = estimateOf(opening);
        gathered.set(identity(opening), estimate ? { ...seen, estimate } : seen);
      }
    };
    await Promise.all(Array.from({ length: EVIDENCE_CONCURRENCY }, gatherer));
    return gathered;
  }

  /** What an evaluator must know at start: conditions already reported and not yet cleared. */
  async open(): Promise<OpenFinding[]> {
    const { rows } = await this.#options.pool.query<{
      rule: string;
      instrument: number | null;
      district: string;
      from_ts: Date;
    }>('SELECT rule, instrument, district, from_ts FROM findings WHERE to_ts IS NULL ORDER BY id');
    return rows.map(({ rule, instrument, district, from_ts }) => ({
      rule,
      subject: instrument === null ? { type: 'district', district } : { type: 'instrument', key: instrument },
      fromMs: from_ts.getTime(),
    }));
  }

  async list(filter: FindingFilter = {}): Promise<Page<FindingRecord>> {
    const limit = pageLimit(filter.limit);
    const conditions = new Conditions()
      .add('i.id = ?', filter.instrument)
      .add('f.district = ?', filter.district)
      .add('f.rule = ?', filter.rule)
      .add('(f.to_ts IS NULL) = ?', filter.open)
      .add('f.from_ts >= ?', filter.from)
      .add('f.from_ts < ?', filter.to)
      .within('f.region', filter.visibleRegion === undefined ? undefined : [filter.visibleRegion])
      .before('f.id', filter.cursor);
    const { rows } = await this.#options.pool.query<FindingRow>(
      `SELECT ${FINDING_COLUMNS} FROM ${FINDING_TABLES} WHERE ${conditions} ORDER BY f.id DESC LIMIT ${limit + 1}`,
      conditions.params,
    );
    return page(rows.map(findingOf), limit);
  }

  /** Open findings by rule, for metrics. */
  async openByRule(): Promise<Map<string, number>> {
    const { rows } = await this.#options.pool.query<{ rule: string; n: number }>(
      'SELECT rule, count(*)::int AS n FROM findings WHERE to_ts IS NULL GROUP BY rule',
    );
    return new Map(rows.map(({ rule, n }) => [rule, n]));
  }
}
