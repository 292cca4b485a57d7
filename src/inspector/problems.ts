/** Checks what a request carries against its schema; one problem is told, with the path to it. */
import type { z } from 'zod';
import { MeterwardenError } from '../errors.ts';
import { pathOf, problemOf, worstOf } from '../problems.ts';

export function validatorOf({ schema }: { schema: z.ZodType }) {
  return (value: unknown) => {
    const parsed = schema.safeParse(value);
    if (parsed.success) return { value: parsed.data };
    const issue = worstOf(parsed.error.issues);
    const params = problemOf(issue, value, schema);
    return { error: new MeterwardenError('invalid_request', { path: pathOf(issue), params }) };
  };
}
