/** The service itself, as users start it, with every instrument in its ledger and every gateway's secret set. */
import { gatewayCredentials } from '../fleet.ts';
import { provision, request, startService } from '../service.ts';
import type { Pipeline } from './pipeline.ts';

const PAGE_LIMIT = 1000;

export const meterwarden: Pipeline = {
  name: 'ours',
  title: 'meterwarden',
  async start({ databaseUrl, fleet }) {
    const { pid, url, token, mqttPort, stop } = await startService({ env: { DATABASE_URL: databaseUrl } });
    try {
      await provision({ url, token }, fleet);
    } catch (error) {
      await stop();
      throw error;
    }
    const storedReadings = (instrument: string) => countReadings(url, token, instrument);
    return { pid, databaseUrl, mqttPort, credentials: gatewayCredentials, storedReadings, http: { url, token }, stop };
  },
};

export async function countReadings(url: string, token: string, instrument: string): Promise<number> {
  let count = 0;
  let cursor: string | undefined;
  do {
    const query = new URLSearchParams({
      from: new Date(0).toISOString(),
      to: new Date().toISOString(),
      limit: String(PAGE_LIMIT),
      ...(cursor && { cursor }),
    });
    const page = await request<{ readings: unknown[]; next?: string | null }>(
      `${url}/api/v1/instruments/${instrument}/readings?${query}`,
      { headers: { authorization: `Bearer ${token}` } },
    );
    count += page.readings.length;
    cursor = page.next ?? undefined;
  } while (cursor);
  return count;
}
