import { describe } from 'vitest';
import { estimateQueueConformance } from '../conformance/estimate-queue.ts';
import { REDIS, REQUIRED, RedisServer } from '../support/redis.ts';

estimateQueueConformance('PostgreSQL', async () => ({ url: '', close: async () => {} }));

describe.skipIf(REDIS === undefined && !REQUIRED)('on Redis', () => {
  estimateQueueConformance('Redis', async () => {
    const server = await RedisServer.start();
    return { url: server.url, close: () => server.stop() };
  });
});
