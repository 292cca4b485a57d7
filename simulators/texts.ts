/** Every sentence the simulators say, in both languages. */

import { type Language, type Params, say, type Text } from '../src/texts/text.ts';
import type { SimulatorErrorCode } from './errors.ts';

export const TEXTS = {
  program: {
    'zh-CN': '模拟电能表、故障与台区馈线:写成表计文件夹,或像集中器一样经 MQTT 上报。',
    en: 'Simulate meters, faults and feeders: write a fleet folder, or report over MQTT as gateways do.',
  },
  fleetCommand: {
    'zh-CN': '生成表计文件夹(instruments.csv、readings.csv、truth.csv)',
    en: 'make a fleet folder (instruments.csv, readings.csv, truth.csv)',
  },
  publishCommand: {
    'zh-CN': '经 MQTT 上报:先补历史读数,再实时上报',
    en: 'publish over MQTT: history first, then live readings',
  },
  out: { 'zh-CN': '写入的文件夹', en: 'folder to write' },
  gzip: { 'zh-CN': '写成 readings.csv.gz', en: 'write readings.csv.gz' },
  preset: {
    'zh-CN':
      '预设台区:clean 时钟准确、电压为均值;field 时钟偏差、瞬时电压、少量缺数;messy 另有窃电和台区归属错误;blind 无电压',
    en: 'a kind of district: clean = clocks right, mean voltages; field = clocks off, momentary voltages, some readings missing; messy = also theft and a meter of another district; blind = no voltages',
  },
  case: {
    'zh-CN': '预定的种子、住户、网络和时段内波动:development-… 供开发,judging-… 供评判',
    en: 'a seed with its homes, network and variation: development-… to make an estimator with, judging-… to judge it by',
  },
  choices: { 'zh-CN': '(可选:{choices})', en: ' (choices: {choices})' },
  seed: { 'zh-CN': '随机种子:同一种子得到同样的读数', en: 'seed: the same seed gives the same readings' },
  districts: { 'zh-CN': '台区数', en: 'number of districts' },
  meters: {
    'zh-CN': '每个台区的用户表数(总表另计);真实网络默认为其原有的负荷数',
    en: 'user meters per district (the master is extra); on a real network, as many as it has loads',
  },
  days: { 'zh-CN': '历史天数', en: 'days of history' },
  until: {
    'zh-CN': '最后一次读数的时间(RFC 3339),向下取整到上报周期;默认当前时间',
    en: 'time of the last reading (RFC 3339), rounded down to the report period; now if not given',
  },
  period: { 'zh-CN': '上报周期', en: 'report period' },
  faults: {
    'zh-CN': '故障及数量,如 silent=2,rollback=1;default = 按规模的默认组合,none = 无故障',
    en: 'faults and their number, e.g. silent=2,rollback=1; default = a mix for the size, none = no fault',
  },
  network: { 'zh-CN': '低压网络:随机绘制或真实馈线', en: 'low-voltage network: drawn at random, or a real one' },
  loss: {
    'zh-CN': '线路按比例伸缩,使损耗约为该百分比;natural = 保持原长',
    en: 'stretch the lines until about this percentage is lost; natural = as long as they are',
  },
  step: {
    'zh-CN': '潮流计算步长,步长内功率不变;默认等于上报周期,即周期内无波动',
    en: 'step of the power flow, within which power is constant; as long as the report period if not given, so that nothing varies inside it',
  },
  variation: { 'zh-CN': '半小时内逐分钟的波动方式', en: 'how loads vary from minute to minute inside the half hour' },
  households: { 'zh-CN': '使用哪些住户的负荷曲线', en: 'whose load curves are used' },
  solar: { 'zh-CN': '有屋顶光伏的用户所占百分比', en: 'users with a roof that feeds in, in percent' },
  theft: { 'zh-CN': '有窃电的台区每次窃电的功率(W)', en: 'power of each burst in districts with theft in watt' },
  voltages: {
    'zh-CN': '上报的电压、电流和功率:周期均值、瞬时值,或不上报',
    en: 'reported voltages, currents and power: mean of the period, momentary, or none',
  },
  registerStep: { 'zh-CN': '示度的最小步进(kWh),0 = 不取整', en: 'last digit of registers in kWh, 0 = every digit' },
  voltageStep: { 'zh-CN': '电压的最小步进(V),0 = 不取整', en: 'last digit of voltages in volt, 0 = every digit' },
  clockOffset: {
    'zh-CN': '用户表时钟固定偏差的标准差(秒);总表时钟准确',
    en: 'sd of the constant offset of user meters’ clocks in seconds; the master’s is right',
  },
  missing: { 'zh-CN': '逐条丢失的读数所占百分比', en: 'single readings that get lost, in percent' },
  threePhase: { 'zh-CN': '三相用户所占百分比', en: 'three-phase users in percent' },
  meterError: { 'zh-CN': '合格用户表误差的标准差(%)', en: 'sd of good user meters’ error in percent' },
  masterError: { 'zh-CN': '总表误差的标准差(%)', en: 'sd of the master meters’ error in percent' },
  voltageGain: { 'zh-CN': '电压通道增益误差的标准差(%)', en: 'sd of the voltage channels’ gain error in percent' },
  unmetered: { 'zh-CN': '每个台区无表负荷(W)', en: 'load without a meter per district in watt' },
  fleet: { 'zh-CN': '回放该表计文件夹,而不是现场生成', en: 'replay this fleet folder instead of generating one' },
  mqtt: { 'zh-CN': 'MQTT 服务地址', en: 'address of the MQTT service' },
  secret: { 'zh-CN': '所有集中器的密码', en: 'password of every gateway' },
  topicPrefix: {
    'zh-CN': '外部 MQTT 服务器上的主题前缀,如 devices/{client}/',
    en: 'what stands before every topic at an external broker, such as devices/{client}/',
  },
  window: { 'zh-CN': '每个集中器已发送未确认的消息上限', en: 'messages a gateway sends ahead of acknowledgement' },
  readingsPerMessage: { 'zh-CN': '每条消息的读数上限', en: 'readings per message at most' },
  live: { 'zh-CN': '补完历史后实时上报的秒数', en: 'seconds to report live after the history' },
  liveEvery: { 'zh-CN': '实时上报间隔秒数', en: 'seconds between live reports' },
  helpCommand: { 'zh-CN': '显示某个命令的帮助', en: 'show help for a command' },
  commandUsage: { 'zh-CN': '<命令> [选项]', en: '<command> [options]' },
  credit: { 'zh-CN': '负荷曲线:{credit}', en: 'Load curves: {credit}' },

  generating: { 'zh-CN': '正在生成', en: 'generating' },
  publishing: { 'zh-CN': '正在上报', en: 'publishing' },
  progress: { 'zh-CN': '{label}:{done} / {total} 条读数', en: '{label}: {done} / {total} readings' },
  progressOpen: { 'zh-CN': '{label}:{done} 条读数', en: '{label}: {done} readings' },
  written: {
    'zh-CN':
      '已写入 {dir}:{instruments} 只表,{readings} 条读数,{from} 至 {to},故障 {faults} 处,线路损耗 {lossPct} %;用时 {seconds} 秒',
    en: 'wrote {dir}: {instruments} instruments, {readings} readings, {from} to {to}, {faults} faults, {lossPct} % lost in the lines; {seconds} s',
  },
  stopping: {
    'zh-CN': '正在停止,等待最后的确认;再按一次立即退出',
    en: 'stopping, waiting for the last acknowledgements; once more to leave at once',
  },
  report: {
    'zh-CN':
      '已确认 {messages} 条消息、{readings} 条读数,用时 {seconds} 秒({rate} 条读数/秒)\n被拒绝:{rejectedMessages} 条消息、{rejectedReadings} 条读数;重发 {resent} 条消息,重连 {reconnects} 次\n确认延迟:p50 {p50} ms,p99 {p99} ms',
    en: '{messages} messages and {readings} readings acknowledged in {seconds} s ({rate} readings/s)\nrejected: {rejectedMessages} messages, {rejectedReadings} readings; {resent} messages sent again, {reconnects} reconnects\nacknowledgement latency: p50 {p50} ms, p99 {p99} ms',
  },
  unacknowledged: {
    'zh-CN': '停止时仍有 {count} 条消息未确认',
    en: '{count} messages were not acknowledged when stopped',
  },

  expectInteger: { 'zh-CN': '{min} 到 {max} 的整数', en: 'an integer from {min} to {max}' },
  expectNumber: { 'zh-CN': '{min} 到 {max} 的数', en: 'a number from {min} to {max}' },
  expectPeriod: {
    'zh-CN': '1m、2m、3m、5m、6m、10m、15m、30m,或 30m 的整数倍且不超过 24h',
    en: '1m, 2m, 3m, 5m, 6m, 10m, 15m, 30m, or a multiple of 30m up to 24h',
  },
  expectStep: { 'zh-CN': '1m、2m、3m、5m、6m、10m、15m 或 30m', en: '1m, 2m, 3m, 5m, 6m, 10m, 15m or 30m' },
  expectChoice: { 'zh-CN': '以下之一:{choices}', en: 'one of {choices}' },
  expectTime: { 'zh-CN': 'RFC 3339 时间,如 2026-01-31T00:00:00Z', en: 'an RFC 3339 time such as 2026-01-31T00:00:00Z' },
  expectPast: { 'zh-CN': '不晚于当前的时间', en: 'a time that is not in the future' },
  expectFaults: {
    'zh-CN': 'default、none,或用逗号分隔的 种类=数量,种类为 {kinds}',
    en: 'default, none, or kind=number separated by commas, kind one of {kinds}',
  },
  expectUrl: {
    'zh-CN': 'mqtt://、mqtts://、ws:// 或 wss:// 地址,如 mqtt://127.0.0.1:1883',
    en: 'an mqtt://, mqtts://, ws:// or wss:// address such as mqtt://127.0.0.1:1883',
  },
  expectTopicPrefix: {
    'zh-CN': '以 / 结尾且恰有一级为 {client} 的前缀,如 devices/{client}/',
    en: 'levels that end with / and have one {client}, such as devices/{client}/',
  },
  expectFolder: { 'zh-CN': '文件夹的路径', en: 'the path of a folder' },
  expectSecret: { 'zh-CN': '非空的密码', en: 'a password that is not empty' },

  'commander.unknownOption': { 'zh-CN': '没有选项 {first}', en: 'there is no option {first}' },
  'commander.unknownCommand': { 'zh-CN': '没有命令 {first}', en: 'there is no command {first}' },
  'commander.optionMissingArgument': { 'zh-CN': '选项 {first} 缺少值', en: 'option {first} needs a value' },
  'commander.missingMandatoryOptionValue': { 'zh-CN': '缺少必需的选项 {first}', en: 'option {first} is required' },
  'commander.excessArguments': { 'zh-CN': '参数过多', en: 'too many arguments' },
  'commander.conflictingOption': {
    'zh-CN': '选项 {first} 不能与 {second} 同时使用',
    en: 'option {first} cannot be used together with {second}',
  },
  didYouMean: { 'zh-CN': '是否想用 {name}?', en: 'Did you mean {name}?' },
} as const satisfies Readonly<Record<string, Text>>;

export type TextKey = keyof typeof TEXTS;

const ERROR_TEXTS: Readonly<Record<SimulatorErrorCode, Text>> = {
  invalid_option: {
    'zh-CN': '选项 {option} 的值“{value}”不正确:应为 {expected}',
    en: 'option {option} has the value "{value}": it should be {expected}',
  },
  too_many_faults: {
    'zh-CN': '--faults 要求 {count} 处 {kind},而该表计群只能有 {possible} 处:请减少故障或增加用户表',
    en: '--faults asks for {count} of {kind}, this fleet can have {possible}: ask for fewer faults or more meters',
  },
  unusable_folder: {
    'zh-CN': '无法写入文件夹 {dir}:{reason}',
    en: 'cannot write the folder {dir}: {reason}',
  },
  missing_file: { 'zh-CN': '没有文件 {file},也没有 {file}.gz', en: 'there is no file {file}, nor {file}.gz' },
  missing_column: { 'zh-CN': '{file} 缺少列 {column}', en: '{file} has no column {column}' },
  unknown_column: {
    'zh-CN': '{file} 的列 {column} 不是已知的量',
    en: '{file}: column {column} is not a known quantity',
  },
  invalid_cell: {
    'zh-CN': '{file} 第 {line} 行 {column} 的值“{value}”不正确',
    en: '{file} line {line}: {column} has the invalid value "{value}"',
  },
  not_sorted: {
    'zh-CN': '{file} 第 {line} 行 {ts} 早于前一行:读数须按时间排序',
    en: '{file} line {line}: {ts} is before the line above, readings must be sorted by time',
  },
  unknown_instrument: {
    'zh-CN': '{file} 第 {line} 行:instruments.csv 中没有 {instrument}',
    en: '{file} line {line}: instruments.csv does not list {instrument}',
  },
  network_overloaded: {
    'zh-CN': '线路过载,电压无法收敛:请减少用户表,或用 --loss 限定损耗',
    en: 'the lines are overloaded, their voltage collapses: ask for fewer meters, or set --loss',
  },
  history_in_future: {
    'zh-CN': '历史读数到 {end} 才结束,晚于当前时间:不能实时上报',
    en: 'the history ends at {end}, after now: live readings cannot follow it',
  },
  broker_refused: {
    'zh-CN': 'MQTT 服务拒绝集中器 {gateway}:{reason}。请检查 --secret 以及台账中是否有该集中器',
    en: 'the MQTT service refused gateway {gateway}: {reason}. Check --secret, and that the ledger knows the gateway',
  },
  broker_unreachable: {
    'zh-CN': '无法连接 {url}:{reason}。请检查服务是否已启动以及 --mqtt 是否正确',
    en: 'cannot connect to {url}: {reason}. Check that the service runs and that --mqtt is right',
  },
};

/** Says a text in the language chosen once. */
export type Speaker = (key: TextKey, params?: Params) => string;

export function speaker(language: Language): Speaker {
  return (key, params) => say(TEXTS[key], language, params);
}

export function errorText(language: Language, code: SimulatorErrorCode, params: Params): string {
  return say(ERROR_TEXTS[code], language, params);
}
