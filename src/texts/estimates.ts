/** Runs of estimates in words. */
import type { Text } from './text.ts';

export const RUN_STATE_NAMES = {
  waiting: { 'zh-CN': '等待', en: 'waiting' },
  running: { 'zh-CN': '计算中', en: 'running' },
  done: { 'zh-CN': '已完成', en: 'done' },
  failed: { 'zh-CN': '失败', en: 'failed' },
} as const satisfies Record<string, Text>;
