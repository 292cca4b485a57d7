/** Whatever goes wrong becomes one answer: code, sentence in the reader's language, path. Details stay inside. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { ERROR_STATUS, MeterwardenError } from '../errors.ts';
import { sayError } from '../texts/errors.ts';
import { type Language, pickLanguage } from '../texts/text.ts';
import type { errorBody } from './schemas.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The content type of the body when it is not JSON. */
    accepts?: string;
  }
  interface FastifyInstance {
    /** Of the service: for readers who ask for no language. */
    language: Language;
  }
}

/** PostgreSQL cannot keep this text (22021, 22P05), or cannot be asked now. */
const UNTYPABLE: ReadonlySet<string> = new Set(['22021', '22P05']);
const UNREACHABLE: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOENT',
  'EPIPE',
  'ETIMEDOUT',
  '53300',
  '57P01',
  '57P02',
  '57P03',
]);
const UNREACHABLE_MESSAGES = /timeout exceeded when trying to connect|Connection terminated/;

export function languageOf(request: FastifyRequest): Language {
  return pickLanguage(request.headers['accept-language'], request.server.language);
}

export function answerErrors(server: FastifyInstance, onError: (stage: string, error: unknown) => void): void {
  server.setErrorHandler((error, request, reply) => sendError(error, request, reply, onError));
  server.setNotFoundHandler((request, reply) =>
    sendError(new MeterwardenError('not_found', { path: request.url.split('?')[0]! }), request, reply, onError),
  );
}

export function sendError(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  onError: (stage: string, error: unknown) => void,
): FastifyReply {
  const told = asMeterwardenError(error, request);
  if (ERROR_STATUS[told.code] >= 500 && told !== error) onError('http', error);
  if (told.code === 'unauthenticated') reply.header('www-authenticate', 'Bearer');
  return reply
    .code(ERROR_STATUS[told.code])
    .type('application/json')
    .send(errorAnswer(told, languageOf(request)));
}

export function errorAnswer(error: MeterwardenError, language: Language): z.output<typeof errorBody> {
  const { code, path } = error;
  return { code, message: sayError(error, language), ...(path === '' ? {} : { path }) };
}

interface Foreign {
  readonly code?: string;
  readonly message?: string;
  readonly statusCode?: number;
}

function asMeterwardenError(error: unknown, request: FastifyRequest): MeterwardenError {
  if (error instanceof MeterwardenError) return error;
  const { code = '', message = '', statusCode = 500 } = (error ?? {}) as Foreign;
  switch (code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new MeterwardenError('payload_too_large', { params: { limit: MAX_BODY_BYTES }, cause: error });
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new MeterwardenError('unsupported_media_type', {
        params: { expected: request.routeOptions.config.accepts ?? 'application/json' },
        cause: error,
      });
    case 'FST_ERR_BAD_URL':
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return new MeterwardenError('not_found', { cause: error });
  }
  if (UNTYPABLE.has(code)) {
    return new MeterwardenError('invalid_request', { params: { problem: 'control_characters' }, cause: error });
  }
  if (UNREACHABLE.has(code) || UNREACHABLE_MESSAGES.test(message))
    return new MeterwardenError('unavailable', { cause: error });
  if (statusCode >= 400 && statusCode < 500 && code.startsWith('FST_')) {
    return new MeterwardenError('invalid_request', { params: { problem: 'unreadable' }, cause: error });
  }
  return new MeterwardenError('internal', { cause: error });
}

/** Of a JSON body: the largest is a note of 2 000 characters. */
export const MAX_BODY_BYTES = 64 * 1024;
