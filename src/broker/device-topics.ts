/** Topics at a broker that others share with us: what to subscribe to, whom a message is from, and where its refusals are told. */

export interface DeviceTopicsOptions {
  /** Of the profiles: exact, or with one `{instrument}` level. */
  readonly topics: readonly string[];
  /** Ends with a slash and has one `{client}` level: what stands before every topic of a device. */
  readonly prefix: string;
  /** The user property of MQTT 5 that the broker itself sets to the client's identity; topics then have no prefix. */
  readonly clientProperty?: string | undefined;
}

export interface Origin {
  /** Whom the message is from; undefined when nobody can be. */
  readonly client: string | undefined;
  /** What it claims to be from, for the record. */
  readonly claimed: string;
  /** As profiles know it. */
  readonly topic: string;
}

export type UserProperties = Readonly<Record<string, string | string[]>>;

export const DEFAULT_PREFIX = 'devices/{client}/';
const CLIENT = '{client}';
/** As in the ledger. */
const MAX_ID_CHARS = 64;
const ID = /^[^\s\p{Cc}/+#$%?\\]+$/u;

export function isTopicPrefix(text: string): boolean {
  const levels = text.split('/');
  const literal = levels.filter((level) => level !== CLIENT);
  return (
    text.endsWith('/') &&
    levels.length - literal.length === 1 &&
    !text.startsWith('$') &&
    literal.every((level) => !/[+#{}\p{Cc}]/u.test(level))
  );
}

export class DeviceTopics {
  /** Each once, without the part that shares them. */
  readonly filters: readonly string[];
  readonly #prefix: string;
  readonly #before: string;
  readonly #after: string;
  readonly #clientProperty: string | undefined;

  constructor({ topics, prefix, clientProperty }: DeviceTopicsOptions) {
    this.#prefix = prefix;
    [this.#before, this.#after] = prefix.split(CLIENT) as [string, string];
    this.#clientProperty = clientProperty;
    const before = clientProperty === undefined ? prefix.replace(CLIENT, '+') : '';
    this.filters = [...new Set(topics.map((topic) => before + topic.replace('{instrument}', '+')))];
  }

  origin(topic: string, properties: UserProperties | undefined): Origin {
    if (this.#clientProperty !== undefined) {
      const claimed = properties?.[this.#clientProperty];
      // Two values: one is the broker's and one the device's, and nobody knows which.
      return originOf(typeof claimed === 'string' ? claimed : undefined, String(claimed ?? ''), topic);
    }
    const levelEnd = topic.indexOf('/', this.#before.length);
    const rest = levelEnd < 0 ? '' : topic.slice(levelEnd);
    if (!topic.startsWith(this.#before) || !rest.startsWith(this.#after)) return originOf(undefined, '', topic);
    const claimed = topic.slice(this.#before.length, levelEnd);
    return originOf(claimed, claimed, rest.slice(this.#after.length));
  }

  /** Where this client, and by the broker's rules nobody else, hears of its refusals. */
  refusalTopic(client: string, refusals: string): string {
    return this.#prefix.replace(CLIENT, () => client) + refusals;
  }
}

function originOf(id: string | undefined, claimed: string, topic: string): Origin {
  return { client: id !== undefined && isId(id) ? id : undefined, claimed, topic };
}

function isId(text: string): boolean {
  return text.length <= MAX_ID_CHARS && ID.test(text);
}
