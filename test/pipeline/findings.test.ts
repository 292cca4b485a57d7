import { describe, expect, it } from 'vitest';
import { MINUTE_MS, opened, T0 } from '../tasks/fixture.ts';
import { Trial, telemetry } from './fixture.ts';

const trial = new Trial();

describe('findings', () => {
  it('of a contradiction are kept before the message is acknowledged', async () => {
    trial.receive('a', telemetry('M-1', 1, 100));
    await trial.settledAll(1);
    trial.record.failBefore = 1;
    trial.receive('b', telemetry('M-1', 1, 200));
    trial.receive('c', telemetry('M-1', 1, 100));
    await trial.settledAll(3);
    expect(trial.record.calls).toBe(2);
    expect(trial.log.at(-1)).toBe('recorded');
    expect(trial.settled.slice(1).map(({ log }) => log)).toEqual([3, 3]);
    const { rows } = await trial.here.findings.list({ limit: 10 });
    expect(rows).toMatchObject([{ rule: 'conflicting-reading', instrument: 'M-1', to: new Date(T0 - 99 * MINUTE_MS) }]);
    expect(rows[0]!.reason.params).toEqual({ kept: 'active_import_kwh 100', refused: 'active_import_kwh 200' });
    expect(await trial.expectBalance()).toMatchObject({
      received: 3,
      stored: 1,
      duplicate: 1,
      rejected: 1,
      inFlight: 0,
    });
  });

  it('of the rules are recorded in order, without holding the acknowledgement up', async () => {
    trial.evaluate = (readings) => readings.map(({ key, tsMs }) => opened('silent', key, tsMs));
    const release = trial.record.hold();
    trial.receive('a', telemetry('M-1', 1));
    trial.receive('b', telemetry('M-2', 1));
    await trial.settledAll(2);
    expect(trial.outcomes()).toEqual(['a accepted', 'b accepted']);
    expect((await trial.here.findings.list({ limit: 10 })).rows).toEqual([]);
    trial.pipeline.found([opened('rollback', 3, T0)]);
    trial.pipeline.found([]);
    release();
    await trial.pipeline.recorded();
    expect(trial.record.calls).toBe(2);
    const { rows } = await trial.here.findings.list({ limit: 10 });
    expect(rows.map(({ rule, instrument }) => `${rule} ${instrument}`).sort()).toEqual([
      'rollback M-3',
      'silent M-1',
      'silent M-2',
    ]);
  });

  it('are recorded although the database fails now and then', async () => {
    trial.record.failBefore = 2;
    trial.pipeline.found([opened('silent', 1, T0)]);
    await trial.pipeline.recorded();
    expect(trial.record.calls).toBe(3);
    expect(trial.errors).toEqual(['record: out of order', 'record: out of order']);
    expect((await trial.here.findings.list({ limit: 10 })).rows).toHaveLength(1);
  });

  it('do not hold the acknowledgement up when the rules throw', async () => {
    trial.evaluate = () => {
      throw new Error('a defect in a rule');
    };
    trial.receive('a', telemetry('M-1', 1));
    await trial.settledAll(1);
    expect(trial.outcomes()).toEqual(['a accepted']);
    expect(trial.errors).toEqual(['rules: a defect in a rule']);
    expect(await trial.stored('M-1')).toEqual([1]);

    trial.evaluate = (readings) => readings.map(({ key, tsMs }) => opened('silent', key, tsMs));
    trial.receive('b', telemetry('M-1', 2));
    await trial.settledAll(2);
    await trial.pipeline.recorded();
    expect((await trial.here.findings.list({ limit: 10 })).rows).toHaveLength(1);
  });
});
