/** One district's journey from its readings to errors of its meters, findings and tasks. */
import { conclude, type Seen, type SeenMeter } from './accuracy/conclusions.ts';
import type { DistrictEstimate, SiteResult } from './accuracy/district.ts';
import { ESTIMATED_KIND, type EstimationPolicy, mpePctOf } from './accuracy/policy.ts';
import type { Instrument, Ledger } from './fleet/instrument.ts';
import type { Kinds } from './fleet/kind.ts';
import type { Calendar } from './handover/calendar.ts';
import { estimateRules, type RuleSet } from './rules/ruleset.ts';
import type { EstimateRun, PostgresEstimateRuns } from './store/postgres-estimate-runs.ts';
import type { Known, PostgresEstimates } from './store/postgres-estimates.ts';
import type { PostgresFindings } from './store/postgres-findings.ts';
import type { PostgresSiteResults } from './store/postgres-site-results.ts';
import type { EstimateEvidence, EstimatePoint } from './store/task-evidence.ts';
import type { EstimateRuns, RunOutcome, WaitingRun } from './tasks/estimates.ts';

/** What has to be calculated: nothing but data, it passes to a thread of its own. */
export interface EstimateOrder {
  readonly district: string;
  /** All that the ledger has there. */
  readonly instruments: readonly Instrument[];
  readonly fromMs: number;
  /** Included. */
  readonly toMs: number;
  readonly siteResults: readonly SiteResult[];
}

export interface EstimatingParts {
  readonly ledger: Ledger;
  readonly kinds: Kinds;
  readonly rules: RuleSet;
  readonly policy: EstimationPolicy;
  readonly calendar: Calendar;
  readonly runs: PostgresEstimateRuns;
  readonly estimates: PostgresEstimates;
  readonly site: PostgresSiteResults;
  readonly findings: Pick<PostgresFindings, 'prepare'>;
  /** Reads the window and estimates: seconds of a core. */
  readonly calculate: (order: EstimateOrder) => Promise<DistrictEstimate>;
  readonly onEstimate?: (estimate: DistrictEstimate) => void;
  /** Told of a run that failed, before the queue tries it again. */
  readonly onFailure?: (error: unknown) => void;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

export class Estimating implements EstimateRuns {
  readonly #parts: EstimatingParts;
  #plannedMs = Number.NaN;
  #stopped = false;

  constructor(parts: EstimatingParts) {
    this.#parts = parts;
  }

  /** What fails from now on was stopped, and is for another process. */
  stop(): void {
    this.#stopped = true;
  }

  async plan(at: Date): Promise<number> {
    const { runs, calendar, policy } = this.#parts;
    const { fromMs } = calendar.day(calendar.nameAt(at.getTime() - policy.nightlyHour * HOUR_MS));
    if (fromMs === this.#plannedMs) return 0;
    const planned = await runs.planNight(fromMs, [ESTIMATED_KIND], at);
    this.#plannedMs = fromMs;
    return planned;
  }

  waiting(at: Date, limit: number): Promise<WaitingRun[]> {
    return this.#parts.runs.waiting(at, limit);
  }

  disarm(runs: readonly WaitingRun[]): Promise<void> {
    return this.#parts.runs.disarm(runs);
  }

  async run(id: string, nowMs: () => number): Promise<RunOutcome> {
    const { runs, onFailure } = this.#parts;
    const run = await runs.begin(id, new Date(nowMs()));
    if (!run) return 'done-before';
    try {
      return (await this.#estimate(run, nowMs)) ? 'done' : 'done-before';
    } catch (error) {
      if (!this.#stopped) {
        onFailure?.(error);
        await runs.fail(id, String(error), new Date(nowMs()));
      }
      throw error;
    }
  }

  async #estimate(run: EstimateRun, nowMs: () => number): Promise<boolean> {
    const { ledger, kinds, policy, rules, estimates, site, findings, calculate, onEstimate } = this.#parts;
    const { district } = run;
    const toMs = run.to.getTime();
    const instruments = ledger.ofDistrict(district);
    const replacedMs = await site.lastReplacedMs(district, toMs);
    const fromMs = Math.max(toMs - policy.windowDays * DAY_MS, replacedMs);
    let siteResults: readonly SiteResult[];
    let estimate: DistrictEstimate;
    // Of who was measured while it was made, it would say what is no longer believed.
    do {
      siteResults = await site.observations(district, toMs);
      estimate = await calculate({ district, instruments, fromMs, toMs, siteResults });
    } while ((await site.observations(district, toMs)).length !== siteResults.length);

    const byId = new Map(instruments.map((instrument) => [instrument.id, instrument]));
    const known: Known = (id) => {
      const found = byId.get(id);
      return found && { key: found.key, mpePct: mpePctOf(found, kinds, policy) };
    };
    const wanted = estimateRules(rules);
    const { confirmations } = policy;
    const [before, newest, replacedSinceMs, open] = await Promise.all([
      estimates.before(district, replacedMs, toMs, confirmations - 1),
      estimates.newest(district),
      site.lastReplacedMs(district, nowMs()),
      estimates.open(
        district,
        [...wanted.values()].map(({ id }) => id),
      ),
    ]);
    const past = await estimates.seen(before);
    const keyOf = (id: string) => byId.get(id)?.key;
    const now = seenIn(estimate, toMs, known);
    // A window that comes late is history: what follows from newer ones, or from a replacement, stands.
    const isLate = Math.max(newest?.to.getTime() ?? Number.NEGATIVE_INFINITY, replacedSinceMs) > toMs;
    const found = isLate ? [] : conclude({ district, now, past, open, rules: wanted, confirmations, keyOf });

    const history = new Map<number, EstimatePoint[]>();
    for (const { change, subject } of found) {
      if (change === 'opened' && subject.type === 'instrument' && !history.has(subject.key))
        history.set(subject.key, await estimates.points(subject.key, toMs));
    }
    const placed = await findings.prepare(found, ({ subject }) => {
      const key = subject.type === 'instrument' ? subject.key : undefined;
      return evidenceOf(
        run,
        estimate,
        now,
        key === undefined ? undefined : ledger.byKey(key)?.id,
        history.get(key ?? 0),
      );
    });
    const kept = await estimates.record(run.id, { estimate, fromMs, known }, placed, new Date(nowMs()));
    if (kept) onEstimate?.(estimate);
    return kept;
  }
}

function seenIn({ meters, balance, notes }: DistrictEstimate, toMs: number, known: Known): Seen {
  const seen = meters.map((meter): SeenMeter => ({ ...meter, mpePct: known(meter.instrument)?.mpePct ?? Number.NaN }));
  return { toMs, balanced: balance !== undefined, meters: seen, notes };
}

function evidenceOf(
  { id: run }: EstimateRun,
  { fromMs, rows, method, balance, meters }: DistrictEstimate,
  { toMs, meters: seen }: Seen,
  instrument: string | undefined,
  before: readonly EstimatePoint[] = [],
): EstimateEvidence {
  const meter = meters.find((one) => one.instrument === instrument);
  const history = [...before];
  if (meter) {
    const { errorPct, lowPct, highPct, pInaccurate, verdict } = meter;
    history.push({ run, toMs, errorPct, lowPct, highPct, pInaccurate, verdict });
  }
  return {
    run,
    fromMs,
    toMs,
    rows,
    rowsUsed: meter?.rowsUsed ?? null,
    rowsRefused: meter?.rowsRefused ?? null,
    method,
    balance: balance ?? null,
    mpePct: seen.find((one) => one.instrument === instrument)?.mpePct ?? null,
    change: meter?.change ?? null,
    history,
  };
}
