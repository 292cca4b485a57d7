/** The steps of tasks woken by BullMQ on Redis, which forgets everything when it is restarted. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { freePort } from '../../simulators/service.ts';
import { PostgresFindings } from '../../src/store/postgres-findings.ts';
import { PostgresTaskSteps, REARM_AFTER_MS } from '../../src/store/postgres-task-steps.ts';
import { TaskQueue } from '../../src/tasks/bullmq.ts';
import { parseTaskPolicies } from '../../src/tasks/policy.ts';
import { type City, city, employ, opened, POLICIES, T0, wang } from '../tasks/fixture.ts';

const REQUIRED = process.env.METERWARDEN_REQUIRE_PRODUCTS === '1';
const BINARY = [...(process.env.PATH ?? '').split(':'), '/usr/bin', '/usr/local/bin']
  .map((dir) => join(dir, 'redis-server'))
  .find((file) => existsSync(file));
/** Redis keeps the machine's time, so these deadlines are ones that a test can await. */
const QUICK = { accept_within: '2s', remind_before: '1s', done_within: '7d' };
const SHORT = parseTaskPolicies({ repair: QUICK, 'verify-on-site': QUICK, replace: QUICK, 'spot-check': QUICK });
const POLL = { timeout: 20_000, interval: 20 };
/** Of TaskQueue.stop, and some time for the machine. */
const STOP_WITHIN_MS = 9_000;

describe.skipIf(BINARY === undefined && !REQUIRED)('TaskQueue on Redis', () => {
  let redis: ChildProcess | undefined;
  let port: number;
  let here: City;
  let queue: TaskQueue;
  let errors: string[];
  /** What the test adds to the machine's time. */
  let aheadMs: number;
  /** Called when a sweep has found steps to tell the queue of. */
  let swept: () => void;
  const nowMs = () => Date.now() + aheadMs;

  async function startRedis(): Promise<void> {
    const settings = { port, bind: '127.0.0.1', save: '', appendonly: 'no', 'maxmemory-policy': 'noeviction' };
    const flags = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
    redis = spawn(BINARY!, flags, { cwd: tmpdir(), stdio: 'ignore' });
    await expect.poll(answers, POLL).toBe(true);
  }

  async function killRedis(): Promise<void> {
    const child = redis;
    redis = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }

  function answers(): Promise<boolean> {
    return new Promise((done) => {
      const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'));
      socket.once('data', (chunk) => {
        socket.destroy();
        done(chunk.toString().startsWith('+PONG'));
      });
      socket.once('error', () => done(false));
    });
  }

  beforeAll(async () => {
    if (BINARY === undefined) throw new Error('no redis-server on PATH');
    port = await freePort();
  });
  afterAll(killRedis);

  beforeEach(async () => {
    await startRedis();
    here = await city();
    await employ(here, wang);
    errors = [];
    aheadMs = 0;
    swept = () => {};
  });
  afterEach(async () => {
    await queue?.stop();
    await killRedis();
    await here?.close();
  });

  async function startQueue(policies = SHORT): Promise<void> {
    const steps = new PostgresTaskSteps(here.pool, policies);
    queue = new TaskQueue({
      backend: { product: 'redis', url: `redis://127.0.0.1:${port}` },
      steps: {
        waiting: async (at, limit) => {
          const waiting = await steps.waiting(at, limit);
          if (waiting.length > 0) swept();
          return waiting;
        },
        armed: (armed, at) => steps.armed(armed, at),
        run: (task, step, at) => steps.run(task, step, at),
      },
      nowMs,
      onError: (error) => errors.push(String(error)),
    });
    await queue.start();
  }

  async function raise(policies = SHORT): Promise<string> {
    const findings = new PostgresFindings({ ...here.options, policies });
    await findings.record([opened('silent', 3, T0)], new Date(nowMs()));
    return (await here.tasks.list({ limit: 1 })).rows[0]!.id;
  }

  async function happened(id: string): Promise<string[]> {
    return (await here.tasks.get(id)).history.map(({ action }) => action);
  }

  it('assigns a task, reminds, and escalates it once when nobody accepts it', async () => {
    await startQueue();
    const id = await raise();
    queue.wake();
    await expect.poll(() => happened(id), POLL).toEqual(['raised', 'assign', 'reminded', 'escalated']);
    const { escalatedAt, createdAt } = await here.tasks.get(id);
    expect(escalatedAt!.getTime()).toBeGreaterThanOrEqual(createdAt.getTime() + 2_000);
    await expect.poll(() => queue.depths(), POLL).toEqual({ waiting: 0, active: 0, delayed: 0, failed: 0 });
    aheadMs = 2 * REARM_AFTER_MS;
    expect(await queue.sweep()).toBe(0);
    expect(await happened(id)).toEqual(['raised', 'assign', 'reminded', 'escalated']);
    expect(errors).toEqual([]);
  });

  it('does not escalate what is accepted in time', async () => {
    await startQueue();
    const id = await raise();
    queue.wake();
    await expect.poll(() => happened(id), POLL).toContain('assign');
    await here.tasks.act(id, 'accept', wang, {}, new Date(nowMs()));
    // Both moments pass, and both steps are done with nothing to do.
    const open = () => here.sql('SELECT step FROM task_steps WHERE done_at IS NULL');
    await expect.poll(open, POLL).toEqual([]);
    expect(await happened(id)).toEqual(['raised', 'assign', 'accept']);
    expect((await here.tasks.get(id)).escalatedAt).toBeNull();
  });

  it('loses no deadline when Redis is killed and comes back empty', async () => {
    await startQueue(POLICIES);
    const id = await raise(POLICIES);
    queue.wake();
    await expect.poll(() => happened(id), POLL).toEqual(['raised', 'assign']);
    await expect.poll(async () => (await queue.depths()).delayed, POLL).toBe(2);
    await killRedis();
    await startRedis();
    await expect.poll(async () => (await queue.depths()).delayed, POLL).toBe(0);

    aheadMs = 25 * 3_600_000;
    await expect
      .poll(async () => (await happened(id)).toSorted(), POLL)
      .toEqual(['assign', 'escalated', 'raised', 'reminded']);
    await expect.poll(() => queue.depths(), POLL).toEqual({ waiting: 0, active: 0, delayed: 0, failed: 0 });
    aheadMs += 2 * REARM_AFTER_MS;
    await queue.sweep();
    expect((await happened(id)).filter((action) => action === 'escalated')).toHaveLength(1);
  });

  it('stops although Redis is gone', async () => {
    await startQueue();
    await killRedis();
    await raise();
    const { promise, resolve } = Promise.withResolvers<void>();
    swept = resolve;
    queue.wake();
    await promise; // from here on the queue waits for Redis
    const startedMs = performance.now();
    await queue.stop();
    expect(performance.now() - startedMs).toBeLessThan(STOP_WITHIN_MS);
  });
});
