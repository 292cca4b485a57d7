/** The ledger, and what is known of one instrument: its readings and findings. */
import { z } from 'zod';
import { MeterwardenError } from '../errors.ts';
import { INSTRUMENT_STATES, type Instrument, PHASES, ROLES } from '../fleet/instrument.ts';
import { regionCovers } from '../fleet/region.ts';
import { type Language, say } from '../texts/text.ts';
import { actorOf, SECURITY, SUPERVISING } from './auth.ts';
import { languageOf } from './errors.ts';
import { findingPage } from './findings.ts';
import type { Api, InspectorParts } from './parts.ts';
import { answers, instant, limitOf, next, paging, reading, shortText, yesOrNo } from './schemas.ts';
import { readingView, Words } from './words.ts';

const TAGS = ['instruments'];
/** A day of minutes and some more. */
const READINGS_DEFAULT = 1_000;
/** About 2 MB of answer. */
const READINGS_MAX = 10_000;
/** Later than any reading: PostgreSQL and RFC 3339 both end their years with four digits here. */
const LAST_MS = Date.UTC(9999, 11, 31);

const instrument = z
  .object({
    id: z.string(),
    kind: z.string(),
    kindName: z.string(),
    role: z.enum(ROLES),
    district: z.string(),
    phase: z.enum(PHASES),
    accuracyClass: z.string(),
    manufacturer: z.string(),
    model: z.string(),
    batch: z.string(),
    installedOn: z.string().describe('YYYY-MM-DD; empty = unknown.'),
    owner: z.string(),
    region: z.string(),
    nominalVoltageV: z.number(),
    maxCurrentA: z.number(),
    gateway: z.string().describe('Empty = it reports for itself.'),
    state: z.enum(INSTRUMENT_STATES),
  })
  .meta({ id: 'Instrument' });

export function instrumentRoutes(api: Api, parts: InspectorParts): void {
  const { ledger, kinds, readings, findings, rules, nowMs } = parts;
  /** Another region's instrument is as good as none. */
  const visible = (id: string, region: string): Instrument => {
    const found = ledger.ledger.byId(id);
    if (!found || !regionCovers(region, found.region)) throw new MeterwardenError('not_found', { path: 'id' });
    return found;
  };
  const view = ({ key: _, ...shown }: Instrument, language: Language): z.output<typeof instrument> => {
    const kind = kinds.get(shown.kind);
    return { ...shown, kindName: kind ? say(kind.name, language) : shown.kind };
  };

  api.get(
    '/instruments',
    {
      schema: {
        tags: TAGS,
        summary: 'Instruments in order of id',
        security: SECURITY,
        querystring: z.strictObject({
          district: shortText.optional(),
          region: shortText.optional(),
          kind: shortText.optional(),
          state: z.enum(INSTRUMENT_STATES).optional(),
          ...paging,
        }),
        response: answers({ 200: z.object({ instruments: z.array(instrument), next }) }),
      },
    },
    async (request) => {
      const language = languageOf(request);
      const page = await ledger.list({ ...request.query, visibleRegion: actorOf(request).region });
      return { instruments: page.items.map((item) => view(item, language)), next: page.next };
    },
  );

  const params = z.object({ id: shortText });
  api.get(
    '/instruments/:id',
    {
      schema: {
        tags: TAGS,
        summary: 'One instrument',
        security: SECURITY,
        params,
        response: answers({ 200: instrument }),
      },
    },
    async (request) => view(visible(request.params.id, actorOf(request).region), languageOf(request)),
  );

  api.patch(
    '/instruments/:id',
    {
      config: { roles: SUPERVISING },
      schema: {
        tags: TAGS,
        summary: 'Retire an instrument, or put it back into service',
        description:
          'Readings of a retired instrument are refused, and the rules forget it: its open findings end with its last reading. Its ' +
          'open tasks stay, with a note in their history. Put back, it begins anew: what it sent before is not compared with what it ' +
          'sends then.',
        security: SECURITY,
        params,
        body: z.strictObject({ state: z.enum(INSTRUMENT_STATES) }),
        response: answers({ 200: instrument }),
      },
    },
    async (request) => {
      const { username, region } = actorOf(request);
      const { id } = visible(request.params.id, region);
      const by = { actor: username, at: new Date(nowMs()) };
      return view(await ledger.changeState(id, request.body.state, by), languageOf(request));
    },
  );

  api.get(
    '/instruments/:id/readings',
    {
      schema: {
        tags: TAGS,
        summary: 'Readings of one instrument, from <= ts < to, in order of time',
        security: SECURITY,
        params,
        querystring: z.strictObject({
          from: instant.optional(),
          to: instant.optional(),
          cursor: paging.cursor,
          limit: limitOf(READINGS_DEFAULT, READINGS_MAX),
        }),
        response: answers({ 200: z.object({ readings: z.array(reading), next }) }),
      },
    },
    async (request) => {
      const { from = 0, to = LAST_MS, cursor, limit } = request.query;
      const { key } = visible(request.params.id, actorOf(request).region);
      if (to < from) {
        throw new MeterwardenError('invalid_request', { path: 'to', params: { problem: 'before_from' } });
      }
      const fromMs = cursor === undefined ? from : Math.max(from, decodeCursor(cursor));
      const found = await readings.range(key, fromMs, to, limit + 1);
      const following = found[limit];
      return {
        readings: found.slice(0, limit).map(readingView),
        next: following && encodeCursor(following.tsMs),
      };
    },
  );

  api.get(
    '/instruments/:id/findings',
    {
      schema: {
        tags: TAGS,
        summary: 'Findings of one instrument, newest first',
        security: SECURITY,
        params,
        querystring: z.strictObject({ rule: shortText.optional(), open: yesOrNo, ...paging }),
        response: answers({ 200: findingPage }),
      },
    },
    async (request) => {
      const { region } = actorOf(request);
      const { id } = visible(request.params.id, region);
      const page = await findings.list({ ...request.query, instrument: id, visibleRegion: region });
      const words = new Words(rules, languageOf(request));
      return { findings: page.rows.map((record) => words.finding(record)), next: page.next };
    },
  );
}

function encodeCursor(tsMs: number): string {
  return Buffer.from(`from ${tsMs}`).toString('base64url');
}

function decodeCursor(cursor: string): number {
  const [, ts] = /^from (-?\d{1,15})$/.exec(Buffer.from(cursor, 'base64url').toString()) ?? [];
  if (ts === undefined) throw new MeterwardenError('invalid_cursor', { path: 'cursor' });
  return Number(ts);
}
