import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ERROR_STATUS, type ErrorCode } from '../../src/errors.ts';
import { ERRORS, PROBLEMS, sayError } from '../../src/texts/errors.ts';
import { LANGUAGES, type Text } from '../../src/texts/text.ts';

const CODES = Object.keys(ERROR_STATUS) as ErrorCode[];
const holes = (sentence: string) => new Set(sentence.match(/\{\w+\}/g));

describe('every error code', () => {
  it.each(CODES)('%s has a sentence in every language, with the same placeholders', (code) => {
    const text: Text | undefined = ERRORS[code];
    expect(text, `src/texts/errors.ts lacks ${code}`).toBeDefined();
    for (const language of LANGUAGES) expect(text[language].trim()).not.toBe('');
    expect(holes(text['zh-CN'])).toEqual(holes(text.en));
  });

  it('is known: no sentence is left over', () => {
    expect(Object.keys(ERRORS).toSorted()).toEqual(CODES.toSorted());
  });
});

describe('problems', () => {
  it.each(['fleet', 'tasks', 'store', 'inspector'])('of src/%s are named, not written out', (folder) => {
    const files = readdirSync(`src/${folder}`).filter((name) => name.endsWith('.ts') && !name.startsWith('influxdb'));
    const given = files.flatMap((name) => {
      const source = readFileSync(`src/${folder}/${name}`, 'utf8');
      return [...source.matchAll(/\bproblem: (['`])(.*?)\1/g)].map(([, , problem]) => problem!);
    });
    expect(given.filter((problem) => !(problem in PROBLEMS))).toEqual([]);
  });

  it.each(Object.entries<Text>(PROBLEMS))('%s has the same placeholders in every language', (_, text) => {
    expect(holes(text['zh-CN'])).toEqual(holes(text.en));
  });

  it.each([
    ['too_long', { limit: 5 }, '请求有误:最多 5 个字符'],
    ['other_region', { region: '220302' }, '请求有误:不负责区域 220302'],
    ['not_a_page_size', { limit: 500 }, '请求有误:应为 1 到 500 的整数'],
    ['something else (really)', {}, '请求有误:something else (really)'],
  ])('%s', (problem, params, told) => {
    expect(sayError({ code: 'invalid_request', params: { problem, ...params } }, 'zh-CN')).toBe(told);
  });
});

describe('sentences', () => {
  it.each([
    ['transition_not_allowed', { state: 'done', action: 'accept' }, '任务处于“已完成”状态,不能进行“接单”'],
    ['conflict', { problem: 'done_already' }, '与现有状态冲突:已经做过了'],
    ['conflict', {}, '与现有状态冲突'],
    ['unknown_topic', {}, '没有与主题“…”对应的规约'],
    ['never_heard_of', {}, 'never_heard_of'],
  ])('%s', (code, params, told) => {
    expect(sayError({ code, params }, 'zh-CN')).toBe(told);
  });

  it('tell why a task cannot be closed', () => {
    const params = { state: 'done', action: 'close', because: 'findings' };
    expect(sayError({ code: 'transition_not_allowed', params }, 'en')).toContain('still open');
  });
});
