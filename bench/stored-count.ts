/** How many readings the processes that store them say they have stored. */
import { metricsOf } from './service.ts';

export interface StoredCount {
  atMs: number;
  readings: number;
}

export async function countStored(urls: readonly string[]): Promise<StoredCount> {
  const counts = await Promise.all(
    urls.map(async (url) => (await metricsOf(url))('meterwarden_readings_stored_total')),
  );
  return { atMs: performance.now(), readings: counts.reduce((sum, count) => sum + count, 0) };
}

export const perSecond = (from: StoredCount, to: StoredCount) =>
  ((to.readings - from.readings) * 1000) / (to.atMs - from.atMs);
