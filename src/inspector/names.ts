/** What may name something: an id goes into MQTT topics and addresses, a text only onto screens. */
import type { Problem } from '../texts/errors.ts';
import type { Params } from '../texts/text.ts';

export const MAX_ID_CHARS = 64;
export const MAX_TEXT_CHARS = 128;
/** Levels and wildcards of MQTT topics; `$` begins the broker's own. */
const RESERVED = '/ + # $';

interface NameProblem {
  readonly problem: Problem;
  readonly params: Params;
}

export function idProblem(id: string): NameProblem | undefined {
  if (id === '') return { problem: 'required', params: {} };
  if (/[/+#$]/.test(id)) return { problem: 'reserved_characters', params: { characters: RESERVED } };
  return textProblem(id, MAX_ID_CHARS);
}

export function textProblem(text: string, limit = MAX_TEXT_CHARS): NameProblem | undefined {
  if (text.length > limit) return { problem: 'too_long', params: { limit } };
  if (/\p{Cc}/u.test(text)) return { problem: 'control_characters', params: {} };
  // The decoder puts it where bytes were no UTF-8, such as a file saved in GBK.
  if (text.includes('\uFFFD') || !text.isWellFormed()) return { problem: 'not_utf8', params: {} };
  return undefined;
}
