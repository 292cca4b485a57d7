/** Where Redis is, as REDIS_URL says: one server, the master that Sentinels know, or a Cluster. */
import { MeterwardenError } from '../errors.ts';
import type { START_PROBLEMS } from '../texts/start.ts';

export interface RedisNode {
  readonly host: string;
  readonly port: number;
}

export interface RedisCredentials {
  /** undefined = the user `default`. */
  readonly username: string | undefined;
  readonly password: string | undefined;
}

interface RedisAddress extends RedisCredentials {
  readonly nodes: readonly RedisNode[];
  readonly tls: boolean;
  /** What every key begins with. In braces, so that on a Cluster all of them are on one node. */
  readonly prefix: string;
  /** The URL without passwords. */
  readonly shown: string;
}

export type RedisServers = RedisAddress &
  (
    | { readonly mode: 'standalone'; readonly db: number }
    /** `nodes` are the Sentinels, which have credentials of their own. */
    | {
        readonly mode: 'sentinel';
        readonly master: string;
        readonly db: number;
        readonly sentinel: RedisCredentials;
      }
    | { readonly mode: 'cluster' }
  );

const FORMS = {
  standalone: 'redis[s]://[[user]:password@]host[:6379][/0][?prefix=meterwarden]',
  sentinel:
    'redis[s]+sentinel://[[user]:password@]host[:26379][,host[:26379]…]/master[/0][?prefix=…&sentinel_user=…&sentinel_password=…]',
  cluster: 'redis[s]+cluster://[[user]:password@]host[:6379][,host[:6379]…][?prefix=…]',
} as const;

/** Every form there is; `s` is TLS, with the certificates Node trusts. */
export const REDIS_URL_EXPECTED = Object.values(FORMS).join(' | ');

type Mode = keyof typeof FORMS;
type Problem = keyof typeof START_PROBLEMS;
type Params = Readonly<Record<string, string | number>>;

const DEFAULT_PORT: Readonly<Record<Mode, number>> = { standalone: 6379, sentinel: 26379, cluster: 6379 };
const PARAMETERS: Readonly<Record<Mode, readonly string[]>> = {
  standalone: ['prefix'],
  sentinel: ['prefix', 'sentinel_user', 'sentinel_password'],
  cluster: ['prefix'],
};
const DEFAULT_PREFIX = 'meterwarden';
/** Servers are set up with 16; nobody numbers them in ten thousands. */
const MAX_DB = 9_999;

/** Throws what is wrong as a refusal of REDIS_URL that tells no password. */
export function parseRedisUrl(text: string): RedisServers {
  const scheme = /^redis(s?)(?:\+(sentinel|cluster))?:\/\//.exec(text);
  if (!scheme)
    throw new MeterwardenError('invalid_setting', {
      path: 'REDIS_URL',
      params: { value: '…', expected: REDIS_URL_EXPECTED },
    });
  const mode = (scheme[2] ?? 'standalone') as Mode;
  // Greedy up to the last @: what should have been encoded must not pass for a host and be shown.
  const [, userinfo, hosts, path, query] = /^(?:(.*)@)?([^/?#]*)(\/[^?#]*)?(?:\?([^#]*))?$/.exec(
    text.slice(scheme[0].length),
  ) ?? [undefined, undefined, '', undefined, undefined];
  if (hosts === '') throw refused('redis_form', { form: FORMS[mode] });
  const { username, password } = credentials(userinfo);
  const nodes = hosts!.split(',').map((node, i) => nodeOf(node, i + 1, DEFAULT_PORT[mode]));
  if (mode === 'standalone' && nodes.length > 1) throw refused('redis_several_hosts');
  const parameters = parametersOf(query, PARAMETERS[mode]);
  const prefix = parameters.get('prefix') ?? DEFAULT_PREFIX;
  if (!/^[\w.-]{1,64}$/.test(prefix)) throw refused('redis_prefix', { prefix });
  const steps = (path ?? '').split('/').slice(1).map(decoded);
  if (steps.at(-1) === '') steps.pop();
  const shown = `${scheme[0]}${username === undefined ? '' : `${encodeURIComponent(username)}@`}${hosts}${path ?? ''}`;
  const address = { nodes, username, password, tls: scheme[1] === 's', prefix: `{${prefix}}`, shown };
  if (mode === 'cluster') {
    if (steps.length > 1 || (steps.length === 1 && steps[0] !== '0')) throw refused('redis_cluster_database');
    return { ...address, mode };
  }
  if (mode === 'standalone') return { ...address, mode, db: database(steps) };
  const [master, ...rest] = steps;
  if (!master) throw refused('redis_master_missing', { form: FORMS.sentinel });
  const sentinel = pair(parameters.get('sentinel_user'), parameters.get('sentinel_password'));
  return { ...address, mode, master, db: database(rest), sentinel };
}

function refused(problem: Problem, params: Params = {}): MeterwardenError {
  return new MeterwardenError('unusable_setting', { path: 'REDIS_URL', params: { value: '…', problem, ...params } });
}

function credentials(userinfo: string | undefined): RedisCredentials {
  if (userinfo === undefined) return pair(undefined, undefined);
  if (/[@/?#]/.test(userinfo)) throw refused('redis_encode');
  const colon = userinfo.indexOf(':');
  if (colon < 0) throw refused('redis_user_alone');
  return pair(decoded(userinfo.slice(0, colon)), decoded(userinfo.slice(colon + 1)));
}

function pair(username = '', password = ''): RedisCredentials {
  if (username !== '' && password === '') throw refused('redis_user_alone');
  return { username: username || undefined, password: password || undefined };
}

/** What is no host is not shown: it may be a password whose host was forgotten. */
function nodeOf(text: string, nth: number, defaultPort: number): RedisNode {
  const [, v6, name, digits] = /^(?:\[([\da-fA-F:.]+)\]|([\w.-]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const port = digits === undefined ? defaultPort : Number(digits);
  const host = v6 ?? name;
  if (host === undefined || port < 1 || port > 65_535) throw refused('redis_host', { nth });
  return { host, port };
}

function database(steps: readonly string[]): number {
  if (steps.length > 1 || !/^\d{0,4}$/.test(steps[0] ?? '') || Number(steps[0] ?? 0) > MAX_DB)
    throw refused('redis_database', { database: steps.join('/'), limit: MAX_DB });
  return Number(steps[0] ?? 0);
}

function parametersOf(query: string | undefined, known: readonly string[]): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>();
  for (const one of (query ?? '').split('&').filter(Boolean)) {
    const [name = '', ...value] = one.split('=');
    if (!known.includes(name) || parameters.has(name))
      throw refused('redis_parameter', { name, allowed: known.join(' | ') });
    parameters.set(name, decoded(value.join('=')));
  }
  return parameters;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw refused('redis_encode');
  }
}
