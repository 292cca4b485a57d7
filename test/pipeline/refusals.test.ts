import { describe, expect, it } from 'vitest';
import { listRejections } from '../../src/store/postgres-rejections.ts';
import { MINUTE_MS, T0 } from '../tasks/fixture.ts';
import { DEVICE, MAX_WAIT_MS, message, Trial } from './fixture.ts';

const trial = new Trial();

describe('what is refused', () => {
  it('is kept with its reason and the beginning of the message, beside the good readings of the same message', async () => {
    const good = { ts: T0, values: { active_import_kwh: 1 } };
    const bad = { ts: T0 + 6 * MINUTE_MS, values: { active_import_kwh: 2 } };
    const long = { ts: T0, values: { active_import_kwh: 'x'.repeat(5_000) } };
    trial.receive('mixed', message('M-1', [good, bad]));
    trial.receive('long', message('M-2', long));
    trial.receive('foreign', message('M-3', 'x', 'not/ours\0'));
    await trial.settledAll(3);
    expect(trial.outcomes()).toEqual(['mixed accepted', 'long accepted', 'foreign accepted']);
    const { rows } = await listRejections(trial.here.pool, { limit: 10 });
    const kept = Object.fromEntries(rows.map((row) => [row.code, row]));
    expect(Object.keys(kept).sort()).toEqual(['future_timestamp', 'not_a_number', 'unknown_topic']);
    expect(kept.future_timestamp).toMatchObject({
      client: 'M-1',
      topic: DEVICE,
      path: '[1].ts',
      atMs: T0,
      readings: 1,
      payload: Buffer.from(JSON.stringify([good, bad])),
    });
    const longPayload = Buffer.from(JSON.stringify(long));
    expect(kept.not_a_number!.payload).toEqual(longPayload.subarray(0, 2048));
    expect(kept.not_a_number!.payloadBytes).toBe(longPayload.length);
    expect(await trial.stored('M-1')).toEqual([100]);
    expect(await trial.expectBalance()).toMatchObject({ received: 4, stored: 1, rejected: 3, inFlight: 0 });
  });

  it('is acknowledged when it is kept and not before', async () => {
    trial.reject.failBefore = 1;
    trial.receive('a', message('M-1', 'not JSON'));
    await trial.settledAll(1);
    expect(trial.reject.calls).toBe(2);
    expect(trial.settled).toEqual([{ name: 'a', outcome: 'accepted', log: 2 }]);
    expect((await listRejections(trial.here.pool, { limit: 10 })).rows).toHaveLength(1);
  });

  it('goes back to its sender when it cannot be kept', async () => {
    trial.reject.failBefore = Number.POSITIVE_INFINITY;
    trial.receive('a', message('M-1', [{ ts: T0, values: { active_import_kwh: 1 } }, 1]));
    await trial.reject.called;
    trial.nowMs += MAX_WAIT_MS;
    await trial.settledAll(1);
    expect(trial.outcomes()).toEqual(['a shed']);
    expect(trial.evaluated).toHaveLength(1); // what is stored goes through the rules
    expect(await trial.expectBalance()).toMatchObject({ received: 2, rejected: 2, inFlight: 0 });
  });
});
