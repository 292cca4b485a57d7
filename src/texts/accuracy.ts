/** What an estimate says of a meter and of its district, and why it says no more. */
import type {
  DistrictNote,
  ErrorChange,
  VerdictReason as EstimatorReason,
  Method,
  Reason,
  Verdict,
} from '../accuracy/district.ts';
import { type Language, say, type Text } from './text.ts';

export const VERDICT_NAMES: Readonly<Record<Verdict, Text>> = {
  ok: { 'zh-CN': '未见超差', en: 'ok' },
  suspect: { 'zh-CN': '疑似超差', en: 'suspect' },
  inaccurate: { 'zh-CN': '超差', en: 'inaccurate' },
  undetermined: { 'zh-CN': '无法判定', en: 'undetermined' },
};

/** Of meters that no estimate can be made of, besides the estimator's own reasons. */
export type LedgerReason = 'several_masters' | 'other_kind' | 'retired' | 'unreadable_line';
export type VerdictReason = EstimatorReason | LedgerReason;

export const VERDICT_REASONS: Readonly<Record<VerdictReason, Text>> = {
  no_master: {
    'zh-CN': '台区没有在用的总表,无从比对',
    en: 'the district has no master meter in service to be held against',
  },
  several_masters: {
    'zh-CN': '台区有 {masters} 只总表,无法确定以哪只为准',
    en: 'the district has {masters} master meters: it is not known which one to go by',
  },
  other_kind: {
    'zh-CN': '器具类别为“{kind}”,误差只对电能表进行估计',
    en: 'an instrument of kind “{kind}”: errors are estimated of electricity meters',
  },
  retired: { 'zh-CN': '器具已停用', en: 'the instrument is retired' },
  unreadable_line: {
    'zh-CN': '台账中该行有误({column})',
    en: 'its line in the ledger cannot be read ({column})',
  },
  no_readings: { 'zh-CN': '没有可用的读数', en: 'there are no readings to go by' },
  too_few_rows: {
    'zh-CN': '首末示度齐全的时段只有 {rows} 个,至少需要 {needed} 个',
    en: 'only {rows} intervals were read at both ends; {needed} are needed',
  },
  low_collection: {
    'zh-CN': '采集成功率 {collectionPct} %,至少需要 {neededPct} %',
    en: '{collectionPct} % of the readings are there; {neededPct} % are needed',
  },
  too_little_energy: {
    'zh-CN': '期间用电只有 {energyKwh} kWh,至少需要 {neededKwh} kWh',
    en: 'only {energyKwh} kWh went through it; {neededKwh} kWh are needed',
  },
  stuck_register: {
    'zh-CN': '示度停滞 {hours} 小时',
    en: 'its register stood still for {hours} h',
  },
  wrong_district: {
    'zh-CN': '其用电与该台区总表对不上,疑似档案台区有误,不是表计误差',
    en: 'what it counts does not show in the master meter: it seems to belong to another district, which is no error of the meter',
  },
  wide_interval: {
    'zh-CN': '估计的标准差 {sdPct} %,相对最大允许误差 ±{mpePct} % 过大',
    en: 'a standard deviation of {sdPct} % is too wide for an MPE of ±{mpePct} %',
  },
  no_voltages: {
    'zh-CN': '没有电压数据,线损与表计误差难以区分',
    en: 'without voltages its error cannot be told from the loss of its line',
  },
  feeds_back: {
    'zh-CN': '反送电量较大,线损与表计误差难以区分',
    en: 'much of its energy is fed back: its error can hardly be told from the loss of its line',
  },
  unexplained_balance: {
    'zh-CN': '台区电量平衡中另有用户表解释不了的部分,不据此判定超差',
    en: 'the balance of the district holds more than its meters explain: nobody is called inaccurate by it',
  },
  not_solvable: { 'zh-CN': '现有数据不足以求解', en: 'the data do not determine it' },
};

export const DISTRICT_NOTES: Readonly<Record<DistrictNote['code'], Text>> = {
  wrong_district: {
    'zh-CN': '其用电不出现在总表中,疑似属于其他台区',
    en: 'its energy does not show in the master meter: it seems to belong to another district',
  },
  wrong_phase: {
    'zh-CN': '台账相位为 {ledger},电压表明接在 {measured}',
    en: 'the ledger has it on {ledger}; its voltage follows {measured}',
  },
  unmetered_energy: {
    'zh-CN': '每天约有 {kwhPerDay} kWh 未经用户表计量,多在 {fromHour} 时至 {toHour} 时(UTC)',
    en: 'about {kwhPerDay} kWh a day pass no user meter, mostly from {fromHour} to {toHour} h (UTC)',
  },
  master_off: {
    'zh-CN': '全台区误差一致偏移 {shiftPct} %,疑为总表误差,或电压显示不出的线损',
    en: 'all meters are off by {shiftPct} % alike, which points to the master meter, or to a loss that no voltage shows',
  },
  stuck_register: { 'zh-CN': '示度停滞 {hours} 小时', en: 'the register stood still for {hours} h' },
  register_reset: { 'zh-CN': '示度于 {at} 变小', en: 'the register went back at {at}' },
};

export const METHOD_TEXTS = {
  method: {
    'zh-CN': '方法 {version}:{loss};{clocks};{voltages};合格表的分散性 {spreadPct} %',
    en: 'method {version}: {loss}; {clocks}; {voltages}; good meters spread by {spreadPct} %',
  },
  unsolved: { 'zh-CN': '方法 {version}:未求解', en: 'method {version}: not solved' },
  'loss-voltages': { 'zh-CN': '线损由电压得出', en: 'line loss by the voltages' },
  'loss-load-squared': { 'zh-CN': '线损按负荷平方', en: 'line loss by the square of the load' },
  'loss-none': { 'zh-CN': '不计线损', en: 'no line loss' },
  'clocks-right': { 'zh-CN': '时钟视为准确', en: 'clocks taken as right' },
  'clocks-estimated': { 'zh-CN': '同时估计时钟偏差', en: 'clock offsets estimated as well' },
  'voltages-mean': { 'zh-CN': '电压为时段均值', en: 'voltages are means of the interval' },
  'voltages-instantaneous': { 'zh-CN': '电压为时段末瞬时值', en: 'voltages are those at its end' },
  'voltages-none': { 'zh-CN': '没有电压', en: 'no voltages' },
} as const satisfies Record<string, Text>;

export const CHANGE_TEXTS = {
  drift: {
    'zh-CN': '自 {onset} 起漂移({low} 至 {high} 之间),至今变化 {size} ± {sd} %,目前误差 {now} %',
    en: 'drifting since {onset} (between {low} and {high}), by {size} ± {sd} % so far; the error is now {now} %',
  },
  step: {
    'zh-CN': '{onset} 发生突变({low} 至 {high} 之间),幅度 {size} ± {sd} %,目前误差 {now} %',
    en: 'a step at {onset} (between {low} and {high}) of {size} ± {sd} %; the error is now {now} %',
  },
  crossing: {
    'zh-CN': ';按此趋势约在 {at} 超过最大允许误差({low} 至 {high} 之间)',
    en: '; at this pace it crosses the MPE at {at} (between {low} and {high})',
  },
  crossed: { 'zh-CN': ',已超过最大允许误差', en: ', beyond the MPE' },
} as const satisfies Record<string, Text>;

/** A code from elsewhere is shown as it is. */
export function sayVerdictReason({ code, params }: Reason<string>, language: Language): string {
  return sayCode(VERDICT_REASONS, code, params, language);
}

export function sayNote({ code, params }: Reason<string>, language: Language): string {
  return sayCode(DISTRICT_NOTES, code, params, language);
}

export function sayMethod({ version, loss, clocks, voltages, spreadPct }: Method, language: Language): string {
  if (!Number.isFinite(spreadPct)) return say(METHOD_TEXTS.unsolved, language, { version });
  return say(METHOD_TEXTS.method, language, {
    version,
    loss: say(METHOD_TEXTS[`loss-${loss}`], language),
    clocks: say(METHOD_TEXTS[`clocks-${clocks}`], language),
    voltages: say(METHOD_TEXTS[`voltages-${voltages}`], language),
    spreadPct: spreadPct.toFixed(2),
  });
}

export function sayChange(change: ErrorChange, language: Language): string {
  const { kind, onsetMs, onsetLowMs, onsetHighMs, errorNowPct, sizePct, sizeSdPct, crossing } = change;
  const said = say(CHANGE_TEXTS[kind], language, {
    onset: day(onsetMs),
    low: day(onsetLowMs),
    high: day(onsetHighMs),
    size: sizePct.toFixed(2),
    sd: sizeSdPct.toFixed(2),
    now: errorNowPct.toFixed(2),
  });
  if (!crossing) return said;
  const { atMs, lowMs, highMs } = crossing;
  if (lowMs === highMs) return said + say(CHANGE_TEXTS.crossed, language);
  return said + say(CHANGE_TEXTS.crossing, language, { at: day(atMs), low: day(lowMs), high: day(highMs) });
}

function sayCode(
  texts: Readonly<Record<string, Text>>,
  code: string,
  params: Reason<string>['params'],
  language: Language,
): string {
  const text = Object.hasOwn(texts, code) ? texts[code] : undefined;
  return text ? say(text, language, params) : code;
}

function day(atMs: number): string {
  return Number.isFinite(atMs) && Math.abs(atMs) < 8.64e15 ? new Date(atMs).toISOString().slice(0, 10) : '…';
}
