/** Instruments, readings and configuration for the tests of the rules. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parse } from 'yaml';
import type { Instrument } from '../../src/fleet/instrument.ts';
import { type NamedValues, orderedValues, type Reading } from '../../src/fleet/reading.ts';
import { parseKinds } from '../../src/kinds.ts';
import { parseRules } from '../../src/rules/ruleset.ts';

export function config(name: string): unknown {
  return parse(readFileSync(resolve(import.meta.dirname, '../../config', name), 'utf8'));
}

export const kinds = parseKinds(config('kinds.yaml'));
export const rules = parseRules(config('rules.yaml'), kinds);

export const MINUTE_MS = 60_000;
export const PERIOD_MS = 15 * MINUTE_MS;

export function instrument(own: Partial<Instrument> & Pick<Instrument, 'key'>): Instrument {
  return {
    id: `M${own.key}`,
    kind: 'electricity',
    role: 'user',
    district: 'D1',
    phase: 'L1',
    accuracyClass: '2',
    manufacturer: '',
    model: '',
    batch: '',
    installedOn: '',
    owner: '',
    region: '220302',
    nominalVoltageV: 220,
    maxCurrentA: 60,
    gateway: '',
    state: 'in-service',
    ...own,
  };
}

export function reading(key: number, tsMs: number, values: NamedValues = {}): Reading {
  return { key, tsMs, values: orderedValues(values) };
}
