/** What is said of the hand-over: its columns, its command, and what keeps it from working. */
import type { Quantity } from '../fleet/quantity.ts';
import type { Text } from './text.ts';

export const DATASET_TEXTS = {
  readings: {
    'zh-CN': '读数:一台器具在一个时刻的各量。先收到的为准,不修改、不插补。按台区、器具、时间排序。',
    en: 'Readings: what one instrument measured at one moment. What came first stays, nothing is corrected or interpolated. Sorted by district, instrument, time.',
  },
  findings: {
    'zh-CN': '发现:规则从读数中得出的结论及其理由。归入开始之日;恢复后该日重新导出。按编号排序。',
    en: 'Findings: what a rule concluded from readings, and why. They lie under the day they began on, which is exported again when one of them clears. Sorted by id.',
  },
  tasks: {
    'zh-CN': '监管任务:由发现生成的工作。归入生成之日;有变化时该日重新导出。按编号排序。不含人名和备注。',
    en: 'Tasks: work that findings raised. They lie under the day they were raised on, which is exported again when one of them changes. Sorted by id. Without names of people and their notes.',
  },
  estimates: {
    'zh-CN':
      '运行误差估计:一只表在一个窗口的误差及其依据。归入窗口结束之日。按次序号、器具排序。远程估计不是法定结论。',
    en: 'Estimates of running errors: that of one meter in one window, and what it rests on. They lie under the day on which the window ended. Sorted by run and instrument. An estimate is no legal verdict.',
  },
} as const satisfies Record<string, Text>;

const INSTRUMENT: Text = { 'zh-CN': '计量器具的台账编号', en: 'id of the instrument in the ledger' };
const DISTRICT: Text = { 'zh-CN': '台区编号', en: 'id of the district' };
const SUBJECT: Text = {
  'zh-CN': '对象:一台器具,或整个台区',
  en: 'what it is about: one instrument, or a whole district',
};
const SUBJECT_INSTRUMENT: Text = {
  'zh-CN': '计量器具的台账编号;对象为整个台区时为空',
  en: 'id of the instrument in the ledger; null when it is about a whole district',
};
const SEVERITY: Text = { 'zh-CN': '严重程度', en: 'severity' };
const REASON_CODE: Text = { 'zh-CN': '理由的代码', en: 'code of the reason' };
const REASON_PARAMS: Text = {
  'zh-CN': '理由的数值,JSON 对象,单位在名称末尾',
  en: 'the numbers of the reason: a JSON object, units at the end of its names',
};

export const COLUMN_TEXTS = {
  readings: {
    instrument: INSTRUMENT,
    kind: { 'zh-CN': '器具种类', en: 'kind of instrument' },
    role: {
      'zh-CN': 'master 为台区总表,user 为用户表',
      en: 'master: the meter of a whole district; user: one customer’s',
    },
    district: DISTRICT,
    ts: { 'zh-CN': '测量时间,不是收到的时间', en: 'time of measurement, not of receipt' },
  },
  findings: {
    id: { 'zh-CN': '发现的编号', en: 'id of the finding' },
    rule: { 'zh-CN': '规则', en: 'rule' },
    subject: SUBJECT,
    instrument: SUBJECT_INSTRUMENT,
    district: DISTRICT,
    severity: SEVERITY,
    reason_code: REASON_CODE,
    reason_params: REASON_PARAMS,
    from_ts: { 'zh-CN': '开始(按测量时间)', en: 'when it began, in time of measurement' },
    to_ts: {
      'zh-CN': '恢复(按测量时间);为空即尚未恢复',
      en: 'when it ended, in time of measurement; null = it has not',
    },
    task: { 'zh-CN': '所属任务的编号', en: 'id of its task' },
    opened_at: { 'zh-CN': '记录的时间', en: 'when it was recorded' },
    cleared_at: { 'zh-CN': '记录恢复的时间', en: 'when its end was recorded' },
  },
  tasks: {
    id: { 'zh-CN': '任务的编号', en: 'id of the task' },
    kind: { 'zh-CN': '任务种类', en: 'kind of task' },
    cause: { 'zh-CN': '缘由', en: 'cause' },
    subject: SUBJECT,
    instrument: SUBJECT_INSTRUMENT,
    district: DISTRICT,
    severity: SEVERITY,
    state: { 'zh-CN': '状态', en: 'state' },
    verdict: { 'zh-CN': '结论;未有结论时为空', en: 'verdict; null while there is none' },
    reason_code: REASON_CODE,
    reason_params: REASON_PARAMS,
    created_at: { 'zh-CN': '生成的时间', en: 'when it was raised' },
    updated_at: { 'zh-CN': '最近变化的时间', en: 'when it changed last' },
    due_at: { 'zh-CN': '期限', en: 'deadline' },
    escalated_at: { 'zh-CN': '升级的时间', en: 'when it escalated' },
  },
  estimates: {
    run: {
      'zh-CN': '估计的次序号,同一台区同一窗口的各表相同',
      en: 'number of the run; the same for all meters of a district and window',
    },
    instrument: INSTRUMENT,
    district: DISTRICT,
    from_ts: { 'zh-CN': '窗口开始', en: 'begin of the window' },
    to_ts: { 'zh-CN': '窗口结束', en: 'end of the window' },
    finished_at: { 'zh-CN': '算出的时间', en: 'when it was made' },
    error_pct: {
      'zh-CN': '误差,占真实电量的百分数,正为走快;无法得出时为空',
      en: 'error in percent of true energy, positive = fast; null = nothing can be said',
    },
    sd_pct: { 'zh-CN': '标准差', en: 'standard deviation' },
    low_pct: { 'zh-CN': '95 % 区间下限', en: 'lower end of the 95 % interval' },
    high_pct: { 'zh-CN': '95 % 区间上限', en: 'upper end of the 95 % interval' },
    p_inaccurate: { 'zh-CN': '误差超出最大允许误差的概率', en: 'probability of an error beyond the MPE' },
    mpe_pct: { 'zh-CN': '最大允许误差(±)', en: 'maximum permissible error (±)' },
    verdict: { 'zh-CN': '结论', en: 'verdict' },
    reason_code: { 'zh-CN': '不能再进一步的理由的代码', en: 'code of the reason why it is no more' },
    reason_params: REASON_PARAMS,
    rows_used: { 'zh-CN': '该表参与的行数', en: 'rows in which the meter took part' },
    rows_refused: { 'zh-CN': '该表未能参与的行数', en: 'rows in which it could not' },
    energy_kwh: { 'zh-CN': '窗口内的电量', en: 'energy in the window' },
    clock_offset_s: {
      'zh-CN': '时钟相对总表的偏差,正为慢;未估计时为空',
      en: 'clock against the master’s, positive = late; null = not estimated',
    },
    change: { 'zh-CN': '窗口内的漂移或突变,JSON 对象', en: 'drift or step inside the window: a JSON object' },
    method: { 'zh-CN': '方法,JSON 对象', en: 'method: a JSON object' },
  },
} as const satisfies Record<string, Record<string, Text>>;

export const QUANTITY_TEXTS = {
  active_import_kwh: { 'zh-CN': '正向有功总电能示度', en: 'register of active energy, import' },
  active_export_kwh: { 'zh-CN': '反向有功总电能示度', en: 'register of active energy, export' },
  active_power_w: { 'zh-CN': '有功功率', en: 'active power' },
  voltage_v: { 'zh-CN': '电压(单相)', en: 'voltage, single phase' },
  voltage_l1_v: { 'zh-CN': 'L1 相电压', en: 'voltage L1' },
  voltage_l2_v: { 'zh-CN': 'L2 相电压', en: 'voltage L2' },
  voltage_l3_v: { 'zh-CN': 'L3 相电压', en: 'voltage L3' },
  current_a: { 'zh-CN': '电流(单相)', en: 'current, single phase' },
  current_l1_a: { 'zh-CN': 'L1 相电流', en: 'current L1' },
  current_l2_a: { 'zh-CN': 'L2 相电流', en: 'current L2' },
  current_l3_a: { 'zh-CN': 'L3 相电流', en: 'current L3' },
  neutral_current_a: { 'zh-CN': '中性线电流', en: 'current of the neutral' },
  power_factor: { 'zh-CN': '功率因数', en: 'power factor' },
  frequency_hz: { 'zh-CN': '频率', en: 'frequency' },
  volume_m3: { 'zh-CN': '体积示度(水、燃气、热)', en: 'register of volume: water, gas, heat' },
  heat_kwh: { 'zh-CN': '热量示度', en: 'register of heat' },
} as const satisfies Record<Quantity, Text>;

export const SCHEMA_TEXTS = {
  title: { 'zh-CN': '交给大数据平台的数据', en: 'What is handed over to the big-data platform' },
  files: {
    'zh-CN':
      '每个数据集、每一天、每个区域一个 Parquet 文件(zstd,每组 {rowGroup} 行):{path}。day 是时区 {zone} 的一天;region 是 GB/T 2260 区域代码,未填为 {noRegion}。两者只在路径中,不是文件里的列。没有行就没有文件。',
    en: 'One Parquet file (zstd, groups of {rowGroup} rows) for each dataset, day and region: {path}. day is a day in {zone}; region is a GB/T 2260 code, {noRegion} where there is none. Both stand in the path only and are no columns of the file. Without rows there is no file.',
  },
  region: {
    'zh-CN':
      '读数归入写文件时台账中的区域,一台器具一天的读数只在一个区域;发现和任务归入生成时的区域。kind、role、district 也以写文件时的台账为准。',
    en: 'Readings lie under the region the ledger names when the file is written; those of one instrument and day lie in one region. Findings and tasks lie under the region they were raised in. kind, role and district are the ledger’s of that moment, too.',
  },
  again: {
    'zh-CN':
      '一天结束并过了迟到宽限之后才导出。之后又收到该日的读数,或其发现、任务有变化,则下一次运行时整个文件被替换。{manifest} 列出每个文件的行数、字节数、SHA-256 和 schema 版本:先换文件,后换清单;SHA-256 暂不相符时请稍后再读。',
    en: 'A day is exported once it has ended and late readings have had their time. When more readings of it arrive, or its findings or tasks change, the next run replaces the whole file. {manifest} lists rows, bytes, SHA-256 and schema version of each file. The file is replaced first, then the list: where the SHA-256 does not fit, read again later.',
  },
  types: {
    'zh-CN':
      '时间为 UTC(TIMESTAMP,微秒,isAdjustedToUTC=true,服务精确到毫秒)。量的单位在名称末尾;未上报的量为空。VARCHAR 为 UTF-8,DOUBLE 为 64 位浮点数,BIGINT 为 64 位整数。',
    en: 'Times are UTC (TIMESTAMP, microseconds, isAdjustedToUTC=true; the service counts milliseconds). The unit of a quantity is the end of its name; one that was not reported is null. VARCHAR is UTF-8, DOUBLE a 64-bit float, BIGINT a 64-bit integer.',
  },
  version: { 'zh-CN': 'schema 版本 {version}', en: 'schema version {version}' },
  column: { 'zh-CN': '列', en: 'column' },
  type: { 'zh-CN': '类型', en: 'type' },
  unit: { 'zh-CN': '单位', en: 'unit' },
  empty: { 'zh-CN': '可为空', en: 'may be null' },
  obis: { 'zh-CN': 'OBIS 代码', en: 'OBIS codes' },
  values: { 'zh-CN': '取值', en: 'values' },
  meaning: { 'zh-CN': '含义', en: 'meaning' },
} as const satisfies Record<string, Text>;

export const HANDOVER_PROBLEMS = {
  day_open: {
    'zh-CN': '该日尚未结束或仍在迟到宽限之内,{closes} 之后才能导出',
    en: 'the day has not ended, or late readings still have their time; it can be exported after {closes}',
  },
  day_gone: {
    'zh-CN': '该日的读数已超过保存期限,不会再次导出',
    en: 'readings of that day may be gone by retention; it is not exported again',
  },
  other_zone: {
    'zh-CN': '该处已有按时区 {was} 划分的数据,请沿用该时区或另选位置',
    en: 'what lies there is divided by days of {was}; keep that zone, or choose another place',
  },
  not_a_manifest: { 'zh-CN': '清单无法读懂', en: 'this list is not understood' },
  not_a_place: {
    'zh-CN': '应为文件夹或 s3://存储桶/前缀',
    en: 'must be a folder or s3://bucket/prefix',
  },
  no_bucket: { 'zh-CN': '没有存储桶“{bucket}”', en: 'there is no bucket “{bucket}”' },
  s3_denied: {
    'zh-CN': '存储不接受密钥,或密钥对该存储桶没有读写权限({answer})',
    en: 'the storage does not accept the keys, or they may not read and write there ({answer})',
  },
  s3_silent: { 'zh-CN': '无法连接存储({answer})', en: 'the storage does not answer ({answer})' },
  s3_answered: { 'zh-CN': '存储答复“{answer}”', en: 'the storage answers “{answer}”' },
} as const satisfies Record<string, Text>;

export const EXPORT = {
  about: {
    'zh-CN': '把读数、发现、任务导出为 Parquet,交给大数据平台;只导出新的一天和有变化的一天',
    en: 'export readings, findings and tasks as Parquet for a big-data platform: days that are new or have changed',
  },
  to: { 'zh-CN': '文件夹,或 s3://存储桶/前缀', en: 'a folder, or s3://bucket/prefix' },
  onlyDay: { 'zh-CN': '只重新导出这一天', en: 'only this day, again' },
  from: {
    'zh-CN': '不导出更早的日期,以后的运行也如此',
    en: 'nothing earlier than this day, in later runs neither',
  },
  schema: { 'zh-CN': '显示数据结构(Markdown),不导出', en: 'print the schema as Markdown and export nothing' },
  waiting: { 'zh-CN': '另一个导出正在运行,等待其结束…', en: 'another export is running; waiting for its end…' },
  running: { 'zh-CN': '{dataset} {day}:{rows} 行…', en: '{dataset} {day}: {rows} rows…' },
  day: {
    'zh-CN': '{dataset} {day}:{regions} 个区域,写入 {rows} 行,{megabytes} MB,{unchanged} 个文件未变',
    en: '{dataset} {day}: {regions} regions, {rows} rows written, {megabytes} MB, {unchanged} files as they were',
  },
  done: {
    'zh-CN': '{files} 个文件(其中 {unchanged} 个未变),{rows} 行,{megabytes} MB → {to}({seconds} 秒)',
    en: '{files} files ({unchanged} of them as they were), {rows} rows, {megabytes} MB → {to} ({seconds} s)',
  },
} as const satisfies Record<string, Text>;
