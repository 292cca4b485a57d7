/** A command as a person runs it, in English unless told otherwise. */
import { execFile } from 'node:child_process';
import { join, resolve } from 'node:path';

export const ROOT = resolve(import.meta.dirname, '../..');
export const MAIN = join(ROOT, 'src/main.ts');

export interface Run {
  readonly code: number | null;
  readonly out: string;
}

export function run(
  script: string,
  args: readonly string[],
  env: Record<string, string> = {},
  cwd = ROOT,
): Promise<Run> {
  return new Promise((done) => {
    const { METERWARDEN_DATA: _, ...inherited } = process.env;
    const options = { cwd, env: { ...inherited, METERWARDEN_LANG: 'en', ...env }, timeout: 30_000 };
    execFile(process.execPath, [script, ...args], options, (error, stdout, stderr) => {
      done({ code: error ? ((error.code as unknown as number | undefined) ?? null) : 0, out: stdout + stderr });
    });
  });
}
