import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { MeterwardenError } from '../../src/errors.ts';
import { holdDataFolder } from '../../src/store/data-folder.ts';
import { sayError } from '../../src/texts/errors.ts';
import { asNobody } from '../support/nobody.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'meterwarden-data-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function refusal(dataDir: string): MeterwardenError {
  try {
    holdDataFolder(dataDir);
  } catch (error) {
    expect(error).toMatchObject({ code: 'unusable_setting', path: 'METERWARDEN_DATA', params: { value: dataDir } });
    for (const language of ['zh-CN', 'en'] as const)
      expect(sayError(error as MeterwardenError, language)).toContain(dataDir);
    return error as MeterwardenError;
  }
  throw new Error('it was not refused');
}

describe('the data folder', () => {
  it('is made with all above it, held, and let go', () => {
    const dataDir = join(folder, 'a/b/c');
    const letGo = holdDataFolder(dataDir);
    expect(existsSync(join(dataDir, 'service.lock'))).toBe(true);
    letGo();
    expect(existsSync(join(dataDir, 'service.lock'))).toBe(false);
    holdDataFolder(dataDir)();
  });

  it.each(['data', 'data/postgres', '.'])('that is, or lies under, a file is refused with that file: %s', (below) => {
    const file = join(folder, 'file');
    writeFileSync(file, '');
    const error = refusal(join(file, below));
    expect(error.params).toMatchObject({ problem: 'not_a_folder', at: file });
    expect(sayError(error, 'en')).toMatch(/is no folder$/);
  });

  it.skipIf(!existsSync('/proc/self'))('where no folder can be made is refused at once', () => {
    expect(refusal('/proc/meterwarden').params).toMatchObject({ problem: 'no_folder_there' });
    expect(refusal('/proc/meterwarden/data').params).toMatchObject({ at: '/proc/meterwarden' });
  });

  it('that cannot be written is refused with what was tried', async () => {
    chmodSync(folder, 0o555);
    await asNobody(async () => {
      expect(refusal(folder).params).toMatchObject({ problem: 'not_writable', at: join(folder, 'service.lock') });
      expect(refusal(join(folder, 'data')).params).toMatchObject({ problem: 'not_writable', code: 'EACCES' });
    });
  });

  it('is held by one service at a time, for as long as that one lives', async () => {
    const holder = await otherService(folder);
    const error = refusal(folder);
    expect(error.params).toMatchObject({ problem: 'folder_in_use', pid: holder.pid });
    expect(sayError(error, 'zh-CN')).toContain(`进程 ${holder.pid} 正在使用`);
    const ended = once(holder, 'exit');
    holder.kill('SIGKILL');
    await ended;
    holdDataFolder(folder)();
  });

  it('is not held by a process that has the number of an earlier service', () => {
    if (!existsSync('/proc/self')) return;
    writeFileSync(join(folder, 'service.lock'), `${process.ppid} 1`);
    const letGo = holdDataFolder(folder);
    expect(readFileSync(join(folder, 'service.lock'), 'utf8')).toMatch(new RegExp(`^${process.pid} `));
    letGo();
  });
});

/** Another process that holds the folder. */
async function otherService(dataDir: string): Promise<ChildProcess> {
  const module = JSON.stringify(join(import.meta.dirname, '../../src/store/data-folder.ts'));
  const code = `import { holdDataFolder } from ${module};
    holdDataFolder(${JSON.stringify(dataDir)});
    process.stdout.write('held');
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout!, 'data');
  return child;
}
