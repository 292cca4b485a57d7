/** The data folder: made where it is missing, held by one service at a time, and in a sentence what is wrong with it. */
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { platform } from 'node:os';
import { dirname, join } from 'node:path';
import { MeterwardenError } from '../errors.ts';
import { FOLDER_PROBLEMS } from '../folder-problems.ts';

const SETTING = 'METERWARDEN_DATA';

/** One service per folder: a second one would stop the first one's server, taking it for left behind. Returns what lets go. */
export function holdDataFolder(dataDir: string): () => void {
  return inDataFolder(dataDir, () => {
    makeFolder(dataDir);
    const lock = join(dataDir, 'service.lock');
    const holder = existsSync(lock) ? readFileSync(lock, 'utf8').trim() : '';
    const pid = Number(holder.split(' ')[0]);
    if (holder !== '' && pid !== process.pid && isAlive(pid) && holder === processName(pid)) {
      throw new MeterwardenError('unusable_setting', {
        path: SETTING,
        params: { value: dataDir, problem: 'folder_in_use', pid },
      });
    }
    writeFileSync(lock, processName(process.pid));
    return () => rmSync(lock, { force: true });
  });
}

/** Runs `work`; what the file system refuses becomes a refusal of the setting. */
export function inDataFolder<T>(dataDir: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw folderRefusal(dataDir, error) ?? error;
  }
}

/** Folder by folder: `recursive` of Node never ends where a file system makes none, such as /proc. */
function makeFolder(dir: string): void {
  try {
    mkdirSync(dir);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' && statSync(dir).isDirectory()) return;
    const parent = dirname(dir);
    if (code !== 'ENOENT' || existsSync(parent)) throw error;
    makeFolder(parent);
    mkdirSync(dir);
  }
}

function folderRefusal(dataDir: string, error: unknown): MeterwardenError | undefined {
  const { code, syscall, path } = error as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined) return undefined;
  const at = code === 'ENOTDIR' ? fileAbove(path ?? dataDir) : (path ?? dataDir);
  return new MeterwardenError('unusable_setting', {
    path: SETTING,
    params: { value: dataDir, problem: FOLDER_PROBLEMS[code] ?? 'folder_refused', at, code },
    cause: error,
  });
}

/** The file that stands where a folder is needed. */
function fileAbove(path: string): string {
  for (let dir = path; dir !== dirname(dir); dir = dirname(dir)) if (existsSync(dir)) return dir;
  return path;
}

/** A pid and, where the system tells, when it started: pids are used again. */
function processName(pid: number): string {
  if (platform() !== 'linux') return String(pid);
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return `${pid} ${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}`;
}

export function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    if (platform() !== 'linux') return true;
    return /\) Z /.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) === null; // a zombie holds nothing
  } catch (error) {
    return (error as { code?: string }).code === 'EPERM';
  }
}
