/** What was seen, in a sentence: one for every reason code a finding can carry. */
import type { Reason } from '../fleet/finding.ts';
import { DISTRICT_NOTES } from './accuracy.ts';
import { type Language, say, type Text } from './text.ts';

export const REASONS = {
  no_reading: {
    'zh-CN': '连续超过 {periods} 个上报周期(每周期 {period_min} 分钟)没有读数',
    en: 'no reading for more than {periods} report periods of {period_min} min',
  },
  never_heard: {
    'zh-CN':
      '台区已有其他计量器具上报,该器具列入台账或恢复使用后超过 {periods} 个上报周期(每周期 {period_min} 分钟)从未上报',
    en: 'others of its district report, but not one reading of it in more than {periods} report periods of {period_min} min since it entered the ledger or came back into service',
  },
  district_silent: {
    'zh-CN': '台区 {instruments} 只计量器具中有 {silent} 只同时没有读数(超过 {periods} 个上报周期),按一次整体失联处理',
    en: '{silent} of the {instruments} instruments of the district sent nothing at the same time for more than {periods} report periods: one outage',
  },
  register_decreased: {
    'zh-CN': '示度由 {before} {unit} 降至 {after} {unit},减少 {drop} {unit},且不是满度翻转',
    en: 'the register went down from {before} {unit} to {after} {unit}, by {drop} {unit}, and did not roll over',
  },
  register_still: {
    'zh-CN': '{hours} 小时内示度停在 {register} {unit} 不变,而同期用电约 {expected_kwh} kWh(当前功率约 {power_w} W)',
    en: 'the register stood at {register} {unit} for {hours} h while about {expected_kwh} kWh were drawn (now about {power_w} W)',
  },
  increment_above_limit: {
    'zh-CN': '{minutes} 分钟内示度增加 {increment} {unit},超过按额定电压和最大电流可能的 {limit} {unit}',
    en: 'the register rose by {increment} {unit} in {minutes} min, more than the {limit} {unit} its nominal voltage and maximum current allow',
  },
  voltage_low_under_load: {
    'zh-CN': '电压 {voltage} V 低于 {voltage_limit} V,同时电流 {current} A 高于 {current_limit} A',
    en: 'voltage {voltage} V is below {voltage_limit} V while {current} A flow, more than {current_limit} A',
  },
  voltage_low_under_load_on_phase: {
    'zh-CN': '{phase} 相电压 {voltage} V 低于 {voltage_limit} V,同时电流 {current} A 高于 {current_limit} A',
    en: 'voltage of {phase} {voltage} V is below {voltage_limit} V while {current} A flow, more than {current_limit} A',
  },
  reading_conflict: {
    'zh-CN': '同一时刻收到两个不同的读数:保留 {kept},未采用 {refused}',
    en: 'two different readings for the same moment: kept {kept}; refused {refused}',
  },
  error_beyond_mpe: {
    'zh-CN':
      '运行误差估计为 {error_pct} %(95 % 区间 {low_pct}…{high_pct} %),超出最大允许误差 ±{mpe_pct} % 的概率为 {probability_pct} %,连续 {windows} 个窗口如此;须经现场核查',
    en: 'running error estimated at {error_pct} % (95 % interval {low_pct} to {high_pct} %), beyond the MPE of ±{mpe_pct} % with a probability of {probability_pct} %, windows in a row: {windows}; to be checked on site',
  },
  error_will_cross_mpe: {
    'zh-CN': '误差持续变化,现为 {error_pct} %,预计 {at} 超出最大允许误差 ±{mpe_pct} %(95 % 区间 {low_at} 至 {high_at})',
    en: 'the error keeps moving, is {error_pct} % now and will cross the MPE of ±{mpe_pct} % about {at} (95 % interval {low_at} to {high_at})',
  },
  error_has_crossed_mpe: {
    'zh-CN': '误差持续变化,现为 {error_pct} %,已超出最大允许误差 ±{mpe_pct} %(窗口内平均 {mean_pct} %)',
    en: 'the error keeps moving and is {error_pct} % now, beyond the MPE of ±{mpe_pct} % (mean of the window {mean_pct} %)',
  },
  error_confirmed_on_site: {
    'zh-CN':
      '现场核查(任务 {task})测得误差 {error_pct} %(U = {uncertainty_pct} %,k = 2,标准器 {standard}),超出最大允许误差 ±{mpe_pct} %',
    en: 'measured on site (task {task}): error {error_pct} % (U = {uncertainty_pct} %, k = 2, against {standard}), beyond the MPE of ±{mpe_pct} %',
  },
} as const satisfies Record<string, Text>;

export type ReasonCode = keyof typeof REASONS;

/** The sentence of a reason, or of what a district shows; a code from elsewhere is shown as it is. */
export function sayReason(reason: Reason, language: Language): string {
  const text: Text | undefined =
    REASONS[reason.code as ReasonCode] ?? DISTRICT_NOTES[reason.code as keyof typeof DISTRICT_NOTES];
  return text ? say(text, language, reason.params) : reason.code;
}
