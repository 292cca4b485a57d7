/** Running errors: of one instrument, of a district, and an estimate on demand. */
import { z } from 'zod';
import { ESTIMATED_KIND, mpePctOf } from '../accuracy/policy.ts';
import { MeterwardenError } from '../errors.ts';
import { regionCovers } from '../fleet/region.ts';
import { MAX_WISHES } from '../store/postgres-estimate-runs.ts';
import { districtEstimate, estimateRun, meterEstimate, replacement, siteResult } from './accuracy-schemas.ts';
import { AccuracyWords } from './accuracy-words.ts';
import { actorOf, SECURITY, SUPERVISING } from './auth.ts';
import { languageOf } from './errors.ts';
import type { Api, InspectorParts } from './parts.ts';
import { answers, next, paging, shortText } from './schemas.ts';

const TAGS = ['accuracy'];

export function accuracyRoutes(api: Api, { ledger, kinds, accuracy, nowMs }: InspectorParts): void {
  const { estimates, runs, site, policy } = accuracy;
  /** Where a district lies: where its master does. Another region's is as good as none. */
  const regionOf = (district: string, visibleRegion: string): string => {
    const members = ledger.ledger.ofDistrict(district);
    const serving = members.filter(({ state }) => state === 'in-service');
    const first = serving.find(({ role }) => role === 'master') ?? serving[0] ?? members[0];
    if (!first || !regionCovers(visibleRegion, first.region)) throw new MeterwardenError('not_found', { path: 'id' });
    return first.region;
  };
  const params = z.object({ id: shortText });

  api.get(
    '/instruments/:id/accuracy',
    {
      schema: {
        tags: TAGS,
        summary: 'Estimated running errors of one instrument, newest first, and what was measured on site',
        security: SECURITY,
        params,
        querystring: z.strictObject(paging),
        response: answers({
          200: z.object({
            instrument: z.string(),
            mpePct: z.number(),
            estimates: z.array(meterEstimate),
            next,
            siteResults: z.array(siteResult),
            replacements: z.array(replacement),
          }),
        }),
      },
    },
    async (request) => {
      const found = ledger.ledger.byId(request.params.id);
      if (!found || !regionCovers(actorOf(request).region, found.region))
        throw new MeterwardenError('not_found', { path: 'id' });
      const [page, onSite] = await Promise.all([
        estimates.ofInstrument(found.key, request.query),
        site.ofInstrument(found.key),
      ]);
      const words = new AccuracyWords(languageOf(request));
      return {
        instrument: found.id,
        mpePct: mpePctOf(found, kinds, policy),
        estimates: page.rows.map((row) => words.meter(row)),
        next: page.next,
        siteResults: onSite.results.map((row) => words.siteResult(row)),
        replacements: onSite.replacements.map((row) => words.replacement(row)),
      };
    },
  );

  api.get(
    '/districts/:id/accuracy',
    {
      schema: {
        tags: TAGS,
        summary: 'The newest estimate of a district with its meters, and the estimates before',
        security: SECURITY,
        params,
        querystring: z.strictObject(paging),
        response: answers({
          200: z.object({
            district: z.string(),
            newest: districtEstimate.nullable().describe('Null while there is none.'),
            meters: z.array(meterEstimate).describe('Of the newest, in order of id.'),
            estimates: z.array(districtEstimate).describe('Newest first.'),
            next,
          }),
        }),
      },
    },
    async (request) => {
      const { id } = request.params;
      regionOf(id, actorOf(request).region);
      const [newest, page] = await Promise.all([estimates.newest(id), estimates.ofDistrict(id, request.query)]);
      const meters = newest ? await estimates.metersOf(newest.id) : [];
      const words = new AccuracyWords(languageOf(request));
      return {
        district: id,
        newest: newest ? words.district(newest) : null,
        meters: meters.map((row) => words.meter(row)),
        estimates: page.rows.map((row) => words.district(row)),
        next: page.next,
      };
    },
  );

  api.post(
    '/districts/:id/estimate',
    {
      config: { roles: SUPERVISING },
      schema: {
        tags: TAGS,
        summary: 'Estimate a district now, from its readings up to this report period',
        description: `The estimate is made by whichever process is free, in turns with those of the night. Asked again within a report period, or while one of the district is still to be made, the answer is the same run. At most ${MAX_WISHES} of one person wait.`,
        security: SECURITY,
        params,
        response: answers({ 202: estimateRun }),
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const { username, region } = actorOf(request);
      const itsRegion = regionOf(id, region);
      const at = new Date(nowMs());
      const periodMs = kinds.get(ESTIMATED_KIND)?.reportPeriodMs ?? 1;
      const toMs = Math.floor(at.getTime() / periodMs) * periodMs;
      const run = await runs.ask(id, itsRegion, toMs, username, at);
      reply.code(202);
      return new AccuracyWords(languageOf(request)).run(run);
    },
  );

  api.get(
    '/districts/:id/estimates/:run',
    {
      schema: {
        tags: TAGS,
        summary: 'How far a run has come',
        security: SECURITY,
        params: z.object({ id: shortText, run: shortText }),
        response: answers({ 200: estimateRun }),
      },
    },
    async (request) => {
      const { id, run } = request.params;
      regionOf(id, actorOf(request).region);
      return new AccuracyWords(languageOf(request)).run(await runs.get(id, run));
    },
  );
}
