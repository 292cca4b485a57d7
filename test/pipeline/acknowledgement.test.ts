import { describe, expect, it } from 'vitest';
import { Random } from '../../simulators/random.ts';
import { opened, T0 } from '../tasks/fixture.ts';
import { message, Trial, telemetry } from './fixture.ts';

const trial = new Trial();

describe('acknowledgement', () => {
  it('waits for the store, and what arrives meanwhile shares the next commit', async () => {
    const release = trial.store.hold();
    trial.receive('a', telemetry('M-1', 1));
    trial.receive('b', telemetry('M-2', 1));
    await trial.store.called;
    trial.receive('c', telemetry('M-1', 2));
    trial.receive('d', telemetry('M-2', 2));
    expect(await trial.stored('M-1')).toEqual([]);
    expect(trial.settled).toEqual([]);
    expect(trial.evaluated).toEqual([]);
    expect(await trial.expectBalance()).toMatchObject({ received: 4, inFlight: 4 });

    release();
    await trial.settledAll(4);
    expect(trial.outcomes()).toEqual(['a accepted', 'b accepted', 'c accepted', 'd accepted']);
    expect(trial.store.calls).toBe(2);
    expect(await trial.stored('M-1')).toEqual([1, 2]);
    expect(trial.evaluated.map((batch) => batch.length)).toEqual([2, 2]);
    expect(await trial.expectBalance()).toMatchObject({ received: 4, stored: 4, inFlight: 0 });
  });

  it('comes after every part of its own commit', async () => {
    trial.receive('a', telemetry('M-1', 1, 100));
    await trial.settledAll(1);
    trial.receive('b', message('M-1', 'not JSON'));
    trial.receive('c', telemetry('M-1', 1, 200)); // contradicts a
    await trial.settledAll(3);
    expect(trial.log).toEqual(['stored', 'stored', 'rejected', 'recorded']);
    expect(trial.settled.map(({ log }) => log)).toEqual([1, 4, 4]);
  });

  it('comes once for every message in order of receipt, whatever becomes of it', async () => {
    const seed = Number(process.env.SEED ?? 1);
    console.log(`seed ${seed}`);
    const random = new Random(seed);
    const expected: string[] = [];
    const counts = { stored: 0, duplicate: 0, rejected: 0 };
    let minute = 0;
    for (let i = 0; i < 300; i++) {
      const client = `M-${1 + random.below(20)}`;
      const kind = random.below(4);
      if (kind === 0) {
        trial.receive(`${i}`, message(client, '{"ts": '));
        counts.rejected++;
      } else if (kind === 1) {
        trial.receive(`${i}`, message('M-1', { ts: T0, values: { voltage_v: 230 } })); // the same again and again
        counts.duplicate++;
      } else {
        trial.receive(`${i}`, telemetry(client, minute++ / 60));
        counts.stored++;
      }
      expected.push(`${i} accepted`);
      if (random.below(15) === 0) trial.store.failBefore = 1;
      if (random.below(3) === 0) await new Promise(setImmediate);
      if (random.below(20) === 0) await trial.expectBalance();
      if (random.below(25) === 0) await trial.settledAll(i + 1);
    }
    await trial.settledAll(300);
    expect(trial.outcomes(), `seed ${seed}`).toEqual(expected);
    expect(await trial.expectBalance()).toEqual({
      received: 300,
      stored: counts.stored + 1,
      duplicate: counts.duplicate - 1,
      rejected: counts.rejected,
      inFlight: 0,
    });
    expect((await trial.here.pool.query('SELECT 1 FROM readings')).rowCount).toBe(counts.stored + 1);
  });
});

describe('stop', () => {
  it('stores and acknowledges what waits, records what was found, and refuses what still comes', async () => {
    trial.evaluate = (readings) => readings.map(({ key, tsMs }) => opened('silent', key, tsMs));
    const release = trial.store.hold();
    trial.receive('a', telemetry('M-1', 1));
    await trial.store.called;
    trial.receive('b', telemetry('M-2', 1));
    let stopped = false;
    const stopping = trial.pipeline.stop().then(() => {
      stopped = true;
    });
    trial.receive('c', telemetry('M-3', 1));
    expect(trial.outcomes()).toEqual(['c shed']);
    expect(stopped).toBe(false);
    const recording = trial.record.called;
    const recorded = trial.record.hold();
    release();
    await trial.settledAll(3);
    expect(trial.outcomes()).toEqual(['c shed', 'a accepted', 'b accepted']);
    await recording;
    expect(stopped).toBe(false);
    recorded();
    await stopping;
    const { rows } = await trial.here.findings.list({ limit: 10 });
    expect(rows.map(({ instrument }) => instrument).sort()).toEqual(['M-1', 'M-2']);
    await trial.pipeline.stop();
  });
});
