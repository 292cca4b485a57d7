/** What the commands say of themselves, and how they refuse what they are given. */
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MAIN, ROOT, run } from '../support/command-line.ts';
import { testDatabase } from '../support/postgres.ts';

describe('the command line', { timeout: 60_000 }, () => {
  const commands: readonly (readonly [string, readonly string[], RegExp])[] = [
    [MAIN, ['--help'], /backtest/],
    [MAIN, ['serve', '--help'], /DATABASE_URL/],
    [MAIN, ['backtest', '--help'], /--out/],
    [MAIN, ['estimate', '--help'], /--json/],
    [MAIN, ['score', '--help'], /--json/],
    [join(ROOT, 'simulators/main.ts'), ['--help'], /publish/],
    [join(ROOT, 'simulators/main.ts'), ['fleet', '--help'], /--seed/],
    [join(ROOT, 'simulators/main.ts'), ['publish', '--help'], /--mqtt/],
    [join(ROOT, 'simulators/demo.ts'), ['--help'], /--stay/],
  ];

  it.each(['zh-CN', 'en'])('helps in %s with every command', async (language) => {
    const runs = commands.map(([script, args]) => run(script, args, { METERWARDEN_LANG: language }));
    for (const [i, { code, out }] of (await Promise.all(runs)).entries()) {
      const name = commands[i]![1].join(' ');
      expect(code, `${name}: ${out}`).toBe(0);
      expect(out).toMatch(commands[i]![2]);
      if (language === 'en') expect(out).toMatch(/^Usage:/);
      else expect(out).toMatch(/^用法:/);
      expect(/\p{Script=Han}/u.test(out), `${name}: ${out}`).toBe(language === 'zh-CN');
    }
  });

  const simulate = join(ROOT, 'simulators/main.ts');
  const demo = join(ROOT, 'simulators/demo.ts');
  const publish = ['publish', '--mqtt', 'mqtt://127.0.0.1', '--secret', 's'];
  const refused: readonly (readonly [string, readonly string[], RegExp, RegExp])[] = [
    [demo, ['--foo'], /there is no option --foo/, /没有选项 --foo/],
    [demo, ['--dais', '3'], /Did you mean --days/, /是否想用 --days/],
    [demo, ['4'], /too many arguments/, /参数过多/],
    [demo, ['--days', '0'], /--days .*“?"?0"?”?.*from 0\.0209 to 799/, /--days .*0\.0209 到 799/],
    [demo, ['--days', '800'], /--days .*to 799/, /--days .*到 799/],
    [demo, ['--districts', 'many'], /--districts .*"many"/, /--districts .*“many”/],
    [demo, ['--meters', '-1'], /--meters .*"-1"/, /--meters .*“-1”/],
    [demo, ['--seed'], /option --seed <n> needs a value/, /选项 --seed <n> 缺少值/],
    [simulate, ['fleet'], /option --out <dir> is required/, /缺少必需的选项 --out <dir>/],
    [simulate, ['fleet', '--out', ''], /--out .*the path of a folder/, /--out .*文件夹的路径/],
    [
      simulate,
      ['fleet', '--out', 'LICENSE/x'],
      /cannot write the folder LICENSE\/x: ENOTDIR/,
      /无法写入文件夹 LICENSE\/x/,
    ],
    [simulate, ['fleet', '--out', 'x', '--period', '7m'], /--period .*"7m"/, /--period .*“7m”/],
    [simulate, [...publish, '--fleet', ''], /--fleet .*the path of a folder/, /--fleet .*文件夹的路径/],
    [simulate, [...publish, '--fleet', 'x', '--seed', '2'], /cannot be used together/, /不能与 .*同时使用/],
    [simulate, ['flet'], /there is no command flet/, /没有命令 flet/],
  ];

  it.each(refused)('refuses %s %j in a sentence', async (script, args, en, zh) => {
    const [english, chinese] = await Promise.all([run(script, args), run(script, args, { METERWARDEN_LANG: 'zh-CN' })]);
    for (const [{ code, out }, sentence] of [[english, en] as const, [chinese, zh] as const]) {
      expect(out).toMatch(sentence);
      expect(out).not.toMatch(/\n\s+at /);
      expect(code, out).toBe(2);
    }
  });

  it('refuses a bad setting with its name, its value and what would be right, before anything starts', async () => {
    const [bare, withFile] = [1, 2].map(() => mkdtempSync(join(tmpdir(), 'meterwarden-cli-'))) as [string, string];
    writeFileSync(join(withFile, 'meterwarden.yaml'), 'HTTP_PROT: 8081\n');
    const [bad, unknown, command] = await Promise.all([
      run(MAIN, ['serve'], { RETENTION_DAYS: 'forever' }, bare),
      run(MAIN, ['serve'], {}, withFile),
      run(MAIN, ['serf'], {}, bare),
    ]);
    expect(bad.code).toBe(1);
    expect(bad.out).toMatch(/^RETENTION_DAYS: .*“forever”.*1…3650/m);
    expect(unknown.code).toBe(1);
    expect(unknown.out).toMatch(/^HTTP_PROT: .*HTTP_PORT/m);
    expect(command.code).toBe(1);
    expect(command.out).toMatch(/serf/);
    for (const { out } of [bad, unknown, command]) expect(out).not.toMatch(/\n\s+at /);
    expect(readdirSync(bare)).toEqual([]);
    for (const folder of [bare, withFile]) rmSync(folder, { recursive: true });
  });

  it('says which port is taken', async () => {
    const database = await testDatabase();
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as { port: number };
    const env = { DATABASE_URL: database.url, HTTP_PORT: '0', MQTT_PORT: '0', LOG_LEVEL: 'silent' };
    for (const name of ['HTTP_PORT', 'MQTT_PORT']) {
      const { code, out } = await run(MAIN, ['serve'], { ...env, [name]: String(port) });
      expect(code, out).toBe(1);
      expect(out).toContain(`${name}: `);
      expect(out).toContain(String(port));
      expect(out).toContain('the port is taken');
    }
    taken.close();
    await database.close();
  });
});
