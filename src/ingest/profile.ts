/** A profile says, as data, how messages on a topic become readings. */
import { z } from 'zod';
import { checked, word, wrongConfig } from '../config-part.ts';
import { DECODERS, type DecoderName } from './decoders.ts';

export interface Profile {
  readonly id: string;
  readonly version: number;
  /** Exact topic, or with one `{instrument}` level. */
  readonly topic: string;
  readonly decoder: DecoderName;
  readonly time: TimeUnit;
  readonly refusals: string;
}

export type TimeUnit = 'ms' | 's';

const CAPTURE = '{instrument}';
/** A publish has no wildcards, and the broker keeps what begins with $ to itself. */
const topic = z
  .string()
  .min(1)
  .refine((text) => !/[+#\p{Cc}]/u.test(text), { message: 'topic_wildcards', params: { capture: CAPTURE } })
  .regex(/^[^$]/, 'topic_reserved');
const schema = z
  .array(
    z.strictObject({
      id: word,
      version: z.int().positive(),
      topic: topic.refine(capturesRight, { message: 'topic_capture', params: { capture: CAPTURE } }),
      decoder: z.enum(Object.keys(DECODERS) as [DecoderName, ...DecoderName[]]),
      time: z.enum(['ms', 's']),
      refusals: topic.regex(/^[^{}]*$/, 'topic_not_exact'),
    }),
  )
  .min(1);

function capturesRight(topic: string): boolean {
  const captures = topic.split('/').filter((level) => /[{}]/.test(level));
  return captures.length === 0 || (captures.length === 1 && captures[0] === CAPTURE);
}

export interface MatchedProfile {
  readonly profile: Profile;
  /** What the topic says about the instrument; undefined when the payload or the connection does. */
  readonly instrument: string | undefined;
}

export class Profiles {
  readonly #exact = new Map<string, MatchedProfile>();
  readonly #captures: { pattern: RegExp; profile: Profile }[] = [];
  /** Topics a client may subscribe to: its own refusals. */
  readonly refusalTopics: ReadonlySet<string>;
  /** Exact, or with one `{instrument}` level. */
  readonly topics: readonly string[];

  constructor(profiles: readonly Profile[]) {
    for (const profile of profiles) {
      if (!profile.topic.includes(CAPTURE)) {
        this.#exact.set(profile.topic, { profile, instrument: undefined });
        continue;
      }
      const source = profile.topic.split(CAPTURE).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
      this.#captures.push({ pattern: new RegExp(`^${source.join('([^/]+)')}$`), profile });
    }
    this.refusalTopics = new Set(profiles.map(({ refusals }) => refusals));
    this.topics = profiles.map(({ topic }) => topic);
  }

  match(topic: string): MatchedProfile | undefined {
    const exact = this.#exact.get(topic);
    if (exact) return exact;
    for (const { pattern, profile } of this.#captures) {
      const instrument = pattern.exec(topic)?.[1];
      if (instrument !== undefined) return { profile, instrument };
    }
    return undefined;
  }
}

/** config/profiles.yaml as parsed YAML; throws invalid_config naming the path. */
export function parseProfiles(raw: unknown): Profiles {
  const profiles = checked(schema, raw, 'profiles');
  for (const [i, { id, topic, refusals }] of profiles.entries()) {
    const refuse = (field: keyof Profile, problem: string, other: string) =>
      wrongConfig(['profiles', i, field], { problem, other });
    for (const earlier of profiles.slice(0, i)) {
      if (earlier.id === id) throw refuse('id', 'id_taken', earlier.id);
      if (overlap(earlier.topic, topic)) throw refuse('topic', 'topic_taken', earlier.id);
    }
    const reader = profiles.find((profile) => profile.topic === refusals);
    if (reader) throw refuse('refusals', 'topic_taken', reader.id);
  }
  return new Profiles(profiles);
}

/** An exact topic goes before one with a capture; of two equals nobody could tell which profile a message meets. */
function overlap(a: string, b: string): boolean {
  if (a.includes(CAPTURE) !== b.includes(CAPTURE)) return false;
  const [levels, others] = [a.split('/'), b.split('/')];
  return (
    levels.length === others.length &&
    levels.every((level, i) => level === others[i] || level === CAPTURE || others[i] === CAPTURE)
  );
}
