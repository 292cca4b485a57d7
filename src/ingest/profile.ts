/** A profile says, as data, how messages on a topic become readings. */
import { z } from 'zod';
import { MeterwardenError } from '../errors.ts';
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

const schema = z.array(
  z.strictObject({
    id: z.string().regex(/^[a-z0-9-]+$/),
    version: z.int().positive(),
    topic: z.string().min(1),
    decoder: z.enum(Object.keys(DECODERS) as [DecoderName, ...DecoderName[]]),
    time: z.enum(['ms', 's']),
    refusals: z.string().min(1),
  }),
);

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

  constructor(profiles: readonly Profile[]) {
    for (const profile of profiles) {
      if (!profile.topic.includes('{instrument}')) {
        this.#exact.set(profile.topic, { profile, instrument: undefined });
        continue;
      }
      const source = profile.topic.split('{instrument}').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
      this.#captures.push({ pattern: new RegExp(`^${source.join('([^/]+)')}$`), profile });
    }
    this.refusalTopics = new Set(profiles.map(({ refusals }) => refusals));
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

export function parseProfiles(raw: unknown): Profiles {
  const parsed = schema.safeParse(raw);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new MeterwardenError('invalid_config', {
      path: `profiles${issue!.path.map((step) => `[${String(step)}]`).join('')}`,
      params: { problem: issue!.message },
    });
  }
  return new Profiles(parsed.data);
}
