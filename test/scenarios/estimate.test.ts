/** Running errors of a fleet folder and their score, as commands; and folders of strangers. */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ESTIMATES_HEADER } from '../../src/accuracy/estimate-rows.ts';
import { MAIN, ROOT, type Run, run } from '../support/command-line.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'meterwarden-estimate-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Files = Readonly<Record<string, string | Buffer>>;

function folderOf(name: string, files: Files): string {
  const dir = join(folder, name);
  mkdirSync(dir);
  for (const [file, content] of Object.entries(files)) writeFileSync(join(dir, file), content);
  return dir;
}

async function estimate(dir: string, ...options: string[]): Promise<Run & { lines: string[] }> {
  const out = join(dir, 'estimates.csv');
  const ran = await run(MAIN, ['estimate', dir, '--out', out, ...options]);
  return { ...ran, lines: existsSync(out) ? readFileSync(out, 'utf8').trimEnd().split('\n') : [] };
}

const lastLine = (text: string) => text.trimEnd().split('\n').at(-1)!;

describe('estimate and score', { timeout: 120_000 }, () => {
  let fleet: string;
  let files: { instruments: string; readings: string };
  beforeAll(async () => {
    fleet = join(folder, 'fleet');
    const size = [
      '--districts',
      '2',
      '--meters',
      '16',
      '--days',
      '12',
      '--seed',
      '7',
      '--until',
      '2025-01-31T00:00:00Z',
    ];
    const made = await run(join(ROOT, 'simulators/main.ts'), [
      'fleet',
      '--out',
      fleet,
      ...size,
      '--faults',
      'constant-error=2',
    ]);
    expect(made.code, made.out).toBe(0);
    files = {
      instruments: readFileSync(join(fleet, 'instruments.csv'), 'utf8'),
      readings: readFileSync(join(fleet, 'readings.csv'), 'utf8'),
    };
  });

  it('give every user meter a line, in order of the ledger, and judge it by the truth', async () => {
    const json = join(folder, 'report.json');
    const { code, out, lines } = await estimate(fleet, '--json', json);
    expect(code, out).toBe(0);
    expect(lastLine(out)).toMatch(
      /^2 districts, 32 user meters: \d+ ok, \d+ suspect, \d+ inaccurate, \d+ undetermined; \d+ notes on districts → .*estimates\.csv \([\d.]+ s\)$/,
    );
    expect(lines[0]).toBe(ESTIMATES_HEADER);
    const users = files.instruments.split('\n').filter((line) => line.includes(',user,'));
    expect(lines.slice(1).map((line) => line.split(',')[0])).toEqual(users.map((line) => line.split(',')[0]));
    const isLittle = (line: string) => line.includes('too_little_energy');
    for (const line of lines.slice(1)) {
      const values = isLittle(line) ? ',,,,,,' : '(,-?\\d+\\.\\d{4}){5},';
      expect(line).toMatch(new RegExp(`^D00\\d-M\\d+,D00\\d${values}(ok|suspect|inaccurate|undetermined),[^,]*,\\d+$`));
    }
    const estimated = 32 - lines.filter(isLittle).length;

    const report = JSON.parse(readFileSync(json, 'utf8'));
    expect(report).toMatchObject({ language: 'en', summary: { districts: 2, meters: 32 }, problems: [] });
    expect(report.districts.map((one: { district: string }) => one.district)).toEqual(['D001', 'D002']);
    expect(report.districts[0]).toMatchObject({ rows: 1151, balance: { masterKwh: expect.any(Number) } });
    expect(report.districts[0].meters).toHaveLength(16);

    const csv = join(fleet, 'estimates.csv');
    const [table, chinese, scored] = await Promise.all([
      run(MAIN, ['score', fleet, csv]),
      run(MAIN, ['score', fleet, csv], { METERWARDEN_LANG: 'zh-CN' }),
      run(MAIN, ['score', fleet, csv, '--json']),
    ]);
    expect(table.out).toMatch(
      /^ {2}group +meters +RMSE %.*\n {2}all +32 .*\n.*judged.*\n.*no fault +30 .*\n.*constant-error +2 /,
    );
    expect(chinese.out).toMatch(/^ {2}类别 +表数.*\n {2}全部 +32 /);
    const [all] = JSON.parse(scored.out).groups;
    expect(all).toMatchObject({ group: 'all', score: { meters: 32, estimated, guilty: 2, missing: 0 } });
    expect(all.score.rmsePct).toBeLessThan(5);
  });

  it('say the same of readings in any order, twice, compressed and with the newest days only', async () => {
    const [head, ...readings] = files.readings.trimEnd().split('\n') as [string, ...string[]];
    const strewn = readings
      .flatMap((line, i) => (i % 50 === 0 ? [line, line] : [line]))
      .sort((a, b) => (a.slice(10) < b.slice(10) ? -1 : 1));
    const instruments = gzipSync(files.instruments);
    const dir = folderOf('strewn', {
      'instruments.csv.gz': instruments,
      'readings.csv.gz': gzipSync([head, ...strewn].join('\r\n')),
    });
    const [strewnRun, newest] = await Promise.all([
      estimate(dir),
      run(MAIN, ['estimate', fleet, '--out', join(folder, 'newest.csv'), '--days', '6']),
    ]);
    const repeated = strewn.length - readings.length;
    expect(strewnRun.out).toContain(`0 outside its window, ${repeated} repeated, 0 contradicting`);
    expect(strewnRun.lines.join('\n')).toBe(readFileSync(join(fleet, 'estimates.csv'), 'utf8').trimEnd());
    expect(newest.code, newest.out).toBe(0);
    const rows = readFileSync(join(folder, 'newest.csv'), 'utf8').trimEnd().split('\n').slice(1);
    for (const line of rows) expect(line).toMatch(/,576$/);
  });
});

/** Two users under a master, a day of quarter hours: too little to say anything, enough to see what is wrong. */
const LEDGER = `id,kind,role,district,phase
M,electricity,master,D,L123
U1,electricity,user,D,L1
U2,electricity,user,D,L2
`;
const READINGS = [
  'ts,instrument,active_import_kwh,voltage_v',
  ...Array.from({ length: 97 }, (_, k) => new Date(Date.UTC(2026, 2, 1) + k * 900_000).toISOString()).flatMap(
    (ts, k) => [
      `${ts},M,${(k * 0.31).toFixed(2)},231.2`,
      `${ts},U1,${(k * 0.2).toFixed(2)},230.1`,
      `${ts},U2,${(k * 0.1).toFixed(2)},230.4`,
    ],
  ),
].join('\n');
const FEW = /^too_few_rows rows=96 needed=300$/;

describe('the folder of a stranger', { timeout: 120_000 }, () => {
  /** What is in it; what is said; the reasons of U1 and U2. */
  it.each<[string, Files, RegExp, RegExp, RegExp]>([
    [
      'has few readings',
      { 'instruments.csv': LEDGER, 'readings.csv': READINGS },
      /1 districts, 2 user meters/,
      FEW,
      FEW,
    ],
    [
      'has no voltages',
      { 'instruments.csv': LEDGER, 'readings.csv': READINGS.replaceAll(/,[^,\n]*$/gm, '') },
      /2 undetermined/,
      FEW,
      FEW,
    ],
    [
      'has no phases',
      { 'instruments.csv': LEDGER.replaceAll(/,[^,\n]*$/gm, ''), 'readings.csv': READINGS },
      /2 undetermined/,
      FEW,
      FEW,
    ],
    [
      'has no register',
      { 'instruments.csv': LEDGER, 'readings.csv': READINGS.replace('active_import_kwh', 'energy') },
      /readings\.csv:1:active_import_kwh: .*missing.*ignored unknown columns: energy/s,
      /^too_few_rows|^no_readings/,
      /^too_few_rows|^no_readings/,
    ],
    [
      'has an empty file of readings',
      { 'instruments.csv': LEDGER, 'readings.csv': '' },
      /readings\.csv: .*no header line.*not one reading/s,
      /^too_few_rows|^no_readings/,
      /^too_few_rows|^no_readings/,
    ],
    [
      'has no file of readings',
      { 'instruments.csv': LEDGER },
      /readings\.csv: There is no such file.*not one reading/s,
      /^too_few_rows|^no_readings/,
      /^too_few_rows|^no_readings/,
    ],
    [
      'has half a compressed file',
      { 'instruments.csv': LEDGER, 'readings.csv.gz': gzipSync(READINGS).subarray(0, 800) },
      /readings\.csv\.gz: .*not a complete gzip stream/,
      /^too_few_rows/,
      /^too_few_rows/,
    ],
    [
      'has a meter without readings',
      { 'instruments.csv': LEDGER, 'readings.csv': READINGS.replaceAll(/^.*,U2,.*\n?/gm, '') },
      /2 undetermined/,
      FEW,
      /^no_readings$|^too_few_rows/,
    ],
    [
      'has no master meter',
      { 'instruments.csv': LEDGER.replace('M,electricity,master', 'M,electricity,user'), 'readings.csv': READINGS },
      /district “D” has 0 master meters.*3 undetermined/s,
      /^no_master$/,
      /^no_master$/,
    ],
    [
      'has two master meters',
      { 'instruments.csv': LEDGER.replace('U2,electricity,user', 'U2,electricity,master'), 'readings.csv': READINGS },
      /district “D” has 2 master meters.*1 undetermined/s,
      /^several_masters masters=2$/,
      /^$/,
    ],
    [
      'has other kinds',
      {
        'instruments.csv': LEDGER.replace('U1,electricity', 'U1,water').replace('U2,electricity', 'U2,steam'),
        'readings.csv': READINGS,
      },
      /instruments\.csv:4:kind: No instrument kind “steam”.*2 undetermined/s,
      /^other_kind kind=water$/,
      /^other_kind kind=steam$/,
    ],
    [
      'has an unknown role, a phase and a class of its own, retired meters and lines twice',
      {
        'instruments.csv': `${LEDGER.replace('U1,electricity,user', 'U1,electricity,consumer').replace('L2', 'B')}U2,electricity,user,D,L2\n,electricity,user,D,L2\n`,
        'readings.csv': READINGS,
      },
      /:3:role: .*:4:phase: .*:5:id: The id “U2” stands in line 4 already.*:6:id: .*2 undetermined/s,
      /^unreadable_line column=role$/,
      FEW,
    ],
    [
      'has wrong cells and lines in its readings',
      {
        'instruments.csv': LEDGER,
        'readings.csv': `${READINGS}\nyesterday,U1,1,1\n2026-03-01T00:07:00Z,U1\n2026-03-02T00:15:00Z,U1,many,-\n2026-03-01T00:07:00Z,U1,1,9999\n2026-03-01T00:00:00Z,U1,7,230\n2026-03-01T00:00:00Z,NOBODY,7,230\n2026-03-01T00:00:00Z,,7,"230\n`,
      },
      /quotes do not close.*:ts: .*only 2 cells.*“many” is not a number.*9999 is not possible.*1 of instruments that are not.*1 between .*1 contradicting/s,
      FEW,
      FEW,
    ],
  ])('%s', async (name, content, said, first, second) => {
    const { code, out, lines } = await estimate(folderOf(name.replaceAll(' ', '-'), content));
    expect(out).toMatch(said);
    expect(out).not.toMatch(/\n\s+at /);
    expect(code, out).toBe(0);
    expect(lastLine(out)).toMatch(/user meters: /);
    const reasonOf = (id: string) => lines.find((line) => line.startsWith(`${id},`))?.split(',')[8] ?? '';
    expect(reasonOf('U1')).toMatch(first);
    expect(reasonOf('U2')).toMatch(second);
  });

  it('is refused in a sentence when there is nothing to make lines of, or nowhere to put them', async () => {
    const dir = folderOf('refused', { 'instruments.csv': LEDGER, 'readings.csv': READINGS });
    const config = join(folder, 'config');
    cpSync(join(ROOT, 'config'), config, { recursive: true });
    writeFileSync(
      join(config, 'accuracy.yaml'),
      readFileSync(join(config, 'accuracy.yaml'), 'utf8').replace('min_rows: 300', 'min_rows: many'),
    );
    const out = join(folder, 'out.csv');
    const refusals: readonly (readonly [string[], RegExp])[] = [
      [['estimate', join(folder, 'nowhere'), '--out', out], /nowhere: There is no such folder/],
      [
        ['estimate', folderOf('bare', { 'readings.csv': READINGS }), '--out', out],
        /instruments\.csv: There is no such file/,
      ],
      [
        ['estimate', folderOf('nothing', { 'instruments.csv': '' }), '--out', out],
        /instruments\.csv: .*no header line/,
      ],
      [
        ['estimate', folderOf('other', { 'instruments.csv': LEDGER.replace('district', 'area') }), '--out', out],
        /instruments\.csv:1:district: .*the column “district” is missing/,
      ],
      [['estimate', dir], /--out/],
      [['estimate', dir, '--out', ''], /^--out: .*the path of a file/],
      [['estimate', dir, '--out', folder], /^--out: .*EISDIR/],
      [['estimate', dir, '--out', join(folder, 'nowhere/out.csv')], /^--out: .*ENOENT/],
      [['estimate', dir, '--out', out, '--json', join(folder, 'nowhere/r.json')], /^--json: .*ENOENT/],
      [['estimate', dir, '--out', out, '--days', '0'], /^--days: .*a whole number from 1 to 3650/],
      [['estimate', dir, '--out', out, '--config', config], /^accuracy\.min_rows: .*must be a number/],
      [['score', dir, out], /truth\.csv: There is no such file/],
      [
        [
          'score',
          folderOf('truthful', { 'instruments.csv': LEDGER, 'truth.csv': 'instrument,error_pct\nU1,1\n' }),
          out,
        ],
        /out\.csv: There is no such file/,
      ],
      [
        ['score', join(folder, 'truthful'), join(folderOf('guess', { 'e.csv': 'instrument,error\nU1,1\n' }), 'e.csv')],
        /e\.csv:1:error_pct: .*missing/,
      ],
      [
        [
          'score',
          join(folder, 'truthful'),
          join(folderOf('bad', { 'e.csv': 'instrument,error_pct,verdict\nU1,1,guilty\n' }), 'e.csv'),
        ],
        /e\.csv:2:verdict: .*one of ok \| suspect/,
      ],
    ];
    for (let at = 0; at < refusals.length; at += 4) {
      const some = refusals.slice(at, at + 4);
      const runs = await Promise.all(some.map(([args]) => run(MAIN, args)));
      for (const [i, { code, out: said }] of runs.entries()) {
        expect(said).toMatch(some[i]![1]);
        expect(said).not.toMatch(/\n\s+at /);
        expect(code, said).toBe(1);
      }
    }
    expect(existsSync(out)).toBe(false);
  });
});
