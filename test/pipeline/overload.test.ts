import { describe, expect, it, vi } from 'vitest';
import { opened, T0 } from '../tasks/fixture.ts';
import { DEVICE, MAX_PAYLOAD_BYTES, Trial, telemetry } from './fixture.ts';

/** As src/pipeline.ts says. */
const MAX_WAITING_MESSAGES = 100_000;
const MAX_WAITING_BYTES = 256 * 1024 * 1024;
const MAX_UNRECORDED = 1_000;

const trial = new Trial();

describe('too much', () => {
  it('sheds the message after the last one that may wait, at once, and takes new ones when there is room', async () => {
    const release = trial.store.hold();
    const payload = Buffer.from('{}');
    const nothing = { client: 'M-1', topic: DEVICE, payload };
    let accepted = 0;
    for (let i = 0; i < MAX_WAITING_MESSAGES; i++) trial.pipeline.receive(nothing, () => accepted++);
    expect(accepted).toBe(0);
    trial.receive('one too many', telemetry('M-1', 1));
    expect(trial.outcomes()).toEqual(['one too many shed']);
    expect(await trial.expectBalance()).toMatchObject({
      received: MAX_WAITING_MESSAGES + 1,
      rejected: 1,
      inFlight: MAX_WAITING_MESSAGES,
    });
    await trial.store.called;
    trial.receive('room again', telemetry('M-1', 1)); // the first commit has taken some
    trial.reject.failBefore = 0;
    release();
    await trial.settledAll(2);
    expect(accepted).toBe(MAX_WAITING_MESSAGES);
    expect(trial.outcomes()).toEqual(['one too many shed', 'room again accepted']);
    expect(await trial.expectBalance()).toMatchObject({ stored: 1, rejected: MAX_WAITING_MESSAGES + 1, inFlight: 0 });
  });

  it('counts bytes as well as messages', async () => {
    const release = trial.store.hold();
    const payload = Buffer.alloc(MAX_PAYLOAD_BYTES, 'x');
    let accepted = 0;
    for (let i = 0; i < MAX_WAITING_BYTES / MAX_PAYLOAD_BYTES; i++)
      trial.pipeline.receive({ client: 'M-1', topic: DEVICE, payload }, () => accepted++);
    trial.receive('too many bytes', telemetry('M-1', 1));
    expect(trial.outcomes()).toEqual(['too many bytes shed']);
    release();
    await vi.waitFor(() => expect(accepted).toBe(MAX_WAITING_BYTES / MAX_PAYLOAD_BYTES), { timeout: 10_000 });
    trial.receive('room again', telemetry('M-1', 1));
    await trial.settledAll(2);
    expect(trial.outcomes()).toEqual(['too many bytes shed', 'room again accepted']);
  });

  it('counts findings that wait to be recorded', async () => {
    const release = trial.record.hold();
    for (let i = 0; i < MAX_UNRECORDED; i++) trial.pipeline.found([opened('silent', 1, T0)]);
    trial.receive('a', telemetry('M-1', 1));
    expect(trial.outcomes()).toEqual(['a shed']);
    release();
    await trial.pipeline.recorded();
    trial.receive('b', telemetry('M-1', 1));
    await trial.settledAll(2);
    expect(trial.outcomes()).toEqual(['a shed', 'b accepted']);
  });
});
