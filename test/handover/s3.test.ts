/** Against a server that speaks S3 and checks signatures. */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runHandover } from '../../src/app/handover.ts';
import { S3Target } from '../../src/handover/s3.ts';
import { sayError } from '../../src/texts/errors.ts';
import { testDatabase } from '../support/postgres.ts';
import { BUCKET, TestS3 } from '../support/s3.ts';
import {
  DAY,
  filesOf,
  HOUR,
  ledger,
  reading,
  receive,
  removeFolders,
  settingsFor,
  T0,
  temporaryFolder,
} from './fixture.ts';

const MIB = 1024 * 1024;
const MORNING = T0 + 2 * DAY + 5 * HOUR;

let server: TestS3;
beforeAll(async () => {
  server = await TestS3.start();
});
afterAll(async () => {
  await server?.remove();
  removeFolders();
});

async function opened(url: string): Promise<S3Target> {
  return S3Target.open(url, '--to', server.settings);
}

/** A file to put, of that many bytes nobody can compress. */
function file({ workDir }: S3Target, bytes: number): { path: string; content: Buffer } {
  const path = join(workDir, 'x.parquet');
  const content = randomBytes(bytes);
  writeFileSync(path, content);
  return { path, content };
}

describe('a hand-over to S3', () => {
  it('holds what one to a folder holds, byte by byte, and follows what changes', async () => {
    const db = await testDatabase();
    try {
      await ledger(db, [
        { id: 'A', region: '220302' },
        { id: 'B', region: '220303' },
      ]);
      for (let hour = 0; hour < 48; hour++)
        await receive(db, T0 + hour * HOUR, [reading(1, T0 + hour * HOUR), reading(2, T0 + hour * HOUR)]);
      const folder = temporaryFolder();
      const run = (to: string, nowMs: number) =>
        runHandover(
          { ...settingsFor(db, to), s3: server.settings },
          {},
          {
            signal: new AbortController().signal,
            nowMs: () => nowMs,
            onProgress: () => {},
          },
        );
      const url = `s3://${BUCKET}/siping/meters`;
      const same = () => {
        for (const path of filesOf(folder).keys())
          expect(server.object(`siping/meters/${path}`).equals(readFileSync(join(folder, path))), path).toBe(true);
      };
      const both = async (nowMs: number) => [await run(folder, nowMs), await run(url, nowMs)];
      expect(await both(MORNING)).toEqual([
        expect.objectContaining({ files: 4 }),
        expect.objectContaining({ files: 4, rows: 96 }),
      ]);
      same();
      // B's day becomes A's: one file is replaced, one leaves.
      await db.pool.query(`UPDATE instruments SET region = '220302'`);
      await receive(db, MORNING + HOUR, [reading(1, T0 + 1)]);
      await both(MORNING + 2 * HOUR);
      same();
      expect(filesOf(folder).has('readings/day=2026-03-01/region=220303/part-0.parquet')).toBe(false);
      expect(() => server.object('siping/meters/readings/day=2026-03-01/region=220303/part-0.parquet')).toThrow(
        'ENOENT',
      );
    } finally {
      await db.close();
    }
  });
});

describe('a file on S3', () => {
  it.each([1, 16 * MIB, 40 * MIB + 1])('of %d bytes is put whole', async (bytes) => {
    const target = await opened(`s3://${BUCKET}/sizes`);
    const { path, content } = file(target, bytes);
    await target.put('x/part-0.parquet', path);
    expect(server.object('sizes/x/part-0.parquet').equals(content)).toBe(true);
    expect(await target.has('x/part-0.parquet', bytes)).toBe(true);
    expect(await target.has('x/part-0.parquet', bytes + 1)).toBe(false);
    expect(readdirSync(target.workDir)).toEqual([]);
    await target.close();
    expect(existsSync(target.workDir)).toBe(false);
  });

  it('stays as it was while another takes its place, also when the storage ends in the middle', {
    timeout: 60_000,
  }, async () => {
    const target = await opened(`s3://${BUCKET}/broken`);
    const before = file(target, 20 * MIB);
    await target.put('x', before.path);
    const after = file(target, 200 * MIB);
    const putting = target.put('x', after.path).then(
      () => undefined,
      (error) => error,
    );
    await sleep(300);
    await server.kill();
    expect(await putting).toMatchObject({ code: 'unusable_setting', params: { problem: 's3_silent' } });
    await server.start();
    expect(server.object('broken/x').equals(before.content)).toBe(true);
    await target.put('x', after.path);
    expect(server.object('broken/x').equals(after.content)).toBe(true);
    await target.close();
  });

  it('is text that was written, nothing where there is none, and can be removed twice', async () => {
    const target = await opened(`s3://${BUCKET}`);
    expect(await target.read('_manifest/none.json')).toBeUndefined();
    await target.write('_manifest/一.json', '{"区域": 1}');
    expect(await target.read('_manifest/一.json')).toBe('{"区域": 1}');
    await target.remove('_manifest/一.json');
    await target.remove('_manifest/一.json');
    expect(await target.read('_manifest/一.json')).toBeUndefined();
    expect(await target.has('_manifest/一.json', 1)).toBe(false);
    await target.close();
  });

  it('half made by a run that broke is thrown away', async () => {
    const target = await opened(`s3://${BUCKET}/left`);
    file(target, 5);
    mkdirSync(join(target.workDir, 'spill'));
    const next = await opened(`s3://${BUCKET}/left`);
    expect(next.workDir).toBe(target.workDir);
    expect(readdirSync(next.workDir)).toEqual([]);
    await next.close();
  });
});

describe('storage that cannot be used is refused in a sentence', () => {
  it.each([
    ['no_bucket', 's3://nothing/x', {}],
    ['s3_denied', `s3://${BUCKET}/x`, { secretKey: 'another' }],
    ['s3_denied', `s3://${BUCKET}/x`, { accessKey: 'nobody' }],
    ['s3_silent', `s3://${BUCKET}/x`, { endpoint: 'http://127.0.0.1:1' }],
    ['s3_silent', `s3://${BUCKET}/x`, { endpoint: 'http://no-such-host.invalid' }],
  ])('%s', async (problem, url, wrong) => {
    const error = await S3Target.open(url, '--to', { ...server.settings, ...wrong }).catch((error) => error);
    expect(error).toMatchObject({ code: 'unusable_setting', path: '--to', params: { problem, value: url } });
    const sentence = sayError(error, 'en');
    expect(sentence).not.toMatch(/\{|undefined|…/);
    expect(sentence).not.toContain(server.settings.secretKey!.concat('-'));
  });
});
