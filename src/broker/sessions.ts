/**
 * What the broker remembers of its clients, as aedes' persistence, in a bounded amount of memory. Nothing is retained, nothing
 * waits for an absent client, and a reading stored again is harmless: what is left of a persistent session is its subscriptions.
 */
import { Readable } from 'node:stream';

export interface SessionLimits {
  /** Kept for an identity while their clients are absent. */
  readonly absentOfIdentity: number;
  /** The same of all. Sessions of connected clients are as many as there are connections. */
  readonly absent: number;
}

/** A session with clean = false. */
export interface KeptSession {
  readonly identity: string;
  readonly id: string;
  readonly subscriptions: Map<string, Subscription>;
  /** More than one while a new connection takes over from an old one. */
  connections: number;
}

interface Subscription {
  readonly topic: string;
  readonly qos: number;
}

export class Sessions {
  readonly #limits: SessionLimits;
  readonly #topics: ReadonlySet<string>;
  readonly #kept = new Map<string, KeptSession>();
  /** Of all and of each identity, the one that disconnected first comes first. */
  readonly #absent = new Set<KeptSession>();
  readonly #absentOf = new Map<string, Set<KeptSession>>();

  /** `topics`: what may be subscribed to; aedes hands over refused subscriptions beside granted ones. */
  constructor(limits: SessionLimits, topics: ReadonlySet<string>) {
    this.#limits = limits;
    this.#topics = topics;
  }

  get size(): number {
    return this.#kept.size;
  }

  /** A connection with clean = false begins. */
  enter(identity: string, id: string): KeptSession {
    const session = this.#kept.get(id) ?? { identity, id, subscriptions: new Map(), connections: 0 };
    session.connections++;
    this.#kept.set(id, session);
    this.#present(session);
    return session;
  }

  leave(session: KeptSession): void {
    session.connections--;
    if (session.connections > 0 || this.#kept.get(session.id) !== session) return;
    if (session.subscriptions.size === 0) return this.#forget(session);
    const own = this.#absentOf.get(session.identity) ?? new Set();
    this.#absentOf.set(session.identity, own.add(session));
    this.#absent.add(session);
    if (own.size > this.#limits.absentOfIdentity) this.#forget(first(own));
    if (this.#absent.size > this.#limits.absent) this.#forget(first(this.#absent));
  }

  #forget(session: KeptSession): void {
    this.#kept.delete(session.id);
    this.#present(session);
  }

  #present(session: KeptSession): void {
    this.#absent.delete(session);
    const own = this.#absentOf.get(session.identity);
    if (own?.delete(session) && own.size === 0) this.#absentOf.delete(session.identity);
  }

  // From here on: what aedes 1.2 asks of a persistence.

  async setup(): Promise<void> {}

  async subscriptionsByClient({ id }: { id: string }): Promise<Subscription[]> {
    return [...(this.#kept.get(id)?.subscriptions.values() ?? [])];
  }

  async addSubscriptions({ id }: { id: string }, subscriptions: readonly Subscription[]): Promise<void> {
    const session = this.#kept.get(id);
    for (const { topic, qos } of subscriptions)
      if (this.#topics.has(topic)) session?.subscriptions.set(topic, { topic, qos });
  }

  async removeSubscriptions({ id }: { id: string }, topics: readonly string[]): Promise<void> {
    for (const topic of topics) this.#kept.get(id)?.subscriptions.delete(topic);
  }

  /** A connection with clean = true ends the session of its name. */
  async cleanSubscriptions({ id }: { id: string }): Promise<void> {
    const session = this.#kept.get(id);
    if (session) this.#forget(session);
  }

  /** Nobody is subscribed to what aedes distributes. */
  async subscriptionsByTopic(): Promise<never[]> {
    return [];
  }

  /** QoS 2: every PUBLISH is new to us and every PUBREL known, which also gives its place in aedes' receive window back. */
  async incomingGetPacket(_client: unknown, packet: { cmd: string }): Promise<object> {
    if (packet.cmd !== 'pubrel') throw new Error('not kept');
    return packet;
  }

  async incomingStorePacket(): Promise<void> {}
  async incomingDelPacket(): Promise<void> {}
  async cleanIncoming(): Promise<void> {}

  async outgoingEnqueue(): Promise<void> {}
  async outgoingEnqueueCombi(): Promise<void> {}
  async outgoingUpdate(): Promise<void> {}
  async outgoingClearMessageId(): Promise<void> {}
  outgoingStream(): Readable {
    return Readable.from([]);
  }

  async storeRetained(): Promise<void> {}
  createRetainedStreamCombi(): Readable {
    return Readable.from([]);
  }

  async putWill(): Promise<void> {}
  async delWill(): Promise<void> {}
  streamWill(): Readable {
    return Readable.from([]);
  }
}

function first(sessions: Iterable<KeptSession>): KeptSession {
  const [session] = sessions;
  return session!;
}
