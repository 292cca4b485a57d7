/** The only wiring: starts every part in order, unwinds what was started when one fails, stops safely twice. */
import { type Logger, pino } from 'pino';
import { type PortSetting, requireAddresses } from './addresses.ts';
import { startApi, startHealth } from './app/api.ts';
import { answers, type Foundation, openFoundation } from './app/foundation.ts';
import { type BrokerPorts, startBroker, startExternalBroker, startPipeline } from './app/ingest.ts';
import { type OwnRules, openOwnRules, startSharedRules } from './app/rules.ts';
import { type OnStop, unlessAborted } from './app/timers.ts';
import { startWork } from './app/work.ts';
import { SETTINGS, type Settings } from './config.ts';
import { MeterwardenError } from './errors.ts';
import { databaseRefusal } from './store/postgres-refusals.ts';

/** `serve` is all of it in one process; the others share it, as many of each as are needed. */
export type Role = 'serve' | 'ingest' | 'work' | 'api';

export interface App {
  readonly httpPort: number;
  /** undefined = this role has no broker, or it is turned off. */
  readonly mqttPort: number | undefined;
  readonly mqttsPort: number | undefined;
  /** Made up at the first start when none was given; told once. */
  readonly adminPassword: string | undefined;
  readonly databaseUrl: string;
  /** Looks at the files of TLS now, not only when it is their turn. */
  reloadCertificates(): Promise<void>;
  /** Before `stop`, for a process that will not come back: is nothing of it left at the external broker? undefined = it has none. */
  leave(withinMs: number): Promise<boolean | undefined>;
  stop(): Promise<void>;
}

export interface AppOptions {
  readonly role?: Role;
  readonly logger?: Logger;
  /** Calls the start off; once it is through, only `stop` ends the app. */
  readonly signal?: AbortSignal;
}

const READY_STALL_MS = 10_000;

const PORTS: Readonly<Record<Role, readonly PortSetting[]>> = {
  serve: ['HTTP_PORT', 'MQTT_PORT', 'MQTTS_PORT'],
  ingest: ['HTTP_PORT', 'MQTT_PORT', 'MQTTS_PORT'],
  work: ['HTTP_PORT'],
  api: ['HTTP_PORT'],
};

export async function startApp(settings: Settings, options: AppOptions = {}): Promise<App> {
  const { role = 'serve', logger = pino({ level: settings.logLevel }), signal } = options;
  const undo: Parameters<OnStop>[0][] = [];
  let stopping: Promise<void> | undefined;
  const unwind = async () => {
    for (const step of undo.splice(0).reverse()) {
      try {
        await step();
      } catch (error) {
        logger.error({ error }, 'while stopping');
      }
    }
  };
  const starting = new AbortController();
  const callOff = () => starting.abort();
  signal?.addEventListener('abort', callOff);
  try {
    if (role !== 'serve') requireDatabase(settings);
    await unlessAborted(
      starting.signal,
      requireAddresses(settings, settings.mqttUrl === undefined ? PORTS[role] : ['HTTP_PORT']),
    );
    const foundation = await openFoundation(
      settings,
      role === 'serve',
      logger,
      (step) => void undo.push(step),
      starting.signal,
    );
    const app = await START[role](foundation);
    return {
      ...app,
      databaseUrl: foundation.databaseUrl,
      reloadCertificates: async () => foundation.certificates?.reload(),
      stop: () => {
        stopping ??= unwind();
        return stopping;
      },
    };
  } catch (error) {
    await unwind();
    throw (settings.databaseUrl && databaseRefusal(error, settings.databaseUrl)) || error;
  } finally {
    signal?.removeEventListener('abort', callOff);
  }
}

/** An embedded database would be one process's own. */
function requireDatabase({ databaseUrl }: Settings): void {
  if (databaseUrl) return;
  const { expected } = SETTINGS.DATABASE_URL;
  throw new MeterwardenError('invalid_setting', { path: 'DATABASE_URL', params: { value: '', expected } });
}

type Started = Omit<App, 'databaseUrl' | 'reloadCertificates' | 'stop'>;
type Broker = BrokerPorts & Pick<App, 'leave'>;

const NO_BROKER: Broker = { mqttPort: undefined, mqttsPort: undefined, leave: async () => undefined };

/** The pipeline, and a broker inside or outside that may be opened when everything else is there. */
async function startIntake(foundation: Foundation, rules: OwnRules | undefined) {
  const pipeline = await startPipeline(foundation, rules);
  let connected = () => true;
  return {
    readiness: async () => ({
      database: await answers(foundation.pool),
      ingest: pipeline.stalledMs < READY_STALL_MS,
      broker: connected(),
    }),
    listen: async (): Promise<Broker> => {
      const { mqttUrl } = foundation.settings;
      if (mqttUrl === undefined) return { ...NO_BROKER, ...(await startBroker(foundation, pipeline)) };
      const external = await startExternalBroker(foundation, mqttUrl, pipeline);
      connected = () => external.connected > 0;
      return { ...NO_BROKER, leave: (withinMs) => external.drain(withinMs) };
    },
  };
}

const START: Readonly<Record<Role, (foundation: Foundation) => Promise<Started>>> = {
  serve: async (foundation) => {
    const rules = foundation.isLogged ? undefined : await openOwnRules(foundation);
    const intake = await startIntake(foundation, rules);
    if (!rules) startSharedRules(foundation);
    await startWork(foundation);
    const served = await startApi(foundation, intake.readiness);
    return { ...served, ...(await intake.listen()) };
  },
  ingest: async (foundation) => {
    const intake = await startIntake(foundation, undefined);
    const served = await startHealth(foundation, intake.readiness);
    return { ...served, ...(await intake.listen()) };
  },
  work: async (foundation) => {
    startSharedRules(foundation);
    await startWork(foundation);
    const served = await startHealth(foundation, async () => ({ database: await answers(foundation.pool) }));
    return { ...served, ...NO_BROKER };
  },
  api: async (foundation) => {
    const served = await startApi(foundation, async () => ({ database: await answers(foundation.pool) }));
    return { ...served, ...NO_BROKER };
  },
};
