/** Who may see and act: kept by admins. */
import { z } from 'zod';
import { MeterwardenError } from '../errors.ts';
import { MAX_PASSWORD_CHARS, MIN_PASSWORD_CHARS, PERSON_ROLES } from '../fleet/person.ts';
import type { PersonRecord } from '../store/postgres-people.ts';
import { ADMINISTERING, actorOf, SECURITY } from './auth.ts';
import type { Api, InspectorParts } from './parts.ts';
import { answers, idText, regionText, timeText } from './schemas.ts';

const TAGS = ['people'];

const password = z.string().min(MIN_PASSWORD_CHARS).max(MAX_PASSWORD_CHARS);
const role = z.enum(PERSON_ROLES);
const person = z
  .object({
    username: z.string(),
    role,
    region: z.string().describe('GB/T 2260; a code ending in 00 covers what lies in it; empty = everywhere.'),
    createdAt: timeText,
    disabledAt: timeText.nullable(),
  })
  .meta({ id: 'Person' });

export function personRoutes(api: Api, { people }: InspectorParts): void {
  const config = { roles: ADMINISTERING };
  api.get(
    '/people',
    {
      config,
      schema: {
        tags: TAGS,
        summary: 'Everybody',
        security: SECURITY,
        response: answers({ 200: z.object({ people: z.array(person) }) }),
      },
    },
    async () => ({ people: (await people.list()).map(personView) }),
  );

  api.post(
    '/people',
    {
      config,
      schema: {
        tags: TAGS,
        summary: 'Add somebody',
        security: SECURITY,
        body: z.strictObject({ username: idText, password, role, region: regionText.default('') }),
        response: answers({ 201: person }),
      },
    },
    async (request, reply) => {
      requireFit(request.body);
      return reply.code(201).send(personView(await people.create(request.body)));
    },
  );

  api.patch(
    '/people/:username',
    {
      config,
      schema: {
        tags: TAGS,
        summary: 'Change role, region or password of somebody, or disable them',
        security: SECURITY,
        params: z.object({ username: idText }),
        body: z.strictObject({
          password: password.optional(),
          role: role.optional(),
          region: regionText.optional(),
          disabled: z.boolean().optional(),
        }),
        response: answers({ 200: person }),
      },
    },
    async (request) => {
      const { username } = request.params;
      const change = request.body;
      const before = (await people.list()).find((somebody) => somebody.username === username);
      if (!before) throw new MeterwardenError('not_found', { path: 'username' });
      requireFit({ role: change.role ?? before.role, region: change.region ?? before.region });
      // Whoever changes others stays an admin: there is always one who can.
      if (username === actorOf(request).username) {
        if (change.disabled) throw refused('disabled', 'own_account');
        if (change.role && change.role !== before.role) {
          throw refused('role', 'own_account');
        }
      }
      return personView(await people.change(username, change));
    },
  );
}

function requireFit({ role, region }: { role: string; region: string }): void {
  if (role === 'admin' && region !== '') throw refused('region', 'admin_region');
}

function refused(path: string, problem: string): MeterwardenError {
  return new MeterwardenError('invalid_request', { path, params: { problem } });
}

function personView({ username, role, region, createdAt, disabledAt }: PersonRecord): z.output<typeof person> {
  return { username, role, region, createdAt: createdAt.toISOString(), disabledAt: disabledAt?.toISOString() ?? null };
}
