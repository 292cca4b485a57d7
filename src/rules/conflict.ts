/** The same moment twice with different values: seen where readings are stored, since a refused reading leaves no other trace. */
import type { Finding } from '../fleet/finding.ts';
import type { NamedValues } from '../fleet/reading.ts';
import { because } from './detectors.ts';
import type { RuleSet } from './ruleset.ts';

export interface Contradiction {
  readonly key: number;
  readonly tsMs: number;
  readonly kept: NamedValues;
  readonly refused: NamedValues;
}

/** One finding per instrument and commit, over all its contradictions: a clock that stands still makes thousands. */
export function conflictFindings(rules: RuleSet, conflicts: readonly Contradiction[]): Finding[] {
  const rule = [...rules.rules.values()].find(({ settings }) => settings.detector === 'reading-path');
  if (!rule) return [];
  const ofInstrument = Map.groupBy(
    [...conflicts].sort((a, b) => a.tsMs - b.tsMs),
    ({ key }) => key,
  );
  return [...ofInstrument.values()].flatMap((contradictions): Finding[] => {
    const { key, tsMs, kept, refused } = contradictions[0]!;
    const identity = { rule: rule.id, subject: { type: 'instrument', key }, fromMs: tsMs } as const;
    const differing = [...new Set([...Object.keys(kept), ...Object.keys(refused)])].filter(
      (name) => kept[name as keyof NamedValues] !== refused[name as keyof NamedValues],
    );
    const reason = because('reading_conflict', { kept: listed(kept, differing), refused: listed(refused, differing) });
    return [
      { change: 'opened', ...identity, severity: rule.severity, reason },
      { change: 'cleared', ...identity, toMs: contradictions.at(-1)!.tsMs },
    ];
  });
}

function listed(values: NamedValues, names: readonly string[]): string {
  return names.map((name) => `${name} ${values[name as keyof NamedValues] ?? '—'}`).join(', ');
}
