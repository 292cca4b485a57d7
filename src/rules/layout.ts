/** Which numbers the rules keep of every instrument, and where they stand in its row. */
import type { Rule, RuleSet } from './ruleset.ts';

/** Measurement time of its newest reading, epoch ms; NaN = never heard. */
export const LAST_MS = 0;
/** Its newest register and when it was read; NaN = none yet. */
export const REGISTER = 1;
export const REGISTER_MS = 2;
/** Never heard: since when readings of it are expected. */
export const AWAITED_MS = 3;
/** Beginning of its open silence, else NaN. */
export const SILENT_FROM_MS = 4;
/** 1 = missing in the count of its district, else NaN. */
export const MISSING = 5;
/** Its newest reading came later than silence begins: wall clock until which another as late may come, else NaN. */
export const LATE_UNTIL_MS = 6;
const SHARED = ['last_ms', 'register', 'register_ms', 'awaited_ms', 'silent_from_ms', 'missing', 'late_until_ms'];

/** Of a rule: beginning of its open finding, else NaN. */
export const FROM_MS = 0;
/** Of a rule: since when its condition has held (nothing open) or has been gone (finding open), else NaN. */
export const SINCE_MS = 1;
/** Of a rule: first number of its detector's own. */
export const OWN = 2;

const OWN_NAMES: Partial<Record<Rule['settings']['detector'], readonly string[]>> = {
  'register-decrease': [],
  'increment-limit': [],
  'register-still': ['still_ms', 'expected_kwh'],
  threshold: ['lanes'],
};

export interface Layout {
  /** A rule's numbers carry a hash of what it judges: after a change of the rule they are no longer found, and start anew. */
  readonly names: readonly string[];
  /** Numbers per instrument. */
  readonly stride: number;
  /** Rule → where its numbers begin. */
  readonly offsets: ReadonlyMap<string, number>;
}

export function layoutOf({ rules }: RuleSet): Layout {
  const names = [...SHARED];
  const offsets = new Map<string, number>();
  for (const rule of rules.values()) {
    const own = OWN_NAMES[rule.settings.detector];
    if (!own) continue;
    offsets.set(rule.id, names.length);
    names.push(...['from_ms', 'since_ms', ...own].map((name) => `${rule.id}#${judgementHash(rule)}/${name}`));
  }
  return { names, stride: names.length, offsets };
}

/** Name, severity, task, durations and source may change without the numbers losing their meaning. */
function judgementHash({ settings }: Rule): string {
  const unrelated = new Set([
    'name',
    'severity',
    'task',
    'cause',
    'source',
    'kinds',
    'fires_after',
    'clears_after',
    'reason',
  ]);
  const judged = Object.entries(settings).filter(([key]) => !unrelated.has(key));
  return hashOf(JSON.stringify(judged)).toString(16);
}

/** FNV-1a, 32 bit (Fowler, Noll, Vo, 1991). */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
