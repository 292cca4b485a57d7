import { afterEach, expect, it } from 'vitest';
import { openThreads, type Threads, type ThreadsOptions } from '../src/threads.ts';
import type { Order } from './support/answering-thread.ts';

let threads: Threads<Order, string | number>;
afterEach(() => threads.stop());

function open(options: Partial<ThreadsOptions> = {}): void {
  threads = openThreads({
    file: new URL('./support/answering-thread.ts', import.meta.url),
    count: 1,
    workerData: 'thread',
    ...options,
  });
}

it('take orders in turn, and stay', async () => {
  open();
  const names = await Promise.all([threads.run('name'), threads.run('name'), threads.run('name')]);
  expect(names[0]).toMatch(/^thread-\d+$/);
  expect(new Set(names).size).toBe(1);
});

it('are no more than asked for', async () => {
  open({ count: 2 });
  const names = await Promise.all(Array.from({ length: 6 }, () => threads.run('name')));
  expect(new Set(names).size).toBeLessThanOrEqual(2);
});

it('are handed arrays, which are empty afterwards', async () => {
  open();
  const sum = Float64Array.of(1, 2, 3);
  expect(await threads.run({ sum }, [sum.buffer])).toBe(6);
  expect(sum).toHaveLength(0);
  await expect(threads.run({ sum }, [sum.buffer])).rejects.toThrow();
  expect(await threads.run('name')).toMatch(/^thread/);
});

it('tell what failed, and outlive it', async () => {
  open();
  const before = await threads.run('name');
  await expect(threads.run('fail')).rejects.toThrow(new RangeError('too far'));
  expect(await threads.run('name')).toBe(before);
});

it('that end in the middle are followed by others', async () => {
  open();
  const before = await threads.run('name');
  const [ended, after] = await Promise.allSettled([threads.run('exit'), threads.run('name')]);
  expect(ended).toMatchObject({ status: 'rejected', reason: { message: 'the thread ended with 3' } });
  expect(after).toMatchObject({ status: 'fulfilled' });
  expect(after).not.toMatchObject({ value: before });
});

it('that take too long are given up', async () => {
  open({ timeoutMs: 3_000 });
  const before = await threads.run('name');
  const [hung, after] = await Promise.allSettled([threads.run('hang'), threads.run('name')]);
  expect(hung).toMatchObject({ status: 'rejected', reason: { message: 'no answer within 3000 ms' } });
  expect(after).toMatchObject({ status: 'fulfilled' });
  expect(after).not.toMatchObject({ value: before });
});

it('go when they are idle, and come again', async () => {
  open({ idleMs: 1 });
  const before = await threads.run('name');
  await expect.poll(() => threads.run('name'), { interval: 50, timeout: 20_000 }).not.toBe(before);
});

it('stopped, leave nobody waiting', async () => {
  open();
  const waiting = Promise.allSettled([threads.run('hang'), threads.run('name')]);
  await threads.stop();
  for (const result of await waiting)
    expect(result).toMatchObject({ status: 'rejected', reason: { message: 'stopped' } });
  await expect(threads.run('name')).rejects.toThrow('stopped');
});
