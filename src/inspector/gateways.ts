/** Credentials of gateways and of directly connected instruments. */
import { z } from 'zod';
import { MeterwardenError } from '../errors.ts';
import { actorOf, SECURITY, SUPERVISING, visibleClients } from './auth.ts';
import type { Api, InspectorParts } from './parts.ts';
import { answers, idText, next, paging, timeText } from './schemas.ts';

const TAGS = ['gateways'];
const MIN_SECRET_CHARS = 6;
const MAX_SECRET_CHARS = 128;

const gateway = z
  .object({
    id: z.string(),
    createdAt: timeText,
    rotatedAt: timeText,
    instruments: z.number().int().describe('How many the ledger lets it report for.'),
  })
  .meta({ id: 'Gateway' });
const credential = z
  .object({
    id: z.string(),
    created: z.boolean().describe('False: an earlier secret was replaced.'),
    secret: z.string().optional().describe('Only when none was given; told this once.'),
  })
  .meta({ id: 'GatewayCredential' });

export function gatewayRoutes(api: Api, { ledger, brokerUser }: InspectorParts): void {
  const config = { roles: SUPERVISING };
  api.get(
    '/gateways',
    {
      config,
      schema: {
        tags: TAGS,
        summary: 'Gateways in order of id; bound to a region, a page may hold fewer than its limit',
        security: SECURITY,
        querystring: z.strictObject(paging),
        response: answers({ 200: z.object({ gateways: z.array(gateway), next }) }),
      },
    },
    async (request) => {
      const visible = visibleClients(ledger.ledger.all(), actorOf(request).region);
      const page = await ledger.listGateways(request.query);
      const shown = visible ? page.items.filter(({ id }) => visible.has(id)) : page.items;
      return {
        gateways: shown.map((item) => ({
          ...item,
          createdAt: item.createdAt.toISOString(),
          rotatedAt: item.rotatedAt.toISOString(),
        })),
        next: page.next,
      };
    },
  );

  api.put(
    '/gateways/:id',
    {
      config,
      schema: {
        tags: TAGS,
        summary: 'Create or rotate the credential of a gateway or a directly connected instrument',
        security: SECURITY,
        params: z.object({ id: idText }),
        body: z.strictObject({ secret: z.string().min(MIN_SECRET_CHARS).max(MAX_SECRET_CHARS).optional() }).nullish(),
        response: answers({ 200: credential, 201: credential }),
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const visible = visibleClients(ledger.ledger.all(), actorOf(request).region);
      if (visible && !visible.has(id)) throw new MeterwardenError('not_found', { path: 'id' });
      if (id === brokerUser) throw new MeterwardenError('id_of_service', { path: 'id', params: { id } });
      const put = await ledger.putGateway(id, request.body?.secret);
      return reply.code(put.created ? 201 : 200).send(put);
    },
  );
}
