import { describe, expect, it } from 'vitest';
import { MeterwardenError } from '../../src/errors.ts';
import { parseRules } from '../../src/rules/ruleset.ts';
import { sayError } from '../../src/texts/errors.ts';
import { config, kinds, rules } from './fixtures.ts';
import { runTimeline, type Timeline, type TimelineDefaults } from './rule-timeline.ts';

interface Refused {
  readonly name: string;
  readonly set: Readonly<Record<string, unknown>>;
  readonly path: string;
  readonly nearest?: string;
}

const file = config('rules.test.yaml') as { defaults: TimelineDefaults; tests: Timeline[]; refused: Refused[] };

describe('config/rules.test.yaml', () => {
  it.each(file.tests)('$name', (timeline) => {
    const problems = runTimeline(timeline, file.defaults, rules, kinds);
    if (timeline.name.endsWith('-bad')) expect(problems).not.toEqual([]);
    else expect(problems).toEqual([]);
  });

  it('has for every rule a test in which it fires, one in which it does not, and one in which it clears', () => {
    const good = file.tests.filter(({ name }) => !name.endsWith('-bad'));
    const found = good.flatMap(({ expect }) => expect.flatMap(({ findings }) => findings));
    for (const rule of rules.rules.values()) {
      if (['reading-path', 'estimate', 'on-site'].includes(rule.settings.detector)) continue; // no rule evaluates these
      expect(
        found.some((finding) => finding.rule === rule.id && !finding.to),
        `${rule.id} fires`,
      ).toBe(true);
      expect(
        found.some((finding) => finding.rule === rule.id && finding.to),
        `${rule.id} clears`,
      ).toBe(true);
      const quiet = good.some(
        ({ name, expect }) =>
          name.startsWith(`${rule.id} `) && expect.every(({ findings }) => findings.every((f) => f.rule !== rule.id)),
      );
      expect(quiet, `${rule.id} does not fire`).toBe(true);
    }
  });
});

describe('parseRules', () => {
  it.each(file.refused)('refuses $name', ({ set, path, nearest }) => {
    const raw = config('rules.yaml');
    for (const [at, value] of Object.entries(set)) assign(raw as Record<string, unknown>, at.split('.'), value);
    const error = refusalOf(() => parseRules(raw, kinds));
    expect({ code: error.code, path: error.path, ...(nearest ? { nearest: error.params.nearest } : {}) }).toEqual({
      code: 'invalid_config',
      path,
      ...(nearest ? { nearest } : {}),
    });
    expect(sayError(error, 'zh-CN')).toMatch(/^配置有误:.*\p{Script=Han}/u);
  });

  it.each([null, [], 'rules', 5])('refuses another shape: %j', (raw) => {
    expect(refusalOf(() => parseRules(raw, kinds))).toMatchObject({ code: 'invalid_config', path: 'rules.yaml' });
  });
});

function assign(target: Record<string, unknown>, [step, ...rest]: string[], value: unknown): void {
  if (rest.length === 0) target[step!] = value;
  else assign(target[step!] as Record<string, unknown>, rest, value);
}

function refusalOf(work: () => unknown): MeterwardenError {
  try {
    work();
  } catch (error) {
    if (error instanceof MeterwardenError) return error;
    throw error;
  }
  throw new Error('accepted');
}
