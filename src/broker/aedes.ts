/** The broker devices connect to, in this process: aedes behind the guards it needs. */
import { createServer, type Server, type Socket } from 'node:net';
import type { SecureContextOptions } from 'node:tls';
import {
  Aedes,
  type AedesPublishPacket,
  type Client,
  type ConnectPacket,
  type PublishPacket,
  type Subscription,
} from 'aedes';
import { generate } from 'mqtt-packet';
import { Counter, Gauge, type Registry } from 'prom-client';
import type { Decoded, Message } from '../ingest/decode.ts';
import type { Outcome, Settle } from '../pipeline.ts';
import { Failures, sourceOf } from './failures.ts';
import { InOrder, RefusalBudget } from './in-order.ts';
import { PacketLengths } from './packet-lengths.ts';
import { Sessions } from './sessions.ts';
import { type ClientAuth, TlsConnections } from './tls-connections.ts';

export interface AedesParts {
  readonly registry: Registry;
  /** Is this the secret of that gateway or instrument? */
  readonly verify: (id: string, secret: string) => boolean;
  /** Is there that gateway or instrument? Asked of one that a certificate names. */
  readonly knows: (id: string) => boolean;
  readonly receive: (message: Message, settle: Settle) => void;
  /** Topics a client may subscribe to; it hears only about its own messages there. */
  readonly refusalTopics: ReadonlySet<string>;
  /** What to tell the client about refused readings, or undefined when there is nothing to tell. */
  readonly refusalNotice: (decoded: Decoded) => Buffer | undefined;
  readonly maxPayloadBytes: number;
  readonly nowMs: () => number;
  readonly onError: (stage: string, error: unknown) => void;
}

export interface TlsListening {
  readonly port: number;
  /** For connections from now on; those that are there stay. */
  setSecureContext(context: SecureContextOptions): void;
}

export interface DeviceBroker {
  /** Resolves with the port. */
  listen(host: string, port: number): Promise<number>;
  listenTls(host: string, port: number, clientAuth: ClientAuth, context: SecureContextOptions): Promise<TlsListening>;
  /** Ends the connections of this identity: it has to prove itself anew. */
  disconnect(identity: string): void;
  stop(): Promise<void>;
}

/** Client id, user name and secret; nothing legitimate is longer. */
const MAX_CONNECT_BYTES = 4096;
/** Room above the payload limit, so that a somewhat larger message is answered with a code instead of a closed connection. */
const OVERSIZE_FACTOR = 4;
const MAX_TOPIC_BYTES = 65_537;
const MAX_CONNECTIONS = 50_000;
const CONNECT_TIMEOUT_MS = 10_000;
/** Connections one gateway may have at once, and persistent sessions kept for it while their clients are absent. */
const MAX_SESSIONS_PER_CLIENT = 16;
/** Persistent sessions of absent clients in all. */
const MAX_ABSENT_SESSIONS = 50_000;
/** MQTT 3.1.1 promises 23 (3.1.3.1). */
const MAX_CLIENT_ID_CHARS = 256;
/** Messages of one connection waiting for their answer: more than any sane window, less than harm. */
const MAX_IN_FLIGHT = 4096;
const REFUSAL_RATE = { burst: 100, perSecond: 10 };
/** Refused readings beside good ones: so many cost what a wholly refused message does. */
const REFUSED_READINGS_PER_TOKEN = 10;
/** Of one message: ten seconds of silence, which keepalives survive. */
const MAX_COST = 100;
const TCP_KEEPALIVE_MS = 60_000;
/** Return codes of CONNACK, MQTT 3.1.1, table 3.1. */
const UNACCEPTABLE_LEVEL = 1;
const ID_REJECTED = 2;
const UNAVAILABLE = 3;
const WRONG_CREDENTIALS = 4;
const NOT_AUTHORIZED = 5;
/** The same as `UNACCEPTABLE_LEVEL` to a client of MQTT 5: reason codes of CONNACK, MQTT 5, table 3.1. */
const UNSUPPORTED_PROTOCOL_VERSION = 0x84;

/** Telemetry goes to the pipeline and nowhere else: it is neither retained nor distributed to subscribers. */
class TelemetryBroker extends Aedes {
  override publish(packet: PublishPacket, ...rest: unknown[]): void {
    const [client, done] = rest;
    if (typeof client === 'object' && client !== null) (done as () => void)();
    else (super.publish as (...args: unknown[]) => void)(packet, ...rest);
  }
}

/** What a message takes of its identity's budget of refusals. */
function refusalCost({ readings, refusals }: Decoded): number {
  const refused = refusals.reduce((count, { readings }) => count + readings, 0);
  if (refused === 0) return 0;
  const cost = Math.min(refused / REFUSED_READINGS_PER_TOKEN, MAX_COST);
  return readings.length === 0 ? Math.max(1, cost) : cost;
}

interface Session {
  /** Proven by the secret of the user name, or by a certificate. */
  readonly client: string;
  readonly answers: InOrder;
}

export async function startAedes(parts: AedesParts): Promise<DeviceBroker> {
  const sessions = new WeakMap<Client, Session>();
  /** By connection, the common name of its certificate. */
  const certified = new WeakMap<object, string>();
  /** By identity, so that reconnecting earns nothing; as many as there are gateways. */
  const budgets = new Map<string, RefusalBudget>();
  const budgetOf = (client: string) => {
    const budget = budgets.get(client) ?? new RefusalBudget(REFUSAL_RATE, parts.nowMs);
    budgets.set(client, budget);
    return budget;
  };
  const connects = new WeakMap<Client, { readonly packet: ConnectPacket; readonly idAccepted: boolean }>();
  const openOf = new OpenConnections();
  const kept = new Sessions(
    { absentOfIdentity: MAX_SESSIONS_PER_CLIENT, absent: MAX_ABSENT_SESSIONS },
    parts.refusalTopics,
  );
  const failures = new Failures(parts.nowMs);
  const metrics = new BrokerMetrics(parts.registry);
  const guard = <A extends unknown[]>(stage: string, hook: (...args: A) => void, refuse: (...args: A) => void) => {
    // A hook that throws would end the process.
    return (...args: A) => {
      try {
        hook(...args);
      } catch (error) {
        parts.onError(stage, error);
        refuse(...args);
      }
    };
  };

  const broker = new TelemetryBroker({
    connectTimeout: CONNECT_TIMEOUT_MS,
    maxClientsIdLength: 65_535,
    persistence: kept,
    preConnect: guard(
      'preConnect',
      (client: Client, packet: ConnectPacket, done: (error: Error | null, ok: boolean) => void) => {
        const certificate = certified.get(client.conn);
        const name = certificate ?? packet.username ?? '';
        delete packet.will; // a last will would be a reading nobody measured
        const idAccepted = isClientId(packet);
        // Session names are per identity: nobody takes over another client's session by guessing its client id.
        packet.clientId = `${name}/${packet.clientId || clientNumber()}`;
        connects.set(client, { packet, idAccepted });
        const blocked = failures.blocked(addressOf(client.conn), sourceOf(certificate, name));
        if (blocked) return turnAway(client, NOT_AUTHORIZED, done);
        if (broker.connectedClients >= MAX_CONNECTIONS) return turnAway(client, UNAVAILABLE, done);
        done(null, true);
      },
      (client, _packet, done) => turnAway(client, UNAVAILABLE, done),
    ),
    authenticate: guard(
      'authenticate',
      (client: Client, username: unknown, password: unknown, done: (error: never, ok: boolean) => void) => {
        const { packet, idAccepted } = connects.get(client)!;
        if (!idAccepted) return done(refusal('client id rejected', ID_REJECTED), false);
        const userName = typeof username === 'string' ? username : '';
        const certificate = certified.get(client.conn);
        const name = certificate ?? userName;
        const secret = Buffer.isBuffer(password) ? password.toString('utf8') : '';
        const proven =
          certificate === undefined
            ? parts.verify(name, secret)
            : (userName === '' || userName === certificate) && parts.knows(certificate);
        if (!proven) {
          failures.count(addressOf(client.conn), sourceOf(certificate, name));
          metrics.refusedConnections.inc();
          return done(refusal('wrong credentials', WRONG_CREDENTIALS), false);
        }
        // A connection that ended meanwhile would never give its session back.
        if (client.closed || client.conn.destroyed) return done(new Error('gone') as never, false);
        if (!openOf.enter(name)) return done(refusal('too many sessions', UNAVAILABLE), false);
        client.conn.once('close', () => openOf.leave(name));
        if (!packet.clean) {
          const session = kept.enter(name, packet.clientId);
          client.conn.once('close', () => kept.leave(session));
        }
        const wake = (afterMs: number, run: () => void) => void setTimeout(run, afterMs).unref();
        sessions.set(client, { client: name, answers: new InOrder(budgetOf(name), wake) });
        done(null as never, true);
      },
      (_client, _username, _password, done) => done(refusal('failed', UNAVAILABLE), false),
    ),
    authorizePublish: guard(
      'authorizePublish',
      (client: Client | null, packet: PublishPacket, done: (error?: Error | null) => void) => {
        const session = client && sessions.get(client);
        if (!client || !session) return done(new Error('not allowed'));
        if (session.answers.waiting >= MAX_IN_FLIGHT) return done(new Error('too many messages in flight'));
        packet.retain = false;
        metrics.messages.inc();
        const answer = session.answers.place();
        const payload = Buffer.isBuffer(packet.payload) ? packet.payload : Buffer.from(packet.payload);
        const message = { client: session.client, topic: packet.topic, payload };
        parts.receive(message, (outcome: Outcome, decoded: Decoded) => {
          const notice = parts.refusalNotice(decoded);
          const cost = outcome === 'accepted' ? refusalCost(decoded) : 0;
          answer(() => {
            if (outcome === 'shed') return done(new Error('overloaded'));
            done(null);
            if (notice && decoded.profile) tell(client, decoded.profile.refusals, notice);
          }, cost);
        });
      },
      (_client, _packet, done) => done(new Error('refused')),
    ),
    authorizeSubscribe: guard(
      'authorizeSubscribe',
      (
        _client: Client,
        subscription: Subscription,
        done: (error: Error | null, granted?: Subscription | null) => void,
      ) => {
        done(null, parts.refusalTopics.has(subscription.topic) ? subscription : null);
      },
      (_client, _subscription, done) => done(null, null),
    ),
  });
  const connectedAs = new Map<string, Set<Client>>();
  broker.on('client', (client: Client) => {
    const name = sessions.get(client)?.client;
    if (name === undefined) return;
    connectedAs.set(name, (connectedAs.get(name) ?? new Set()).add(client));
    client.conn.once('close', () => {
      const clients = connectedAs.get(name);
      if (clients?.delete(client) && clients.size === 0) connectedAs.delete(name);
    });
  });
  broker.on('clientError', (_client, error) => metrics.brokenConnections(error));
  broker.on('connectionError', (_client, error) => metrics.brokenConnections(error));
  await broker.listen();

  const maxPacketBytes = parts.maxPayloadBytes * OVERSIZE_FACTOR + MAX_TOPIC_BYTES;
  const serve = (socket: Socket) =>
    void broker.handle(guardLengths(socket, new PacketLengths(MAX_CONNECT_BYTES, maxPacketBytes)));
  const sockets = new Set<Socket>();
  const servers: Server[] = [];
  const open = async (host: string, port: number, accept: (socket: Socket) => void): Promise<number> => {
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
      socket.setNoDelay(true);
      socket.setKeepAlive(true, TCP_KEEPALIVE_MS);
      accept(socket);
    });
    server.maxConnections = MAX_CONNECTIONS;
    servers.push(server);
    return await listen(server, port, host);
  };
  metrics.gauge('meterwarden_mqtt_connections', 'Connected clients', () => broker.connectedClients);
  metrics.gauge('meterwarden_mqtt_kept_sessions', 'Persistent sessions, connected or not', () => kept.size);
  return {
    disconnect: (name) => {
      for (const client of connectedAs.get(name) ?? []) client.conn.destroy();
    },
    listen: (host, port) => open(host, port, serve),
    listenTls: async (host, port, clientAuth, context) => {
      const tls = new TlsConnections({
        clientAuth,
        context,
        onSecured: (socket, client) => {
          if (client !== undefined) certified.set(socket, client);
          serve(socket);
        },
        onRefused: (address, reason) => {
          if (reason !== 'closed') failures.count(address);
          metrics.refusedHandshakes.inc({ reason });
        },
      });
      const accept = (socket: Socket) => {
        if (failures.blocked(addressOf(socket))) socket.destroy();
        else tls.accept(socket);
      };
      return {
        port: await open(host, port, accept),
        setSecureContext: (changed) => tls.setSecureContext(changed),
      };
    },
    stop: async () => {
      const closed = servers.map((server) => new Promise<void>((done) => server.close(() => done())));
      broker.close();
      for (const socket of sockets) socket.destroy(); // also those that never said who they are
      await Promise.all(closed);
    },
  };
}

/** Tells a client about its own message, and nobody else; only if it asked to be told. QoS 0: nothing piles up for an absent one. */
function tell(client: Client, topic: string, payload: Buffer): void {
  const subscribed = (client as unknown as { subscriptions: Record<string, unknown> }).subscriptions;
  if (client.closed || !(topic in subscribed)) return;
  const packet = { cmd: 'publish', topic, payload, qos: 0, retain: false, dup: false } as AedesPublishPacket;
  client.publish(packet, () => {});
}

/** Before aedes would answer: it closes such a connection without a word. */
function turnAway(client: Client, returnCode: number, done: (error: Error, ok: boolean) => void): void {
  const connack = generate({ cmd: 'connack', returnCode, sessionPresent: false });
  (client.conn as Socket).end(connack, () => done(new Error('turned away'), false));
}

/** aedes' parser does not know every level, and its answer to MQTT 5 is one of MQTT 3.1.1. */
function turnAwayLevel(socket: Socket, level: number): void {
  const connack =
    level === 5
      ? generate(
          { cmd: 'connack', reasonCode: UNSUPPORTED_PROTOCOL_VERSION, sessionPresent: false },
          { protocolVersion: 5 },
        )
      : generate({ cmd: 'connack', returnCode: UNACCEPTABLE_LEVEL, sessionPresent: false });
  socket.end(connack, () => socket.destroy(new Error('protocol version')));
}

/** Looks at packets before the broker's parser holds them: aedes reads its connections by `read` alone. */
function guardLengths(socket: Socket, lengths: PacketLengths): Socket {
  const read = socket.read.bind(socket);
  socket.read = (size?: number) => {
    const chunk: Buffer | null = read(size);
    const verdict = chunk === null ? 'ok' : lengths.see(chunk);
    if (verdict === 'ok') return chunk;
    if (verdict === 'unknown-level') turnAwayLevel(socket, lengths.level);
    else socket.destroy(new Error(`packet ${verdict}`));
    return null;
  };
  return socket;
}

/** How many connections each identity has. */
class OpenConnections {
  readonly #open = new Map<string, number>();

  enter(client: string): boolean {
    const count = this.#open.get(client) ?? 0;
    if (count >= MAX_SESSIONS_PER_CLIENT) return false;
    this.#open.set(client, count + 1);
    return true;
  }

  leave(client: string): void {
    const count = this.#open.get(client) ?? 1;
    if (count > 1) this.#open.set(client, count - 1);
    else this.#open.delete(client);
  }
}

class BrokerMetrics {
  readonly messages: Counter;
  readonly refusedConnections: Counter;
  readonly refusedHandshakes: Counter<'reason'>;
  readonly #broken: Counter<'reason'>;
  readonly #registry: Registry;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#registry = registry;
    this.messages = new Counter({ name: 'meterwarden_mqtt_messages_total', help: 'Publishes received', registers });
    this.refusedConnections = new Counter({
      name: 'meterwarden_mqtt_refused_connections_total',
      help: 'Connections refused for wrong credentials',
      registers,
    });
    this.refusedHandshakes = new Counter({
      name: 'meterwarden_mqtt_refused_handshakes_total',
      help: 'TLS handshakes that came to nothing, by reason; of a certificate, what OpenSSL says against it',
      labelNames: ['reason'],
      registers,
    });
    this.#broken = new Counter({
      name: 'meterwarden_mqtt_broken_connections_total',
      help: 'Connections that ended with an error, by reason',
      labelNames: ['reason'],
      registers,
    });
  }

  gauge(name: string, help: string, count: () => number): void {
    new Gauge({
      name,
      help,
      registers: [this.#registry],
      collect() {
        this.set(count());
      },
    });
  }

  brokenConnections(error: Error): void {
    const known = [
      'overloaded',
      'packet too-large',
      'packet malformed',
      'too many messages in flight',
      'keep alive timeout',
      'protocol version',
      'turned away',
    ];
    this.#broken.inc({ reason: known.includes(error.message) ? error.message : 'other' });
  }
}

/** MQTT 3.1.1, 3.1.3.1: a client without an id has no session that could be resumed. MQTT 3.1 always wants one. */
function isClientId({ clientId, clean, protocolVersion }: ConnectPacket): boolean {
  if (!clientId) return clean === true && protocolVersion === 4;
  return clientId.length <= MAX_CLIENT_ID_CHARS;
}

function refusal(message: string, returnCode: number): never {
  return Object.assign(new Error(message), { returnCode }) as never;
}

let clients = 0;
function clientNumber(): string {
  return `anonymous-${++clients}`;
}

function addressOf(conn: object): string {
  return (conn as Socket).remoteAddress ?? '';
}

async function listen(server: Server, port: number, host: string): Promise<number> {
  await new Promise<void>((done, fail) => {
    server.once('error', fail);
    server.listen(port, host, done);
  });
  return (server.address() as { port: number }).port;
}
