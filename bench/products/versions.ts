/** What version of itself a program tells. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

export async function versionOf(program: string, flag: string): Promise<string> {
  const { stdout } = await promisify(execFile)(program, [flag]).catch((error: { stdout?: string }) => error);
  return /\d+(?:\.\d+)+/.exec(stdout ?? '')?.[0] ?? 'unknown';
}
