/** The HTTP API: who asks, what they may see, and one file per resource. */
import { Server as HttpsServer } from 'node:https';
import type { SecureContextOptions } from 'node:tls';
import Fastify, { type FastifyInstance } from 'fastify';
import { serializerCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod';
import { MeterwardenError } from '../errors.ts';
import { DEFAULT_LANGUAGE } from '../texts/text.ts';
import { accuracyRoutes } from './accuracy.ts';
import { authenticate } from './auth.ts';
import { answerErrors, languageOf, MAX_BODY_BYTES, sendError } from './errors.ts';
import { findingRoutes } from './findings.ts';
import { gatewayRoutes } from './gateways.ts';
import { healthRoutes } from './health.ts';
import { instrumentRoutes } from './instruments.ts';
import { importRoute } from './instruments-import.ts';
import { describeApi } from './openapi.ts';
import type { Api, HealthParts, InspectorParts } from './parts.ts';
import { personRoutes } from './people.ts';
import { validatorOf } from './problems.ts';
import { rejectionRoutes } from './rejections.ts';
import { sessionRoutes } from './sessions.ts';
import { streamRoute } from './stream.ts';
import { taskRoutes } from './tasks.ts';

export type { InspectorParts } from './parts.ts';

const PREFIX = '/api/v1';
/** To receive a whole request: the largest import over a slow line. */
const REQUEST_TIMEOUT_MS = 300_000;
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** 64 characters of an id, each up to four bytes of three characters. */
const MAX_PARAM_CHARS = 1_000;

/** Not yet listening; `ready()` or `listen()` connects the stream, `close()` ends it. */
export function buildServer(parts: InspectorParts): FastifyInstance {
  const server = openServer(parts);
  acceptJson(server);
  describeApi(server);
  server.register(async (scope) => healthRoutes(scope as Api, parts));
  server.register(async (scope) => apiRoutes(scope as Api, parts), { prefix: PREFIX });
  return server;
}

/** For processes that serve no API, but tell how they are. */
export function buildHealthServer(parts: HealthParts): FastifyInstance {
  const server = openServer(parts);
  server.register(async (scope) => healthRoutes(scope as Api, parts));
  return server;
}

/** For connections from now on. */
export function setSecureContext({ server }: FastifyInstance, tls: SecureContextOptions): void {
  if (server instanceof HttpsServer) server.setSecureContext(tls);
}

function openServer({ language, onError, tls }: HealthParts): FastifyInstance {
  const server = Fastify({
    ...(tls && { https: { ...tls, handshakeTimeout: HANDSHAKE_TIMEOUT_MS } }),
    bodyLimit: MAX_BODY_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    routerOptions: { maxParamLength: MAX_PARAM_CHARS },
    exposeHeadRoutes: false,
    return503OnClosing: false,
    frameworkErrors: (error, request, reply) => sendError(error, request, reply, onError),
  }).withTypeProvider<ZodTypeProvider>();
  server.decorate('language', language ?? DEFAULT_LANGUAGE);
  server.setValidatorCompiler(validatorOf);
  server.setSerializerCompiler(serializerCompiler);
  answerErrors(server, onError);
  refuseWhenClosing(server);
  return server as unknown as FastifyInstance;
}

function apiRoutes(api: Api, parts: InspectorParts): void {
  api.addHook('onRequest', async (request, reply) => {
    reply.headers({
      'cache-control': 'no-store',
      'content-language': languageOf(request),
      vary: 'accept-language',
      'x-content-type-options': 'nosniff',
    });
  });
  authenticate(api, parts);
  sessionRoutes(api, parts);
  personRoutes(api, parts);
  instrumentRoutes(api, parts);
  api.register(async (scope) => importRoute(scope as Api, parts));
  gatewayRoutes(api, parts);
  findingRoutes(api, parts);
  taskRoutes(api, parts);
  accuracyRoutes(api, parts);
  rejectionRoutes(api, parts);
  streamRoute(api, parts);
}

/** JSON only; an empty body is none, so that actions that need nothing can be sent by any client. */
function acceptJson(server: FastifyInstance): void {
  server.removeAllContentTypeParsers();
  server.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body: string, done) => {
    if (body.trim() === '') return done(null, undefined);
    try {
      done(null, JSON.parse(body));
    } catch (error) {
      done(new MeterwardenError('malformed_json', { params: { problem: (error as Error).message }, cause: error }));
    }
  });
}

/** Connections that are kept alive may still ask while the server ends. */
function refuseWhenClosing(server: FastifyInstance): void {
  let closing = false;
  server.addHook('preClose', async () => {
    closing = true;
  });
  server.addHook('onRequest', async (_request, reply) => {
    if (!closing) return;
    reply.header('connection', 'close');
    throw new MeterwardenError('unavailable');
  });
}
