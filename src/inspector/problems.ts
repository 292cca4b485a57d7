/** What zod found wrong with a request, in the words of src/texts/errors.ts. */
import { z } from 'zod';
import { MeterwardenError } from '../errors.ts';
import { nearest } from '../nearest.ts';
import type { Problem } from '../texts/errors.ts';

type Issue = z.core.$ZodIssue;

const TYPES: Readonly<Record<string, Problem>> = {
  string: 'not_text',
  number: 'not_a_number',
  int: 'not_whole',
  boolean: 'not_a_truth',
  object: 'not_an_object',
};
const TOO_BIG: Readonly<Record<string, Problem>> = { string: 'too_long', array: 'too_many' };
const TOO_SMALL: Readonly<Record<string, Problem>> = { string: 'too_short', array: 'too_few' };
/** More candidates would be a page of text; the nearest one is named then. */
const MAX_NAMED = 12;

/** Checks what a request carries against its schema; the first problem is told, with the path to it. */
export function validatorOf({ schema }: { schema: z.ZodType }) {
  const known = schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
  return (value: unknown) => {
    const parsed = schema.safeParse(value);
    return parsed.success ? { value: parsed.data } : { error: refusalOf(parsed.error.issues[0]!, value, known) };
  };
}

function refusalOf(issue: Issue, value: unknown, known: readonly string[]): MeterwardenError {
  const unknown = issue.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : [];
  const path = pathOf([...issue.path, ...unknown]);
  return new MeterwardenError('invalid_request', { path, params: problem(issue, value, known) });
}

/** `kind[1]`, `values.voltage_v`. */
function pathOf(steps: readonly PropertyKey[]): string {
  return steps
    .map((step, i) => (typeof step === 'number' ? `[${step}]` : `${i > 0 ? '.' : ''}${String(step)}`))
    .join('');
}

/** Names a sentence of src/texts/errors.ts, and what fills it. */
interface Named {
  readonly problem: Problem | (string & {});
  readonly [param: string]: string | number;
}

function problem(issue: Issue, whole: unknown, known: readonly string[]): Named {
  switch (issue.code) {
    case 'invalid_type':
      return { problem: missing(issue.path, whole) ? 'required' : (TYPES[issue.expected] ?? issue.message) };
    case 'too_big':
      return { problem: TOO_BIG[issue.origin] ?? 'too_high', limit: Number(issue.maximum) };
    case 'too_small':
      return { problem: TOO_SMALL[issue.origin] ?? 'too_low', limit: Number(issue.minimum) };
    case 'invalid_value':
      if (missing(issue.path, whole)) return { problem: 'required' };
      return { problem: 'one_of', allowed: listed(issue.values.map(String), String(at(issue.path, whole))) };
    case 'unrecognized_keys':
      return { problem: 'unknown_field', field: issue.keys[0]!, allowed: listed(known, issue.keys[0]!) };
    default:
      return { problem: issue.message };
  }
}

function listed(candidates: readonly string[], given: string): string {
  return candidates.length > MAX_NAMED ? `${nearest(given, candidates)}, …` : candidates.join(' | ');
}

function missing(path: readonly PropertyKey[], whole: unknown): boolean {
  return at(path, whole) === undefined;
}

function at(path: readonly PropertyKey[], whole: unknown): unknown {
  return path.reduce<unknown>(
    (value, step) => (value as Record<PropertyKey, unknown> | null | undefined)?.[step],
    whole,
  );
}
