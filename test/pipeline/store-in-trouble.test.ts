import { describe, expect, it, vi } from 'vitest';
import type { Reading } from '../../src/fleet/reading.ts';
import { listRejections } from '../../src/store/postgres-rejections.ts';
import { MINUTE_MS, T0 } from '../tasks/fixture.ts';
import { MAX_WAIT_MS, message, Trial, telemetry } from './fixture.ts';

const trial = new Trial();

describe('a store in trouble', () => {
  it('is tried again, and nothing is acknowledged before', async () => {
    trial.store.failBefore = 2;
    const third = trial.store.called.then(() => trial.store.called).then(() => trial.store.called);
    const release = trial.store.hold();
    trial.receive('a', telemetry('M-1', 1));
    trial.receive('b', message('M-2', 'not JSON'));
    release();
    await third;
    expect(trial.settled).toEqual([]);
    expect(trial.reject.calls).toBe(0);
    await trial.settledAll(2);
    expect(trial.outcomes()).toEqual(['a accepted', 'b accepted']);
    expect(trial.errors).toEqual(['store: out of order', 'store: out of order']);
    expect(await trial.stored('M-1')).toEqual([1]);
    expect(trial.evaluated).toHaveLength(1);
  });

  it('whose answer got lost is asked again, which stores nothing twice and leaves nothing unjudged', async () => {
    trial.store.failAfter = 1;
    trial.receive('a', telemetry('M-1', 1));
    await trial.settledAll(1);
    expect(trial.outcomes()).toEqual(['a accepted']);
    expect(await trial.stored('M-1')).toEqual([1]);
    expect(trial.evaluated).toHaveLength(1);
    expect(await trial.expectBalance()).toMatchObject({ received: 1, stored: 0, duplicate: 1, inFlight: 0 });
  });

  it('that stays down makes messages go back to their senders when they have waited long enough', async () => {
    trial.store.failBefore = Number.POSITIVE_INFINITY;
    trial.receive('a', telemetry('M-1', 1));
    await trial.store.called;
    trial.receive('b', telemetry('M-2', 1));
    trial.nowMs += MAX_WAIT_MS - 1;
    await trial.store.called;
    expect(trial.settled).toEqual([]);
    expect(trial.pipeline.stalledMs).toBe(MAX_WAIT_MS - 1);
    trial.nowMs += 1;
    await trial.settledAll(2);
    expect(trial.outcomes()).toEqual(['a shed', 'b shed']);
    expect(trial.errors.filter((error) => error.startsWith('commit'))).toEqual([
      'commit: out of order',
      'commit: out of order',
    ]);
    expect(await trial.expectBalance()).toMatchObject({ received: 2, stored: 0, rejected: 2, inFlight: 0 });
    expect(trial.pipeline.stalledMs).toBe(0);

    trial.store.failBefore = 0;
    trial.receive('a again', telemetry('M-1', 1));
    await trial.settledAll(3);
    expect(trial.outcomes().at(-1)).toBe('a again accepted');
    expect(await trial.expectBalance()).toMatchObject({ received: 3, stored: 1, rejected: 2 });
  });

  it('that does not answer at all holds no message for ever', async () => {
    const release = trial.store.hold();
    trial.receive('a', telemetry('M-1', 1));
    trial.nowMs += MAX_WAIT_MS; // it has waited long already: one attempt of two seconds is left to it
    await trial.settledAll(1);
    expect(trial.outcomes()).toEqual(['a shed']);
    expect(trial.errors).toEqual(['commit: no answer within 2000 ms']);

    // Stored in the end, it goes through the rules although its sender will send it again.
    release();
    await vi.waitFor(() => expect(trial.evaluated).toHaveLength(1));
    trial.receive('a again', telemetry('M-1', 1));
    await trial.settledAll(2);
    expect(trial.outcomes()).toEqual(['a shed', 'a again accepted']);
    expect(await trial.expectBalance()).toMatchObject({ received: 2, duplicate: 1, rejected: 1, inFlight: 0 });
  });

  it('gives a message that waited too long behind others one attempt all the same', async () => {
    const release = trial.store.hold();
    trial.receive('a', telemetry('M-1', 1));
    await trial.store.called;
    trial.receive('b', telemetry('M-2', 1));
    trial.nowMs += 2 * MAX_WAIT_MS;
    release();
    await trial.settledAll(2);
    expect(trial.outcomes()).toEqual(['a accepted', 'b accepted']);
  });
});

describe('readings that the store does not take', () => {
  const MINE = (reading: Reading) => (reading.values[0]! >= 1000 ? 'a field of another type' : undefined);

  it('are put on record and acknowledged, and go through no rule; the others are stored', async () => {
    trial.unstorable = MINE;
    trial.receive('a', telemetry('M-1', 1));
    trial.receive('b', telemetry('M-1', 2, 1000));
    trial.receive('c', telemetry('M-2', 2, 1000));
    trial.receive('d', telemetry('M-2', 2, 1000)); // the same once more
    await trial.settledAll(4);
    expect(trial.outcomes()).toEqual(['a accepted', 'b accepted', 'c accepted', 'd accepted']);
    expect(await trial.stored('M-1')).toEqual([1]);
    expect(await trial.stored('M-2')).toEqual([]);
    expect(trial.evaluated.flat().map(({ values }) => values[0])).toEqual([100.1]);
    expect(await trial.expectBalance()).toEqual({ received: 4, stored: 1, duplicate: 0, rejected: 3, inFlight: 0 });
    const { rows } = await listRejections(trial.here.pool, { limit: 10 });
    const ts = new Date(T0 - 98 * MINUTE_MS).toISOString();
    expect(rows.map(({ client, code, params, readings }) => ({ client, code, params, readings })).reverse()).toEqual(
      ['M-1', 'M-2', 'M-2'].map((instrument) => ({
        client: instrument,
        code: 'not_stored',
        params: { instrument, ts, reason: 'a field of another type' },
        readings: 1,
      })),
    );
  });

  it('are counted together beyond a hundred of one message, and refused again when it is sent again', async () => {
    trial.unstorable = MINE;
    const many = Array.from({ length: 250 }, (_, i) => ({
      ts: T0 - 1000 - i,
      values: { active_import_kwh: i % 2 ? 1000 : 1 },
    }));
    trial.reject.failBefore = 1;
    trial.receive('a', message('M-1', many));
    await trial.settledAll(1);
    trial.receive('b', message('M-1', many));
    await trial.settledAll(2);
    expect(trial.outcomes()).toEqual(['a accepted', 'b accepted']);
    const { rows } = await listRejections(trial.here.pool, { limit: 500 });
    expect(rows).toHaveLength(200);
    expect(rows.reduce((sum, { readings }) => sum + readings, 0)).toBe(250);
    expect(await trial.expectBalance()).toEqual({
      received: 500,
      stored: 125,
      duplicate: 125,
      rejected: 250,
      inFlight: 0,
    });
  });
});
