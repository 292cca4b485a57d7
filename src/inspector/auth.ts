/** Who is asking, what their role lets them do, and what their region lets them see. */
import type { FastifyRequest } from 'fastify';
import { MeterwardenError } from '../errors.ts';
import type { Instrument } from '../fleet/instrument.ts';
import type { PersonRole } from '../fleet/person.ts';
import { regionCovers } from '../fleet/region.ts';
import type { Person } from '../store/postgres-people.ts';
import type { Actor } from '../tasks/workflow.ts';
import type { Api, InspectorParts } from './parts.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Who may call it; absent = everybody who is signed in. */
    roles?: readonly PersonRole[];
    /** Nobody needs to be signed in. */
    open?: true;
  }
  interface FastifyRequest {
    /** Undefined only on open routes. */
    person: Person | undefined;
  }
}

export const SUPERVISING: readonly PersonRole[] = ['admin', 'supervisor'];
export const ADMINISTERING: readonly PersonRole[] = ['admin'];
export const SECURITY = [{ session: [] }];
/** 32 bytes as base64url have 43 characters: longer ones are not ours and need not be hashed. */
const MAX_TOKEN_CHARS = 128;

export function authenticate(api: Api, { people, nowMs }: InspectorParts): void {
  api.decorateRequest('person', undefined);
  api.addHook('onRequest', async (request) => {
    const { roles, open } = request.routeOptions.config;
    if (open) return;
    const token = bearerToken(request);
    const person = token && (await people.session(token, new Date(nowMs())));
    if (!person) throw new MeterwardenError('unauthenticated');
    if (roles && !roles.includes(person.role)) throw new MeterwardenError('forbidden');
    request.person = person;
  });
}

export function bearerToken(request: FastifyRequest): string | undefined {
  const [, token] = /^Bearer +([\w-]+) *$/i.exec(request.headers.authorization ?? '') ?? [];
  return token && token.length <= MAX_TOKEN_CHARS ? token : undefined;
}

/** The signed-in person of a route that is not open; an admin is bound to no region. */
export function actorOf({ person }: FastifyRequest): Actor {
  if (!person) throw new MeterwardenError('unauthenticated');
  return { ...person, region: visibleRegion(person) };
}

export function visibleRegion({ role, region }: Person): string {
  return role === 'admin' ? '' : region;
}

/**
 * Gateways and instruments with a credential have no region of their own: somebody bound to a region sees those that report
 * only for instruments there. Undefined = all.
 */
export function visibleClients(instruments: Iterable<Instrument>, region: string): ReadonlySet<string> | undefined {
  if (region === '') return undefined;
  const inside = new Set<string>();
  const outside = new Set<string>();
  for (const instrument of instruments) {
    const side = regionCovers(region, instrument.region) ? inside : outside;
    side.add(instrument.id);
    if (instrument.gateway !== '') side.add(instrument.gateway);
  }
  for (const client of outside) inside.delete(client);
  return inside;
}
