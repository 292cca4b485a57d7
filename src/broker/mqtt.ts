/** An external broker that devices connect to: its workers share the messages and acknowledge them after the commit. */
import { setTimeout as delay } from 'node:timers/promises';
import { Counter, Gauge, type Registry } from 'prom-client';
import { MeterwardenError } from '../errors.ts';
import { type Decoded, type Message, type Refusal, showable } from '../ingest/decode.ts';
import type { Outcome, Settle } from '../pipeline.ts';
import type { SlotLease, SlotSessions, Slots } from '../store/postgres-slots.ts';
import { DEFAULT_PREFIX, DeviceTopics } from './device-topics.ts';
import { RefusalBudget } from './in-order.ts';
import type { Delivery, LinkEnd, MqttLink, TlsFiles } from './mqtt-link.ts';
import { addressOf, refusedAtStart } from './mqtt-refusals.ts';
import { drain, type Pace, type SessionParts, serve } from './mqtt-session.ts';

export interface MqttOptions {
  /** mqtt://, mqtts://, ws:// or wss://, with user and password in it or beside it. */
  readonly url: string;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** Asked at every connection: a renewed certificate is used from the next one on. */
  readonly tls?: (() => TlsFiles) | undefined;
  readonly protocolVersion?: 4 | 5 | undefined;
  /** Sessions of one worker; the broker divides the messages among all sessions of all workers. */
  readonly connections?: number | undefined;
  /** Messages of one connection received and not yet answered. */
  readonly maxInFlight?: number | undefined;
  /** Ends with a slash and has one `{client}` level. */
  readonly topicPrefix?: string | undefined;
  /** A user property that the broker sets to the identity; topics then have no prefix. MQTT 5. */
  readonly clientProperty?: string | undefined;
  /** Of the profiles, with `{instrument}` where they have it. */
  readonly topics: readonly string[];
  readonly slots: Slots;
  readonly registry: Registry;
  readonly receive: (message: Message, settle: Settle) => void;
  /** A message that nobody can have sent: to be counted and kept like what `receive` refuses. */
  readonly refuse: (message: Message, refusal: Refusal, settle: Settle) => void;
  /** What to tell the client about refused readings, or undefined when there is nothing to tell. */
  readonly refusalNotice: (decoded: Decoded) => Buffer | undefined;
  readonly nowMs: () => number;
  readonly onError: (stage: string, error: unknown) => void;
  readonly pace?: Partial<Pace & { readonly watchMs: number; readonly startMs: number }> | undefined;
}

export interface MqttIngest {
  /** Subscribed connections for the messages of this worker; without one nothing arrives. */
  readonly connected: number;
  /** Answers what was received and disconnects. The broker keeps the sessions: for the next start, or another worker. */
  stop(): Promise<void>;
  /**
   * Before `stop`, for a worker that will not come back: unsubscribes, receives what the broker kept for it, ends its sessions.
   * False = they stay, because no other worker is there or the time was not enough; `stop` ends the time.
   */
  drain(withinMs: number): Promise<boolean>;
}

const CONNECTIONS = 4;
const MAX_IN_FLIGHT = 500;
const PACE = {
  minBackoffMs: 1_000,
  maxBackoffMs: 30_000,
  random: Math.random,
  quietMs: 2_000,
  /** The pipeline gives a message up after 20 s, the service an orderly stop after 9 s. */
  patienceMs: 5_000,
  /** How often it is looked whether a worker has died. */
  watchMs: 1_000,
  /** A broker that is away does not keep the service from starting, a wrong password does. */
  startMs: 5_000,
};
const NOTICE_RATE = { burst: 100, perSecond: 10 };
/** Clients whose rate of notices is remembered; the one told longest ago makes room. */
const MAX_TRACKED_CLIENTS = 10_000;

export async function startMqtt(options: MqttOptions): Promise<MqttIngest> {
  const { clientProperty: value, protocolVersion } = options;
  if (value !== undefined && protocolVersion === 4) {
    const params = { value, expected: 'MQTT_VERSION=5' };
    throw new MeterwardenError('invalid_setting', { path: 'MQTT_CLIENT_PROPERTY', params });
  }
  const ingest = new Ingest(options);
  try {
    await ingest.start();
  } catch (error) {
    await ingest.stop();
    throw error;
  }
  return ingest;
}

/** A slot, and what its sessions are and were. */
interface Post {
  readonly lease: SlotLease;
  readonly own: SlotSessions;
  readonly left: SlotSessions;
}

class Ingest implements MqttIngest {
  readonly #options: MqttOptions;
  readonly #pace: typeof PACE;
  readonly #inbox: Inbox;
  readonly #metrics: Metrics;
  readonly #link: Pick<SessionParts, 'address' | 'tls' | 'protocolVersion' | 'maxInFlight' | 'onMessage'>;
  readonly #stop = new AbortController();
  /** Is nothing left at the broker, in the end? */
  #running: Promise<boolean> = Promise.resolve(false);
  /** Client ids that are connected and subscribed. */
  readonly #ready = new Set<string>();
  #onReady = () => {};
  #onRefused: (error: unknown) => void = () => {};
  /** Until when to leave for good; undefined = not at all. */
  #leaveBy: AbortSignal | undefined;
  readonly #hurry = new AbortController();

  constructor(options: MqttOptions) {
    this.#options = options;
    this.#pace = { ...PACE, ...options.pace };
    this.#metrics = new Metrics(options.registry, () => this.connected);
    this.#inbox = new Inbox(options, this.#metrics);
    this.#link = {
      address: addressOf(options),
      tls: options.tls,
      protocolVersion: options.protocolVersion ?? 5,
      maxInFlight: options.maxInFlight ?? MAX_IN_FLIGHT,
      onMessage: (...message) => this.#inbox.take(...message),
    };
  }

  get connected(): number {
    return this.#ready.size;
  }

  /** Rejects when the database or the broker refuses us; a broker that is merely away is waited for later. */
  async start(): Promise<void> {
    const post = await this.#takePost();
    const subscribed = new Promise<void>((done, fail) => {
      this.#onReady = () => void (this.connected === post.own.clientIds.length && done());
      this.#onRefused = (error) => {
        const refusal = refusedAtStart(error, this.#options);
        if (refusal) fail(refusal);
      };
    });
    this.#running = this.#work(post);
    await Promise.race([subscribed, delay(this.#pace.startMs, undefined, { ref: false })]);
    this.#onRefused = () => {};
  }

  async stop(): Promise<void> {
    this.#hurry.abort();
    this.#stop.abort();
    await this.#running;
  }

  async drain(withinMs: number): Promise<boolean> {
    this.#leaveBy = AbortSignal.any([AbortSignal.timeout(withinMs), this.#hurry.signal]);
    this.#stop.abort();
    return await this.#running;
  }

  /** Under one slot after another, when the database takes one away. Never rejects. */
  async #work(first: Post): Promise<boolean> {
    let left = false;
    for (let post: Post | undefined = first; post; post = await this.#takePostAgain()) {
      try {
        left = await this.#workAt(post);
      } catch (error) {
        this.#options.onError('slot', error);
      }
      await post.lease.release();
    }
    return left;
  }

  /** Whatever may come to be at the broker is on record before. */
  async #takePost(): Promise<Post> {
    const lease = await this.#options.slots.take();
    try {
      const { slot, group, left } = lease;
      const own = {
        clientIds: Array.from({ length: this.#options.connections ?? CONNECTIONS }, (_, n) => `${group}-${slot}-${n}`),
        filters: this.#inbox.topics.filters.map((filter) => `$share/${group}/${filter}`),
      };
      await lease.record({
        clientIds: [...new Set([...left.clientIds, ...own.clientIds])],
        filters: [...new Set([...left.filters, ...own.filters])],
      });
      return { lease, own, left };
    } catch (error) {
      await lease.release();
      throw error;
    }
  }

  async #takePostAgain(): Promise<Post | undefined> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await delay(this.#pace.minBackoffMs, undefined, { signal }).catch(() => {});
      if (signal.aborted) break;
      try {
        return await this.#takePost();
      } catch (error) {
        this.#options.onError('slot', error);
      }
    }
    return undefined;
  }

  async #workAt({ lease, own, left }: Post): Promise<boolean> {
    const stop = this.#stop.signal;
    const surplus = left.clientIds.filter((id) => !own.clientIds.includes(id));
    const stale = left.filters.filter((filter) => !own.filters.includes(filter));
    const unsettled = new Set([...own.clientIds, ...surplus]);
    const settled = (clientId: string) => {
      if (!unsettled.delete(clientId) || unsettled.size > 0) return;
      lease.record(own).catch((error) => this.#options.onError('slot', error));
    };
    const serving = own.clientIds.map((clientId) =>
      serve(this.#session(lease, clientId, stop), {
        filters: own.filters,
        stale,
        ready: () => {
          settled(clientId);
          this.#ready.add(clientId);
          this.#onReady();
        },
      }),
    );
    const tidying = surplus.map(async (clientId) => {
      if (await drain(this.#session(lease, clientId, stop), left.filters)) settled(clientId);
    });
    await Promise.all([...serving, ...tidying, this.#adopt(lease)]);
    return this.#leaveBy !== undefined && !lease.lost.aborted && (await this.#leave(lease, own, this.#leaveBy));
  }

  #session(lease: SlotLease, clientId: string, stop: AbortSignal): SessionParts {
    return {
      ...this.#link,
      clientId,
      mayConnect: () => lease.confirm(),
      stop,
      lost: lease.lost,
      onDown: (end) => {
        this.#ready.delete(clientId);
        this.#metrics.ended(end);
      },
      onError: (error) => {
        this.#onRefused(error);
        this.#options.onError('mqtt', error);
      },
      pace: this.#pace,
    };
  }

  async #drainAll(lease: SlotLease, { clientIds, filters }: SlotSessions, stop: AbortSignal): Promise<boolean> {
    const drained = clientIds.map((clientId) => drain(this.#session(lease, clientId, stop), filters));
    return (await Promise.all(drained)).every((done) => done);
  }

  /** Looks after what dead workers left at the broker, one after another. */
  async #adopt(lease: SlotLease): Promise<void> {
    const over = AbortSignal.any([this.#stop.signal, lease.lost]);
    while (!over.aborted) {
      try {
        const orphan = await lease.adopt();
        if (orphan) {
          this.#metrics.adopted.inc();
          if (await this.#drainAll(lease, orphan, this.#stop.signal)) await lease.forget(orphan.slot);
          continue;
        }
      } catch (error) {
        if (!over.aborted) this.#options.onError('slot', error);
      }
      await delay(this.#pace.watchMs, undefined, { signal: over }).catch(() => {});
    }
  }

  async #leave(lease: SlotLease, own: SlotSessions, by: AbortSignal): Promise<boolean> {
    if (!(await lease.leave()) || !(await this.#drainAll(lease, own, by))) return false;
    await lease.forget(lease.slot);
    return true;
  }
}

/** From a delivery to the pipeline and back. */
class Inbox {
  readonly topics: DeviceTopics;
  readonly #options: MqttOptions;
  readonly #metrics: Metrics;
  readonly #budgets = new Map<string, RefusalBudget>();

  constructor(options: MqttOptions, metrics: Metrics) {
    this.#options = options;
    this.#metrics = metrics;
    const { topics, topicPrefix: prefix = DEFAULT_PREFIX, clientProperty } = options;
    this.topics = new DeviceTopics({ topics, prefix, clientProperty });
  }

  take({ topic, payload, properties, retained }: Delivery, settle: (kept: boolean) => void, link: MqttLink): void {
    this.#metrics.messages.inc();
    // It came when it was published. Without a time of its own it would be another reading at every subscription.
    if (retained) return settle(true);
    const origin = this.topics.origin(topic, properties);
    const { client } = origin;
    try {
      if (client === undefined) {
        const claimed = showable(origin.claimed);
        const refusal: Refusal = { code: 'unidentified_client', path: '', params: { client: claimed }, readings: 1 };
        const message = { client: claimed, topic, payload };
        return this.#options.refuse(message, refusal, (outcome) => settle(outcome === 'accepted'));
      }
      this.#options.receive({ client, topic: origin.topic, payload }, (outcome: Outcome, decoded: Decoded) => {
        settle(outcome === 'accepted');
        if (outcome === 'accepted') this.#tell(link, client, decoded);
      });
    } catch (error) {
      this.#options.onError('receive', error);
      settle(false);
    }
  }

  #tell(link: MqttLink, client: string, decoded: Decoded): void {
    const notice = this.#options.refusalNotice(decoded);
    if (!notice || !decoded.profile) return;
    const topic = this.topics.refusalTopic(client, decoded.profile.refusals);
    if (!this.#budget(client).spend() || !link.publish(topic, notice)) this.#metrics.untold.inc();
  }

  #budget(client: string): RefusalBudget {
    const budget = this.#budgets.get(client) ?? new RefusalBudget(NOTICE_RATE, this.#options.nowMs);
    this.#budgets.delete(client);
    this.#budgets.set(client, budget);
    if (this.#budgets.size > MAX_TRACKED_CLIENTS) this.#budgets.delete(this.#budgets.keys().next().value!);
    return budget;
  }
}

class Metrics {
  readonly messages: Counter;
  readonly adopted: Counter;
  readonly untold: Counter;
  readonly #ends: Counter<'reason'>;

  constructor(registry: Registry, connected: () => number) {
    const registers = [registry];
    const counter = (name: string, help: string) =>
      new Counter({ name: `meterwarden_external_mqtt_${name}`, help, registers });
    this.messages = counter('messages_total', 'Messages that came from the external broker, those sent again included');
    this.adopted = counter('adopted_slots_total', 'Dead workers whose sessions at the broker this one looked after');
    this.untold = counter(
      'untold_refusals_total',
      'Notices of refusals not sent: too many for one client, or too slow',
    );
    this.#ends = new Counter({
      name: 'meterwarden_external_mqtt_ended_connections_total',
      help: 'Connections to the external broker that ended, by reason',
      labelNames: ['reason'],
      registers,
    });
    new Gauge({
      name: 'meterwarden_external_mqtt_connections',
      help: 'Subscribed connections to the external broker',
      registers,
      collect() {
        this.set(connected());
      },
    });
  }

  ended(reason: LinkEnd): void {
    this.#ends.inc({ reason });
  }
}
