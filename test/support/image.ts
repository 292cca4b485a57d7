/**
 * The image of the Dockerfile without Docker: the files it copies and no others, in a root file system of its own that is only
 * read, run as process 1 of its own process namespace by the user, the environment and the command of the Dockerfile.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Copy, DockerfileParser, type Env, type From, type JSONInstruction } from 'dockerfile-ast';
import { ROOT } from './command-line.ts';

export interface Recipe {
  readonly text: string;
  readonly baseImages: readonly string[];
  /** From the context to the image; node_modules come out of another stage. */
  readonly copied: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly user: string;
  readonly stopSignal: string;
  readonly healthcheck: readonly string[];
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
}

export function readRecipe(): Recipe {
  const text = readFileSync(join(ROOT, 'Dockerfile'), 'utf8');
  const all = DockerfileParser.parse(text).getInstructions();
  const last = all.findLastIndex((one) => one.getKeyword() === 'FROM');
  const stage = all.slice(last);
  const of = (keyword: string) => stage.filter((one) => one.getKeyword() === keyword);
  const json = (keyword: string) =>
    (of(keyword)[0] as JSONInstruction).getJSONStrings().map((one) => JSON.parse(one.getValue()) as string);
  const words = (keyword: string) => of(keyword).flatMap((one) => one.getArguments().map((word) => word.getValue()));
  return {
    text,
    baseImages: all.flatMap((one) => (one.getKeyword() === 'FROM' ? [(one as From).getImage() ?? ''] : [])),
    copied: of('COPY').flatMap((one) => {
      const copy = one as Copy;
      if (copy.getFlags().length > 0) return [];
      return copy
        .getArguments()
        .slice(0, -1)
        .map((word) => word.getValue());
    }),
    environment: Object.fromEntries(
      of('ENV').flatMap((one) => (one as Env).getProperties().map((pair) => [pair.getName(), pair.getValue() ?? ''])),
    ),
    user: words('USER').join(' '),
    stopSignal: words('STOPSIGNAL').join(' '),
    healthcheck: JSON.parse(/^HEALTHCHECK [^[]*CMD (\[.*\])$/m.exec(text.replace(/\\\n/g, ''))![1]!),
    entrypoint: json('ENTRYPOINT'),
    command: json('CMD'),
  };
}

function readlinkOf(path: string): string | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ? readlinkSync(path) : undefined;
}

/** As `npm ci --omit=dev` would leave them. */
export function productionPackages(): string[] {
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean; devOptional?: boolean }>;
  };
  return Object.entries(packages).flatMap(([path, { dev, devOptional }]) =>
    path !== '' && !dev && !devOptional && existsSync(join(ROOT, path)) ? [path] : [],
  );
}

/** Of this machine, in place of the base image's. */
const STANDARD = ['bin', 'sbin', 'lib', 'lib64', 'usr'];

/** Makes the container's file systems, drops every privilege and becomes the service. */
const RUN = `set -e
root=$1; shift
mount --make-rprivate /
mount --bind "$root" "$root"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
mount -t proc proc "$root/proc"
for dir in ${STANDARD.join(' ')}; do [ -L "/$dir" ] || [ ! -d "/$dir" ] || { mount --bind "/$dir" "$root/$dir"; mount -o remount,bind,ro "$root/$dir"; }; done
mount --bind "$root/data" "$root/data"
mount -o remount,bind,ro "$root"
exec chroot "$root" /usr/bin/env -i -C /app "$@"`;

/** Runs one container at a time. */
export class Image {
  readonly #recipe: Recipe;
  readonly #root: string;
  #child: ChildProcess | undefined;
  output = '';

  private constructor(recipe: Recipe, root: string) {
    this.#recipe = recipe;
    this.#root = root;
  }

  static build(recipe: Recipe): Image {
    const root = mkdtempSync(join(tmpdir(), 'meterwarden-image-'));
    chmodSync(root, 0o755);
    for (const dir of ['dev', 'proc', 'tmp', 'data', 'app', 'etc', 'opt']) mkdirSync(join(root, dir), { mode: 0o755 });
    for (const dir of STANDARD) {
      const link = readlinkOf(join('/', dir));
      if (link) symlinkSync(link, join(root, dir));
      else mkdirSync(join(root, dir));
    }
    writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0::/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\n');
    writeFileSync(join(root, 'etc/group'), 'root:x:0:\nnode:x:1000:\n');
    writeFileSync(join(root, 'etc/hosts'), '127.0.0.1 localhost\n');
    copyFileSync(process.execPath, join(root, 'opt/node'));
    for (const path of recipe.copied) cpSync(join(ROOT, path), join(root, 'app', path), { recursive: true });
    const topmost = productionPackages().filter((path) => path.lastIndexOf('node_modules/') === 0);
    execFileSync('cp', ['-a', '--parents', ...topmost, join(root, 'app')], { cwd: ROOT });
    return new Image(recipe, root);
  }

  /** A new volume at /data, or none. */
  mount(volume: boolean): void {
    const data = join(this.#root, 'data');
    rmSync(data, { recursive: true, force: true });
    mkdirSync(data, { mode: 0o755 });
    const [uid, gid] = this.#recipe.user.split(':').map(Number);
    if (volume) chownSync(data, uid!, gid!);
  }

  /** `command` and `env` as after `docker run`. */
  start(command: readonly string[], env: Readonly<Record<string, string>>): void {
    const { user, environment, entrypoint } = this.#recipe;
    const [uid, gid] = user.split(':');
    const variables = Object.entries({ PATH: '/opt:/usr/bin:/bin', ...environment, ...env });
    const drop = ['--reuid', uid!, '--regid', gid!, '--clear-groups', '--no-new-privs', '--bounding-set=-all'];
    const args = [
      ...['--mount', '--pid', '--fork', '--kill-child', 'sh', '-c', RUN, 'sh', this.#root],
      ...variables.map(([name, value]) => `${name}=${value}`),
      ...['setpriv', ...drop, '--inh-caps=-all', ...entrypoint, ...command],
    ];
    this.output = '';
    this.#child = spawn('unshare', args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const collect = (chunk: Buffer) => {
      this.output += chunk.toString('utf8');
    };
    this.#child.stdout!.on('data', collect);
    this.#child.stderr!.on('data', collect);
  }

  get running(): boolean {
    return this.#child?.exitCode === null && this.#child.signalCode === null;
  }

  /** Process 1 of the container, by its number outside. */
  get pid(): number {
    const { pid } = this.#child!;
    return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0]);
  }

  /** As `docker stop` does; resolves with the exit code. */
  async stop(): Promise<number | null> {
    const child = this.#child!;
    if (!this.running) return child.exitCode;
    const ended = once(child, 'exit');
    process.kill(this.pid, this.#recipe.stopSignal as NodeJS.Signals);
    const [code] = await ended;
    return code;
  }

  async kill(): Promise<void> {
    if (!this.running) return;
    const ended = once(this.#child!, 'exit');
    process.kill(this.pid, 'SIGKILL');
    await ended;
  }

  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.#root, { recursive: true, force: true });
  }
}
