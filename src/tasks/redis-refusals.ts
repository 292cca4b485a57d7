/** Why the Redis of REDIS_URL cannot be used, in a sentence that names the server and never a password. */
import { MeterwardenError } from '../errors.ts';
import { NETWORK_PROBLEMS, TLS_DISTRUST } from '../network-problems.ts';
import type { START_PROBLEMS } from '../texts/start.ts';
import type { RedisCredentials, RedisNode, RedisServers } from './redis-url.ts';

interface Why {
  readonly problem: keyof typeof START_PROBLEMS;
  readonly [param: string]: string | number;
}

export function addressOf({ host, port }: RedisNode): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

export function unusableRedis({ shown }: RedisServers, address: string, why: Why, cause?: unknown): MeterwardenError {
  return new MeterwardenError('unusable_setting', {
    path: 'REDIS_URL',
    params: { value: shown, address, ...why },
    cause,
  });
}

/** undefined = the only policy under which nothing of the queue is thrown away. */
export function policyRefusal(
  servers: RedisServers,
  address: string,
  policy: string | undefined,
): MeterwardenError | undefined {
  if (policy === 'noeviction') return undefined;
  const why: Why = policy === undefined ? { problem: 'redis_policy_untold' } : { problem: 'redis_evicts', policy };
  return unusableRedis(servers, address, why);
}

/** undefined = nothing a server, or the way to it, is known to fail with. */
export function redisRefusal(
  error: unknown,
  servers: RedisServers,
  node: RedisNode,
  { username = 'default' }: RedisCredentials,
): MeterwardenError | undefined {
  if (!(error instanceof Error)) return undefined;
  if (error instanceof MeterwardenError) return error;
  const why = error.name === 'ReplyError' ? answered(error.message) : failed(error as NodeJS.ErrnoException);
  if (why === undefined) return undefined;
  const database = servers.mode === 'cluster' ? 0 : servers.db;
  // A Redis without TLS waits for the end of a command that never comes.
  const problem = why.problem === 'no_answer' && servers.tls ? 'redis_no_answer_by_tls' : why.problem;
  return unusableRedis(servers, addressOf(node), { host: node.host, user: username, database, ...why, problem }, error);
}

const ANSWERS: readonly (readonly [RegExp, Why['problem']])[] = [
  [/^WRONGPASS|invalid (username|password)/, 'wrong_password'],
  [/^NOAUTH/, 'password_missing'],
  [/^NOPERM/, 'not_permitted'],
  [/DB index is out of range/, 'no_database'],
];

function answered(answer: string): Why {
  if (/cluster support disabled/.test(answer))
    return { problem: 'redis_other_mode', mode: 'standalone', scheme: 'redis://' };
  return { problem: ANSWERS.find(([expected]) => expected.test(answer))?.[1] ?? 'redis_answered', answer };
}

/** Of ioredis, without a code. */
const BROKEN_OFF = /^Connection is closed|connection close$|max retries per request|RESP type/;

function failed({ code, message }: NodeJS.ErrnoException): Why | undefined {
  if (code === undefined) {
    if (message === 'Command timed out') return { problem: 'no_answer' };
    return BROKEN_OFF.test(message) ? { problem: 'redis_breaks_off', reason: message } : undefined;
  }
  if (TLS_DISTRUST.test(code)) return { problem: 'untrusted', code };
  if (/^(ECONNRESET|EPIPE|EPROTO|ERR_SSL_.*)$/.test(code)) return { problem: 'redis_breaks_off', reason: code };
  const problem = NETWORK_PROBLEMS[code];
  return problem && { problem, code };
}
