import { describe, expect, it } from 'vitest';
import { parseProfiles } from '../../src/ingest/profile.ts';
import { changed, refusalOf, shipped } from '../support/broken-config.ts';

describe('config/profiles.yaml', () => {
  it('as shipped finds the profile of a topic, an exact one before one with a capture', () => {
    const profiles = parseProfiles(shipped('profiles.yaml'));
    expect(profiles.match('meterwarden/v1/M-1/registers')).toMatchObject({
      profile: { id: 'obis-registers-for' },
      instrument: 'M-1',
    });
    expect(profiles.match('meterwarden/v1/M-1/x/registers')).toBeUndefined();
    const exact = parseProfiles(changed('profiles.yaml', { '2/topic': 'meterwarden/v1/own/registers' }));
    expect(exact.match('meterwarden/v1/own/registers')).toMatchObject({ profile: { id: 'obis-registers' } });
  });

  it.each<[string, Record<string, unknown>, string]>([
    [
      'an unknown decoder',
      { '1/decoder': 'telemetri' },
      'profiles[1].decoder: one of telemetry-by-instrument | telemetry | registers',
    ],
    ['no topic', { '0/topic': undefined }, 'profiles[0].topic: required'],
    ['an empty topic', { '0/topic': '' }, 'profiles[0].topic: at least 1 characters'],
    ['a version of nothing', { '2/version': 0 }, 'profiles[2].version: must be above 0'],
    [
      'an unknown key',
      { '3/decode': 'registers' },
      'profiles[3].decode: there is no “decode”; the nearest is “decoder”, known are id | version | topic | decoder | time | refusals',
    ],
    ['a unit of time nobody speaks', { '0/time': 'us' }, 'profiles[0].time: one of ms | s'],
    ['an id twice', { '3/id': 'obis-registers' }, 'profiles[3].id: there is a profile “obis-registers” already'],
    [
      'a topic twice',
      { '3/topic': 'v1/gateway/telemetry' },
      'profiles[3].topic: the profile “thingsboard-gateway” takes the messages of this topic already',
    ],
    [
      'two captures that meet',
      { '2/topic': '{instrument}/v1/x/registers' },
      'profiles[3].topic: the profile “obis-registers” takes the messages of this topic already',
    ],
    ...['v1/+/telemetry', '#', 'a\u0000b'].map((topic): [string, Record<string, unknown>, string] => [
      `the topic ${JSON.stringify(topic)}`,
      { '0/topic': topic },
      'profiles[0].topic: must not contain the wildcards + and # or control characters; the level that names the instrument is written {instrument}',
    ]),
    ...['{instrument}/{instrument}', 'meters/{device}/x', 'meters/m-{instrument}', 'meters/{instrument'].map(
      (topic): [string, Record<string, unknown>, string] => [
        `the topic ${topic}`,
        { '0/topic': topic },
        'profiles[0].topic: only a whole level may vary, written {instrument}, and only one',
      ],
    ),
    ["the broker's own topic", { '0/topic': '$SYS/x' }, 'profiles[0].topic: must not begin with $'],
    [
      'refusals that vary',
      { '3/refusals': 'x/{instrument}/rejected' },
      'profiles[3].refusals: must be an exact topic, without braces',
    ],
    [
      'refusals where readings come in',
      { '0/refusals': 'v1/devices/me/telemetry' },
      'profiles[0].refusals: the profile “thingsboard-device” takes the messages of this topic already',
    ],
  ])('is refused with %s', (_what, set, refusal) => {
    expect(refusalOf(() => parseProfiles(changed('profiles.yaml', set)))).toBe(refusal);
  });

  it.each([
    [{}, 'profiles: must be a list'],
    [[], 'profiles: at least 1 of them'],
    [['v1'], 'profiles[0]: must hold names with their values (name: value)'],
  ])('of another shape is refused', (raw, refusal) => {
    expect(refusalOf(() => parseProfiles(raw))).toBe(refusal);
  });
});
