/** What the demo says. */
import type { Text } from '../src/texts/text.ts';

export const DEMO = {
  intro: {
    'zh-CN':
      '演示:{districts} 个台区、{instruments} 台计量器具、{days} 天真实家庭负荷(每 15 分钟一次),埋入 {faults} 处故障',
    en: 'Demo: {districts} districts, {instruments} instruments, {days} days of real household loads every 15 minutes, {faults} seeded faults',
  },
  starting: {
    'zh-CN': '正在启动服务(内置 PostgreSQL 与 MQTT)…',
    en: 'starting the service (embedded PostgreSQL and MQTT)…',
  },
  started: {
    'zh-CN': '服务已启动:{url}/docs,用户 admin,密码 {password}',
    en: 'the service runs: {url}/docs, user admin, password {password}',
  },
  published: {
    'zh-CN': '集中器经 MQTT 上报 {readings} 条读数,全部落盘后确认:{rate} 条/秒,p99 {p99} ms;被拒 {rejected}',
    en: 'gateways published {readings} readings over MQTT, each acknowledged when stored: {rate}/s, p99 {p99} ms; {rejected} refused',
  },
  live: {
    'zh-CN': '实时上报 {seconds} 秒,等待规则确认失联与台区失联…',
    en: 'live for {seconds} s, while the rules make sure who is silent…',
  },
  heading: { 'zh-CN': '埋入的故障与发现', en: 'What was injected and what was found' },
  injected: { 'zh-CN': '埋入', en: 'injected' },
  subject: { 'zh-CN': '器具/台区', en: 'instrument / district' },
  since: { 'zh-CN': '自', en: 'since' },
  found: { 'zh-CN': '发现', en: 'finding' },
  task: { 'zh-CN': '任务', en: 'task' },
  queue: { 'zh-CN': '处理人', en: 'in the queue of' },
  notFound: { 'zh-CN': '未发现', en: 'not found' },
  forEstimator: { 'zh-CN': '(计量误差,非规则所判)', en: '(an error of measurement, not for these rules)' },
  summary: {
    'zh-CN': '规则应发现 {expected} 处,已发现 {found} 处;另有发现 {extra} 条;任务 {tasks} 条。用时 {seconds} 秒。',
    en: '{found} of {expected} faults that the rules look for were found; {extra} other findings; {tasks} tasks. {seconds} s.',
  },
  other: { 'zh-CN': '其他发现:', en: 'Other findings:' },
  stays: {
    'zh-CN': '服务继续运行:{url}/docs(Ctrl-C 结束)',
    en: 'the service keeps running: {url}/docs (Ctrl-C ends it)',
  },
  stay: { 'zh-CN': '结束后保持服务运行,直到 Ctrl-C', en: 'keep the service running afterwards, until Ctrl-C' },
  program: {
    'zh-CN': '启动服务和一批模拟表计,对照埋入的故障与规则的发现',
    en: 'start the service and a simulated fleet, and compare what was injected with what was found',
  },
} as const satisfies Record<string, Text>;
