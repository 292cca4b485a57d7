/** An instruments.csv on its way from a request into the ledger, never held as a whole. */
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { z } from 'zod';
import { MeterwardenError } from '../errors.ts';
import { actorOf, SECURITY, SUPERVISING } from './auth.ts';
import { errorAnswer, languageOf } from './errors.ts';
import type { Api, InspectorParts } from './parts.ts';
import { answers, errorBody } from './schemas.ts';

/** After decompression: about a million instruments. */
export const MAX_IMPORT_BYTES = 128 * 1024 * 1024;
/** One runs and one waits, each on a connection of the pool that everybody else needs too. */
const MAX_IMPORTS_AT_ONCE = 2;
const CSV = 'text/csv';

const imported = z
  .object({
    created: z.number().int(),
    updated: z.number().int(),
    unchanged: z.number().int(),
    rejected: z.array(errorBody.extend({ line: z.number().int() })).describe('The first 1 000.'),
    rejectedTotal: z.number().int(),
  })
  .meta({ id: 'Import' });

export function importRoute(api: Api, { ledger, nowMs }: InspectorParts): void {
  let running = 0;
  api.removeAllContentTypeParsers();
  api.addContentTypeParser(CSV, (_request, body, done) => done(null, body));
  api.post(
    '/instruments/import',
    {
      config: { roles: SUPERVISING, accepts: CSV },
      schema: {
        tags: ['instruments'],
        summary: 'Put the lines of an instruments.csv into the ledger; a bad line never spoils the rest',
        description:
          'Content-Encoding: gzip is understood. A column the file lacks leaves instruments that are known as they are, `state` ' +
          '(in-service, retired) included. A supervisor bound to a region may not import.',
        security: SECURITY,
        consumes: [CSV],
        body: z.unknown().meta({ type: 'string', description: 'instruments.csv of a fleet folder.' }),
        response: answers({ 200: imported }),
      },
    },
    async (request) => {
      // A file can name any region, and move instruments out of one.
      const { username, region } = actorOf(request);
      if (region !== '') throw new MeterwardenError('forbidden');
      if (running >= MAX_IMPORTS_AT_ONCE) throw new MeterwardenError('overloaded');
      if (!request.body) throw new MeterwardenError('invalid_request', { params: { problem: 'empty_file' } });
      const body = request.body as Readable;
      running++;
      try {
        const lines = decompressed(body, request.headers['content-encoding']);
        const { rejected, ...counts } = await ledger.importCsv(lines, { actor: username, at: new Date(nowMs()) });
        const language = languageOf(request);
        return {
          ...counts,
          rejected: rejected.map(({ line, code, path, params }) => ({
            line,
            ...errorAnswer(new MeterwardenError(code, { path, params }), language),
          })),
        };
      } finally {
        running--;
        // A client that is still sending does not hear a refusal.
        if (!body.readableEnded) body.unpipe().resume();
      }
    },
  );
}

function decompressed(body: Readable, encoding = 'identity'): AsyncGenerator<Buffer> {
  if (encoding === 'identity') return bounded(() => body);
  if (encoding === 'gzip') return bounded(() => gunzipped(body));
  throw new MeterwardenError('unsupported_media_type', { params: { expected: 'gzip' } });
}

/** Not a pipeline: a broken file would destroy the request, and the connection and the answer with it. */
function gunzipped(body: Readable): Readable {
  const gunzip = createGunzip();
  // A client that goes away closes its body without an end.
  body.once('close', () => {
    if (!body.readableEnded) gunzip.destroy(new Error('aborted'));
  });
  return body.pipe(gunzip);
}

/** The source is opened when the first chunk is asked for: from then on somebody hears its errors. */
async function* bounded(open: () => Readable): AsyncGenerator<Buffer> {
  let bytes = 0;
  try {
    // Left open when the import fails, for the same reason.
    for await (const chunk of open().iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > MAX_IMPORT_BYTES)
        throw new MeterwardenError('payload_too_large', { params: { limit: MAX_IMPORT_BYTES } });
      yield chunk;
    }
  } catch (error) {
    if (error instanceof MeterwardenError) throw error;
    const broken = String((error as { code?: string }).code).startsWith('Z_');
    const problem = broken ? 'broken_gzip' : 'broken_upload';
    throw new MeterwardenError('invalid_request', { params: { problem }, cause: error });
  }
}
