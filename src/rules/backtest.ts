/** The rules over a history: the evaluator of the service with a clock that is the history's own. */
import { csvCell } from '../fleet/csv-cell.ts';
import type { Finding, Reason, Severity } from '../fleet/finding.ts';
import { type Instrument, MemoryLedger } from '../fleet/instrument.ts';
import type { Kinds } from '../fleet/kind.ts';
import { namedValues, type Reading, sameValues } from '../fleet/reading.ts';
import { sayReason } from '../texts/reasons.ts';
import type { Language } from '../texts/text.ts';
import { conflictFindings } from './conflict.ts';
import { Evaluator } from './evaluator.ts';
import type { RuleSet } from './ruleset.ts';

/** A line of findings.csv. */
export interface FindingRow {
  readonly fromMs: number;
  /** null = still open at the end of the history. */
  readonly toMs: number | null;
  /** Ledger id; empty when it is about a whole district. */
  readonly instrument: string;
  readonly district: string;
  readonly rule: string;
  readonly severity: Severity;
  readonly reason: Reason;
}

export const FINDINGS_HEADER = 'from,to,instrument,district,rule,severity,reason';

/** `batches`: readings sorted by ts, in blocks of any size. Rows in order of (from, district, instrument, rule). */
export async function backtest(
  instruments: readonly Instrument[],
  batches: AsyncIterable<readonly Reading[]> | Iterable<readonly Reading[]>,
  rules: RuleSet,
  kinds: Kinds,
): Promise<FindingRow[]> {
  const ledger = new MemoryLedger(instruments);
  const evaluator = new Evaluator(rules, kinds, ledger);
  const findings = new Findings(ledger);
  let step: Reading[] = [];
  let nowMs = Number.NEGATIVE_INFINITY;
  const pass = () => {
    if (step.length === 0) return;
    findings.add(conflictFindings(rules, contradictions(step)));
    findings.add(evaluator.read(step, nowMs));
    findings.add(evaluator.tick(nowMs));
    step = [];
  };
  for await (const batch of batches) {
    for (const reading of batch) {
      if (reading.tsMs > nowMs) {
        pass();
        nowMs = reading.tsMs;
      }
      step.push(reading);
    }
  }
  pass();
  // The last readings count when the clocks of their districts have settled.
  for (const turn of [1, 2]) findings.add(evaluator.tick(nowMs + turn * rules.settleMs));
  return findings.rows();
}

/** Readings of one moment that differ from the first of their instrument. */
function contradictions(step: readonly Reading[]) {
  const first = new Map<number, Reading>();
  return step.flatMap((reading) => {
    const kept = first.get(reading.key);
    if (!kept) first.set(reading.key, reading);
    if (!kept || kept.tsMs !== reading.tsMs || sameValues(kept.values, reading.values)) return [];
    const { key, tsMs } = reading;
    return [{ key, tsMs, kept: namedValues(kept.values), refused: namedValues(reading.values) }];
  });
}

class Findings {
  readonly #ledger: MemoryLedger;
  readonly #rows = new Map<string, FindingRow>();

  constructor(ledger: MemoryLedger) {
    this.#ledger = ledger;
  }

  add(found: readonly Finding[]): void {
    for (const finding of found) {
      const { rule, subject, fromMs } = finding;
      const instrument = subject.type === 'instrument' ? this.#ledger.byKey(subject.key)!.id : '';
      const district = subject.type === 'instrument' ? this.#ledger.byKey(subject.key)!.district : subject.district;
      const identity = JSON.stringify([rule, instrument, district, fromMs]);
      const row = this.#rows.get(identity);
      if (finding.change === 'opened') {
        const { severity, reason } = finding;
        if (!row) this.#rows.set(identity, { fromMs, toMs: null, instrument, district, rule, severity, reason });
      } else if (row) this.#rows.set(identity, { ...row, toMs: finding.toMs });
    }
  }

  rows(): FindingRow[] {
    return [...this.#rows.values()].sort(
      (a, b) =>
        a.fromMs - b.fromMs ||
        compare(a.district, b.district) ||
        compare(a.instrument, b.instrument) ||
        compare(a.rule, b.rule),
    );
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function findingLine(row: FindingRow, language: Language): string {
  const at = (ms: number | null) => (ms === null ? '' : new Date(ms).toISOString());
  const { instrument, district, rule, severity } = row;
  const fields = [at(row.fromMs), at(row.toMs), instrument, district, rule, severity, sayReason(row.reason, language)];
  return fields.map(csvCell).join(',');
}
