/** What the rules concluded. */
import { z } from 'zod';
import { actorOf, SECURITY } from './auth.ts';
import { languageOf } from './errors.ts';
import type { Api, InspectorParts } from './parts.ts';
import { answers, finding, instant, next, paging, shortText, yesOrNo } from './schemas.ts';
import { Words } from './words.ts';

const filter = z.strictObject({
  instrument: shortText.optional(),
  district: shortText.optional(),
  rule: shortText.optional(),
  open: yesOrNo,
  from: instant.optional().describe('Began at or after.'),
  to: instant.optional().describe('Began before.'),
  ...paging,
});

export const findingPage = z.object({ findings: z.array(finding), next });

export function findingRoutes(api: Api, { findings, rules }: InspectorParts): void {
  api.get(
    '/findings',
    {
      schema: {
        tags: ['findings'],
        summary: 'Findings, newest first',
        security: SECURITY,
        querystring: filter,
        response: answers({ 200: findingPage }),
      },
    },
    async (request) => {
      const { from, to, ...rest } = request.query;
      const page = await findings.list({
        ...rest,
        from: from === undefined ? undefined : new Date(from),
        to: to === undefined ? undefined : new Date(to),
        visibleRegion: actorOf(request).region,
      });
      const words = new Words(rules, languageOf(request));
      return { findings: page.rows.map((record) => words.finding(record)), next: page.next };
    },
  );
}
