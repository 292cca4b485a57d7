/** Why the PostgreSQL of DATABASE_URL cannot be used, in a sentence that names the server and never the password. */
import pg from 'pg';
import { MeterwardenError } from '../errors.ts';
import { NETWORK_PROBLEMS, TLS_DISTRUST } from '../network-problems.ts';
import type { START_PROBLEMS } from '../texts/start.ts';

interface Why {
  readonly problem: keyof typeof START_PROBLEMS;
  readonly [param: string]: string | number;
}

export function unusableDatabase(url: string, why: Why, cause?: unknown): MeterwardenError {
  const { shown, ...server } = serverOf(url);
  return new MeterwardenError('unusable_setting', {
    path: 'DATABASE_URL',
    params: { value: shown, ...server, ...why },
    cause,
  });
}

/** undefined = nothing a database, or the way to it, is known to fail with. */
export function databaseRefusal(error: unknown, url: string): MeterwardenError | undefined {
  if (!(error instanceof Error) || error instanceof MeterwardenError) return undefined;
  const why = error instanceof pg.DatabaseError ? answered(error) : failed(error as NodeJS.ErrnoException);
  return why && unusableDatabase(url, why, error);
}

/** What the operator can mend: connection, read-only, authorization, resources, intervention, system; the rest is a defect. */
const OF_THE_SERVER = /^(08|25006|28|53|57|58)/;

/** By SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html */
function answered({ code = '', message }: pg.DatabaseError): Why | undefined {
  switch (code) {
    case '28P01':
      return { problem: 'wrong_password' };
    case '28000':
      return { problem: 'not_admitted', answer: message };
    case '3D000':
      return { problem: 'no_database' };
    case '42501':
      return { problem: 'not_permitted', answer: message };
    default:
      return OF_THE_SERVER.test(code) ? { problem: 'answered', answer: message, code } : undefined;
  }
}

/** Errors that pg throws without a code. */
const BY_MESSAGE: readonly (readonly [RegExp, Why['problem']])[] = [
  [/timeout/, 'no_answer'],
  [/does not support SSL/, 'no_tls'],
  [/client password must be/, 'password_missing'],
  [/^Connection terminated|SSL connection|^SASL: |message type/, 'not_postgres'],
  [/^Invalid |sslmode=|sslnegotiation=|uselibpqcompat/, 'unreadable_address'],
];

function failed({ code, syscall, path, message }: NodeJS.ErrnoException): Why | undefined {
  if (code === undefined) {
    const problem = BY_MESSAGE.find(([expected]) => expected.test(message))?.[1];
    return problem && { problem, reason: message };
  }
  if (syscall === 'open') return { problem: 'unreadable_file', at: path ?? '', code };
  if (TLS_DISTRUST.test(code)) return { problem: 'untrusted', code };
  if (code === 'ENOENT' && syscall === 'connect') return { problem: 'nobody_listens' }; // a socket in a folder
  if (/^(ECONNRESET|EPIPE|EPROTO|ERR_SSL_.*)$/.test(code)) return { problem: 'not_postgres', reason: code };
  const problem = NETWORK_PROBLEMS[code];
  return problem && { problem, code };
}

/** What pg makes of the URL, its defaults included. */
function serverOf(url: string): Record<'shown' | 'address' | 'host' | 'user' | 'database', string> {
  const { pathname, search, hash } = new URL(url);
  // A password that should have been encoded may have become anything behind the host.
  const told = !`${pathname}${search}${hash}`.includes('@');
  try {
    const { host, port, user = '', database = '' } = new pg.Client({ connectionString: url });
    const address = host.startsWith('/')
      ? `${host}/.s.PGSQL.${port}`
      : `${host.includes(':') ? `[${host}]` : host}:${port}`;
    const shown = told ? `postgres://${user}@${address}/${database}` : '…';
    return { shown, address, host, user, database: told ? database : '…' };
  } catch {
    return { shown: '…', address: '…', host: '…', user: '…', database: '…' };
  }
}
