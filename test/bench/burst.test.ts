import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Burst, SERVICE_LIMITS, simulate } from '../../bench/burst/model.ts';
import type { Constants } from '../../bench/cost/costs.ts';

/** 10 µs for a reading in all, in messages of their own; commits that cost nothing but their readings. */
const PLAIN: Constants = {
  messageUs: 0,
  readingUs: 10,
  turnUs: 0,
  threads: 1,
  encodeUs: 0,
  encodeLogUs: 0,
  judgeUs: 0,
  followUs: 1,
  commitUs: 0,
  storeUs: 10,
  commitMs: 1,
  logUs: 0,
  logMs: 1,
  logReadingsPerEntry: 1000,
};

const BURST: Burst = {
  readings: 100_000,
  readingsPerMessage: 100,
  bytesPerReading: 125,
  windowMs: 10_000,
  workers: 1,
  connections: 1_000,
  postgresCores: 1,
  log: false,
};

const of = (burst: Partial<Burst>, constants: Partial<Constants> = {}) =>
  simulate({ ...BURST, ...burst }, { ...PLAIN, ...constants });

describe('a burst', () => {
  test.each<[string, Partial<Burst>, Partial<Constants>, number, number]>([
    // name, burst, constants, drained after ms, of which at least
    ['slower than the store is over with its window', {}, {}, 10_000, 10_100],
    ['faster than the store takes as long as the store', { windowMs: 100 }, { readingUs: 0.1 }, 1_000, 1_250],
    ['faster than the thread takes as long as the thread', { windowMs: 100 }, { storeUs: 0.1 }, 1_000, 1_250],
    [
      'twice the workers, half the time of the thread',
      { windowMs: 100, workers: 2, postgresCores: 2 },
      { storeUs: 0.1 },
      500,
      650,
    ],
    [
      'one core of PostgreSQL is shared by its backends',
      { windowMs: 100, workers: 4 },
      { readingUs: 0.1 },
      1_000,
      1_250,
    ],
    ['a machine shared: thread and store one after the other', { windowMs: 100, sharedCores: 1 }, {}, 2_000, 2_350],
    ['half a core takes twice as long', { windowMs: 100, sharedCores: 0.5 }, {}, 4_000, 4_500],
  ])('%s', (_, burst, constants, atLeastMs, atMostMs) => {
    const { drainedMs, shedMessages } = of(burst, constants);
    expect(drainedMs).toBeGreaterThanOrEqual(atLeastMs * 0.97);
    expect(drainedMs).toBeLessThanOrEqual(atMostMs);
    expect(shedMessages).toBe(0);
  });

  test('that is served as it comes waits for a commit and the one before', () => {
    const { p50Ms, p99Ms, maxWaitingReadings } = of({});
    // 10 readings arrive in a millisecond, a message in ten: little is ever waiting.
    expect(p50Ms).toBeLessThan(15);
    expect(p99Ms).toBeLessThan(25);
    expect(maxWaitingReadings).toBeLessThan(600);
  });

  test('all at once: the last is acknowledged when all are, half of them at half of that', () => {
    const { p50Ms, maxMs, drainedMs, maxWaitingReadings } = of({ windowMs: 1, readings: 200_000 }, { readingUs: 0.01 });
    expect(maxWaitingReadings).toBeGreaterThan(199_000);
    expect(maxMs).toBeCloseTo(drainedMs, -1);
    expect(p50Ms / maxMs).toBeGreaterThan(0.4);
    expect(p50Ms / maxMs).toBeLessThan(0.6);
  });

  test('a full queue sheds what comes on top of it, and nothing is lost twice', () => {
    const single = { readings: 500_000, readingsPerMessage: 1, windowMs: 100 };
    const { shedMessages, maxWaitingMessages } = of(single, { readingUs: 0.01 });
    // 100 000 wait, and 20 000 are in the commit.
    expect(maxWaitingMessages).toBeLessThan(130_000);
    expect(shedMessages).toBeGreaterThan(360_000);
    expect(shedMessages).toBeLessThan(400_000);
    expect(of({ ...single, readings: 90_000 }, { readingUs: 0.01 }).shedMessages).toBe(0);
  });

  test('bytes are a limit too', () => {
    // Messages of 125 kB: 2 147 of them are 256 MiB.
    const { shedMessages } = of(
      { readings: 5_000_000, readingsPerMessage: 1_000, windowMs: 100 },
      { readingUs: 0.001 },
    );
    expect(shedMessages).toBeGreaterThan(2_500);
  });

  test('a store that takes too long for a commit loses it', () => {
    const { shedMessages, commits } = of({ readings: 20_000, windowMs: 10 }, { readingUs: 0.01, storeUs: 2_000 });
    expect(commits).toBeLessThanOrEqual(1);
    expect(shedMessages).toBeGreaterThan(170);
  });

  test('the log lets one worker at a time: more of them do not help where it is the limit', () => {
    const many = { windowMs: 10, log: true, postgresCores: 64 };
    const slowLog = { readingUs: 0.1, storeUs: 0.1, logMs: 10 };
    const [two, eight] = [of({ ...many, workers: 2 }, slowLog), of({ ...many, workers: 8 }, slowLog)];
    // 9 ms for 1 000 readings beyond the commit's own time: 0.9 s for all of them.
    for (const { drainedMs } of [two, eight]) expect(drainedMs).toBeGreaterThan(900);
    expect(eight.drainedMs).toBeGreaterThan(two.drainedMs * 0.9);
  });

  test('the rules are as far behind as they hold back, and as they are slow', () => {
    const quick = of({ log: true, workers: 2, postgresCores: 2 });
    expect(quick.rulesBehindMs).toBeGreaterThanOrEqual(SERVICE_LIMITS.holdMs);
    expect(quick.rulesBehindMs).toBeLessThan(SERVICE_LIMITS.holdMs + 100);
    // 100 000 readings at 200 µs take 20 s, and came within 10.
    expect(of({ log: true, workers: 2, postgresCores: 2 }, { followUs: 200 }).rulesBehindMs).toBeGreaterThan(14_000);
    expect(of({}).rulesBehindMs).toBe(0);
  });
});

test('the limits are those of the service', () => {
  const source = (path: string) => readFileSync(join(import.meta.dirname, '../../src', path), 'utf8');
  const constant = (path: string, name: string) => {
    const [, value] = new RegExp(`^const ${name} = ([\\d_ *]+);`, 'm').exec(source(path)) ?? [];
    return value?.split('*').reduce((product, factor) => product * Number(factor.replaceAll('_', '')), 1);
  };
  expect({
    maxCommitReadings: constant('pipeline.ts', 'MAX_COMMIT_READINGS'),
    maxWaitingMessages: constant('pipeline.ts', 'MAX_WAITING_MESSAGES'),
    maxWaitingBytes: constant('pipeline.ts', 'MAX_WAITING_BYTES'),
    maxWaitMs: constant('pipeline.ts', 'MAX_WAIT_MS'),
    minAttemptMs: constant('pipeline.ts', 'MIN_ATTEMPT_MS'),
    holdMs: constant('app/rules.ts', 'HOLD_MS'),
  }).toEqual(SERVICE_LIMITS);
});
