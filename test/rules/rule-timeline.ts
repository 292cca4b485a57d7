/** Runs the tests of config/rules.test.yaml: series in short notation against what is found by a time. */
import { parseDurationMs } from '../../src/fleet/duration.ts';
import type { Finding } from '../../src/fleet/finding.ts';
import { type Instrument, MemoryLedger } from '../../src/fleet/instrument.ts';
import type { Kinds } from '../../src/fleet/kind.ts';
import { type NamedValues, orderedValues, type Reading } from '../../src/fleet/reading.ts';
import { Evaluator } from '../../src/rules/evaluator.ts';
import type { RuleSet } from '../../src/rules/ruleset.ts';
import { instrument } from './fixtures.ts';

export interface TimelineDefaults {
  readonly step: string;
  readonly instrument: Record<string, string | number>;
}

export interface Timeline {
  readonly name: string;
  readonly instruments: readonly (string | Record<string, string | number>)[];
  readonly series: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly expect: readonly { readonly at: string; readonly findings: readonly Expected[] }[];
}

/** What is known of a finding; a test says as much of it as it means to. */
export interface Expected {
  readonly rule: string;
  readonly subject: string;
  readonly from: string;
  readonly to?: string;
  readonly severity?: string;
  readonly reason?: string;
}

const START_MS = Date.parse('2026-01-01T00:00:00Z');

/** What does not agree, in words; empty = passed. */
export function runTimeline(timeline: Timeline, defaults: TimelineDefaults, rules: RuleSet, kinds: Kinds): string[] {
  const instruments = timeline.instruments.map((entry, i) => instrumentOf(entry, i + 1, defaults));
  const evaluator = new Evaluator(rules, kinds, new MemoryLedger(instruments));
  const known = new Known(instruments);
  const stepMs = durationMs(defaults.step);
  const lastMs = Math.max(...timeline.expect.map(({ at }) => durationMs(at)));
  const problems: string[] = [];
  for (let sinceMs = 0; sinceMs <= lastMs; sinceMs += stepMs) {
    const nowMs = START_MS + sinceMs;
    known.add(evaluator.read(readingsAt(timeline, instruments, nowMs, sinceMs / stepMs), nowMs));
    for (const turn of [0, 1, 2]) known.add(evaluator.tick(nowMs + turn * rules.settleMs));
    for (const { at, findings } of timeline.expect) {
      if (durationMs(at) === sinceMs) problems.push(...known.differences(findings).map((text) => `at ${at}: ${text}`));
    }
  }
  return problems;
}

function instrumentOf(entry: Timeline['instruments'][number], key: number, defaults: TimelineDefaults): Instrument {
  const own = typeof entry === 'string' ? { id: entry } : entry;
  const { id, kind, district, phase, nominal_voltage_v, max_current_a } = {
    ...defaults.instrument,
    ...own,
  } as never as {
    [name: string]: never;
  };
  return instrument({
    key,
    id: id!,
    kind: kind!,
    district: district!,
    phase: phase!,
    nominalVoltageV: nominal_voltage_v!,
    maxCurrentA: max_current_a!,
  });
}

function readingsAt(timeline: Timeline, instruments: readonly Instrument[], tsMs: number, step: number): Reading[] {
  return instruments.flatMap(({ key, id }) => {
    const named = Object.entries(timeline.series[id] ?? {}).flatMap(([name, notation]) => {
      const value = series(notation)[step];
      return value === undefined ? [] : [[name, value]];
    });
    return named.length === 0 ? [] : [{ key, tsMs, values: orderedValues(Object.fromEntries(named) as NamedValues) }];
  });
}

/** `100+0.5x2 _x2 7` → 100, 100.5, 101, nothing, nothing, 7. */
export function series(notation: string): (number | undefined)[] {
  return notation.split(/\s+/).flatMap((part) => {
    const match = /^(?:(_)|(\d+(?:\.\d+)?)([+-]\d+(?:\.\d+)?)?)(?:x(\d+))?$/.exec(part);
    if (!match) throw new Error(`not a series: ${part}`);
    const [, nothing, first, slope = '0', count = nothing ? '1' : '0'] = match;
    if (nothing) return new Array<undefined>(Number(count)).fill(undefined);
    return Array.from(
      { length: Number(count) + 1 },
      (_, i) => Math.round((Number(first) + i * Number(slope)) * 1e6) / 1e6,
    );
  });
}

class Known {
  readonly #names: ReadonlyMap<number, string>;
  #findings: Expected[] = [];

  constructor(instruments: readonly Instrument[]) {
    this.#names = new Map(instruments.map(({ key, id }) => [key, id]));
  }

  add(found: readonly Finding[]): void {
    for (const finding of found) {
      const { rule } = finding;
      const subject =
        finding.subject.type === 'district' ? finding.subject.district : this.#names.get(finding.subject.key)!;
      const from = minutes(finding.fromMs);
      if (finding.change === 'opened') {
        this.#findings.push({ rule, subject, from, severity: finding.severity, reason: finding.reason.code });
        continue;
      }
      const open = this.#findings.findIndex(
        (f) => f.rule === rule && f.subject === subject && f.from === from && !f.to,
      );
      this.#findings[open] = { ...this.#findings[open]!, to: minutes(finding.toMs) };
    }
  }

  differences(expected: readonly Expected[]): string[] {
    const rest = [...this.#findings];
    const missing = expected.filter((wanted) => {
      const index = rest.findIndex((found) => agrees(found, wanted));
      if (index >= 0) rest.splice(index, 1);
      return index < 0;
    });
    return [
      ...missing.map((finding) => `not found ${JSON.stringify(finding)}`),
      ...rest.map((finding) => `not expected ${JSON.stringify(finding)}`),
    ];
  }
}

function agrees(found: Expected, wanted: Expected): boolean {
  const sameTime = (a?: string, b?: string) => (a && b ? durationMs(a) === durationMs(b) : a === b);
  return (
    found.rule === wanted.rule &&
    found.subject === wanted.subject &&
    sameTime(found.from, wanted.from) &&
    sameTime(found.to, wanted.to) &&
    (wanted.severity ?? found.severity) === found.severity &&
    (wanted.reason ?? found.reason) === found.reason
  );
}

function minutes(atMs: number): string {
  return `${(atMs - START_MS) / 60_000}m`;
}

function durationMs(text: string): number {
  const ms = parseDurationMs(text);
  if (ms === undefined) throw new Error(`not a duration: ${text}`);
  return ms;
}
