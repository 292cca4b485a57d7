import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { REASONS, sayReason } from '../../src/texts/reasons.ts';
import { LANGUAGES } from '../../src/texts/text.ts';
import { rules } from './fixtures.ts';

const RULES_DIR = resolve(import.meta.dirname, '../../src/rules');

/** Codes in the sources of the rules and in the rules themselves, and of what estimates and measurements on site conclude. */
function emitted(): string[] {
  const source = readdirSync(RULES_DIR)
    .map((name) => readFileSync(join(RULES_DIR, name), 'utf8'))
    .join('\n');
  const calls = [...source.matchAll(/because\(([^{]*?),\s*(?:\{|params)/g)].map(([, code]) => code!);
  const elsewhere = ['accuracy/conclusions.ts', 'store/postgres-site-results.ts']
    .map((name) => readFileSync(resolve(RULES_DIR, '..', name), 'utf8'))
    .flatMap((text) => [...text.matchAll(/'(error_\w+)'/g)].map(([, code]) => code!));
  const inCode = calls.flatMap((code) => [...code.matchAll(/'(\w+)'/g)].map(([, name]) => name!));
  const inData = [...rules.rules.values()].flatMap(({ settings }) =>
    settings.detector === 'threshold' ? [settings.reason, `${settings.reason}_on_phase`] : [],
  );
  return [...new Set([...inCode, ...inData, ...elsewhere])].sort();
}

describe('reasons', () => {
  it('has a sentence for every code the rules can give, and for no other', () => {
    expect(emitted()).toEqual(Object.keys(REASONS).sort());
  });

  it.each(Object.entries(REASONS))('says %s in both languages with the same numbers', (_, text) => {
    const holes = LANGUAGES.map((language) =>
      [...text[language].matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort(),
    );
    expect(new Set(holes[0])).toEqual(new Set(holes[1]));
  });

  it('shows a code from elsewhere as it is', () => {
    expect(sayReason({ code: 'district_loss', params: {} }, 'en')).toBe('district_loss');
  });

  it('names every rule in both languages', () => {
    for (const { name } of rules.rules.values()) for (const language of LANGUAGES) expect(name[language]).not.toBe('');
  });
});
