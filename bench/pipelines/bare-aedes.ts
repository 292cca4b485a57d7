/** A: a bare aedes that acknowledges publishes and does nothing with them. */
import { gatewayCredentials } from '../fleet.ts';
import { forkModule } from '../process.ts';
import type { Pipeline } from './pipeline.ts';

export const bareAedes: Pipeline = {
  name: 'A',
  title: 'bare aedes',
  async start() {
    const child = forkModule(new URL('./bare-aedes-process.ts', import.meta.url));
    const mqttPort = await child.ask<number>({});
    return { mqttPort, credentials: gatewayCredentials, stop: () => child.stop() };
  },
};
