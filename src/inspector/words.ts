/** What the store knows, as people read it: codes with their names and sentences beside them. */
import type { z } from 'zod';
import type { Severity } from '../fleet/finding.ts';
import type { Task } from '../fleet/task.ts';
import type { FindingRecord } from '../store/postgres-finding-rows.ts';
import type { HistoryEntry } from '../store/postgres-task-history.ts';
import type { StoredReading } from '../store/readings.ts';
import type { Evidence } from '../store/task-evidence.ts';
import type { Action } from '../tasks/workflow.ts';
import { sayReason } from '../texts/reasons.ts';
import {
  ACTION_NAMES,
  historySentence,
  KIND_NAMES,
  SEVERITY_NAMES,
  STATE_NAMES,
  VERDICT_NAMES,
} from '../texts/tasks.ts';
import { type Language, say, type Text } from '../texts/text.ts';
import { AccuracyWords } from './accuracy-words.ts';
import type { InspectorParts } from './parts.ts';
import type { finding, reading } from './schemas.ts';
import type { evidence, historyEntry, task } from './task-schemas.ts';

type Rules = InspectorParts['rules'];

export class Words {
  readonly #rules: Rules;
  readonly #language: Language;

  constructor(rules: Rules, language: Language) {
    this.#rules = rules;
    this.#language = language;
  }

  rule(id: string): string {
    const rule = this.#rules.get(id);
    return rule ? this.#say(rule.name) : id;
  }

  finding(record: FindingRecord): z.output<typeof finding> {
    return {
      id: record.id,
      rule: record.rule,
      ruleName: this.rule(record.rule),
      instrument: record.instrument,
      district: record.district,
      region: record.region,
      from: record.from.toISOString(),
      to: record.to?.toISOString() ?? null,
      severity: record.severity,
      severityName: this.#say(SEVERITY_NAMES[record.severity]),
      reason: record.reason,
      sentence: sayReason(record.reason, this.#language),
      task: record.task,
      openedAt: record.openedAt.toISOString(),
      clearedAt: record.clearedAt?.toISOString() ?? null,
    };
  }

  task(record: Task): z.output<typeof task> {
    return {
      id: record.id,
      kind: record.kind,
      kindName: this.#say(KIND_NAMES[record.kind]),
      cause: record.cause,
      instrument: record.instrument,
      district: record.district,
      region: record.region,
      severity: record.severity,
      severityName: this.#say(SEVERITY_NAMES[record.severity]),
      state: record.state,
      stateName: this.#say(STATE_NAMES[record.state]),
      assignee: record.assignee,
      verdict: record.verdict,
      verdictName: record.verdict && this.#say(VERDICT_NAMES[record.verdict]),
      reason: record.reason,
      sentence: sayReason(record.reason, this.#language),
      createdAt: record.createdAt.toISOString(),
      updatedAt: record.updatedAt.toISOString(),
      dueAt: record.dueAt.toISOString(),
      escalatedAt: record.escalatedAt?.toISOString() ?? null,
    };
  }

  action(action: Action): { action: Action; name: string } {
    return { action, name: this.#say(ACTION_NAMES[action]) };
  }

  historyEntry(entry: HistoryEntry): z.output<typeof historyEntry> {
    const { rule, severity } = entry.params;
    const names = {
      ...(rule !== undefined && { rule: this.rule(String(rule)) }),
      ...(severity !== undefined && { severity: this.#say(SEVERITY_NAMES[severity as Severity]) }),
    };
    return {
      id: entry.id,
      at: entry.at.toISOString(),
      actor: entry.actor,
      action: entry.action,
      from: entry.from,
      to: entry.to,
      note: entry.note,
      sentence: historySentence(entry, this.#language, names),
    };
  }

  evidence({ rule, fromMs, severity, reason, instrument, readings, estimate }: Evidence): z.output<typeof evidence> {
    return {
      rule,
      ruleName: this.rule(rule),
      from: new Date(fromMs).toISOString(),
      severity,
      reason,
      sentence: sayReason(reason, this.#language),
      instrument,
      readings: readings.map(readingView),
      ...(estimate && { estimate: new AccuracyWords(this.#language).evidence(estimate) }),
    };
  }

  #say(text: Text): string {
    return say(text, this.#language);
  }
}

export function readingView({ tsMs, receivedAtMs, values }: StoredReading): z.output<typeof reading> {
  return { ...values, ts: new Date(tsMs).toISOString(), receivedAt: new Date(receivedAtMs).toISOString() };
}
