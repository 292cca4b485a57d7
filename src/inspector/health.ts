/** What those who run the service ask: is it well, can it serve, what does it measure. */
import { z } from 'zod';
import { MeterwardenError } from '../errors.ts';
import type { Api, HealthParts, PartsReady } from './parts.ts';
import { answers } from './schemas.ts';

const TAGS = ['operation'];
/** Whoever asks gives up after some seconds, and has to be told before. */
const ANSWER_WITHIN_MS = 3_000;

const parts = z.object({
  parts: z.record(z.string(), z.boolean()).describe('Parts of the service that are in order.'),
});

export function healthRoutes(api: Api, { health, readiness, registry, onError }: HealthParts): void {
  const asked = async (question: () => PartsReady | Promise<PartsReady>) => {
    const ready = await within(question).catch((error: unknown) => {
      if (!(error instanceof MeterwardenError)) onError('readiness', error);
      throw new MeterwardenError('unavailable');
    });
    const failing = Object.keys(ready).find((part) => !ready[part]);
    if (failing !== undefined) throw new MeterwardenError('unavailable', { path: failing });
    return { parts: ready };
  };
  api.get(
    '/healthz',
    { schema: { tags: TAGS, summary: 'Is the process well', response: answers({ 200: parts }) } },
    async () => asked(health),
  );
  api.get(
    '/readyz',
    { schema: { tags: TAGS, summary: 'Can it serve now', response: answers({ 200: parts }) } },
    async () => asked(readiness),
  );
  api.get(
    '/metrics',
    {
      schema: {
        tags: TAGS,
        summary: 'Metrics for Prometheus',
        response: { 200: { description: 'Metrics.', content: { 'text/plain': { schema: z.string() } } } },
      },
    },
    async (_request, reply) => reply.type(registry.contentType).send(await registry.metrics()),
  );
}

async function within(question: () => PartsReady | Promise<PartsReady>): Promise<PartsReady> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, fail) => {
    timer = setTimeout(() => fail(new MeterwardenError('unavailable')), ANSWER_WITHIN_MS);
  });
  try {
    return await Promise.race([Promise.resolve().then(question), late]);
  } finally {
    clearTimeout(timer);
  }
}
