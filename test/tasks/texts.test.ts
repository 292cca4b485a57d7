import { describe, expect, it } from 'vitest';
import { historySentence } from '../../src/texts/tasks.ts';

describe('historySentence', () => {
  it.each([
    ['raised', { rule: 'silent' }, '因发现“失联”生成任务', 'Raised by the finding “silent”'],
    ['assign', { assignee: 'wang' }, '系统派单给 wang', 'Assigned to wang by the system'],
    ['complete', { verdict: 'no-access' }, '系统完成任务,结论:无法进入', 'Completed by the system: no access'],
    ['unheard-of', {}, 'unheard-of', 'unheard-of'],
  ])('%s', (action, params, chinese, english) => {
    const entry = { action, actor: 'system', params };
    expect(historySentence(entry, 'zh-CN', { rule: '失联' })).toBe(chinese);
    expect(historySentence(entry, 'en')).toBe(english);
  });
});
