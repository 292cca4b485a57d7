/** Running errors as people read them: codes with their names and sentences beside them. */
import type { z } from 'zod';
import type { DistrictNote, ErrorChange, Method } from '../accuracy/district.ts';
import type { EstimateRun } from '../store/postgres-estimate-runs.ts';
import type { DistrictRecord, MeterRecord } from '../store/postgres-estimates.ts';
import type { ReplacementRecord, SiteRecord } from '../store/postgres-site-results.ts';
import type { EstimateEvidence } from '../store/task-evidence.ts';
import { sayChange, sayMethod, sayNote, sayVerdictReason, VERDICT_NAMES } from '../texts/accuracy.ts';
import { RUN_STATE_NAMES } from '../texts/estimates.ts';
import { VERDICT_NAMES as SITE_VERDICT_NAMES } from '../texts/tasks.ts';
import { type Language, say, type Text } from '../texts/text.ts';
import type {
  districtEstimate,
  estimateEvidence,
  estimateRun,
  meterEstimate,
  replacement,
  siteResult,
} from './accuracy-schemas.ts';

type DistrictView = z.output<typeof districtEstimate>;
type MeterView = z.output<typeof meterEstimate>;

export class AccuracyWords {
  readonly #language: Language;

  constructor(language: Language) {
    this.#language = language;
  }

  meter(record: MeterRecord): MeterView {
    const { id, from, to, reason, change, ...rest } = record;
    return {
      ...rest,
      run: id,
      from: from.toISOString(),
      to: to.toISOString(),
      verdictName: this.#say(VERDICT_NAMES[record.verdict]),
      reason,
      sentence: reason && sayVerdictReason(reason, this.#language),
      change: change && this.#change(change),
    };
  }

  district({ id, from, to, finishedAt, method, balance, notes, ...rest }: DistrictRecord): DistrictView {
    return {
      ...rest,
      run: id,
      from: from.toISOString(),
      to: to.toISOString(),
      finishedAt: finishedAt.toISOString(),
      method: this.#method(method),
      balance,
      notes: notes.map((note) => this.#note(note)),
    };
  }

  run({ id, district, to, state, askedBy, askedAt, startedAt, finishedAt }: EstimateRun): z.output<typeof estimateRun> {
    return {
      ...{ id, district, state, askedBy },
      stateName: this.#say(RUN_STATE_NAMES[state]),
      to: to.toISOString(),
      askedAt: askedAt.toISOString(),
      startedAt: startedAt?.toISOString() ?? null,
      finishedAt: finishedAt?.toISOString() ?? null,
    };
  }

  siteResult({ id: _, measuredAt, ...shown }: SiteRecord): z.output<typeof siteResult> {
    const verdictName = this.#say(SITE_VERDICT_NAMES[shown.verdict]);
    return { ...shown, verdictName, measuredAt: measuredAt.toISOString() };
  }

  replacement({ replacedAt, ...shown }: ReplacementRecord): z.output<typeof replacement> {
    return { ...shown, replacedAt: replacedAt.toISOString() };
  }

  evidence({
    fromMs,
    toMs,
    method,
    balance,
    change,
    history,
    ...rest
  }: EstimateEvidence): z.output<typeof estimateEvidence> {
    return {
      ...rest,
      from: time(fromMs),
      to: time(toMs),
      method: this.#method(method),
      balance,
      change: change && this.#change(change),
      history: history.map(({ toMs: at, ...point }) => ({
        ...point,
        to: time(at),
        verdictName: this.#say(VERDICT_NAMES[point.verdict]),
      })),
    };
  }

  #change(change: ErrorChange): NonNullable<MeterView['change']> {
    const { kind, onsetMs, onsetLowMs, onsetHighMs, crossing, ...sizes } = change;
    return {
      ...sizes,
      kind,
      sentence: sayChange(change, this.#language),
      onset: time(onsetMs),
      onsetFrom: time(onsetLowMs),
      onsetTo: time(onsetHighMs),
      crossing: crossing ? { at: time(crossing.atMs), from: time(crossing.lowMs), to: time(crossing.highMs) } : null,
    };
  }

  /** From JSON, which has null for what is no number. */
  #method(method: Method): DistrictView['method'] {
    return { ...method, spreadPct: method.spreadPct ?? null, sentence: sayMethod(method, this.#language) };
  }

  #note(note: DistrictNote): DistrictView['notes'][number] {
    const { code, params, instrument } = note;
    return { code, instrument: instrument ?? null, params, sentence: sayNote(note, this.#language) };
  }

  #say(text: Text): string {
    return say(text, this.#language);
  }
}

/** The last moment that RFC 3339 can tell. */
const LAST_MS = Date.UTC(9999, 11, 31);

function time(ms: number): string {
  return new Date(Number.isFinite(ms) ? Math.min(ms, LAST_MS) : LAST_MS).toISOString();
}
