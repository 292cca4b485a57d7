/** What zod found wrong with a value, in the words of src/texts/errors.ts. */
import { z } from 'zod';
import { nearest } from './nearest.ts';
import type { Problem } from './texts/errors.ts';

type Issue = z.core.$ZodIssue;
type Schema = z.core.$ZodType;
type Path = readonly PropertyKey[];

/** Names a sentence of src/texts/errors.ts, and what fills it. */
export interface Named {
  readonly problem: Problem | (string & {});
  readonly [param: string]: string | number;
}

const TYPES: Readonly<Record<string, Problem>> = {
  string: 'not_text',
  number: 'not_a_number',
  int: 'not_whole',
  boolean: 'not_a_truth',
  object: 'not_an_object',
  record: 'not_an_object',
  array: 'not_a_list',
};
const TOO_BIG: Readonly<Record<string, Problem>> = { string: 'too_long', array: 'too_many' };
const TOO_SMALL: Readonly<Record<string, Problem>> = { string: 'too_short', array: 'too_few' };
/** More candidates would be a page of text; the nearest one is named then. */
const MAX_NAMED = 12;

/** The one to tell: a key that is misspelt is missing as well, and its name says more. */
export function worstOf(issues: readonly Issue[]): Issue {
  return issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0]!;
}

/** `whole` is what `schema` refused. */
export function problemOf(issue: Issue, whole: unknown, schema: Schema): Named {
  const given = at(issue.path, whole);
  switch (issue.code) {
    case 'invalid_type':
      return { problem: given === undefined ? 'required' : (TYPES[issue.expected] ?? issue.message) };
    case 'too_big':
      return { problem: TOO_BIG[issue.origin] ?? 'too_high', limit: Number(issue.maximum) };
    case 'too_small':
      if (!issue.inclusive) return { problem: 'not_above', limit: Number(issue.minimum) };
      return { problem: TOO_SMALL[issue.origin] ?? 'too_low', limit: Number(issue.minimum) };
    case 'invalid_value':
      return given === undefined ? { problem: 'required' } : oneOf(given, issue.values.map(String));
    case 'invalid_union':
      if (!('options' in issue)) return { problem: issue.message };
      return given === undefined ? { problem: 'required' } : oneOf(given, (issue.options as unknown[]).map(String));
    case 'unrecognized_keys': {
      const [field] = issue.keys as [string];
      const known = keysAt(schema, issue.path, whole);
      return { problem: 'unknown_field', field, allowed: listed(known, field), nearest: nearest(field, known) };
    }
    case 'invalid_key':
      return { problem: issue.issues[0]?.message ?? issue.message };
    case 'custom':
      return { problem: issue.message, ...(issue.params as Record<string, string | number> | undefined) };
    default:
      return { problem: issue.message };
  }
}

/** One of these would be right in place of what was given. */
export function oneOf(given: unknown, candidates: readonly string[]): Named {
  const written = typeof given === 'object' ? '' : String(given);
  return { problem: 'one_of', allowed: listed(candidates, written), nearest: nearest(written, candidates) };
}

/** `kind[1]`, `values.voltage_v`; of what an object does not know, the first key. */
export function pathOf(issue: Issue, before: Path = []): string {
  const unknown = issue.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : [];
  return pathText([...before, ...issue.path, ...unknown]);
}

export function pathText(steps: Path): string {
  return steps
    .map((step, i) => (typeof step === 'number' ? `[${step}]` : `${i > 0 ? '.' : ''}${String(step)}`))
    .join('');
}

function listed(candidates: readonly string[], given: string): string {
  return candidates.length > MAX_NAMED ? `${nearest(given, candidates)}, …` : candidates.join(' | ');
}

/** Keys the schema knows where the unknown one stands. */
function keysAt(schema: Schema, path: Path, value: unknown): readonly string[] {
  if (schema instanceof z.ZodPipe) return keysAt(schema.in, path, value);
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable) return keysAt(schema.unwrap(), path, value);
  if (schema instanceof z.ZodDiscriminatedUnion) return keysAt(chosen(schema, value), path, value);
  const [step, ...rest] = path;
  if (schema instanceof z.ZodObject) {
    return step === undefined ? Object.keys(schema.shape) : keysAt(schema.shape[String(step)], rest, at([step], value));
  }
  if (schema instanceof z.ZodArray && step !== undefined) return keysAt(schema.element, rest, at([step], value));
  if (!(schema instanceof z.ZodRecord)) return [];
  if (step !== undefined) return keysAt(schema.valueType, rest, at([step], value));
  return schema.keyType instanceof z.ZodEnum ? schema.keyType.options.map(String) : [];
}

function chosen({ options, def }: z.ZodDiscriminatedUnion, value: unknown): Schema {
  const name = at([def.discriminator], value);
  return options.find((option) => option instanceof z.ZodObject && option.shape[def.discriminator].value === name)!;
}

function at(path: Path, whole: unknown): unknown {
  return path.reduce<unknown>(
    (value, step) => (value as Record<PropertyKey, unknown> | null | undefined)?.[step],
    whole,
  );
}
