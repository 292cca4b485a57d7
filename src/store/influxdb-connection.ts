/**
 * Requests to InfluxDB over the transport of its client library: one request, one answer, nothing kept in between.
 *
 * The library's WriteApi is not used. It has one line buffer for all its callers: a full buffer is sent on the side with its
 * error swallowed, after which `flush` finds nothing to send and reports success; a closed or cancelled one reports success
 * too. Here a batch is one request whose answer belongs to its caller.
 */
import { Agent as HttpAgent, validateHeaderValue } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { HttpError, InfluxDB } from '@influxdata/influxdb-client';
import { type ErrorCode, MeterwardenError } from '../errors.ts';
import { NETWORK_PROBLEMS, TLS_DISTRUST } from '../network-problems.ts';

export interface InfluxOptions {
  readonly url: string;
  /** Of 2.x and 3.x; `user:password` for 1.x with authentication; empty for 1.x without. */
  readonly token: string;
  readonly org: string;
  /** A bucket; `database` or `database/retention-policy` on 1.x, where queries on 2.x find it by the same name. */
  readonly bucket: string;
}

/** One write or query: local disks answer in milliseconds, InfluxDB 3 flushes once a second. */
export const REQUEST_TIMEOUT_MS = 5_000;
/** How long a server may ask us to stay away: messages wait no longer than 20 s in the pipeline. */
export const MAX_RETRY_AFTER_MS = 10_000;
/** Requests at once. */
export const MAX_SOCKETS = 8;
/** Idle connections are closed before servers and proxies in between do it in the middle of a request. */
const IDLE_SOCKET_MS = 30_000;
/** Of an answer; pages of rows stay far below. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
const MAX_SHOWN_CHARS = 500;

export type WriteAnswer =
  | { readonly outcome: 'stored' }
  /** Some or all of the lines were not taken; sending them again will not help. */
  | { readonly outcome: 'refused'; readonly reason: string }
  | { readonly outcome: 'too_large' };

/** One series of an answer to InfluxQL; times in epoch milliseconds. */
export interface Series {
  readonly name?: string;
  readonly tags?: Readonly<Record<string, string>>;
  readonly columns: readonly string[];
  readonly values: readonly (readonly unknown[])[];
}

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly headers: Readonly<Record<string, unknown>>;
}

interface QueryResult {
  readonly error?: string;
  readonly partial?: boolean;
  readonly series?: readonly (Series & { readonly partial?: boolean })[];
}

export class InfluxConnection {
  readonly database: string;
  readonly retentionPolicy: string;
  readonly options: InfluxOptions;
  readonly #influx: InfluxDB;
  readonly #agent: HttpAgent;
  #notBeforeMs = 0;

  constructor(options: InfluxOptions) {
    this.options = options;
    const slash = options.bucket.indexOf('/');
    this.database = slash < 0 ? options.bucket : options.bucket.slice(0, slash);
    this.retentionPolicy = slash < 0 ? '' : options.bucket.slice(slash + 1);
    checkHeader(options.token);
    const agentOptions = { keepAlive: true, maxSockets: MAX_SOCKETS, timeout: IDLE_SOCKET_MS };
    this.#agent = /^https:/i.test(options.url) ? new HttpsAgent(agentOptions) : new HttpAgent(agentOptions);
    // Its own timeout reports and leaves the request running: requests are aborted here instead.
    this.#influx = new InfluxDB({
      url: options.url,
      ...(options.token && { token: options.token }),
      timeout: 0,
      transportOptions: { agent: this.#agent },
    });
  }

  /** Sends lines and waits until InfluxDB says what became of them. Only 204 means that all are on its disk. */
  async write(lines: string, precision: 'ms' | 'us', deadlineMs: number): Promise<WriteAnswer> {
    const { org, bucket } = this.options;
    const query = new URLSearchParams({ org, bucket, precision });
    const answer = await this.#send('POST', `/api/v2/write?${query}`, lines, LINE_HEADERS, deadlineMs);
    if (answer.status === 204) return { outcome: 'stored' };
    if (answer.status === 413) return { outcome: 'too_large' };
    // 400: a line that cannot be read, or a partial write; 422: a partial write of 2.x; 200 and 201: not all of it.
    if (answer.status === 400 || answer.status === 422 || answer.status < 300)
      return { outcome: 'refused', reason: said(answer) };
    throw this.#failure(answer);
  }

  /** One statement of InfluxQL, which 1.x, 2.x and 3.x understand. */
  async query(statement: string, deadlineMs: number): Promise<readonly Series[]> {
    const form = new URLSearchParams({ db: this.database, epoch: 'ms', q: statement });
    if (this.retentionPolicy) form.set('rp', this.retentionPolicy);
    const answer = await this.#send('POST', '/query', form.toString(), FORM_HEADERS, deadlineMs);
    if (answer.status !== 200) throw this.#failure(answer);
    const { results = [], error } = json<{ results?: readonly QueryResult[]; error?: string }>(answer);
    const failed = error ?? results.find((result) => result.error)?.error;
    if (failed) throw this.#queryFailure(failed);
    const cut = results.some((result) => result.partial || result.series?.some(({ partial }) => partial));
    if (cut) throw influxError('influx_unexpected', 'the answer was cut: max-row-limit must be 0');
    return results.flatMap(({ series = [] }) => series.map((one) => ({ ...one, values: one.values ?? [] })));
  }

  /** A request to the API of 2.x and its answer; an answer other than success is thrown. */
  async api<T>(method: string, path: string, body?: unknown): Promise<T> {
    const deadlineMs = performance.now() + REQUEST_TIMEOUT_MS;
    const text = body === undefined ? '' : JSON.stringify(body);
    const answer = await this.#send(method, path, text, JSON_HEADERS, deadlineMs);
    if (answer.status >= 300) throw this.#failure(answer);
    return json<T>(answer);
  }

  /** A statement that changes something on 1.x. */
  async execute(statement: string): Promise<readonly Series[]> {
    return await this.query(statement, performance.now() + REQUEST_TIMEOUT_MS);
  }

  /** `1.8.10`, `v2.7.6`, `3.1.0`: what the server says it is. */
  async version(): Promise<string> {
    const answer = await this.#send('GET', '/ping', '', {}, performance.now() + REQUEST_TIMEOUT_MS);
    if (answer.status >= 300) throw this.#failure(answer);
    return String(answer.headers['x-influxdb-version'] ?? '');
  }

  /** InfluxDB does not do what it is asked now, or the way to it does not. */
  unavailable(said: string, cause?: unknown): MeterwardenError {
    const { host: address, hostname: host } = new URL(this.options.url);
    const code = String((cause as { code?: unknown } | undefined)?.code ?? '');
    const known = NETWORK_PROBLEMS[code] ?? (TLS_DISTRUST.test(code) ? 'untrusted' : undefined);
    const params = { problem: known ?? said, address, host, code };
    return influxError('influx_unavailable', said, { path: 'INFLUX_URL', params, cause });
  }

  close(): void {
    this.#agent.destroy();
  }

  async #send(
    method: string,
    path: string,
    body: string,
    headers: Record<string, string>,
    deadlineMs: number,
  ): Promise<Answer> {
    const nowMs = performance.now();
    if (nowMs < this.#notBeforeMs)
      throw this.unavailable(`asked to wait ${Math.ceil(this.#notBeforeMs - nowMs)} ms more`);
    const timeoutMs = Math.min(REQUEST_TIMEOUT_MS, deadlineMs - nowMs);
    if (timeoutMs <= 0) throw this.unavailable('no time left for another request');
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), timeoutMs);
    try {
      return await this.#exchange(method, path, body, headers, abort.signal);
    } catch (error) {
      throw abort.signal.aborted
        ? this.unavailable(`no answer within ${Math.round(timeoutMs)} ms`, error)
        : this.unavailable(brief(error), error);
    } finally {
      clearTimeout(timer);
    }
  }

  #exchange(
    method: string,
    path: string,
    body: string,
    headers: Record<string, string>,
    signal: AbortSignal,
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const chunks: Uint8Array[] = [];
      let bytes = 0;
      let status = 0;
      let answered: Readonly<Record<string, unknown>> = {};
      this.#influx.transport.send(
        path,
        body,
        { method, headers, signal },
        {
          responseStarted: (given, code) => {
            status = code ?? 0;
            answered = given;
          },
          next: (chunk) => {
            bytes += chunk.length;
            if (bytes > MAX_ANSWER_BYTES) reject(new Error(`an answer of more than ${MAX_ANSWER_BYTES} bytes`));
            else chunks.push(chunk);
          },
          error: (error) => {
            if (!(error instanceof HttpError)) return reject(error);
            const { statusCode, body: text = '', headers: given = {} } = error;
            resolve({ status: statusCode, body: text, headers: given });
          },
          complete: () => resolve({ status, body: Buffer.concat(chunks).toString('utf8'), headers: answered }),
        },
      );
    });
  }

  #failure(answer: Answer): MeterwardenError {
    const { status, headers } = answer;
    const problem = `${status} ${said(answer)}`;
    if (status === 401 || status === 403) return influxError('influx_denied', problem, { path: 'INFLUX_TOKEN' });
    if (status === 404) return this.#missing(problem);
    const temporary = status >= 500 || status === 408 || status === 425 || status === 429;
    if (!temporary) return influxError('influx_unexpected', problem, { path: 'INFLUX_URL' });
    const waitMs = Math.min(retryAfterMs(headers['retry-after']), MAX_RETRY_AFTER_MS);
    this.#notBeforeMs = Math.max(this.#notBeforeMs, performance.now() + waitMs);
    return this.unavailable(problem);
  }

  #missing(problem: string): MeterwardenError {
    const { org, bucket } = this.options;
    if (/organi[sz]ation/i.test(problem))
      return influxError('influx_no_org', problem, { path: 'INFLUX_ORG', params: { org } });
    return influxError('influx_missing', problem, { path: 'INFLUX_BUCKET', params: { bucket } });
  }

  #queryFailure(problem: string): MeterwardenError {
    if (/not found/.test(problem)) return this.#missing(problem);
    if (/authoriz|permission|privilege/i.test(problem))
      return influxError('influx_denied', problem, { path: 'INFLUX_TOKEN' });
    return this.unavailable(problem);
  }
}

const LINE_HEADERS = { 'content-type': 'text/plain; charset=utf-8' };
const FORM_HEADERS = { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' };
const JSON_HEADERS = { 'content-type': 'application/json', accept: 'application/json' };

/** The sentence is for people, the message for the log: it says what the server said. */
function influxError(
  code: ErrorCode,
  problem: string,
  { path = '', params, cause }: { path?: string; params?: Record<string, string>; cause?: unknown } = {},
): MeterwardenError {
  const error = new MeterwardenError(code, {
    path,
    params: { problem, ...params },
    ...(cause !== undefined && { cause }),
  });
  error.message += `: ${problem}`;
  return error;
}

/** The transport hands headers to Node inside a callback, where one that Node refuses would end the process. */
function checkHeader(token: string): void {
  try {
    validateHeaderValue('authorization', `Token ${token}`);
  } catch (cause) {
    const params = { value: '…', expected: 'a token without line breaks' };
    throw new MeterwardenError('invalid_setting', { path: 'INFLUX_TOKEN', params, cause });
  }
}

/** Seconds, or a date; nothing and nonsense are no wait. */
function retryAfterMs(value: unknown): number {
  if (typeof value !== 'string') return 0;
  const waitMs = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Math.max(waitMs || 0, 0);
}

function json<T>(answer: Answer): T {
  try {
    return JSON.parse(answer.body || '{}') as T;
  } catch (cause) {
    throw influxError('influx_unexpected', `not JSON: ${shown(answer.body)}`, { path: 'INFLUX_URL', cause });
  }
}

/** What an error answer says: `error` of 1.x, `message` of 2.x, `error` and the first line's fault of 3.x. */
function said({ body, headers }: Answer): string {
  try {
    const { message, error, data } = JSON.parse(body) as Record<string, unknown>;
    const [first] = Array.isArray(data) ? (data as { error_message?: string }[]) : [];
    return shown([message ?? error ?? body, first?.error_message].filter(Boolean).join(': '));
  } catch {
    return shown(body || String(headers['x-influxdb-error'] ?? ''));
  }
}

function shown(text: string): string {
  return text.trim().slice(0, MAX_SHOWN_CHARS);
}

function brief(error: unknown): string {
  const { code, message } = error as { code?: string; message?: string };
  return code ?? message ?? String(error);
}
