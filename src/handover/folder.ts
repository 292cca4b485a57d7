/** A folder of this machine, or one mounted here. */
import { mkdir, open, readFile, rename, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { MeterwardenError } from '../errors.ts';
import { FOLDER_PROBLEMS } from '../folder-problems.ts';
import type { Target } from './target.ts';

/** Readers pass over names that begin so. */
const WORK = '_meterwarden_tmp';

export class FolderTarget implements Target {
  readonly workDir: string;
  readonly #root: string;
  readonly #name: string;

  private constructor(root: string, name: string) {
    this.#root = root;
    this.#name = name;
    this.workDir = join(root, WORK);
  }

  /** Throws away what a broken run has left half made. `name`: of the setting or option that says where. */
  static async open(dir: string, name: string): Promise<FolderTarget> {
    const target = new FolderTarget(resolve(dir), name);
    await target.#refusing(async () => {
      await rm(target.workDir, { recursive: true, force: true });
      await makeFolder(target.workDir);
    });
    return target;
  }

  async read(path: string): Promise<string | undefined> {
    return this.#refusing(async () => {
      try {
        return await readFile(join(this.#root, path), 'utf8');
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw error;
      }
    });
  }

  async write(path: string, text: string): Promise<void> {
    const file = join(this.workDir, 'text');
    await this.#refusing(() => writeFile(file, text));
    await this.put(path, file);
  }

  async put(path: string, file: string): Promise<void> {
    await this.#refusing(async () => {
      const place = join(this.#root, path);
      await makeFolder(dirname(place));
      await synced(file);
      await rename(file, place);
      await synced(dirname(place));
    });
  }

  async has(path: string, bytes: number): Promise<boolean> {
    return this.#refusing(() =>
      stat(join(this.#root, path)).then(
        ({ size }) => size === bytes,
        (error) => {
          if (isMissing(error)) return false;
          throw error;
        },
      ),
    );
  }

  async remove(path: string): Promise<void> {
    await this.#refusing(async () => {
      const place = join(this.#root, path);
      await rm(place, { force: true });
      await rmdir(dirname(place)).catch(() => {}); // somebody else’s files may lie there
    });
  }

  async close(): Promise<void> {
    await rm(this.workDir, { recursive: true, force: true });
  }

  async #refusing<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const { code, syscall, path } = error as NodeJS.ErrnoException;
      if (code === undefined || syscall === undefined) throw error;
      throw new MeterwardenError('unusable_setting', {
        path: this.#name,
        params: { value: this.#root, problem: FOLDER_PROBLEMS[code] ?? 'folder_refused', at: path ?? this.#root, code },
        cause: error,
      });
    }
  }
}

/** Folder by folder: `recursive` of Node never ends where a file system makes none, such as /proc. */
async function makeFolder(dir: string): Promise<void> {
  try {
    await mkdir(dir);
  } catch (error) {
    if (await isFolder(dir)) return;
    const parent = dirname(dir);
    if (!isMissing(error) || (await isFolder(parent))) throw error;
    await makeFolder(parent);
    await makeFolder(dir);
  }
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}

/** What is renamed into place is whole even after a power cut. */
async function synced(path: string): Promise<void> {
  const handle = await open(path);
  try {
    await handle.sync();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error; // some network file systems cannot
  } finally {
    await handle.close();
  }
}
