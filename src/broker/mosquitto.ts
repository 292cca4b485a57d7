/** Mosquitto's files for the gateways of the ledger: who may connect, and what each may publish and hear. */
import { pbkdf2Sync, randomBytes } from 'node:crypto';
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DEFAULT_PREFIX } from './device-topics.ts';

/** As mosquitto_passwd of 2.0 makes them. Secrets are long and made by machines, and a storm of gateways must get in. */
const ITERATIONS = 101;
const SALT_BYTES = 12;
const HASH_BYTES = 64;

/**
 * `id:$7$iterations$salt$hash`, PBKDF2 with SHA-512; only from the secret itself, never from what the ledger keeps of it.
 * undefined = an id that cannot stand in a password file.
 */
export function mosquittoPasswordLine(id: string, secret: string): string | undefined {
  if (id === '' || /[:\r\n\0]/.test(id)) return undefined;
  const salt = randomBytes(SALT_BYTES);
  const hash = pbkdf2Sync(secret, salt, ITERATIONS, HASH_BYTES, 'sha512');
  return `${id}:$7$${ITERATIONS}$${salt.toString('base64')}$${hash.toString('base64')}`;
}

export interface AclParts {
  /** Name by which the workers connect. */
  readonly user: string;
  readonly prefix?: string;
  /** Of the profiles. */
  readonly topics: Iterable<string>;
  readonly refusalTopics: Iterable<string>;
}

export function mosquittoAcl({ user, prefix = DEFAULT_PREFIX, topics, refusalTopics }: AclParts): string {
  const any = prefix.replace('{client}', '+');
  const own = prefix.replace('{client}', '%u');
  const filters = [...new Set([...topics].map((topic) => topic.replace('{instrument}', '+')))];
  const refusals = [...new Set(refusalTopics)];
  const lines = [
    '# The workers.',
    `user ${user}`,
    ...filters.map((filter) => `topic read ${any}${filter}`),
    ...refusals.map((topic) => `topic write ${any}${topic}`),
    '',
    '# Every device: only its own topics, by the name it has proved.',
    ...filters.map((filter) => `pattern write ${own}${filter}`),
    ...refusals.map((topic) => `pattern read ${own}${topic}`),
  ];
  return `${lines.join('\n')}\n`;
}

/** Mosquitto reads them again on SIGHUP. `lines`: of mosquittoPasswordLine, the workers' own among them. */
export function writeMosquittoFiles(folder: string, lines: Iterable<string>, acl: string): void {
  replaceFile(join(folder, 'passwd'), `${[...lines].join('\n')}\n`);
  replaceFile(join(folder, 'acl'), acl);
}

/** Whoever reads at this moment sees the old file or the new one. */
function replaceFile(path: string, text: string): void {
  writeFileSync(`${path}.new`, text, { mode: 0o640 });
  renameSync(`${path}.new`, path);
}
