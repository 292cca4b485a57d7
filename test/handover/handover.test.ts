/** What a platform was given, read back by DuckDB and held against what PostgreSQL holds. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type HandoverSettings, runHandover } from '../../src/app/handover.ts';
import { loadDomain } from '../../src/config.ts';
import { QUANTITIES } from '../../src/fleet/quantity.ts';
import { allDatasets } from '../../src/handover/datasets.ts';
import { type Manifest, parseManifest } from '../../src/handover/manifest.ts';
import type { HandoverOptions, HandoverProgress, HandoverSummary } from '../../src/handover/run.ts';
import { type City, chief, city, cleared, employ, opened, outage, wang } from '../tasks/fixture.ts';
import {
  ask,
  DAY,
  filesOf,
  HOUR,
  ledger,
  MINUTE,
  MORNING,
  parquetOf,
  placesOf,
  reading,
  receive,
  removeFolders,
  settingsFor,
  T0,
  temporaryFolder,
} from './fixture.ts';

let town: City;
let to: string;
beforeEach(async () => {
  town = await city();
  to = temporaryFolder();
});
afterEach(() => town.close());
afterAll(removeFolders);

interface Run extends HandoverSummary {
  /** `readings 2026-03-01` of what was exported, in that order. */
  readonly days: readonly string[];
}

async function handOver(
  nowMs: number,
  options: HandoverOptions = {},
  more: Partial<HandoverSettings> = {},
): Promise<Run> {
  const days: string[] = [];
  const onProgress = ({ dataset, day, done }: HandoverProgress) => {
    if (done) days.push(`${dataset} ${day}`);
  };
  const settings = { ...settingsFor(town, to), ...more };
  const summary = await runHandover(settings, options, {
    signal: new AbortController().signal,
    nowMs: () => nowMs,
    onProgress,
  });
  return { ...summary, days };
}

/** Hourly readings of every instrument, received as they were measured. */
async function history(keys: readonly number[], hours = 72): Promise<void> {
  for (let hour = 0; hour < hours; hour++) {
    const tsMs = T0 + hour * HOUR;
    await receive(
      town,
      tsMs + MINUTE,
      keys.map((key) => reading(key, tsMs)),
    );
  }
}

function manifest(dataset: string, day: string): Manifest {
  const path = `_manifest/${dataset}/${day}.json`;
  return parseManifest(path, readFileSync(join(to, path), 'utf8'));
}

const columnsOf = (name: string) => allDatasets(loadDomain().kinds).find((one) => one.name === name)!.columns;

/** Rows of a dataset as its readers see them, times in epoch ms. */
async function given(name: string, order: string) {
  const selected = columnsOf(name).map(({ name: column, type }) =>
    type === 'TIMESTAMP' || type === 'BIGINT'
      ? `${type === 'TIMESTAMP' ? `epoch_ms("${column}")` : `"${column}"`}::DOUBLE AS "${column}"`
      : `"${column}"`,
  );
  return ask(
    `SELECT day, region, ${selected.join(', ')}
     FROM read_parquet('${to}/${name}/*/*/*.parquet', hive_partitioning = true, hive_types = {day: VARCHAR, region: VARCHAR})
     ORDER BY ${order}`,
  );
}

const LOCAL_DAY = (column: string) => `to_char(${column} AT TIME ZONE 'Asia/Shanghai', 'YYYY-MM-DD') AS day`;
const EPOCH_MS = (column: string) => `(extract(epoch FROM ${column}) * 1000)::float8 AS ${column.replace(/.*\./, '')}`;

async function storedReadings() {
  return town.sql<object>(
    `SELECT ${LOCAL_DAY('r.ts')}, nullif(i.region, '') AS region, i.id AS instrument, i.kind, i.role, i.district, ${EPOCH_MS('r.ts')},
       ${QUANTITIES.join(', ')}
     FROM readings r JOIN instruments i ON i.key = r.instrument ORDER BY i.id, r.ts`,
  );
}

describe('what is handed over', () => {
  it('are the readings as they are stored, by local day and region', async () => {
    await ledger(town, [{ id: 'W-1', region: '' }]);
    await history([1, 2, 11, 21]);
    const { rows, files } = await handOver(MORNING);
    const stored = await storedReadings();
    expect(stored).toHaveLength(4 * 72);
    expect(await given('readings', 'instrument, ts')).toEqual(stored);
    expect({ rows, files }).toEqual({ rows: 4 * 72, files: 9 });
    expect([...parquetOf(to).keys()]).toContain(
      'readings/day=2026-03-03/region=__HIVE_DEFAULT_PARTITION__/part-0.parquet',
    );
  });

  it('are sorted by district, instrument and time', async () => {
    await history(
      Array.from({ length: 20 }, (_, i) => 20 - i),
      24,
    );
    await handOver(MORNING);
    for (const region of ['220302', '220303']) {
      const [answer] = await ask(
        `SELECT count(*)::INT AS rows, bool_and(before IS NULL OR before < this) AS sorted FROM (
           SELECT (district, instrument, ts) AS this, lag((district, instrument, ts)) OVER (ORDER BY file_row_number) AS before
           FROM read_parquet('${to}/readings/day=2026-03-01/region=${region}/part-0.parquet', file_row_number = true))`,
      );
      expect(answer).toEqual({ rows: 240, sorted: true });
    }
  });

  it('are findings and tasks as they stand, without names of people', async () => {
    await employ(town, chief, wang);
    const { findings, tasks, steps } = town;
    const at = new Date(T0 + 8 * HOUR);
    await findings.record(
      [opened('silent', 1, T0 + 2 * HOUR), opened('rollback', 12, T0 + DAY + 1), outage('D-1', T0 + 3 * HOUR)],
      at,
    );
    await findings.record([cleared('silent', 1, T0 + 2 * HOUR, T0 + 30 * HOUR)], new Date(T0 + 31 * HOUR));
    const { rows: items } = await tasks.list();
    const repair = items.find(({ instrument }) => instrument === 'M-1')!;
    await steps.run(repair.id, 'dispatch', at);
    await tasks.act(repair.id, 'accept', wang, {}, new Date(T0 + 32 * HOUR));
    await tasks.act(
      repair.id,
      'complete',
      wang,
      { verdict: 'confirmed', note: 'a private word' },
      new Date(T0 + 33 * HOUR),
    );
    await handOver(MORNING);

    const storedFindings = await town.sql(
      `SELECT ${LOCAL_DAY('from_ts')}, f.region, f.id::float8 AS id, rule,
         CASE WHEN instrument IS NULL THEN 'district' ELSE 'instrument' END AS subject, i.id AS instrument, f.district, severity,
         reason_code, reason_params::text AS reason_params, ${EPOCH_MS('from_ts')}, ${EPOCH_MS('to_ts')}, task::float8 AS task,
         ${EPOCH_MS('opened_at')}, ${EPOCH_MS('cleared_at')}
       FROM findings f LEFT JOIN instruments i ON i.key = f.instrument ORDER BY f.id`,
    );
    expect(storedFindings).toHaveLength(3);
    expect(await given('findings', 'id')).toEqual(storedFindings);
    const storedTasks = await town.sql(
      `SELECT ${LOCAL_DAY('t.created_at')}, t.region, t.id::float8 AS id, t.kind, cause,
         CASE WHEN instrument IS NULL THEN 'district' ELSE 'instrument' END AS subject, i.id AS instrument, t.district, severity, t.state,
         verdict, reason_code, reason_params::text AS reason_params, ${EPOCH_MS('t.created_at')}, ${EPOCH_MS('t.updated_at')},
         ${EPOCH_MS('due_at')}, ${EPOCH_MS('escalated_at')}
       FROM tasks t LEFT JOIN instruments i ON i.key = t.instrument ORDER BY t.id`,
    );
    expect(storedTasks.length).toBeGreaterThan(1);
    expect(await given('tasks', 'id')).toEqual(storedTasks);
    for (const path of parquetOf(to).keys())
      expect(readFileSync(join(to, path)).toString('latin1')).not.toMatch(/wang|chief|private/);
  });

  it('is listed with what each file holds', async () => {
    await history([1, 11]);
    await handOver(MORNING);
    const { from, to: until, zone, partitions } = manifest('readings', '2026-03-02');
    expect({ from, until, zone }).toEqual({ from: T0 + DAY, until: T0 + 2 * DAY, zone: 'Asia/Shanghai' });
    expect(partitions.map(({ region }) => region)).toEqual(['220302', '220303']);
    const files = filesOf(to);
    for (const { path, rows, bytes, sha256, schemaVersion } of partitions) {
      expect(files.get(path)).toBe(sha256);
      expect(readFileSync(join(to, path))).toHaveLength(bytes);
      expect({ rows, schemaVersion }).toEqual({ rows: 24, schemaVersion: 1 });
    }
    expect(Object.keys(JSON.parse(readFileSync(join(to, '_manifest/schema.json'), 'utf8')).datasets)).toHaveLength(4);
    expect(existsSync(join(to, '_meterwarden_tmp'))).toBe(false);
  });
});

describe('a day is due', () => {
  it('when it has closed, and then not again', async () => {
    await history([1, 11]);
    expect((await handOver(T0 + DAY + 4 * HOUR - 1)).days).toEqual([]);
    expect((await handOver(T0 + DAY + 4 * HOUR)).days).toEqual(['readings 2026-03-01']);
    expect((await handOver(MORNING)).days).toEqual(['readings 2026-03-02', 'readings 2026-03-03']);
    expect(await handOver(MORNING)).toMatchObject({ files: 0, days: [] });
  });

  it('again when late readings arrive, in their region only', async () => {
    await history([1, 11]);
    await handOver(MORNING);
    const before = placesOf(to);
    await receive(town, MORNING + HOUR, [reading(2, T0 + DAY + MINUTE)]);
    const { days, rows } = await handOver(MORNING + DAY);
    expect({ days, rows }).toEqual({ days: ['readings 2026-03-02'], rows: 25 });
    expect(await given('readings', 'instrument, ts')).toEqual(await storedReadings());
    const after = placesOf(to);
    const replaced = [...after].filter(([path, place]) => before.get(path) !== place).map(([path]) => path);
    expect(replaced).toEqual(['readings/day=2026-03-02/region=220302/part-0.parquet']);
  });

  it('again when readings came in while they settled; a file that comes out the same stays', async () => {
    await history([1, 11]);
    // Received two minutes before the run: they may have been visible or not.
    await receive(town, MORNING - 2 * MINUTE, [reading(2, T0 + MINUTE)]);
    await handOver(MORNING);
    const before = placesOf(to);
    const again = await handOver(MORNING + HOUR);
    expect(again).toMatchObject({ days: ['readings 2026-03-01'], files: 1, unchanged: 1 });
    expect(placesOf(to)).toEqual(before);
    expect((await handOver(MORNING + 2 * HOUR)).days).toEqual([]);
  });

  it('when readings earlier than all before arrive', async () => {
    await history([1]);
    await handOver(MORNING);
    await receive(town, MORNING + HOUR, [reading(1, T0 - 3 * DAY)]);
    expect((await handOver(MORNING + 2 * HOUR)).days).toEqual(['readings 2026-02-26']);
    expect(await given('readings', 'instrument, ts')).toEqual(await storedReadings());
  });

  it('again when one of its findings clears or one of its tasks changes', async () => {
    const record = (findings: Parameters<City['findings']['record']>[0], at: number) =>
      town.findings.record(findings, new Date(at));
    await record([opened('silent', 1, T0 + HOUR), opened('silent', 11, T0 + HOUR)], T0 + 2 * HOUR);
    expect((await handOver(MORNING)).days).toEqual(['findings 2026-03-01', 'tasks 2026-03-01']);
    await record([cleared('silent', 1, T0 + HOUR, T0 + 4 * DAY)], MORNING + HOUR);
    const again = await handOver(MORNING + 2 * HOUR);
    // A finding of an open task is told in its history, so its task has changed as well.
    expect(again).toMatchObject({ days: ['findings 2026-03-01', 'tasks 2026-03-01'], files: 2 });
    const [open] = (await town.tasks.list()).rows.filter(({ instrument }) => instrument === 'M-11');
    await town.tasks.act(open!.id, 'close', chief, { verdict: 'refuted', note: 'x' }, new Date(MORNING + 3 * HOUR));
    expect(await handOver(MORNING + 4 * HOUR)).toMatchObject({ days: ['tasks 2026-03-01'], files: 1 });
    const tasks = await given('tasks', 'instrument');
    expect(tasks.map(({ instrument, state }) => [instrument, state])).toEqual([
      ['M-1', 'raised'],
      ['M-11', 'closed'],
    ]);
  });

  it('in full when an instrument has moved to another region and late readings arrive', async () => {
    await history([1, 2, 11]);
    await handOver(MORNING);
    await town.sql(`UPDATE instruments SET region = '220322' WHERE id = 'M-1'`);
    expect((await handOver(MORNING + HOUR)).days).toEqual([]);
    await receive(town, MORNING + 2 * HOUR, [reading(11, T0 + DAY + MINUTE)]);
    expect((await handOver(MORNING + 3 * HOUR)).days).toEqual(['readings 2026-03-02']);
    expect(manifest('readings', '2026-03-02').partitions.map(({ region, rows }) => [region, rows])).toEqual([
      ['220302', 24],
      ['220303', 25],
      ['220322', 24],
    ]);
    // Other days stay as they were handed over: nothing is lost, nothing doubled.
    const [counts] = await ask(
      `SELECT count(*)::INT AS rows, count(DISTINCT (instrument, ts))::INT AS readings FROM read_parquet('${to}/readings/*/*/*.parquet')`,
    );
    expect(counts).toEqual({ rows: 3 * 72 + 1, readings: 3 * 72 + 1 });
  });

  it('a file without rows leaves', async () => {
    await history([1, 11], 24);
    await handOver(MORNING);
    await town.sql(`UPDATE instruments SET region = '220303' WHERE id = 'M-1'`);
    await receive(town, MORNING + HOUR, [reading(11, T0 + MINUTE)]);
    await handOver(MORNING + 2 * HOUR);
    expect([...parquetOf(to).keys()]).toEqual(['readings/day=2026-03-01/region=220303/part-0.parquet']);
    expect(manifest('readings', '2026-03-01').partitions).toHaveLength(1);
  });

  it('not when retention may have taken some of it', async () => {
    await history([1]);
    const more = { retentionDays: 3 };
    expect((await handOver(MORNING, {}, more)).days).toEqual(['readings 2026-03-02', 'readings 2026-03-03']);
    await receive(town, MORNING + HOUR, [reading(1, T0 + DAY + MINUTE)]);
    expect((await handOver(MORNING + DAY, {}, more)).days).toEqual([]);
    expect(parquetOf(to).size).toBe(2);
  });
});

describe('asked for', () => {
  it('--day: it is exported again whatever was handed over, and mends what is missing', async () => {
    await history([1, 11]);
    await handOver(MORNING);
    const lost = join(to, 'readings/day=2026-03-02/region=220302/part-0.parquet');
    const whole = readFileSync(lost);
    rmSync(lost);
    const again = await handOver(MORNING, { day: '2026-03-02' });
    expect(again).toMatchObject({ days: ['readings 2026-03-02'], files: 2, unchanged: 1 });
    expect(readFileSync(lost)).toEqual(whole);
  });

  it('--day before anything else: later runs take it as done', async () => {
    await history([1]);
    expect((await handOver(MORNING, { day: '2026-03-02' })).days).toEqual(['readings 2026-03-02']);
    expect((await handOver(MORNING)).days).toEqual(['readings 2026-03-01', 'readings 2026-03-03']);
    expect((await handOver(MORNING)).days).toEqual([]);
  });

  it('--day that is open or gone is refused', async () => {
    await expect(handOver(MORNING, { day: '2026-03-04' })).rejects.toMatchObject({
      code: 'unusable_setting',
      path: '--day',
      params: { problem: 'day_open', closes: '2026-03-04T20:00:00.000Z' },
    });
    await expect(handOver(MORNING, { day: '2025-01-01' }, { retentionDays: 100 })).rejects.toMatchObject({
      params: { problem: 'day_gone' },
    });
  });

  it('--from: nothing earlier, until an earlier day is asked for', async () => {
    await history([1]);
    expect((await handOver(MORNING, { from: '2026-03-03' })).days).toEqual(['readings 2026-03-03']);
    await receive(town, MORNING + HOUR, [reading(1, T0 + MINUTE)]);
    expect((await handOver(MORNING + 2 * HOUR)).days).toEqual([]);
    const all = await handOver(MORNING + 2 * HOUR, { from: '2026-01-01' });
    expect(all.days).toEqual(['readings 2026-03-02', 'readings 2026-03-01']);
    expect(await given('readings', 'instrument, ts')).toEqual(await storedReadings());
  });

  it('another time zone in the same place is refused', async () => {
    await history([1], 24);
    await handOver(MORNING);
    await expect(handOver(MORNING, {}, { zone: 'UTC' })).rejects.toMatchObject({
      path: 'HANDOVER_ZONE',
      params: { problem: 'other_zone', was: 'Asia/Shanghai' },
    });
  });

  it('files of another schema are written again', async () => {
    await history([1]);
    await handOver(MORNING);
    for (const [path] of filesOf(join(to, '_manifest')))
      if (path.startsWith('readings')) {
        const file = join(to, '_manifest', path);
        writeFileSync(file, readFileSync(file, 'utf8').replaceAll('"schemaVersion": 1', '"schemaVersion": 0'));
      }
    expect((await handOver(MORNING)).days).toHaveLength(3);
    expect((await handOver(MORNING)).days).toEqual([]);
  });

  it('called off, it ends, and goes on another time', async () => {
    await history([1, 11]);
    const calledOff = new AbortController();
    const running = runHandover(
      settingsFor(town, to),
      {},
      {
        signal: calledOff.signal,
        nowMs: () => MORNING,
        onProgress: ({ done }) => done && calledOff.abort(),
      },
    );
    await expect(running).rejects.toThrow();
    expect(parquetOf(to).size).toBe(2);
    expect((await handOver(MORNING)).days).toEqual(['readings 2026-03-02', 'readings 2026-03-03']);
  });
});

it('estimates lie under the day their window ended on, and are written again when more are made', async () => {
  const estimated = async (district: string, endMs: number, madeMs: number, errors: readonly (number | null)[]) => {
    const [run] = await town.sql<{ id: string }>(
      `INSERT INTO district_estimates (district, region, to_ts, asked_by, asked_at, state, finished_at, from_ts, rows, method, notes)
       VALUES ($1, '220302', $2, 'system', $3, 'done', $3, $2::timestamptz - interval '49 days', 4704, '{"version": "1"}', '[]') RETURNING id`,
      [district, new Date(endMs), new Date(madeMs)],
    );
    for (const [i, error] of errors.entries()) {
      const reason = error === null ? { code: 'too_few_rows', params: { rows: 3, needed: 300 } } : null;
      await town.sql(
        `INSERT INTO meter_estimates (run, instrument, error_pct, mpe_pct, verdict, reason, rows_used, rows_refused)
         VALUES ($1, $2, $3, 2, $4, $5, 4700, 4)`,
        [run!.id, i + 2, error, error === null ? 'undetermined' : 'inaccurate', JSON.stringify(reason)],
      );
    }
  };
  await estimated('D-1', T0 + DAY, T0 + DAY + 2 * HOUR, [7.5, null]);
  await town.sql(
    `INSERT INTO district_estimates (district, region, to_ts, asked_by, asked_at) VALUES ('D-3', '220302', $1, 'chief', $1)`,
    [new Date(T0 + DAY)],
  );
  expect((await handOver(MORNING)).days).toEqual(['estimates 2026-03-02']);
  const rows = () =>
    ask(
      `SELECT run, instrument, district, error_pct, verdict, reason_code, epoch_ms(to_ts)::VARCHAR AS ms
       FROM read_parquet('${to}/estimates/**/*.parquet', hive_partitioning = false) ORDER BY run, instrument`,
    );
  const ms = String(T0 + DAY);
  expect(await rows()).toEqual([
    { run: '1', instrument: 'M-2', district: 'D-1', error_pct: 7.5, verdict: 'inaccurate', reason_code: null, ms },
    {
      run: '1',
      instrument: 'M-3',
      district: 'D-1',
      error_pct: null,
      verdict: 'undetermined',
      reason_code: 'too_few_rows',
      ms,
    },
  ]);
  expect((await handOver(MORNING + HOUR)).days).toEqual([]);
  await estimated('D-5', T0 + DAY, MORNING + HOUR, [0.1]);
  expect((await handOver(MORNING + 2 * HOUR)).days).toEqual(['estimates 2026-03-02']);
  expect(await rows()).toHaveLength(3);
});
