/** What a client is told on its own refusal topic: MQTT 3.1.1 has no negative acknowledgement. */
import { sayError } from '../texts/errors.ts';
import type { Language } from '../texts/text.ts';
import type { Decoded } from './decode.ts';

/** One notice stays a small packet, however many readings were refused. */
const MAX_LISTED = 20;

export function refusalNotice({ refusals }: Decoded, language: Language): Buffer | undefined {
  if (refusals.length === 0) return undefined;
  const listed = refusals.slice(0, MAX_LISTED).map(({ code, path, params, readings }) => ({
    code,
    path,
    message: sayError({ code, params }, language),
    ...(readings === 0 ? { note: true } : {}),
  }));
  const rejected = refusals.reduce((count, { readings }) => count + readings, 0);
  return Buffer.from(JSON.stringify({ rejected, refusals: listed }));
}
