/** Running errors as they stand in the API's description. */
import { z } from 'zod';
import { VERDICTS } from '../accuracy/district.ts';
import { RUN_STATES } from '../store/postgres-estimate-runs.ts';
import { reason, timeText } from './schemas.ts';

/** More digits say nothing. */
const SIGNIFICANT_DIGITS = 6;
const figure = z
  .number()
  .overwrite((value) => Number(value.toPrecision(SIGNIFICANT_DIGITS)))
  .nullable();
const verdict = z.enum(VERDICTS);

const method = z
  .object({
    version: z.string(),
    loss: z.enum(['voltages', 'load-squared', 'none']).describe('What carried the line loss.'),
    clocks: z.enum(['right', 'estimated']),
    voltages: z.enum(['mean', 'instantaneous', 'none']),
    spreadPct: figure.describe('Of good meters, as this district shows it.'),
    sentence: z.string(),
  })
  .meta({ id: 'EstimateMethod' });

const balance = z
  .object({
    masterKwh: figure,
    usersKwh: figure,
    lossKwh: figure.describe('Line loss as the model has it.'),
    residualKwh: figure.describe('What remains, root mean square of a row, with the errors found taken out.'),
    residualUncorrectedKwh: figure.describe('The same without that.'),
  })
  .nullable()
  .describe('Of the district over the window; null when it could not be balanced.');

const change = z
  .object({
    kind: z.enum(['drift', 'step']),
    sentence: z.string(),
    onset: timeText,
    onsetFrom: timeText.describe('95 % interval of the onset.'),
    onsetTo: timeText,
    errorNowPct: figure.describe('At the end of the window.'),
    sizePct: figure,
    sizeSdPct: figure,
    crossing: z
      .object({ at: timeText, from: timeText, to: timeText })
      .nullable()
      .describe(
        'When the MPE is crossed at this pace, with its 95 % interval; all three the end of the window = it is crossed; null = not within the horizon.',
      ),
  })
  .meta({ id: 'ErrorChange' });

const note = z
  .object({
    code: z.string(),
    instrument: z.string().nullable(),
    params: reason.shape.params,
    sentence: z.string(),
  })
  .meta({ id: 'DistrictNote' });

export const meterEstimate = z
  .object({
    run: z.string(),
    instrument: z.string(),
    from: timeText,
    to: timeText,
    errorPct: figure.describe('Percent of true energy, positive = fast; null = nothing can be said.'),
    sdPct: figure,
    lowPct: figure.describe('95 % interval.'),
    highPct: figure,
    pInaccurate: figure.describe('Probability of an error beyond the MPE.'),
    mpePct: z.number(),
    verdict,
    verdictName: z.string(),
    reason: reason.nullable(),
    sentence: z.string().nullable().describe('The reason in words.'),
    rowsUsed: z.number(),
    rowsRefused: z.number(),
    energyKwh: figure,
    clockOffsetS: figure.describe('Of its clock against the master’s, positive = late; null = not estimated.'),
    change: change.nullable(),
  })
  .meta({ id: 'MeterEstimate' });

export const districtEstimate = z
  .object({
    run: z.string(),
    district: z.string(),
    from: timeText,
    to: timeText,
    finishedAt: timeText,
    askedBy: z.string(),
    rows: z.number(),
    method,
    balance,
    notes: z.array(note).describe('What the district shows that is no error of a meter.'),
  })
  .meta({ id: 'DistrictEstimate' });

export const estimateRun = z
  .object({
    id: z.string(),
    district: z.string(),
    to: timeText.describe('Where its window ends.'),
    state: z.enum(RUN_STATES),
    stateName: z.string(),
    askedBy: z.string(),
    askedAt: timeText,
    startedAt: timeText.nullable(),
    finishedAt: timeText.nullable(),
  })
  .meta({ id: 'EstimateRun' });

export const siteResult = z
  .object({
    task: z.string(),
    errorPct: z.number(),
    expandedUncertaintyPct: z.number().describe('k = 2.'),
    mpePct: z.number(),
    standard: z.string(),
    verdict: z.enum(['confirmed', 'refuted']),
    verdictName: z.string(),
    measuredAt: timeText,
    enteredBy: z.string(),
  })
  .meta({ id: 'SiteResult' });

export const replacement = z
  .object({
    task: z.string(),
    old: z.string(),
    new: z.string(),
    replacedAt: timeText,
    improved: z.boolean().nullable().describe('Did the balance of the district improve; null = not known yet.'),
  })
  .meta({ id: 'Replacement' });

/** Of a task: why an estimate came to its finding. */
export const estimateEvidence = z
  .object({
    run: z.string(),
    from: timeText,
    to: timeText,
    rows: z.number(),
    rowsUsed: figure,
    rowsRefused: figure,
    method,
    balance,
    mpePct: figure.describe('The error has to stay within ± this; null when it is about the district.'),
    change: change.nullable(),
    history: z
      .array(
        z.object({
          run: z.string(),
          to: timeText,
          errorPct: figure,
          lowPct: figure,
          highPct: figure,
          pInaccurate: figure,
          verdict,
          verdictName: z.string(),
        }),
      )
      .describe('Estimates of this meter, oldest first.'),
  })
  .meta({ id: 'EstimateEvidence' });
