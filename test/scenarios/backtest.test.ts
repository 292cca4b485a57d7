/** The rules over a fleet folder, as a command. */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MAIN, ROOT, type Run, run } from '../support/command-line.ts';

describe('backtest', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'meterwarden-backtest-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const INSTRUMENTS =
    'id,kind,role,district,region\nM-1,electricity,user,D-1,220302\nM-2,electricity,user,D-1,220302\n';
  const READINGS = `ts,instrument,active_import_kwh
2026-03-01T00:00:00Z,M-1,100
2026-03-01T00:00:00Z,M-2,7
2026-03-01T00:15:00Z,M-1,40
2026-03-01T00:15:00Z,M-2,7.1
`;

  async function backtest(
    name: string,
    files: Record<string, string | Buffer>,
    ...options: string[]
  ): Promise<Run & { findings: string }> {
    const dir = join(folder, name);
    mkdirSync(dir);
    for (const [file, content] of Object.entries(files)) writeFileSync(join(dir, file), content);
    const out = join(dir, 'findings.csv');
    const ran = await run(MAIN, ['backtest', dir, '--out', out, ...options]);
    return { ...ran, findings: existsSync(out) ? readFileSync(out, 'utf8') : '' };
  }

  it('finds in a folder what the service would, and says clearly what is wrong with one', async () => {
    const [plain, gzipped, column, empty, none] = await Promise.all([
      backtest('plain', { 'instruments.csv': INSTRUMENTS, 'readings.csv': READINGS }),
      backtest('gzipped', { 'instruments.csv.gz': gzipSync(INSTRUMENTS), 'readings.csv.gz': gzipSync(READINGS) }),
      backtest('column', { 'instruments.csv': INSTRUMENTS.replace('district', 'area'), 'readings.csv': READINGS }),
      backtest('empty', { 'instruments.csv': INSTRUMENTS, 'readings.csv': '' }),
      backtest('none', { 'instruments.csv': INSTRUMENTS }),
    ]);
    const lines = plain.findings.trimEnd().split('\n');
    expect(lines[0]).toBe('from,to,instrument,district,rule,severity,reason');
    expect(lines[1]).toMatch(/^2026-03-01T00:15:00\.000Z,,M-1,D-1,rollback,critical,".*from 100 kWh to 40 kWh.*"$/);
    expect(lines).toHaveLength(2);
    expect(plain.code, plain.out).toBe(0);
    expect(plain.out).toMatch(/^4 readings of 2 instruments, 1 findings/);
    expect(gzipped).toMatchObject({ code: 0, findings: plain.findings });

    expect(column).toMatchObject({ code: 1, findings: '' });
    expect(column.out).toContain('instruments.csv:1:district: ');
    expect(column.out).toContain('the column “district” is missing');
    expect(empty).toMatchObject({ code: 1, findings: '' });
    expect(empty.out).toMatch(/^readings\.csv: .*there is no header line/m);
    expect(none).toMatchObject({ code: 1, findings: '' });
    expect(none.out).toMatch(/readings\.csv: There is no such file, nor readings\.csv\.gz/);
    for (const { out } of [column, empty, none]) expect(out).not.toMatch(/\n\s+at /);
  });

  it('says where its configuration is wrong and what would be right', async () => {
    const config = join(folder, 'config');
    cpSync(join(ROOT, 'config'), config, { recursive: true });
    const kinds = join(config, 'kinds.yaml');
    writeFileSync(kinds, readFileSync(kinds, 'utf8').replace('report_period: 60m', 'report_perid: 60m'));
    const { code, out } = await backtest('configured', { 'instruments.csv': INSTRUMENTS }, '--config', config);
    expect(code).toBe(1);
    expect(out).toMatch(
      /^kinds\.water\.report_perid: The configuration is not right: there is no “report_perid”; the nearest is “report_period”/,
    );
  });
});
