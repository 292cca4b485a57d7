/** docker-compose.yml as Docker Compose reads it: anchors merged, variables of the environment file put in. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { ROOT } from './command-line.ts';

export interface ComposeService {
  readonly image: string;
  readonly build?: string;
  readonly command?: readonly string[];
  readonly user?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: { readonly test?: readonly string[]; readonly disable?: boolean };
  readonly deploy?: {
    readonly replicas?: number;
    readonly resources?: { readonly limits?: { readonly memory?: string } };
  };
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly tmpfs?: readonly string[];
  readonly networks?: readonly string[];
  readonly restart?: string;
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
}

export interface Compose {
  readonly services: Readonly<Record<string, ComposeService>>;
  readonly volumes: Readonly<Record<string, unknown>>;
  readonly networks: Readonly<Record<string, unknown>>;
}

const VARIABLE = /\$\$|\$\{(\w+)(?::([-?])([^}]*))?\}/g;

export function composeText(): string {
  return readFileSync(join(ROOT, 'docker-compose.yml'), 'utf8');
}

/** Names of `${…}`. */
export function variablesOf(text: string): string[] {
  const named = [...text.matchAll(VARIABLE)].flatMap(([, name]) => (name ? [name] : []));
  return [...new Set(named)].sort();
}

/** Names and values of `NAME=value` lines. */
export function environmentFile(name: string): Record<string, string> {
  const lines = readFileSync(join(ROOT, name), 'utf8').split('\n');
  return Object.fromEntries(lines.flatMap((line) => (/^\w+=/.test(line) ? [line.split(/=(.*)/s).slice(0, 2)] : [])));
}

/** What `docker compose config` would show; a variable that must be set and is not is an error. */
export function readCompose(env: Readonly<Record<string, string>>): Compose {
  const put = (text: string) =>
    text.replace(VARIABLE, (whole, name?: string, operator?: string, rest = '') => {
      if (name === undefined) return whole.slice(1);
      if (env[name]) return env[name];
      if (operator === '?') throw new Error(`${name}: ${rest}`);
      return rest;
    });
  return parse(composeText(), (_key, value) => (typeof value === 'string' ? put(value) : value), { merge: true });
}

/** The environment file with everything filled in that has to be. */
export function filledEnvironment(): Record<string, string> {
  const needed = new Set(
    [...composeText().matchAll(VARIABLE)].flatMap(([, name, operator]) => (operator === '?' ? name! : [])),
  );
  const given = Object.entries(environmentFile('.env.example'));
  return Object.fromEntries(
    given.map(([name, value]) => [name, needed.has(name) ? `of-${name.toLowerCase()}` : value]),
  );
}
