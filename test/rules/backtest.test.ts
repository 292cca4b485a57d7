import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MeterwardenError } from '../../src/errors.ts';
import { namedValues, type Reading } from '../../src/fleet/reading.ts';
import { backtest, findingLine } from '../../src/rules/backtest.ts';
import { openFleetFolder } from '../../src/store/fleet-folder.ts';
import { sayError } from '../../src/texts/errors.ts';
import { kinds, rules } from './fixtures.ts';

let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'fleet-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

const INSTRUMENTS = 'id,kind,role,district\nM1,electricity,user,D1\nM2,electricity,user,D1\n';

function write(instruments: string | undefined, readings: string | undefined, gzip = false): void {
  for (const [file, text] of Object.entries({ 'instruments.csv': instruments, 'readings.csv': readings })) {
    if (text === undefined) continue;
    if (gzip) writeFileSync(join(dir, `${file}.gz`), gzipSync(text));
    else writeFileSync(join(dir, file), text);
  }
}

async function readAll() {
  const folder = await openFleetFolder(dir, kinds);
  const readings: Reading[] = [];
  for await (const block of folder.readings()) readings.push(...block);
  return { folder, readings };
}

async function refusal(): Promise<MeterwardenError> {
  const error = await readAll().then(
    () => undefined,
    (error: unknown) => error,
  );
  if (error instanceof MeterwardenError) return error;
  throw error ?? new Error('accepted');
}

describe('a fleet folder', () => {
  it.each([false, true])('is read with missing, further and unknown columns, gzip %s', async (gzip) => {
    write(
      '\uFEFFid,kind,role,district,max_current_a,colour\r\n"M,1",electricity,user,D1,100,red\r\nM2,water,user,D1,,\r\n',
      'ts,instrument,active_import_kwh,frequency_hz,mood\n2026-01-01T00:00:00Z,"M,1",12.5,50,fine\n\n2026-01-01T08:15:00+08:00,M2,,,\n',
      gzip,
    );
    const { folder, readings } = await readAll();
    expect(folder.instruments.map(({ key, id, kind, maxCurrentA }) => [key, id, kind, maxCurrentA])).toEqual([
      [1, 'M,1', 'electricity', 100],
      [2, 'M2', 'water', 60],
    ]);
    expect(readings.map(({ key, tsMs, values }) => [key, new Date(tsMs).toISOString(), namedValues(values)])).toEqual([
      [1, '2026-01-01T00:00:00.000Z', { active_import_kwh: 12.5, frequency_hz: 50 }],
      [2, '2026-01-01T00:15:00.000Z', {}],
    ]);
    expect(folder.unknownColumns).toEqual(['colour', 'mood']);
  });

  it('leaves out what the service would refuse', async () => {
    write(
      INSTRUMENTS,
      'ts,instrument,voltage_v\n2026-01-01T00:00:00Z,M9,230\n2026-01-01T00:00:00Z,M1,1e9\n2026-01-01T00:00:00Z,M2,230\n',
    );
    const { folder, readings } = await readAll();
    expect(readings.map(({ key }) => key)).toEqual([2]);
    expect(folder.leftOut).toEqual({ unknownInstrument: 1, impossibleValue: 1 });
  });

  it('leaves out what retired instruments sent', async () => {
    write(
      'id,kind,role,district,state\nM1,electricity,user,D1,retired\nM2,electricity,user,D1,\n',
      'ts,instrument,voltage_v\n2026-01-01T00:00:00Z,M1,230\n2026-01-01T00:00:00Z,M2,230\n',
    );
    const { folder, readings } = await readAll();
    expect(folder.instruments.map(({ state }) => state)).toEqual(['retired', 'in-service']);
    expect(readings.map(({ key }) => key)).toEqual([2]);
    expect(folder.leftOut).toEqual({ unknownInstrument: 1, impossibleValue: 0 });
  });

  const at = '2026-01-02T00:00:00Z';
  it.each([
    ['no ledger', undefined, 'ts,instrument\n', 'missing_file', 'instruments.csv'],
    ['no readings', INSTRUMENTS, undefined, 'missing_file', 'readings.csv'],
    ['an empty file', INSTRUMENTS, '', 'invalid_line', 'readings.csv'],
    ['a missing column', INSTRUMENTS, 'ts,voltage_v\n', 'invalid_line', 'readings.csv:1:instrument'],
    [
      'a missing column of the ledger',
      'id,kind,role\n',
      'ts,instrument\n',
      'invalid_line',
      'instruments.csv:1:district',
    ],
    [
      'an unknown kind',
      `${INSTRUMENTS}M3,steam,user,D1\n`,
      'ts,instrument\n',
      'unknown_kind',
      'instruments.csv:4:kind',
    ],
    ['an id twice', `${INSTRUMENTS}M1,water,user,D1\n`, 'ts,instrument\n', 'duplicate_line', 'instruments.csv:4:id'],
    ['no number', INSTRUMENTS, `ts,instrument,voltage_v\n${at},M1,23O\n`, 'not_a_number', 'readings.csv:2:voltage_v'],
    ['no time', INSTRUMENTS, 'ts,instrument\n2026-01-01 00:00,M1\n', 'invalid_line', 'readings.csv:2:ts'],
    [
      'a time without zone',
      INSTRUMENTS,
      'ts,instrument\n2026-01-01T00:00:00,M1\n',
      'invalid_line',
      'readings.csv:2:ts',
    ],
    [
      'another order',
      INSTRUMENTS,
      `ts,instrument\n${at},M1\n2026-01-01T00:00:00Z,M1\n\n2025-12-31T23:00:00Z,M2\n`,
      'invalid_line',
      'readings.csv:5:ts',
    ],
    ['too few cells', INSTRUMENTS, `ts,instrument,voltage_v\n${at},M1\n`, 'invalid_line', 'readings.csv:2'],
  ])('is refused with %s, naming file and line', async (_, instruments, readings, code, path) => {
    write(instruments, readings);
    const error = await refusal();
    expect([error.code, error.path.replace(`${dir}/`, '')]).toEqual([code, path]);
  });

  it('is refused when it is not there', async () => {
    dir = join(dir, 'elsewhere');
    expect(await refusal()).toMatchObject({ code: 'missing_folder', path: dir });
    dir = join(dir, '..');
  });

  it('says which two files it looked for', async () => {
    write(undefined, 'ts,instrument\n');
    expect(sayError(await refusal(), 'en')).toBe('There is no such file, nor instruments.csv.gz, its compressed form');
  });

  it.each(['instruments.csv', 'readings.csv'])('is refused when the gzip of %s is cut off', async (file) => {
    write(INSTRUMENTS, 'ts,instrument\n', true);
    writeFileSync(join(dir, `${file}.gz`), gzipSync(INSTRUMENTS).subarray(0, 20));
    const path = `${file}.gz`;
    expect(await refusal()).toMatchObject({ code: 'invalid_line', path, params: { problem: 'broken_gzip' } });
  });
});

describe('a backtest', () => {
  it('writes what it finds as lines of findings.csv', async () => {
    const lines = ['ts,instrument,active_import_kwh'];
    for (let n = 0; n < 12; n++) {
      const ts = new Date(Date.parse('2026-01-01T00:00:00Z') + n * 900_000).toISOString();
      if (n < 5) lines.push(`${ts},M1,${100 + n}`);
      lines.push(`${ts},M2,${n < 6 ? 123.45 + n : 98.7 + n}`);
      if (n === 2) lines.push(`${ts},M2,1`);
    }
    write(INSTRUMENTS, lines.join('\n'));
    const folder = await openFleetFolder(dir, kinds);
    const rows = await backtest(folder.instruments, folder.readings(), rules, kinds);
    expect(rows.map((row) => findingLine(row, 'en'))).toEqual([
      '2026-01-01T00:30:00.000Z,2026-01-01T00:30:00.000Z,M2,D1,conflicting-reading,warning,two different readings for the same moment: kept active_import_kwh 125.45; refused active_import_kwh 1',
      '2026-01-01T01:15:00.000Z,,M1,D1,silent,warning,no reading for more than 4 report periods of 15 min',
      '2026-01-01T01:30:00.000Z,,M2,D1,rollback,critical,"the register went down from 128.45 kWh to 104.7 kWh, by 23.75 kWh, and did not roll over"',
    ]);
  });

  it('writes no cell that a spreadsheet would calculate', async () => {
    const ledger = 'id,kind,role,district\n=A1*2,electricity,user,@D1\n';
    write(ledger, 'ts,instrument,active_import_kwh\n2026-01-01T00:00:00Z,=A1*2,9\n2026-01-01T00:15:00Z,=A1*2,4\n');
    const folder = await openFleetFolder(dir, kinds);
    const [row] = await backtest(folder.instruments, folder.readings(), rules, kinds);
    expect(findingLine(row!, 'en')).toMatch(/^2026-01-01T00:15:00\.000Z,,'=A1\*2,'@D1,rollback,/);
  });
});
