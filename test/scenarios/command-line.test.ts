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
