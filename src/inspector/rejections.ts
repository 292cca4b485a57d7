/** What was refused on the way in, with the reason and the beginning of the message. */
import { isUtf8 } from 'node:buffer';
import { z } from 'zod';
import { MeterwardenError } from '../errors.ts';
import type { RejectionRecord } from '../store/postgres-rejections.ts';
import type { Language } from '../texts/text.ts';
import { actorOf, SECURITY, visibleClients } from './auth.ts';
import { errorAnswer, languageOf } from './errors.ts';
import type { Api, InspectorParts } from './parts.ts';
import { answers, next, paging, shortText, timeText } from './schemas.ts';

const TAGS = ['rejections'];
/** A payload is cut after its first bytes, possibly within a character. */
const MAX_CUT_BYTES = 3;

const rejection = z
  .object({
    id: z.string(),
    at: timeText,
    client: z.string(),
    topic: z.string(),
    code: z.string(),
    message: z.string(),
    path: z.string().optional(),
    readings: z.number().int().describe('Readings it kept out; 0 = a note.'),
    payload: z.string().nullable().describe('The beginning of the message; null when it is no text.'),
    payloadBase64: z.string().nullable().describe('The beginning of a message that is no text.'),
    payloadBytes: z.number().int().describe('Of the whole message.'),
  })
  .meta({ id: 'Rejection' });

export function rejectionRoutes(api: Api, { rejections, ledger }: InspectorParts): void {
  api.get(
    '/rejections',
    {
      schema: {
        tags: TAGS,
        summary: 'Rejections, newest first; bound to a region, a page may hold fewer than its limit',
        security: SECURITY,
        querystring: z.strictObject({ client: shortText.optional(), code: shortText.optional(), ...paging }),
        response: answers({ 200: z.object({ rejections: z.array(rejection), next }) }),
      },
    },
    async (request) => {
      const visible = visibleClients(ledger.ledger.all(), actorOf(request).region);
      const language = languageOf(request);
      const page = await rejections.list(request.query);
      const shown = visible ? page.rows.filter(({ client }) => visible.has(client)) : page.rows;
      return { rejections: shown.map((record) => rejectionView(record, language)), next: page.next };
    },
  );

  api.get(
    '/rejections/counts',
    {
      schema: {
        tags: TAGS,
        summary: 'Rejections by client and code, most frequent first',
        security: SECURITY,
        response: answers({
          200: z.object({
            counts: z.array(
              z.object({
                client: z.string(),
                code: z.string(),
                rejections: z.number().int(),
                readings: z.number().int(),
              }),
            ),
          }),
        }),
      },
    },
    async (request) => {
      const visible = visibleClients(ledger.ledger.all(), actorOf(request).region);
      const counts = await rejections.counts();
      return { counts: visible ? counts.filter(({ client }) => visible.has(client)) : counts };
    },
  );
}

function rejectionView(record: RejectionRecord, language: Language): z.output<typeof rejection> {
  const { id, atMs, client, topic, code, path, params, readings, payload, payloadBytes } = record;
  const text = textOf(payload, payloadBytes);
  return {
    id,
    at: new Date(atMs).toISOString(),
    client,
    topic,
    ...errorAnswer(new MeterwardenError(code, { path, params }), language),
    readings,
    payload: text ?? null,
    payloadBase64: text === undefined ? payload.toString('base64') : null,
    payloadBytes,
  };
}

function textOf(payload: Buffer, payloadBytes: number): string | undefined {
  const maxCut = payload.length < payloadBytes ? MAX_CUT_BYTES : 0;
  for (let cut = 0; cut <= maxCut; cut++) {
    const whole = payload.subarray(0, payload.length - cut);
    if (isUtf8(whole)) return whole.toString('utf8');
  }
  return undefined;
}
