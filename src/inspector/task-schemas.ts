/** Tasks as they stand in the API's description. */
import { z } from 'zod';
import { TASK_KINDS, TASK_STATES, VERDICTS } from '../fleet/task.ts';
import { ACTIONS, NOTE_MAX_CHARS } from '../tasks/workflow.ts';
import { estimateEvidence } from './accuracy-schemas.ts';
import { finding, idText, instant, reading, reason, severity, shortText, timeText } from './schemas.ts';

const taskFields = {
  id: z.string(),
  kind: z.enum(TASK_KINDS),
  kindName: z.string(),
  cause: z.string(),
  instrument: z.string().nullable().describe('Null when it is about a whole district.'),
  district: z.string(),
  region: z.string(),
  severity,
  severityName: z.string(),
  state: z.enum(TASK_STATES),
  stateName: z.string(),
  assignee: z.string().nullable(),
  verdict: z.enum(VERDICTS).nullable(),
  verdictName: z.string().nullable(),
  reason,
  sentence: z.string().describe('The reason in words.'),
  createdAt: timeText,
  updatedAt: timeText,
  dueAt: timeText,
  escalatedAt: timeText.nullable(),
};

export const task = z.object(taskFields).meta({ id: 'Task' });

export const historyEntry = z
  .object({
    id: z.string().describe('The position in the live stream.'),
    at: timeText,
    actor: z.string(),
    action: z.string(),
    from: z.enum(TASK_STATES).nullable(),
    to: z.enum(TASK_STATES),
    note: z.string(),
    sentence: z.string(),
  })
  .meta({ id: 'TaskHistoryEntry' });

export const evidence = z
  .object({
    rule: z.string(),
    ruleName: z.string(),
    from: timeText,
    severity,
    reason,
    sentence: z.string(),
    instrument: z.string().nullable(),
    readings: z.array(reading),
    estimate: estimateEvidence.optional().describe('Of a finding that an estimate made.'),
  })
  .meta({ id: 'Evidence' });

const allowedActions = z
  .array(z.object({ action: z.enum(ACTIONS), name: z.string() }))
  .describe('What the asking person may do now.');

export const actedTask = z.object({ ...taskFields, allowedActions }).meta({ id: 'ActedTask' });

export const taskDetail = z
  .object({
    ...taskFields,
    allowedActions,
    evidence: z.array(evidence),
    findings: z.array(finding).describe('Newest first, at most 200.'),
    history: z.array(historyEntry).describe('Oldest first, the last 500.'),
  })
  .meta({ id: 'TaskDetail' });

/** One message of the stream. */
export const taskChange = z.object({ entry: historyEntry, task }).meta({ id: 'TaskChange' });

/** Connected backwards it counts as much off; −100 is a stopped one. */
const MIN_ERROR_PCT = -200;
const MAX_ERROR_PCT = 1_000;
/** k = 2, of the best laboratory standard and of a clamp meter. */
const MIN_UNCERTAINTY_PCT = 0.01;
const MAX_UNCERTAINTY_PCT = 10;

const measurement = z.strictObject({
  errorPct: z
    .number()
    .min(MIN_ERROR_PCT)
    .max(MAX_ERROR_PCT)
    .describe('(shown − true) / true, positive = fast; −100 = it stands still.'),
  expandedUncertaintyPct: z.number().min(MIN_UNCERTAINTY_PCT).max(MAX_UNCERTAINTY_PCT).describe('k = 2.'),
  standard: shortText.describe('Which one it was measured against: name, number.'),
  measuredAt: instant.optional().describe('Now, when left out.'),
});

const replacement = z.strictObject({
  instrument: idText.describe('The meter in service there now; the id of the old one if it took that over.'),
  replacedAt: instant.optional().describe('Now, when left out.'),
});

export const actionBody = z
  .strictObject({
    assignee: idText.optional(),
    verdict: z.enum(VERDICTS).optional(),
    measurement: measurement.optional(),
    replacement: replacement.optional(),
    note: z
      .string()
      .max(NOTE_MAX_CHARS)
      .regex(/^[\P{Cc}\t\n\r]*$/u, 'control_characters')
      .optional(),
  })
  .nullish();
