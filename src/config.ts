/** The only reader of environment and configuration files. Parsed once, checked, frozen. */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parse as parseYaml } from 'yaml';
import { type EstimationPolicy, parseEstimationPolicy } from './accuracy/policy.ts';
import { DEFAULT_PREFIX, isTopicPrefix } from './broker/device-topics.ts';
import type { TlsSettings } from './certificates.ts';
import { MeterwardenError } from './errors.ts';
import { parseDurationMs } from './fleet/duration.ts';
import type { Kinds } from './fleet/kind.ts';
import { MAX_PASSWORD_CHARS, MIN_PASSWORD_CHARS } from './fleet/person.ts';
import { isZone } from './handover/calendar.ts';
import type { S3Settings } from './handover/s3.ts';
import { placeOf } from './handover/target.ts';
import { type Profiles, parseProfiles } from './ingest/profile.ts';
import { parseKinds } from './kinds.ts';
import { nearest } from './nearest.ts';
import { parseRules, type RuleSet } from './rules/ruleset.ts';
import type { InfluxOptions } from './store/influxdb-connection.ts';
import { parseTaskPolicies, type TaskPolicies } from './tasks/policy.ts';
import { parseRedisUrl, REDIS_URL_EXPECTED } from './tasks/redis-url.ts';
import { LANGUAGES, type Language, pickLanguage } from './texts/text.ts';
import type { TLS_PROBLEMS } from './texts/tls.ts';

export interface Settings {
  readonly httpPort: number;
  readonly mqttPort: number | 'off';
  readonly mqttsPort: number | 'off';
  /** undefined = no TLS. */
  readonly tls: TlsSettings | undefined;
  readonly host: string;
  readonly dataDir: string;
  /** An external PostgreSQL 15 or newer; undefined = the embedded one. */
  readonly databaseUrl: string | undefined;
  /** An external MQTT broker; undefined = devices connect to this process. */
  readonly mqttUrl: string | undefined;
  /** What stands before the topics of a device at an external broker, with its `{client}`. */
  readonly mqttTopicPrefix: string;
  /** The user property with the identity of a device, set by the broker; undefined = the topic tells. */
  readonly mqttClientProperty: string | undefined;
  readonly mqttVersion: (typeof MQTT_VERSIONS)[number];
  /** Sessions of one process at the external broker. */
  readonly mqttConnections: number;
  /** PEM files for `mqtts` and `wss`. */
  readonly mqttCa: string | undefined;
  readonly mqttCert: string | undefined;
  readonly mqttKey: string | undefined;
  /** Where the queue of tasks lives; undefined = in PostgreSQL. */
  readonly redisUrl: string | undefined;
  /** Where readings are kept; undefined = in PostgreSQL. */
  readonly influx: InfluxOptions | undefined;
  readonly handover: HandoverPlace;
  readonly adminPassword: string | undefined;
  readonly language: Language;
  readonly retentionDays: number;
  readonly logLevel: (typeof LOG_LEVELS)[number];
  /** Folder of kinds.yaml, rules.yaml, profiles.yaml, tasks.yaml. */
  readonly configDir: string;
}

/** Where data is handed over to, and when. */
export interface HandoverPlace {
  /** A folder or s3://bucket/prefix; undefined = not by itself. */
  readonly to: string | undefined;
  readonly s3: S3Settings;
  /** Whose days they are. */
  readonly zone: string;
  /** A day is handed over so long after its end, so that late readings are in it. */
  readonly graceMs: number;
}

const MQTT_VERSIONS = ['5', '3.1.1'] as const;
const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
const CLIENT_AUTHS = ['optional', 'required'] as const;
const SHIPPED_CONFIG_DIR = resolve(import.meta.dirname, '..', 'config');
export const SETTINGS_FILE = 'meterwarden.yaml';

interface Setting<T> {
  readonly fallback: T;
  readonly expected: string;
  /** undefined = not acceptable. */
  readonly parse: (text: string) => T | undefined;
}

const port = (fallback: number): Setting<number> => ({
  fallback,
  expected: '0…65535',
  parse: (text) => (/^\d{1,5}$/.test(text) && Number(text) <= 65_535 ? Number(text) : undefined),
});

const portOrOff = (fallback: number): Setting<number | 'off'> => {
  const { expected, parse } = port(fallback);
  return { fallback, expected: `${expected} | off`, parse: (text) => (text === 'off' ? text : parse(text)) };
};

const oneOf = <T extends string>(values: readonly T[], fallback: T): Setting<T> => ({
  fallback,
  expected: values.join(' | '),
  parse: (text) => values.find((value) => value === text),
});

/** A name that goes elsewhere as it stands. */
const named = (fallback: string): Setting<string> => ({
  fallback,
  expected: fallback,
  parse: (text) => text || undefined,
});

const optional = (expected: string, isRight: RegExp): Setting<string | undefined> => ({
  fallback: undefined,
  expected,
  parse: (text) => (isRight.test(text) ? text : undefined),
});

/** Every setting: its name in the environment and in meterwarden.yaml, default, and what would be right. */
export const SETTINGS = {
  HTTP_PORT: port(8080),
  MQTT_PORT: portOrOff(1883),
  MQTTS_PORT: portOrOff(8883),
  TLS_CERT: optional('./tls/server.pem', /\S/),
  TLS_KEY: optional('./tls/server.key', /\S/),
  TLS_CLIENT_CA: optional('./tls/ca.pem', /\S/),
  TLS_CLIENT_AUTH: oneOf(CLIENT_AUTHS, 'optional'),
  TLS_CRL: optional('./tls/crl.pem', /\S/),
  HOST: { fallback: '127.0.0.1', expected: '127.0.0.1 | 0.0.0.0 | …', parse: (text: string) => text || undefined },
  METERWARDEN_DATA: named('./data'),
  DATABASE_URL: {
    fallback: undefined as string | undefined,
    expected: 'postgres://user:password@host:5432/database',
    parse: (text: string) => (/^postgres(ql)?:\/\/./.test(text) && URL.canParse(text) ? text : undefined),
  },
  MQTT_URL: {
    fallback: undefined as string | undefined,
    expected: 'mqtt[s]://[user:password@]host[:1883] | ws[s]://[user:password@]host[:port]/path',
    parse: (text: string) => (/^(mqtts?|wss?):\/\/[^/]/.test(text) && URL.canParse(text) ? text : undefined),
  },
  MQTT_TOPIC_PREFIX: {
    fallback: DEFAULT_PREFIX,
    expected: DEFAULT_PREFIX,
    parse: (text: string) => (isTopicPrefix(text) ? text : undefined),
  },
  MQTT_CLIENT_PROPERTY: optional('client', /^[\w.-]{1,64}$/),
  MQTT_VERSION: oneOf(MQTT_VERSIONS, '5'),
  MQTT_CONNECTIONS: {
    fallback: 4,
    expected: '1…64',
    parse: (text: string) =>
      /^\d{1,2}$/.test(text) && Number(text) >= 1 && Number(text) <= 64 ? Number(text) : undefined,
  },
  MQTT_CA: optional('./tls/ca.pem', /\S/),
  MQTT_CERT: optional('./tls/client.pem', /\S/),
  MQTT_KEY: optional('./tls/client.key', /\S/),
  REDIS_URL: {
    fallback: undefined as string | undefined,
    expected: REDIS_URL_EXPECTED,
    parse: (text: string) => (/^rediss?(\+[a-z]+)?:\/\/\S+$/.test(text) && parseRedisUrl(text) ? text : undefined),
  },
  INFLUX_URL: optional('http://host:8086', /^https?:\/\/[^/\s]+/),
  INFLUX_TOKEN: optional('…', /\S/),
  INFLUX_ORG: named('meterwarden'),
  INFLUX_BUCKET: named('meterwarden'),
  HANDOVER_TO: {
    fallback: undefined as string | undefined,
    expected: 'DIR | s3://BUCKET/PREFIX',
    parse: (text: string) => (placeOf(text) ? text : undefined),
  },
  HANDOVER_ZONE: {
    fallback: 'Asia/Shanghai',
    expected: 'Asia/Shanghai',
    parse: (text: string) => (isZone(text) ? text : undefined),
  },
  HANDOVER_GRACE: {
    fallback: '4h',
    expected: '30m | 4h | 1d',
    parse: (text: string) => (parseDurationMs(text) === undefined ? undefined : text),
  },
  S3_ENDPOINT: optional('https://host:9000', /^https?:\/\/[^/\s]+/),
  S3_REGION: named('us-east-1'),
  S3_ACCESS_KEY: optional('…', /\S/),
  S3_SECRET_KEY: optional('…', /\S/),
  S3_PATH_STYLE: oneOf(['true', 'false'], 'true'),
  ADMIN_PASSWORD: {
    fallback: undefined as string | undefined,
    expected: `${MIN_PASSWORD_CHARS}…${MAX_PASSWORD_CHARS}`,
    parse: (text: string) =>
      text.length >= MIN_PASSWORD_CHARS && text.length <= MAX_PASSWORD_CHARS ? text : undefined,
  },
  METERWARDEN_LANG: oneOf(LANGUAGES, pickLanguage(undefined)),
  METERWARDEN_CONFIG: {
    fallback: SHIPPED_CONFIG_DIR,
    expected: 'DIR/{kinds,rules,profiles,tasks}.yaml',
    parse: (text: string) => (existsSync(join(text, 'rules.yaml')) ? resolve(text) : undefined),
  },
  RETENTION_DAYS: {
    fallback: 800, // two years of evidence and a margin
    expected: '1…3650',
    parse: (text: string) =>
      /^\d{1,4}$/.test(text) && Number(text) >= 1 && Number(text) <= 3650 ? Number(text) : undefined,
  },
  LOG_LEVEL: oneOf(LOG_LEVELS, 'info'),
} satisfies Record<string, Setting<unknown>>;

type Name = keyof typeof SETTINGS;

/** What would silently do nothing without the other; a value that is the default asks for nothing. */
const NEEDS: readonly (readonly [Name, Name])[] = [
  ['TLS_CERT', 'TLS_KEY'],
  ['TLS_KEY', 'TLS_CERT'],
  ['MQTTS_PORT', 'TLS_CERT'],
  ['TLS_CLIENT_CA', 'TLS_CERT'],
  ['TLS_CLIENT_AUTH', 'TLS_CLIENT_CA'],
  ['TLS_CRL', 'TLS_CLIENT_CA'],
  ['INFLUX_URL', 'INFLUX_TOKEN'],
  ['S3_ACCESS_KEY', 'S3_SECRET_KEY'],
  ['S3_SECRET_KEY', 'S3_ACCESS_KEY'],
];

/** Never shown, not even when they are wrong. */
const SECRET: ReadonlySet<Name> = new Set([
  'ADMIN_PASSWORD',
  'DATABASE_URL',
  'MQTT_URL',
  'REDIS_URL',
  'INFLUX_URL',
  'INFLUX_TOKEN',
  'S3_ACCESS_KEY',
  'S3_SECRET_KEY',
]);

/** Environment first, then `meterwarden.yaml` of the working folder, then the default. */
export function loadSettings(env: NodeJS.ProcessEnv, folder = '.'): Settings {
  const file = settingsFile(join(folder, SETTINGS_FILE));
  const given = (name: Name) => env[name] || file.get(name);
  const value = <N extends Name>(name: N): (typeof SETTINGS)[N]['fallback'] => {
    const text = given(name);
    const setting: Setting<unknown> = SETTINGS[name];
    const parsed = text === undefined ? setting.fallback : setting.parse(text);
    if (text !== undefined && parsed === undefined) {
      const shown = SECRET.has(name) ? '…' : text;
      throw new MeterwardenError('invalid_setting', {
        path: name,
        params: { value: shown, expected: setting.expected },
      });
    }
    return parsed as (typeof SETTINGS)[N]['fallback'];
  };
  for (const [name, other] of NEEDS) {
    const wanted = value(name);
    if (wanted === SETTINGS[name].fallback || given(other) !== undefined) continue;
    throw unusable(name, SECRET.has(name) ? '…' : String(wanted), 'needs_other', { other });
  }
  const [mqttPort, cert, key] = [value('MQTT_PORT'), value('TLS_CERT'), value('TLS_KEY')];
  const path = (text: string | undefined) => (text === undefined ? undefined : resolve(folder, text));
  const tls =
    cert === undefined || key === undefined
      ? undefined
      : {
          cert: resolve(folder, cert),
          key: resolve(folder, key),
          clientCa: path(value('TLS_CLIENT_CA')),
          clientAuth: value('TLS_CLIENT_AUTH'),
          crl: path(value('TLS_CRL')),
        };
  const [influxUrl, token] = [value('INFLUX_URL'), value('INFLUX_TOKEN')];
  const mqttsPort = tls ? value('MQTTS_PORT') : 'off';
  if (mqttPort === 'off' && mqttsPort === 'off' && value('MQTT_URL') === undefined)
    throw unusable('MQTT_PORT', mqttPort, 'nobody_connects');
  return Object.freeze({
    httpPort: value('HTTP_PORT'),
    mqttPort,
    mqttsPort,
    tls,
    host: value('HOST'),
    dataDir: resolve(folder, value('METERWARDEN_DATA')),
    databaseUrl: value('DATABASE_URL'),
    mqttUrl: value('MQTT_URL'),
    mqttTopicPrefix: value('MQTT_TOPIC_PREFIX'),
    mqttClientProperty: value('MQTT_CLIENT_PROPERTY'),
    mqttVersion: value('MQTT_VERSION'),
    mqttConnections: value('MQTT_CONNECTIONS'),
    mqttCa: value('MQTT_CA'),
    mqttCert: value('MQTT_CERT'),
    mqttKey: value('MQTT_KEY'),
    redisUrl: value('REDIS_URL'),
    influx:
      influxUrl === undefined || token === undefined
        ? undefined
        : { url: influxUrl, token, org: value('INFLUX_ORG'), bucket: value('INFLUX_BUCKET') },
    handover: {
      to: value('HANDOVER_TO'),
      zone: value('HANDOVER_ZONE'),
      graceMs: parseDurationMs(value('HANDOVER_GRACE')) as number,
      s3: {
        endpoint: value('S3_ENDPOINT'),
        region: value('S3_REGION'),
        accessKey: value('S3_ACCESS_KEY'),
        secretKey: value('S3_SECRET_KEY'),
        pathStyle: value('S3_PATH_STYLE') === 'true',
      },
    },
    adminPassword: value('ADMIN_PASSWORD'),
    language: value('METERWARDEN_LANG'),
    retentionDays: value('RETENTION_DAYS'),
    logLevel: value('LOG_LEVEL'),
    configDir: value('METERWARDEN_CONFIG'),
  });
}

function unusable(
  path: Name,
  value: string,
  problem: keyof typeof TLS_PROBLEMS,
  params: Record<string, string> = {},
): MeterwardenError {
  return new MeterwardenError('unusable_setting', { path, params: { value, problem, ...params } });
}

/** Before anything is known to be right: the language in which to say that something is not. */
export function startLanguage(env: NodeJS.ProcessEnv, folder = '.'): Language {
  if (env.METERWARDEN_LANG) return pickLanguage(env.METERWARDEN_LANG);
  try {
    const { METERWARDEN_LANG: wanted } = readSettingsYaml(join(folder, SETTINGS_FILE));
    return pickLanguage(typeof wanted === 'string' ? wanted : undefined);
  } catch {
    return pickLanguage(undefined);
  }
}

function settingsFile(path: string): Map<string, string> {
  if (!existsSync(path)) return new Map();
  const found = new Map<string, string>();
  for (const [name, value] of Object.entries(readSettingsYaml(path))) {
    if (!Object.hasOwn(SETTINGS, name)) {
      const expected = nearest(name, Object.keys(SETTINGS));
      throw new MeterwardenError('invalid_setting', { path: name, params: { value: name, expected } });
    }
    if (typeof value !== 'string')
      throw new MeterwardenError('invalid_config', { path: name, params: { problem: 'NAME: value' } });
    if (value !== '') found.set(name, value);
  }
  return found;
}

/** Every value is text, as it stands: a password of digits is no number. What is wrong is told without quoting the file. */
function readSettingsYaml(path: string): Record<string, unknown> {
  let raw: unknown;
  try {
    raw = parseYaml(readFileSync(path, 'utf8'), { schema: 'failsafe', prettyErrors: false });
  } catch (error) {
    throw new MeterwardenError('invalid_config', {
      path,
      params: { problem: (error as { code?: string }).code ?? 'YAML' },
    });
  }
  if (raw === null || raw === '') return {};
  if (typeof raw === 'object' && !Array.isArray(raw)) return raw as Record<string, unknown>;
  throw new MeterwardenError('invalid_config', { path, params: { problem: 'NAME: value' } });
}

/** What a metrologist edits: kinds, rules, profiles, deadlines, what an estimate needs. */
export interface Domain {
  readonly kinds: Kinds;
  readonly rules: RuleSet;
  readonly profiles: Profiles;
  readonly tasks: TaskPolicies;
  readonly accuracy: EstimationPolicy;
}

/** A file the folder lacks is taken from the shipped ones; a folder without rules.yaml is a mistake. */
export function loadDomain(configDir = SHIPPED_CONFIG_DIR): Domain {
  if (!existsSync(join(configDir, 'rules.yaml'))) {
    const { expected } = SETTINGS.METERWARDEN_CONFIG;
    throw new MeterwardenError('invalid_setting', { path: 'config', params: { value: configDir, expected } });
  }
  const read = (name: string): unknown => {
    const own = join(configDir, name);
    return readYaml(existsSync(own) ? own : join(SHIPPED_CONFIG_DIR, name));
  };
  const kinds = parseKinds(read('kinds.yaml'));
  return Object.freeze({
    kinds,
    rules: parseRules(read('rules.yaml'), kinds),
    profiles: parseProfiles(read('profiles.yaml')),
    tasks: parseTaskPolicies(read('tasks.yaml')),
    accuracy: parseEstimationPolicy(read('accuracy.yaml')),
  });
}

function readYaml(path: string): unknown {
  try {
    return parseYaml(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new MeterwardenError('invalid_config', { path, params: { problem: (error as Error).message }, cause: error });
  }
}
