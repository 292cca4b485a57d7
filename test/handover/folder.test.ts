import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { FolderTarget } from '../../src/handover/folder.ts';
import { sayError } from '../../src/texts/errors.ts';
import { removeFolders, temporaryFolder } from './fixture.ts';

afterAll(removeFolders);

it('takes files and text whole, gives them back, and leaves nothing of its own', async () => {
  const dir = join(temporaryFolder(), 'made/when/missing');
  const target = await FolderTarget.open(dir, '--to');
  const file = join(target.workDir, 'x.parquet');
  writeFileSync(file, 'PAR1');
  await target.put('readings/day=2026-03-01/region=1/part-0.parquet', file);
  expect(await target.has('readings/day=2026-03-01/region=1/part-0.parquet', 4)).toBe(true);
  expect(await target.has('readings/day=2026-03-01/region=1/part-0.parquet', 5)).toBe(false);
  expect(await target.has('readings/none', 4)).toBe(false);
  await target.write('_manifest/a.json', 'one');
  await target.write('_manifest/a.json', 'two');
  expect(await target.read('_manifest/a.json')).toBe('two');
  expect(await target.read('_manifest/none/b.json')).toBeUndefined();
  await target.remove('readings/day=2026-03-01/region=1/part-0.parquet');
  await target.remove('readings/day=2026-03-01/region=1/part-0.parquet');
  expect(readdirSync(join(dir, 'readings/day=2026-03-01'))).toEqual([]);
  await target.close();
  expect(readdirSync(dir).sort()).toEqual(['_manifest', 'readings']);
});

it('throws away what a broken run has left half made, and touches nothing else', async () => {
  const dir = temporaryFolder();
  mkdirSync(join(dir, '_meterwarden_tmp/spill'), { recursive: true });
  writeFileSync(join(dir, '_meterwarden_tmp/spill/x'), '');
  writeFileSync(join(dir, 'notes.txt'), 'of somebody else');
  const target = await FolderTarget.open(dir, '--to');
  expect(readdirSync(target.workDir)).toEqual([]);
  await target.close();
  expect(readFileSync(join(dir, 'notes.txt'), 'utf8')).toBe('of somebody else');
});

it.each([
  [
    'not_a_folder',
    () => {
      const file = join(temporaryFolder(), 'file');
      writeFileSync(file, '');
      return file;
    },
  ],
  ['no_folder_there', () => '/proc/nowhere'],
])('%s: what cannot be used is refused in a sentence', async (problem, place) => {
  const dir = place();
  const error = await FolderTarget.open(dir, '--to').catch((error) => error);
  expect(error).toMatchObject({ code: 'unusable_setting', path: '--to', params: { problem, value: dir } });
  expect(sayError(error, 'en')).not.toMatch(/\{|undefined|…/);
});
