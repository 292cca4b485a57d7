/** What the commands estimate and score say. */
import type { Text } from './text.ts';

export const OFFLINE = {
  estimate: {
    'zh-CN': '由表计文件夹的读数离线估计每只用户表的运行误差',
    en: 'estimate the running error of every user meter from the readings of a fleet folder, offline',
  },
  estimateOut: { 'zh-CN': '写入的 estimates.csv', en: 'estimates.csv to write' },
  estimateJson: {
    'zh-CN': '另写入完整结果(台区平衡、提示、误差变化及其说明)的 report.json',
    en: 'also write everything (balances, notes, changes, in sentences) as report.json',
  },
  estimateDays: {
    'zh-CN': '只用最近若干天的读数,默认用全部',
    en: 'use only the newest days; all readings if not given',
  },
  config: {
    'zh-CN': '配置文件夹(accuracy.yaml、kinds.yaml 等),默认随附的 config',
    en: 'folder with accuracy.yaml, kinds.yaml, …; the shipped config if not given',
  },
  expectDays: { 'zh-CN': '1 到 3650 的整数', en: 'a whole number from 1 to 3650' },
  expectFile: { 'zh-CN': '文件的路径', en: 'the path of a file' },
  reading: { 'zh-CN': '读取读数:{readings} 条', en: 'reading: {readings} readings' },
  estimating: {
    'zh-CN': '估计误差 {bar} {done}/{districts} 个台区',
    en: 'estimating {bar} {done}/{districts} districts',
  },
  moreLikeIt: { 'zh-CN': '(另有 {count} 处相同的问题)', en: ' (and {count} more like it)' },
  moreSorts: { 'zh-CN': '另有 {count} 类问题', en: 'and {count} more problems' },
  noReadings: { 'zh-CN': '没有一条可用的读数', en: 'there is not one reading to go by' },
  windowLeftOut: {
    'zh-CN':
      '未计入的读数:不在台区的整点时刻 {offGrid} 条,在时段之外 {outside} 条,重复 {repeated} 条,与先到的矛盾 {contradicting} 条',
    en: 'readings left out: {offGrid} between the moments of their district, {outside} outside its window, {repeated} repeated, {contradicting} contradicting an earlier one',
  },
  wrongMasters: {
    'zh-CN': '台区“{district}”有 {masters} 只在用的总表,应恰有 1 只',
    en: 'district “{district}” has {masters} master meters in service; it needs exactly one',
  },
  moreWrongMasters: { 'zh-CN': '另有 {count} 个台区同样如此', en: 'and {count} more such districts' },
  failed: {
    'zh-CN': '台区“{district}”估计失败:{problem}',
    en: 'the estimate of district “{district}” failed: {problem}',
  },
  estimateDone: {
    'zh-CN':
      '{districts} 个台区,{meters} 只用户表:未见超差 {ok},疑似超差 {suspect},超差 {inaccurate},无法判定 {undetermined};台区提示 {notes} 条 → {out}({seconds} 秒)',
    en: '{districts} districts, {meters} user meters: {ok} ok, {suspect} suspect, {inaccurate} inaccurate, {undetermined} undetermined; {notes} notes on districts → {out} ({seconds} s)',
  },
  score: {
    'zh-CN': '把 estimates.csv 与文件夹中的 truth.csv 对照评分',
    en: 'judge estimates.csv by the truth.csv of the folder',
  },
  scoreFleet: {
    'zh-CN': '表计文件夹(instruments.csv、truth.csv)',
    en: 'fleet folder (instruments.csv, truth.csv)',
  },
  scoreEstimates: { 'zh-CN': '要评分的 estimates.csv', en: 'estimates.csv to judge' },
  scoreJson: { 'zh-CN': '以 JSON 输出', en: 'print JSON instead of a table' },
} as const satisfies Record<string, Text>;

export const SCORE_COLUMNS = {
  group: { 'zh-CN': '类别', en: 'group' },
  meters: { 'zh-CN': '表数', en: 'meters' },
  rmse: { 'zh-CN': '均方根误差 %', en: 'RMSE %' },
  bias: { 'zh-CN': '偏差 %', en: 'bias %' },
  worst: { 'zh-CN': '最大 %', en: 'worst %' },
  coverage: { 'zh-CN': '覆盖 %', en: 'covered %' },
  sd: { 'zh-CN': '标准差 %', en: 'sd %' },
  guiltyNoticed: { 'zh-CN': '坏表发现', en: 'bad: noticed' },
  guiltyCalled: { 'zh-CN': '坏表判超差', en: 'bad: called' },
  innocentSuspected: { 'zh-CN': '好表误疑', en: 'good: suspected' },
  innocentAccused: { 'zh-CN': '好表误判', en: 'good: accused' },
  undetermined: { 'zh-CN': '无法判定', en: 'undetermined' },
  missing: { 'zh-CN': '缺行', en: 'no line' },
} as const satisfies Record<string, Text>;

/** Faults are shown by their names. */
export const SCORE_GROUPS = {
  all: { 'zh-CN': '全部', en: 'all' },
  judged: { 'zh-CN': '已判定', en: 'judged' },
  none: { 'zh-CN': '无故障', en: 'no fault' },
} as const satisfies Record<string, Text>;

export const SCORE_LEGEND: Text = {
  'zh-CN':
    '覆盖:真值落在 95 % 区间内的比例。坏表:真实误差不小于 3 %;发现 = 至少疑似超差。好表:真实误差在最大允许误差以内;误疑 = 疑似超差,误判 = 超差。缺行:estimates.csv 中没有该表。',
  en: 'covered: the truth lies in the 95 % interval. bad: a true error of 3 % or more; noticed = suspect or inaccurate, called = inaccurate. good: a true error within the MPE; suspected = suspect, accused = inaccurate. no line: not in estimates.csv.',
};
