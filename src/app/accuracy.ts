/** Running errors: where estimates are kept, and what is measured on site. */
import type pg from 'pg';
import { mpePctOf } from '../accuracy/policy.ts';
import type { Domain } from '../config.ts';
import type { Ledger } from '../fleet/instrument.ts';
import { estimateRules, onSiteRule } from '../rules/ruleset.ts';
import { PostgresEstimateRuns } from '../store/postgres-estimate-runs.ts';
import { PostgresEstimates } from '../store/postgres-estimates.ts';
import type { PostgresFindings } from '../store/postgres-findings.ts';
import { PostgresSiteResults } from '../store/postgres-site-results.ts';

export interface Accuracy {
  readonly runs: PostgresEstimateRuns;
  readonly estimates: PostgresEstimates;
  readonly site: PostgresSiteResults;
}

export function openAccuracy(
  { kinds, rules, accuracy }: Domain,
  pool: pg.Pool,
  ledger: Ledger,
  findings: PostgresFindings,
): Accuracy {
  const wanted = estimateRules(rules);
  const confirmed = onSiteRule(rules);
  const aboutErrors = [wanted.get('inaccurate'), wanted.get('crossing-mpe'), confirmed];
  const site = new PostgresSiteResults(pool, {
    ledger,
    findings,
    mpeOf: (instrument) =>
      kinds.get(instrument.kind)?.mpePct.size ? mpePctOf(instrument, kinds, accuracy) : undefined,
    confirmed,
    aboutErrors: aboutErrors.flatMap((rule) => rule?.id ?? []),
  });
  const runs = new PostgresEstimateRuns(pool);
  return { runs, site, estimates: new PostgresEstimates(pool, findings, site) };
}
