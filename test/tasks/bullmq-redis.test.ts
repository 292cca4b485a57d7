import { describe } from 'vitest';
import { taskQueueConformance } from '../conformance/task-queue.ts';
import { ClusterRedis, REDIS, REQUIRED, RedisServer, SentinelRedis } from '../support/redis.ts';

describe.skipIf(REDIS === undefined && !REQUIRED)('on Redis', () => {
  taskQueueConformance('Redis', async () => {
    const server = await RedisServer.start();
    return { url: server.url, close: () => server.stop() };
  });

  taskQueueConformance('Redis behind a Sentinel', async () => {
    const servers = await SentinelRedis.start();
    return { url: servers.url, close: () => servers.stop() };
  });

  taskQueueConformance('Redis Cluster', async () => {
    const cluster = await ClusterRedis.start();
    return { url: cluster.url, close: () => cluster.stop() };
  });
});
