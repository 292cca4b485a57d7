/** Estimates as lines of estimates.csv and as report.json: one for each user meter of the ledger, whatever is wrong with it. */
import { csvCell } from '../fleet/csv-cell.ts';
import type { Instrument } from '../fleet/instrument.ts';
import {
  sayChange,
  sayMethod,
  sayNote,
  sayVerdictReason,
  VERDICT_NAMES,
  type VerdictReason,
} from '../texts/accuracy.ts';
import { type Language, say } from '../texts/text.ts';
import type { DistrictEstimate, MeterEstimate, Reason, Verdict } from './district.ts';
import { ESTIMATED_KIND } from './policy.ts';

/** A line of estimates.csv. */
export interface EstimateRow {
  readonly instrument: string;
  readonly district: string;
  readonly verdict: Verdict;
  readonly reason: Reason<VerdictReason> | undefined;
  /** undefined = it was not in the window of its district. */
  readonly estimate: MeterEstimate | undefined;
}

/** A line of the ledger that could not be read. */
export interface UnreadLine {
  readonly id: string;
  readonly district: string;
  readonly role: string;
  readonly column: string;
  readonly kind: string;
}

export const ESTIMATES_HEADER =
  'instrument,district,error_pct,sd_pct,low_pct,high_pct,p_inaccurate,verdict,reason,rows';

/** In order of the ledger, lines that could not be read last. `mastersOf`: how many master meters a district has. */
export function estimateRows(
  instruments: readonly Instrument[],
  unread: readonly UnreadLine[],
  estimates: readonly DistrictEstimate[],
  mastersOf: (district: string) => number,
): EstimateRow[] {
  const found = new Map(estimates.flatMap(({ meters }) => meters.map((meter) => [meter.instrument, meter] as const)));
  const users = instruments.filter(({ role }) => role === 'user');
  const rows = users.map((user): EstimateRow => {
    const { id, district } = user;
    const estimate = found.get(id);
    if (!estimate) return undetermined(id, district, leftOutReason(user));
    const masters = mastersOf(district);
    const isWhich = estimate.reason?.code === 'no_master' && masters > 1;
    const reason = isWhich ? { code: 'several_masters' as const, params: { masters } } : estimate.reason;
    return { instrument: id, district, verdict: estimate.verdict, reason, estimate };
  });
  const lost = unread.filter(({ id, role }) => id !== '' && role !== 'master');
  return [...rows, ...lost.map((line) => undetermined(line.id, line.district, unreadReason(line)))];
}

function undetermined(instrument: string, district: string, reason: Reason<VerdictReason>): EstimateRow {
  return { instrument, district, verdict: 'undetermined', reason, estimate: undefined };
}

function leftOutReason({ kind, state }: Instrument): Reason<VerdictReason> {
  if (kind !== ESTIMATED_KIND) return { code: 'other_kind', params: { kind } };
  return state === 'retired' ? { code: 'retired', params: {} } : { code: 'not_solvable', params: {} };
}

function unreadReason({ column, kind }: UnreadLine): Reason<VerdictReason> {
  return column === 'kind' ? { code: 'other_kind', params: { kind } } : { code: 'unreadable_line', params: { column } };
}

export function estimateLine({ instrument, district, verdict, reason, estimate }: EstimateRow): string {
  const { errorPct, sdPct, lowPct, highPct, pInaccurate } = estimate ?? {};
  return [
    csvCell(instrument),
    csvCell(district),
    ...[errorPct, sdPct, lowPct, highPct, pInaccurate].map(decimal),
    verdict,
    csvCell(reasonText(reason)),
    estimate?.rowsUsed ?? 0,
  ].join(',');
}

/** For programs: the code, then the numbers it is about. Sentences are in the report. */
function reasonText(reason: Reason<string> | undefined): string {
  if (!reason) return '';
  return [reason.code, ...Object.entries(reason.params).map(([name, value]) => `${name}=${value}`)].join(' ');
}

/** Empty where nothing can be said. */
function decimal(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return '';
  const text = value.toFixed(4);
  return Number(text) === 0 ? '0.0000' : text;
}

/** The verdicts counted, each of them. */
export function verdictCounts(rows: readonly EstimateRow[]): Record<Verdict, number> {
  const counts: Record<Verdict, number> = { ok: 0, suspect: 0, inaccurate: 0, undetermined: 0 };
  for (const { verdict } of rows) counts[verdict]++;
  return counts;
}

/** What report.json has of a district: the whole estimate, and sentences beside the codes. */
export function reportDistrict(estimate: DistrictEstimate, rows: readonly EstimateRow[], language: Language): object {
  const hasRows = estimate.rows > 0;
  return {
    ...estimate,
    from: hasRows ? new Date(estimate.fromMs).toISOString() : null,
    to: hasRows ? new Date(estimate.toMs).toISOString() : null,
    methodSentence: sayMethod(estimate.method, language),
    notes: estimate.notes.map((note) => ({ ...note, sentence: sayNote(note, language) })),
    meters: rows.flatMap((row) => (row.estimate ? [reportMeter(row, language)] : [])),
  };
}

/** And of a meter; one that is in no window has nothing but its reason. */
export function reportMeter(
  { instrument, district, verdict, reason, estimate }: EstimateRow,
  language: Language,
): object {
  const change = estimate?.change;
  return {
    ...estimate,
    instrument,
    district,
    verdict,
    verdictName: say(VERDICT_NAMES[verdict], language),
    ...(reason && { reason: { ...reason, sentence: sayVerdictReason(reason, language) } }),
    ...(change && { change: { ...change, sentence: sayChange(change, language) } }),
  };
}
