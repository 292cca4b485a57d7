/** Tasks in words: their kinds, severities, states, verdicts, what may be done with them, and what was. */
import type { Severity } from '../fleet/finding.ts';
import type { TaskKind, TaskState, Verdict } from '../fleet/task.ts';
import type { Action } from '../tasks/workflow.ts';
import { type Language, type Params, say, type Text } from './text.ts';

export const KIND_NAMES: Readonly<Record<TaskKind, Text>> = {
  replace: { 'zh-CN': '失准更换', en: 'replace' },
  'verify-on-site': { 'zh-CN': '现场核查', en: 'verify on site' },
  'spot-check': { 'zh-CN': '监督抽查', en: 'spot check' },
  repair: { 'zh-CN': '故障处置', en: 'repair' },
};

export const STATE_NAMES: Readonly<Record<TaskState, Text>> = {
  raised: { 'zh-CN': '待派单', en: 'raised' },
  assigned: { 'zh-CN': '已派单', en: 'assigned' },
  accepted: { 'zh-CN': '已接单', en: 'accepted' },
  done: { 'zh-CN': '已完成', en: 'done' },
  refuted: { 'zh-CN': '已排除', en: 'refuted' },
  closed: { 'zh-CN': '已归档', en: 'closed' },
};

export const SEVERITY_NAMES: Readonly<Record<Severity, Text>> = {
  info: { 'zh-CN': '提示', en: 'info' },
  warning: { 'zh-CN': '一般', en: 'warning' },
  critical: { 'zh-CN': '严重', en: 'critical' },
};

export const VERDICT_NAMES: Readonly<Record<Verdict, Text>> = {
  confirmed: { 'zh-CN': '属实', en: 'confirmed' },
  refuted: { 'zh-CN': '不属实', en: 'refuted' },
  'no-access': { 'zh-CN': '无法进入', en: 'no access' },
};

export const ACTION_NAMES: Readonly<Record<Action, Text>> = {
  assign: { 'zh-CN': '派单', en: 'assign' },
  reassign: { 'zh-CN': '改派', en: 'reassign' },
  accept: { 'zh-CN': '接单', en: 'accept' },
  decline: { 'zh-CN': '退回', en: 'decline' },
  measure: { 'zh-CN': '录入现场检定结果', en: 'enter what was measured' },
  complete: { 'zh-CN': '完成', en: 'complete' },
  refute: { 'zh-CN': '排除', en: 'refute' },
  replace: { 'zh-CN': '更换完成', en: 'replaced' },
  reopen: { 'zh-CN': '重新打开', en: 'reopen' },
  close: { 'zh-CN': '归档', en: 'close' },
};

export const SYSTEM_NAME: Text = { 'zh-CN': '系统', en: 'the system' };

/** By the action of a history entry; `rule` and `severity` are filled in by their names when the caller has them. */
export const HISTORY_SENTENCES: Readonly<Record<string, Text>> = {
  raised: { 'zh-CN': '因发现“{rule}”生成任务', en: 'Raised by the finding “{rule}”' },
  joined: { 'zh-CN': '新发现“{rule}”并入本任务', en: 'The finding “{rule}” joined' },
  cleared: { 'zh-CN': '发现“{rule}”已恢复', en: 'The finding “{rule}” has cleared' },
  reminded: { 'zh-CN': '提醒 {assignee} 尽快接单', en: '{assignee} was reminded to accept' },
  escalated: { 'zh-CN': '逾期未接单,升级为“{severity}”', en: 'Not accepted in time: escalated to “{severity}”' },
  retired: { 'zh-CN': '{actor}停用了该计量器具', en: 'The instrument was retired by {actor}' },
  returned: { 'zh-CN': '{actor}恢复使用该计量器具', en: 'The instrument was put back into service by {actor}' },
  assign: { 'zh-CN': '{actor}派单给 {assignee}', en: 'Assigned to {assignee} by {actor}' },
  reassign: { 'zh-CN': '{actor}改派给 {assignee}', en: 'Reassigned to {assignee} by {actor}' },
  accept: { 'zh-CN': '{actor}接单', en: 'Accepted by {actor}' },
  decline: { 'zh-CN': '{actor}退回', en: 'Declined by {actor}' },
  complete: { 'zh-CN': '{actor}完成任务,结论:{verdict}', en: 'Completed by {actor}: {verdict}' },
  measure: {
    'zh-CN':
      '{actor}现场测得误差 {error_pct} %(U = {uncertainty_pct} %,k = 2),标准器 {standard},最大允许误差 ±{mpe_pct} %,结论:{verdict}',
    en: 'Measured on site by {actor}: error {error_pct} % (U = {uncertainty_pct} %, k = 2) against {standard}, MPE ±{mpe_pct} %: {verdict}',
  },
  refute: { 'zh-CN': '{actor}排除该发现', en: 'Refuted by {actor}' },
  replace: {
    'zh-CN': '{actor}完成更换,现用计量器具 {instrument}',
    en: 'Replaced by {actor}: {instrument} is in service',
  },
  'replace-raised': {
    'zh-CN': '现场检定属实,已生成更换任务 {raised}',
    en: 'Confirmed on site: task {raised} to replace it',
  },
  improved: {
    'zh-CN':
      '复核:台区平衡已改善。每行未解释电量由 {before_pct} % 降至 {after_pct} %(占总表电量);{old} 更换前误差估计 {error_before_pct} %,{new} 更换后 {error_after_pct} %',
    en: 'Checked: the balance of the district has improved. Energy unexplained in a row went from {before_pct} % to {after_pct} % of the master’s; estimated error of {old} before {error_before_pct} %, of {new} after {error_after_pct} %',
  },
  'not-improved': {
    'zh-CN':
      '复核:台区平衡没有改善。每行未解释电量由 {before_pct} % 变为 {after_pct} %(占总表电量);{old} 更换前误差估计 {error_before_pct} %,{new} 更换后 {error_after_pct} %',
    en: 'Checked: the balance of the district has not improved. Energy unexplained in a row was {before_pct} % and is {after_pct} % of the master’s; estimated error of {old} before {error_before_pct} %, of {new} after {error_after_pct} %',
  },
  reopen: { 'zh-CN': '{actor}重新打开', en: 'Reopened by {actor}' },
  close: { 'zh-CN': '{actor}归档,结论:{verdict}', en: 'Closed by {actor}: {verdict}' },
};

/** `names` overrides parameters by their names in the reader's language, such as the rule's. The person's own note stands apart. */
export function historySentence(
  entry: { readonly action: string; readonly actor: string; readonly params: Params },
  language: Language,
  names: Params = {},
): string {
  const sentence = HISTORY_SENTENCES[entry.action];
  if (!sentence) return entry.action;
  const verdict = VERDICT_NAMES[entry.params.verdict as Verdict];
  return say(sentence, language, {
    ...entry.params,
    actor: entry.actor === 'system' ? say(SYSTEM_NAME, language) : entry.actor,
    ...(verdict && { verdict: say(verdict, language) }),
    ...names,
  });
}
