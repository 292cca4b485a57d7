/** CSV files of a folder, plain or compressed, line by line; what is wrong with one is told by file, line and column. */
import { createReadStream, existsSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { MeterwardenError } from '../errors.ts';
import { type Line, lines, MAX_LINE_CHARS } from './csv-lines.ts';

/** Told of what is wrong, which is then passed over. */
export type Tell = (problem: MeterwardenError) => void;

/** Runs what may be refused; with `tell` the refusal is told and undefined returned. */
export function tellOr<T>(tell: Tell | undefined, work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (!tell || !(error instanceof MeterwardenError)) throw error;
    tell(error);
    return undefined;
  }
}

/** The file as it stands in the folder: plain, or compressed. */
export function presentFile(dir: string, file: string): string {
  const found = [file, `${file}.gz`].find((name) => existsSync(join(dir, name)));
  if (found) return found;
  if (!existsSync(dir)) throw new MeterwardenError('missing_folder', { path: dir });
  throw new MeterwardenError('missing_file', { path: join(dir, file), params: { file } });
}

/** Its lines in blocks, the header first; with `tell` those without a shape are passed over. */
export async function* csvBlocks(dir: string, file: string, tell?: Tell): AsyncGenerator<readonly Line[]> {
  const bytes = createReadStream(join(dir, file), { highWaterMark: 256 * 1024 });
  let hasLines = false;
  try {
    for await (const block of lines(file.endsWith('.gz') ? pipeline(bytes, createGunzip(), () => {}) : bytes)) {
      const sound = block.filter((line) => tellOr(tell, () => requireShape(file, line)));
      if (sound.length > 0) yield sound;
      hasLines = true;
    }
  } catch (error) {
    if (error instanceof TypeError) {
      throw new MeterwardenError('invalid_line', { path: file, params: { problem: 'not_utf8', file }, cause: error });
    }
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (!code.startsWith('Z_')) throw error;
    throw new MeterwardenError('invalid_line', { path: file, params: { problem: 'broken_gzip', file }, cause: error });
  } finally {
    bytes.destroy();
  }
  if (!hasLines) throw new MeterwardenError('invalid_line', { path: file, params: { problem: 'empty_file', file } });
}

export function requireColumns(file: string, header: Line, names: readonly string[]): void {
  const column = names.find((name) => !header.cells.includes(name));
  if (column) throw wrongLine(file, header, column, 'invalid_line', { problem: 'missing_column', column });
}

export function wrongLine(
  file: string,
  { number }: Line,
  column: string,
  code: 'invalid_line' | 'duplicate_line' | 'unknown_kind' | 'not_a_number' | 'out_of_range',
  params: Readonly<Record<string, string | number>>,
): MeterwardenError {
  const path = column ? `${file}:${number}:${column}` : `${file}:${number}`;
  return new MeterwardenError(code, { path, params: { ...params, file, line: number } });
}

function requireShape(file: string, line: Line): true {
  if (line.problem) throw wrongLine(file, line, '', 'invalid_line', { problem: line.problem, limit: MAX_LINE_CHARS });
  return true;
}
