/** New and changed tasks as server-sent events. */
import type { ServerResponse } from 'node:http';
import type { FastifyReply } from 'fastify';
import type { z } from 'zod';
import { MeterwardenError } from '../errors.ts';
import { isId } from '../store/postgres-paging.ts';
import type { TaskChange } from '../store/postgres-tasks.ts';
import type { Language } from '../texts/text.ts';
import { actorOf, bearerToken, SECURITY, visibleRegion } from './auth.ts';
import { languageOf } from './errors.ts';
import type { Api, InspectorParts } from './parts.ts';
import { errorBody } from './schemas.ts';
import { taskChange } from './task-schemas.ts';
import { type Follower, TaskStream } from './task-stream.ts';
import { Words } from './words.ts';

const MAX_STREAMS = 500;
const MAX_STREAMS_PER_PERSON = 10;
/** Written and not yet taken by the other side; beyond it the stream is cut, to be resumed from its last id. */
const MAX_BUFFERED_BYTES = 2 * 1024 * 1024;
/** Below the 30 to 60 s after which proxies close a connection on which nothing happens. */
const HEARTBEAT_MS = 15_000;
/** In case no notification comes through: still within the promised second. */
const POLL_MS = 900;
const RECONNECT_AFTER_MS = 1_000;

export function streamRoute(api: Api, parts: InspectorParts): void {
  const { people, nowMs, onError } = parts;
  const stream = new TaskStream(parts.tasks, onError);
  const changes = parts.changes(() => stream.wake());
  const frames = new Frames(parts.rules);
  const connections = new Set<Connection>();
  const timers: NodeJS.Timeout[] = [];

  const heartbeat = async (connection: Connection) => {
    connection.write(':\n\n');
    try {
      const person = await people.session(connection.token, new Date(nowMs()));
      if (person) connection.region = visibleRegion(person);
      else connection.end();
    } catch (error) {
      onError('stream', error);
    }
  };
  api.addHook('onReady', async () => {
    await stream.start();
    await changes.start();
    timers.push(setInterval(() => stream.wake(), parts.streamTimes?.pollMs ?? POLL_MS));
    timers.push(
      setInterval(() => {
        for (const connection of connections) void heartbeat(connection);
      }, parts.streamTimes?.heartbeatMs ?? HEARTBEAT_MS),
    );
  });
  api.addHook('preClose', async () => {
    for (const timer of timers) clearInterval(timer);
    await changes.stop();
    for (const connection of connections) connection.end();
    await stream.stop();
  });

  api.get(
    '/stream',
    {
      schema: {
        tags: ['tasks'],
        summary: 'New and changed tasks, as they happen',
        description:
          'Server-sent events named `task`; `id` is the position, given back as Last-Event-ID it resumes the stream; `data` is a TaskChange. Without Last-Event-ID it begins now.',
        security: SECURITY,
        response: {
          200: {
            description: 'A stream without end of these.',
            content: { 'text/event-stream': { schema: taskChange } },
          },
          default: errorBody,
        },
      },
    },
    async (request, reply) => {
      const { username, region } = actorOf(request);
      const lastId = request.headers['last-event-id']?.toString() || undefined;
      if (lastId !== undefined && !isId(lastId)) {
        throw new MeterwardenError('invalid_request', { path: 'Last-Event-ID', params: { problem: 'not_a_position' } });
      }
      const own = [...connections].filter((connection) => connection.username === username);
      if (own.length >= MAX_STREAMS_PER_PERSON) throw new MeterwardenError('rate_limited');
      if (connections.size >= MAX_STREAMS) throw new MeterwardenError('overloaded');
      const connection = new Connection(hijacked(reply), {
        username,
        region,
        token: bearerToken(request)!,
        frameOf: (change) => frames.of(change, languageOf(request)),
      });
      connections.add(connection);
      connection.onClose(() => {
        connections.delete(connection);
        stream.leave(connection);
      });
      stream.follow(connection, lastId).catch((error) => {
        onError('stream', error);
        connection.end();
      });
    },
  );
}

function hijacked(reply: FastifyReply): ServerResponse {
  reply.hijack();
  reply.raw.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    connection: 'close',
    'x-accel-buffering': 'no',
  });
  reply.raw.write(`retry: ${RECONNECT_AFTER_MS}\n\n`);
  return reply.raw;
}

interface ConnectionOf {
  readonly username: string;
  readonly region: string;
  readonly token: string;
  readonly frameOf: (change: TaskChange) => string;
}

class Connection implements Follower {
  readonly username: string;
  readonly token: string;
  region: string;
  readonly #response: ServerResponse;
  readonly #frameOf: (change: TaskChange) => string;

  constructor(response: ServerResponse, { username, region, token, frameOf }: ConnectionOf) {
    this.#response = response;
    this.username = username;
    this.region = region;
    this.token = token;
    this.#frameOf = frameOf;
    response.on('error', () => {});
  }

  get gone(): boolean {
    return this.#response.destroyed || this.#response.writableEnded;
  }

  onClose(work: () => void): void {
    this.#response.once('close', work);
  }

  take(change: TaskChange): void {
    this.write(this.#frameOf(change));
  }

  write(text: string): void {
    if (this.gone) return;
    if (this.#response.writableLength > MAX_BUFFERED_BYTES) this.#response.destroy();
    else this.#response.write(text);
  }

  async drained(): Promise<void> {
    if (this.gone || !this.#response.writableNeedDrain) return;
    await new Promise<void>((done) => {
      const settle = () => {
        this.#response.off('drain', settle).off('close', settle);
        done();
      };
      this.#response.on('drain', settle).on('close', settle);
    });
  }

  /** What nobody takes would keep the server from closing. */
  end(): void {
    if (this.#response.writableLength > 0) this.#response.destroy();
    else this.#response.end();
  }
}

/** A change in words, once for all who read the same language. */
class Frames {
  readonly #rules: InspectorParts['rules'];
  readonly #frames = new WeakMap<TaskChange, Map<Language, string>>();

  constructor(rules: InspectorParts['rules']) {
    this.#rules = rules;
  }

  of(change: TaskChange, language: Language): string {
    const byLanguage = this.#frames.get(change) ?? new Map<Language, string>();
    this.#frames.set(change, byLanguage);
    const frame = byLanguage.get(language) ?? this.#write(change, language);
    byLanguage.set(language, frame);
    return frame;
  }

  #write({ entry, task }: TaskChange, language: Language): string {
    const words = new Words(this.#rules, language);
    const data: z.output<typeof taskChange> = { entry: words.historyEntry(entry), task: words.task(task) };
    return `id: ${entry.id}\nevent: task\ndata: ${JSON.stringify(data)}\n\n`;
  }
}
