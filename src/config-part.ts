/** One file of the configuration: checked against its schema, refused with the path of the value and what would be right. */
import { z } from 'zod';
import { MeterwardenError } from './errors.ts';
import { parseDurationMs } from './fleet/duration.ts';
import { type Named, pathOf, pathText, problemOf, worstOf } from './problems.ts';

/** Ten years: no condition and no deadline is longer, and times with it added are still dates. */
const MAX_DURATION_MS = 3_660 * 86_400_000;

/** `90s`, `15m`, `24h`, `7d` → milliseconds. */
export const duration = z.string().transform((text, context) => {
  const ms = parseDurationMs(text);
  if (ms === undefined) context.addIssue({ code: 'custom', message: 'not_a_duration' });
  else if (ms > MAX_DURATION_MS)
    context.addIssue({ code: 'custom', message: 'too_long_a_time', params: { limit: '3660d' } });
  return ms ?? 0;
});

/** What kinds, rules and profiles are called by programs. */
export const word = z.string().regex(/^[a-z0-9-]+$/, 'not_a_word');
export const sentence = z.string().trim().min(1);
/** What people call them. */
export const names = z.strictObject({ 'zh-CN': sentence, en: sentence });

/** Paths begin with `name`, or with `at` where the keys of the file say enough. */
export function checked<S extends z.ZodType>(
  schema: S,
  raw: unknown,
  name: string,
  at: readonly string[] = [name],
): z.output<S> {
  const parsed = schema.safeParse(raw);
  if (parsed.success) return parsed.data;
  const issue = worstOf(parsed.error.issues);
  const named = problemOf(issue, raw, schema);
  const problem = named.problem === 'not_an_object' ? 'not_a_mapping' : named.problem;
  throw refused(pathOf(issue, at) || name, { ...named, problem });
}

/** For what no schema can say; `path` as the keys lead there. */
export function wrongConfig(path: readonly (string | number)[], named: Named): MeterwardenError {
  return refused(pathText(path), named);
}

function refused(path: string, named: Named): MeterwardenError {
  return new MeterwardenError('invalid_config', { path, params: { ...named } });
}
