/** Signing in and out. */
import { z } from 'zod';
import { MeterwardenError } from '../errors.ts';
import { MAX_PASSWORD_CHARS, PERSON_ROLES } from '../fleet/person.ts';
import { actorOf, bearerToken, SECURITY } from './auth.ts';
import type { Api, InspectorParts } from './parts.ts';
import { answers, nothing, timeText } from './schemas.ts';

const TAGS = ['sessions'];
const MAX_USERNAME_CHARS = 64;
/** Checking a password takes 32 MiB and a good part of a second of one core, on purpose. */
const MAX_SIGN_INS_AT_ONCE = 16;
/** So that one address cannot keep all others out. */
const MAX_SIGN_INS_OF_ADDRESS = 3;

export function sessionRoutes(api: Api, { people, nowMs }: InspectorParts): void {
  let signingIn = 0;
  const ofAddress = new Map<string, number>();
  api.post(
    '/sessions',
    {
      config: { open: true },
      schema: {
        tags: TAGS,
        summary: 'Sign in',
        body: z.strictObject({
          username: z.string().min(1).max(MAX_USERNAME_CHARS),
          password: z.string().min(1).max(MAX_PASSWORD_CHARS),
        }),
        response: answers({ 201: z.object({ token: z.string(), expiresAt: timeText }) }),
      },
    },
    async (request, reply) => {
      const here = ofAddress.get(request.ip) ?? 0;
      if (here >= MAX_SIGN_INS_OF_ADDRESS) throw new MeterwardenError('rate_limited');
      if (signingIn >= MAX_SIGN_INS_AT_ONCE) throw new MeterwardenError('overloaded');
      signingIn++;
      ofAddress.set(request.ip, here + 1);
      try {
        const { username, password } = request.body;
        const { token, expiresAt } = await people.signIn(username, password, request.ip, new Date(nowMs()));
        return await reply.code(201).send({ token, expiresAt: expiresAt.toISOString() });
      } finally {
        signingIn--;
        const left = ofAddress.get(request.ip)! - 1;
        if (left > 0) ofAddress.set(request.ip, left);
        else ofAddress.delete(request.ip);
      }
    },
  );

  api.get(
    '/sessions/current',
    {
      schema: {
        tags: TAGS,
        summary: 'Who is signed in',
        security: SECURITY,
        response: answers({
          200: z.object({ username: z.string(), role: z.enum(PERSON_ROLES), region: z.string() }),
        }),
      },
    },
    async (request) => {
      actorOf(request);
      return request.person!;
    },
  );

  api.delete(
    '/sessions/current',
    { schema: { tags: TAGS, summary: 'Sign out', security: SECURITY, response: answers({ 204: nothing }) } },
    async (request, reply) => {
      await people.signOut(bearerToken(request)!);
      return reply.code(204).send(null);
    },
  );
}
