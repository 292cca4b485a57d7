/** What `meterwarden influx-setup` says. */
import type { Text } from './text.ts';

export const INFLUX_STEPS = {
  readings: { 'zh-CN': '读数保存策略“{name}”', en: 'retention of readings “{name}”' },
  hourly: { 'zh-CN': '小时汇总保存策略“{name}”', en: 'retention of the hourly summary “{name}”' },
  mapping: { 'zh-CN': '查询映射“{name}”', en: 'mapping for queries “{name}”' },
  summary: { 'zh-CN': '小时汇总任务“{name}”', en: 'hourly summary “{name}”' },
} as const satisfies Record<string, Text>;

export const INFLUX_CHANGES = {
  created: { 'zh-CN': '已建立', en: 'created' },
  changed: { 'zh-CN': '已更改', en: 'changed' },
  unchanged: { 'zh-CN': '未变', en: 'unchanged' },
} as const satisfies Record<string, Text>;

export const INFLUX_WARNINGS = {
  kept_longer: {
    'zh-CN': '“{name}”现保存 {days} 天(0 = 永久),长于所设 {wanted} 天;缩短会删除数据,请自行更改',
    en: '“{name}” keeps {days} days (0 = for ever), longer than the {wanted} that are set; shortening deletes data and is left to you',
  },
  server_limit: {
    'zh-CN': 'InfluxDB 设置 {setting} = {value} 会拒收超出的器具,应设为 0',
    en: 'InfluxDB has {setting} = {value} and would refuse instruments beyond it; set it to 0',
  },
} as const satisfies Record<string, Text>;
