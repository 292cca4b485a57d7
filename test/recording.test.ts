import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Finding } from '../src/fleet/finding.ts';
import { Recording } from '../src/recording.ts';
import { opened, T0 } from './tasks/fixture.ts';

describe('findings that the database does not take', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
  afterEach(() => void vi.useRealTimers());

  let errors: string[];
  function recording(record: (findings: readonly Finding[]) => Promise<void>): Recording {
    errors = [];
    return new Recording({ record, onError: (stage) => errors.push(stage) });
  }

  it('are given up when it refuses them, so that the others can follow', async () => {
    const recorded: string[] = [];
    const one = recording(async (findings) => {
      if (findings.some(({ rule }) => rule === 'impossible'))
        throw Object.assign(new Error('refused'), { code: '23503' });
      recorded.push(...findings.map(({ rule }) => rule));
    });
    one.found([opened('first', 1, T0), opened('impossible', 1, T0), opened('second', 1, T0)]);
    one.found([opened('third', 1, T0)]);
    const done = one.recorded();
    await vi.advanceTimersByTimeAsync(60_000);
    await done;
    expect(recorded).toEqual(['first', 'second', 'third']);
    expect(errors.filter((stage) => stage === 'finding given up')).toHaveLength(1);
  });

  it('are tried for ever when it is only out of order, and found again at the next start when that comes first', async () => {
    let tries = 0;
    const one = recording(async () => {
      tries++;
      throw Object.assign(new Error('the server is starting up'), { code: '57P03' });
    });
    one.found([opened('silent', 1, T0)]);
    await vi.advanceTimersByTimeAsync(60_000);
    const before = tries;
    expect(before).toBeGreaterThan(50);
    expect(errors).not.toContain('finding given up');
    const stopped = one.stop();
    await vi.advanceTimersByTimeAsync(10_000);
    await stopped;
    expect(tries).toBeLessThan(before + 3);
    await expect(one.recorded()).rejects.toThrow(/found again/);
  });
});
