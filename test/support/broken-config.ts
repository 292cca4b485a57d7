/** A shipped file of the configuration with one thing wrong, and how it is refused. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parse } from 'yaml';
import { MeterwardenError } from '../../src/errors.ts';
import { sayError } from '../../src/texts/errors.ts';

export type Tree = { [key: string]: Tree | unknown };

export function shipped(file: string): unknown {
  return parse(readFileSync(resolve(import.meta.dirname, '../../config', file), 'utf8'));
}

/** `set`: value by path, `1.topic`; undefined takes the key away. */
export function changed(file: string, set: Readonly<Record<string, unknown>>): unknown {
  const raw = shipped(file);
  for (const [path, value] of Object.entries(set)) {
    const steps = path.split('/');
    const last = steps.pop()!;
    const target = steps.reduce((tree, step) => tree[step] as Tree, raw as Tree);
    if (value === undefined) delete target[last];
    else target[last] = value;
  }
  return raw;
}

/** `path: sentence` as a person reads it; both languages must have one. */
export function refusalOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (!(error instanceof MeterwardenError) || error.code !== 'invalid_config') throw error;
    const [zh, en] = [sayError(error, 'zh-CN'), sayError(error, 'en')];
    if (!/^配置有误:.*\p{Script=Han}/u.test(zh) || /(?<!, )…/u.test(zh)) throw new Error(`not said in Chinese: ${zh}`);
    return `${error.path}: ${en.replace(/^The configuration is not right: /, '')}`;
  }
  return 'accepted';
}
