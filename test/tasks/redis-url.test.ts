import { describe, expect, it, test } from 'vitest';
import type { MeterwardenError } from '../../src/errors.ts';
import { parseRedisUrl, REDIS_URL_EXPECTED } from '../../src/tasks/redis-url.ts';
import { sayError } from '../../src/texts/errors.ts';

const nobody = { username: undefined, password: undefined };
const plain = { ...nobody, tls: false, prefix: '{meterwarden}' };

describe('REDIS_URL', () => {
  it.each([
    ['redis://h', { mode: 'standalone', nodes: [{ host: 'h', port: 6379 }], db: 0 }],
    ['redis://h:6380/', { mode: 'standalone', nodes: [{ host: 'h', port: 6380 }], db: 0 }],
    ['redis://[::1]:6380/5', { mode: 'standalone', nodes: [{ host: '::1', port: 6380 }], db: 5 }],
    ['rediss://h/2', { mode: 'standalone', nodes: [{ host: 'h', port: 6379 }], db: 2, tls: true }],
    ['redis://:p%40ss%2F@h', { mode: 'standalone', nodes: [{ host: 'h', port: 6379 }], db: 0, password: 'p@ss/' }],
    [
      'redis://u:p:q@h?prefix=city.A-1',
      {
        mode: 'standalone',
        nodes: [{ host: 'h', port: 6379 }],
        db: 0,
        username: 'u',
        password: 'p:q',
        prefix: '{city.A-1}',
      },
    ],
    [
      'redis+sentinel://:secret@h1:26380,h2/mymaster/3?sentinel_user=s&sentinel_password=t%26u',
      {
        mode: 'sentinel',
        nodes: [
          { host: 'h1', port: 26380 },
          { host: 'h2', port: 26379 },
        ],
        master: 'mymaster',
        db: 3,
        password: 'secret',
        sentinel: { username: 's', password: 't&u' },
      },
    ],
    [
      'rediss+sentinel://10.0.0.1/m',
      {
        mode: 'sentinel',
        nodes: [{ host: '10.0.0.1', port: 26379 }],
        master: 'm',
        db: 0,
        sentinel: nobody,
        tls: true,
      },
    ],
    [
      'redis+cluster://h1,h2:7001/0',
      {
        mode: 'cluster',
        nodes: [
          { host: 'h1', port: 6379 },
          { host: 'h2', port: 7001 },
        ],
      },
    ],
  ])('%s', (url, expected) => {
    const { shown, ...servers } = parseRedisUrl(url);
    expect(servers).toEqual({ ...plain, ...expected });
    expect(shown).not.toMatch(/secret|p%40ss|p:q/);
  });

  const refusal = (url: string): MeterwardenError => {
    try {
      parseRedisUrl(url);
    } catch (error) {
      return error as MeterwardenError;
    }
    throw new Error(`${url} was taken`);
  };

  it.each([
    ['redis://', 'redis_form'],
    ['redis:///0', 'redis_form'],
    ['redis://:hunter2@', 'redis_form'],
    ['redis://:hunter2', 'redis_host'],
    ['redis://h:0', 'redis_host'],
    ['redis://h:65536', 'redis_host'],
    ['redis://h:port', 'redis_host'],
    ['redis://a b', 'redis_host'],
    ['redis+cluster://h1,,h2', 'redis_host'],
    ['redis://h1,h2', 'redis_several_hosts'],
    ['redis://hunter2@h', 'redis_user_alone'],
    ['redis://hunter2:@h', 'redis_user_alone'],
    ['redis+sentinel://h/m?sentinel_user=hunter2', 'redis_user_alone'],
    ['redis://:hun@ter2@h', 'redis_encode'],
    ['redis://:hunter2/@h', 'redis_encode'],
    ['redis://:hunter2#@h', 'redis_encode'],
    ['redis://:hunter2%@h', 'redis_encode'],
    ['redis://h/mymaster', 'redis_database'],
    ['redis://h/1/2', 'redis_database'],
    ['redis://h/-1', 'redis_database'],
    ['redis+sentinel://h1,h2', 'redis_master_missing'],
    ['redis+sentinel://h1//0', 'redis_master_missing'],
    ['redis+sentinel://h1/m/x', 'redis_database'],
    ['redis+cluster://h1/1', 'redis_cluster_database'],
    ['redis://h?db=1', 'redis_parameter'],
    ['redis://h?sentinel_password=hunter2', 'redis_parameter'],
    ['redis://h?prefix=a&prefix=b', 'redis_parameter'],
    ['redis://h?prefix=a:b', 'redis_prefix'],
    ['redis://h?prefix=', 'redis_prefix'],
  ])('%s is refused: %s', (url, problem) => {
    const error = refusal(url);
    expect(error).toMatchObject({ code: 'unusable_setting', path: 'REDIS_URL', params: { problem } });
    for (const language of ['zh-CN', 'en'] as const) {
      const sentence = sayError(error, language);
      expect(sentence).not.toMatch(/hun|[{}]|redis_[a-z]+$/);
      expect(sentence.length).toBeGreaterThan(15);
    }
  });

  test('another scheme is answered with all there are', () => {
    for (const url of ['http://h', 'redis:h', 'redis+tls://h', 'sentinel://h', ''])
      expect(refusal(url)).toMatchObject({ code: 'invalid_setting', params: { expected: REDIS_URL_EXPECTED } });
  });
});
