/** Shapes that several resources share, as they stand in the API's description. */
import { z } from 'zod';
import { SEVERITIES } from '../fleet/finding.ts';
import { QUANTITIES } from '../fleet/quantity.ts';
import { isRegion } from '../fleet/region.ts';
import { PAGE_DEFAULT, PAGE_MAX } from '../store/postgres-paging.ts';

export const MAX_TEXT_CHARS = 200;
const MAX_CURSOR_CHARS = 400;
/** Of a list in a query, such as `kind=repair,replace`. */
const MAX_CHOICES = 20;

export const errorBody = z
  .object({
    code: z.string().describe('For programs.'),
    message: z.string().describe('For people, in the language of Accept-Language.'),
    path: z.string().optional().describe('Where the offending value stands.'),
  })
  .meta({ id: 'Error' });

/** The answers of a route: its own, and the one every refusal has. */
export function answers<Answers extends Record<number, z.ZodType>>(
  own: Answers,
): Answers & { default: typeof errorBody } {
  return { ...own, default: errorBody };
}

export const nothing = z.null().describe('Done.');

/** Text that PostgreSQL can keep and a screen can show. */
export const shortText = z
  .string()
  .min(1)
  .max(MAX_TEXT_CHARS)
  .regex(/^\P{Cc}*$/u, 'control_characters');

const MAX_ID_CHARS = 64;
/** Ids become MQTT user names, topic levels and segments of URLs; the same as in instruments.csv. */
export const idText = z
  .string()
  .min(1)
  .max(MAX_ID_CHARS)
  .regex(/^[^\s/+#$%?\\\p{C}]+$/u, 'not_an_id');

const MAX_REGION_DIGITS = 12;
/** GB/T 2260: a code ending in 00 covers what lies in it; empty = everywhere. */
export const regionText = z.string().max(MAX_REGION_DIGITS).refine(isRegion, 'not_a_region');

export const paging = {
  cursor: z.string().max(MAX_CURSOR_CHARS).optional().describe('`next` of the page before.'),
  limit: limitOf(PAGE_DEFAULT, PAGE_MAX),
};

export function limitOf(fallback: number, max: number) {
  return z.coerce.number().int().min(1).max(max).default(fallback);
}

export const next = z.string().optional().describe('Cursor of the next page; absent on the last one.');

/** `kind=repair,replace` or `kind=repair&kind=replace`. */
export function choices<Values extends readonly [string, ...string[]]>(values: Values) {
  const split = (given: unknown) => [given].flat().flatMap((text) => String(text).split(','));
  return z.preprocess(split, z.array(z.enum(values)).max(MAX_CHOICES)).optional();
}

export const yesOrNo = z
  .enum(['true', 'false'])
  .transform((text) => text === 'true')
  .optional();

/** RFC 3339 with a zone → epoch ms. */
export const instant = z.iso
  .datetime({
    offset: true,
    error: 'not_a_query_time',
  })
  .transform((text) => Date.parse(text));

export const timeText = z.string().meta({ format: 'date-time' });
export const severity = z.enum(SEVERITIES);

export const reason = z
  .object({
    code: z.string(),
    params: z.record(z.string(), z.union([z.number(), z.string()])).describe('In the unit at the end of their name.'),
  })
  .meta({ id: 'Reason' });

const values = Object.fromEntries(QUANTITIES.map((name) => [name, z.number().optional()]));
export const reading = z
  .object({
    ts: timeText.describe('When it was measured.'),
    receivedAt: timeText.describe('When the service received it.'),
    ...(values as Record<(typeof QUANTITIES)[number], z.ZodOptional<z.ZodNumber>>),
  })
  .meta({ id: 'Reading' });

export const finding = z
  .object({
    id: z.string(),
    rule: z.string(),
    ruleName: z.string(),
    instrument: z.string().nullable().describe('Null when it is about a whole district.'),
    district: z.string(),
    region: z.string(),
    from: timeText,
    to: timeText.nullable().describe('Null while open.'),
    severity,
    severityName: z.string(),
    reason,
    sentence: z.string().describe('The reason in words.'),
    task: z.string().nullable(),
    openedAt: timeText,
    clearedAt: timeText.nullable(),
  })
  .meta({ id: 'Finding' });
