import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openPool } from '../../src/store/postgres.ts';
import { PostgresFindings } from '../../src/store/postgres-findings.ts';
import { appendHistory, taskTransaction } from '../../src/store/postgres-task-history.ts';
import {
  type City,
  chief,
  city,
  cleared,
  DAY_MS,
  employ,
  HOUR_MS,
  MINUTE_MS,
  opened,
  outage,
  T0,
  wang,
} from './fixture.ts';

const at = new Date(T0);
let here: City;

beforeAll(async () => {
  here = await city();
});
beforeEach(() => here.clear());
afterAll(() => here.close());

/** Everything the tables hold that must not depend on how often or in which pieces findings were recorded. */
async function kept(of: City): Promise<unknown> {
  return {
    findings: await of.sql(
      'SELECT rule, subject, from_ts, to_ts, severity, task FROM findings ORDER BY subject, rule, from_ts',
    ),
    tasks: await of.sql('SELECT id, subject, cause, kind, severity, state FROM tasks ORDER BY id'),
    history: await of.sql('SELECT task, action, from_state, to_state, params FROM task_history ORDER BY id'),
    steps: await of.sql('SELECT task, step, run_at FROM task_steps ORDER BY task, step'),
  };
}

describe('record', () => {
  it('raises one task with its history and steps', async () => {
    await here.findings.record([opened('silent', 3, T0 - HOUR_MS)], at);
    const { rows } = await here.tasks.list();
    expect(rows).toMatchObject([
      {
        kind: 'repair',
        cause: 'communication',
        instrument: 'M-3',
        district: 'D-1',
        region: '220302',
        severity: 'warning',
        state: 'raised',
        reason: { code: 'silent', params: { key: 3 } },
        createdAt: at,
        dueAt: new Date(T0 + 7 * DAY_MS),
      },
    ]);
    const task = await here.tasks.get(rows[0]!.id);
    expect(task.findings).toMatchObject([
      { rule: 'silent', instrument: 'M-3', from: new Date(T0 - HOUR_MS), to: null, task: task.id },
    ]);
    expect(task.history).toMatchObject([
      { action: 'raised', actor: 'system', from: null, to: 'raised', params: { rule: 'silent' } },
    ]);
    expect(await here.sql('SELECT step, run_at FROM task_steps ORDER BY run_at')).toEqual([
      { step: 'dispatch', run_at: at },
      { step: 'reminder', run_at: new Date(T0 + 20 * HOUR_MS) },
      { step: 'deadline', run_at: new Date(T0 + 24 * HOUR_MS) },
    ]);
  });

  it('raises nothing for a rule without a task, and for findings no rule made', async () => {
    await here.findings.record([opened('clock', 3, T0, 'info'), opened('conflicting-reading', 3, T0, 'info')], at);
    expect((await here.findings.list()).rows).toHaveLength(2);
    expect((await here.tasks.list()).rows).toEqual([]);
  });

  it('raises one task for a district', async () => {
    await here.findings.record([outage('D-2', T0)], at);
    expect((await here.tasks.list()).rows).toMatchObject([{ instrument: null, district: 'D-2', region: '220303' }]);
    expect(await here.findings.open()).toEqual([
      { rule: 'outage', subject: { type: 'district', district: 'D-2' }, fromMs: T0 },
    ]);
  });

  it('lets findings with one cause join one task, which takes the highest severity', async () => {
    await here.findings.record([opened('stopped', 3, T0)], at);
    await here.findings.record([opened('rollback', 3, T0 + MINUTE_MS, 'critical')], at);
    const { rows } = await here.tasks.list();
    expect(rows).toMatchObject([{ cause: 'register', severity: 'critical', reason: { code: 'stopped' } }]);
    const { history, findings, evidence } = await here.tasks.get(rows[0]!.id);
    expect(history.map(({ action }) => action)).toEqual(['raised', 'joined']);
    expect(findings.map(({ rule }) => rule)).toEqual(['rollback', 'stopped']);
    expect(evidence.map(({ rule }) => rule)).toEqual(['stopped', 'rollback']);
  });

  it('never lowers the severity of a task', async () => {
    await here.findings.record([opened('rollback', 3, T0, 'critical')], at);
    await here.findings.record([opened('stopped', 3, T0, 'warning')], at);
    expect((await here.tasks.list()).rows).toMatchObject([{ severity: 'critical' }]);
  });

  it('clears a finding and tells its open task', async () => {
    await here.findings.record([opened('silent', 3, T0)], at);
    await here.findings.record([cleared('silent', 3, T0, T0 + HOUR_MS)], new Date(T0 + HOUR_MS));
    expect((await here.findings.list()).rows).toMatchObject([
      { to: new Date(T0 + HOUR_MS), clearedAt: new Date(T0 + HOUR_MS) },
    ]);
    const [task] = (await here.tasks.list()).rows;
    expect(task).toMatchObject({ state: 'raised', updatedAt: new Date(T0 + HOUR_MS) });
    expect((await here.tasks.get(task!.id)).history.map(({ action }) => action)).toEqual(['raised', 'cleared']);
    expect(await here.findings.open()).toEqual([]);
  });

  it('takes a run of findings of one subject in one call', async () => {
    const run = [
      opened('silent', 3, T0),
      cleared('silent', 3, T0, T0 + MINUTE_MS),
      opened('silent', 3, T0 + HOUR_MS),
      cleared('silent', 3, T0 + HOUR_MS, T0 + HOUR_MS + MINUTE_MS),
      opened('silent', 3, T0 + 2 * HOUR_MS),
    ];
    await here.findings.record(run, at);
    const [task] = (await here.tasks.list()).rows;
    expect((await here.tasks.get(task!.id)).history.map(({ action }) => action)).toEqual([
      'raised',
      'cleared',
      'joined',
      'cleared',
      'joined',
    ]);
    expect(await here.findings.open()).toEqual([
      { rule: 'silent', subject: { type: 'instrument', key: 3 }, fromMs: T0 + 2 * HOUR_MS },
    ]);

    const once = await kept(here);
    await here.findings.record(run, new Date(T0 + DAY_MS));
    expect(await kept(here)).toEqual(once);
  });

  it('keeps the same findings whether they come at once, one by one, or overlapping', async () => {
    const all = [
      opened('silent', 3, T0),
      opened('stopped', 4, T0),
      cleared('silent', 3, T0, T0 + MINUTE_MS),
      opened('rollback', 4, T0 + MINUTE_MS, 'critical'),
      opened('silent', 3, T0 + HOUR_MS),
      cleared('stopped', 4, T0, T0 + HOUR_MS),
    ];
    for (const finding of all) await here.findings.record([finding], at);
    const oneByOne = (await kept(here)) as { findings: unknown; tasks: unknown };
    await using other = await disposableCity();
    await other.findings.record(all.slice(0, 4), at);
    await other.findings.record(all.slice(2), at);
    await other.findings.record(all, at);
    const overlapping = (await kept(other)) as { findings: unknown; tasks: unknown };
    expect(overlapping.findings).toEqual(oneByOne.findings);
    expect(overlapping.tasks).toEqual(oneByOne.tasks);
  });

  it('opens a new task once the old one is closed', async () => {
    await here.findings.record([opened('silent', 3, T0)], at);
    const [first] = (await here.tasks.list()).rows;
    await here.tasks.act(first!.id, 'close', chief, { verdict: 'refuted', note: 'planned work' }, at);
    await here.findings.record([cleared('silent', 3, T0, T0 + MINUTE_MS), opened('silent', 3, T0 + HOUR_MS)], at);
    const { rows } = await here.tasks.list();
    expect(rows.map(({ state }) => state)).toEqual(['raised', 'closed']);
    expect((await here.tasks.get(first!.id)).history.map(({ action }) => action)).toEqual(['raised', 'close']);
  });

  it('does not let a task close over a finding that contradicts its outcome', async () => {
    await employ(here, wang);
    await here.findings.record([opened('stopped', 3, T0)], at);
    const { id } = (await here.tasks.list()).rows[0]!;
    await here.tasks.act(id, 'accept', wang, {}, at);
    await here.tasks.act(id, 'complete', wang, { verdict: 'confirmed' }, at);
    await here.findings.record([cleared('stopped', 3, T0, T0 + 1), opened('stopped', 3, T0 + HOUR_MS)], at);
    await expect(here.tasks.act(id, 'close', chief, {}, at)).rejects.toMatchObject({
      code: 'transition_not_allowed',
      params: { because: 'findings' },
    });
    await here.findings.record([cleared('stopped', 3, T0 + HOUR_MS, T0 + 2 * HOUR_MS)], at);
    expect(await here.tasks.act(id, 'close', chief, {}, at)).toMatchObject({ state: 'closed', verdict: 'confirmed' });
  });

  it('lets a task close over open findings its outcome has taken into account', async () => {
    await employ(here, wang);
    await here.findings.record([opened('stopped', 3, T0), opened('rollback', 3, T0)], at);
    const { id } = (await here.tasks.list()).rows[0]!;
    await here.tasks.act(id, 'accept', wang, {}, at);
    await here.tasks.act(id, 'refute', wang, { note: 'an empty flat' }, at);
    expect(await here.tasks.act(id, 'close', chief, {}, at)).toMatchObject({ state: 'closed', verdict: 'refuted' });
    expect(await here.findings.open()).toHaveLength(2);
  });

  it('refuses a finding of an instrument the ledger does not know', async () => {
    await expect(here.findings.record([opened('silent', 999, T0)], at)).rejects.toMatchObject({
      code: 'unknown_instrument',
      path: 'instrument:999',
    });
  });

  it('takes thousands in one call', async () => {
    const many = Array.from({ length: 1_500 }, (_, i) => [
      opened('silent', (i % 20) + 1, T0 + i * MINUTE_MS),
      cleared('silent', (i % 20) + 1, T0 + i * MINUTE_MS, T0 + i * MINUTE_MS + 1),
    ]).flat();
    await here.findings.record(many, at);
    expect(await here.sql('SELECT count(*)::int AS n FROM findings WHERE to_ts IS NOT NULL')).toEqual([{ n: 1_500 }]);
    expect(await here.sql('SELECT count(*)::int AS n FROM tasks')).toEqual([{ n: 20 }]);
  });
});

describe('racing recorders', () => {
  it('make one open finding per subject and rule and one open task per subject and cause', async () => {
    const rounds = 25;
    const pools = [openPool(here.url, 3), openPool(here.url, 3)];
    const recorders = pools.flatMap((pool) => [1, 2, 3].map(() => new PostgresFindings({ ...here.options, pool })));
    for (let round = 0; round < rounds; round++) {
      const fromMs = T0 + round * HOUR_MS;
      const both = [opened('stopped', 3, fromMs), opened('rollback', 3, fromMs + MINUTE_MS, 'critical')];
      const ended = [
        cleared('stopped', 3, fromMs, fromMs + 1),
        cleared('rollback', 3, fromMs + MINUTE_MS, fromMs + MINUTE_MS + 1),
      ];
      // Each recorder has its own order and its own view of when the condition began.
      await Promise.all(
        recorders.map((recorder, i) =>
          recorder.record(i % 2 === 0 ? both : [...both].reverse().concat(opened('stopped', 3, fromMs + i)), at),
        ),
      );
      const open = await here.findings.open();
      expect(open.map(({ rule }) => rule).sort()).toEqual(['rollback', 'stopped']);
      expect(await here.sql(`SELECT count(*)::int AS n FROM tasks WHERE state <> 'closed'`)).toEqual([{ n: 1 }]);
      const stopped = open.find(({ rule }) => rule === 'stopped')!;
      await Promise.all(
        recorders.map((recorder) =>
          recorder.record([...ended, cleared('stopped', 3, stopped.fromMs, stopped.fromMs + 1)], at),
        ),
      );
      expect(await here.findings.open()).toEqual([]);
      if (round % 5 === 4) {
        const [task] = (await here.tasks.list({ limit: 1 })).rows;
        await here.tasks.act(task!.id, 'close', chief, { verdict: 'confirmed', note: 'next' }, at);
      }
    }
    expect(await here.sql('SELECT count(*)::int AS n FROM tasks')).toEqual([{ n: rounds / 5 }]);
    await Promise.all(pools.map((pool) => pool.end()));
  });

  it('cannot be outwitted by a writer that takes no lock: the tables refuse a second one', async () => {
    await here.findings.record([opened('silent', 3, T0)], at);
    const again = (table: string, columns: string) =>
      here.sql(
        `INSERT INTO ${table} (${columns}) SELECT ${columns.replace('from_ts', `from_ts + interval '1 s'`)} FROM ${table}`,
      );
    await expect(
      again(
        'findings',
        'rule, subject, instrument, district, region, from_ts, severity, reason_code, reason_params, opened_at',
      ),
    ).rejects.toThrow('one_open_finding');
    await expect(
      again(
        'tasks',
        'kind, cause, subject, instrument, district, region, severity, state, reason_code, reason_params, evidence, created_at, updated_at, due_at',
      ),
    ).rejects.toThrow('one_open_task');
  });

  it('write history whose ids grow in commit order: the second waits for the first', async () => {
    await here.findings.record([opened('silent', 1, T0)], at);
    const [task] = (await here.tasks.list()).rows;
    const position = await here.tasks.latestChange();
    let commit: (() => void) | undefined;
    const first = taskTransaction(here.pool, async (client) => {
      const entry = {
        task: task!.id,
        actor: 'first',
        action: 'reminded',
        from: task!.state,
        to: task!.state,
        params: {},
      };
      await appendHistory(client, [entry], at);
      await new Promise<void>((done) => {
        commit = done;
      });
    });
    const second = here.findings.record([opened('silent', 2, T0)], at);
    await expect
      .poll(() =>
        here.sql(`SELECT count(*)::int AS n FROM pg_locks JOIN pg_database d ON d.oid = database
                  WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()`),
      )
      .toEqual([{ n: 1 }]);
    expect(await here.tasks.changesAfter(position, 10)).toEqual([]);
    commit!();
    await Promise.all([first, second]);
    const changes = await here.tasks.changesAfter(position, 10);
    expect(changes.map(({ entry }) => [entry.actor, entry.action])).toEqual([
      ['first', 'reminded'],
      ['system', 'raised'],
    ]);
  });
});

describe('findings', () => {
  it('are listed newest first in pages, by what they are about', async () => {
    await here.findings.record(
      [
        ...Array.from({ length: 7 }, (_, i) => opened('silent', i + 1, T0 + i)),
        opened('stopped', 12, T0),
        outage('D-2', T0),
      ],
      at,
    );
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const { rows, next } = await here.findings.list({ rule: 'silent', limit: 3, cursor });
      seen.push(...rows.map(({ instrument }) => instrument!));
      cursor = next;
    } while (cursor);
    expect(seen).toEqual(['M-7', 'M-6', 'M-5', 'M-4', 'M-3', 'M-2', 'M-1']);
    const about = async (filter: Parameters<PostgresFindings['list']>[0]) =>
      (await here.findings.list(filter)).rows.length;
    expect(await about({ instrument: 'M-12' })).toBe(1);
    expect(await about({ district: 'D-2' })).toBe(2);
    expect(await about({ visibleRegion: '220302' })).toBe(7);
    expect(await about({ open: false })).toBe(0);
    expect(await about({ from: new Date(T0 + 2), to: new Date(T0 + 4) })).toBe(2);
    expect(await here.findings.openByRule()).toEqual(
      new Map([
        ['silent', 7],
        ['stopped', 1],
        ['outage', 1],
      ]),
    );
  });
});

/** A second database for comparison, closed with its scope. */
async function disposableCity(): Promise<City & AsyncDisposable> {
  const other = await city();
  return Object.assign(other, { [Symbol.asyncDispose]: () => other.close() });
}
