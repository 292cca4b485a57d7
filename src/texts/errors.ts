/** Every error code in a sentence. The placeholders are the parameters its throwers give. */
import type { ErrorCode } from '../errors.ts';
import type { TaskState } from '../fleet/task.ts';
import type { Action } from '../tasks/workflow.ts';
import { CONFIG_PROBLEMS } from './config.ts';
import { HANDOVER_PROBLEMS } from './handover.ts';
import { START_PROBLEMS } from './start.ts';
import { ACTION_NAMES, STATE_NAMES } from './tasks.ts';
import { type Language, type Params, say, type Text } from './text.ts';
import { TLS_PROBLEMS } from './tls.ts';

export const ERRORS: Readonly<Record<ErrorCode, Text>> = {
  invalid_request: { 'zh-CN': '请求有误:{problem}', en: 'The request is not right: {problem}' },
  malformed_json: { 'zh-CN': '不是合法的 JSON:{problem}', en: 'Not JSON: {problem}' },
  invalid_cursor: {
    'zh-CN': '翻页标记无效,请从第一页重新开始',
    en: 'Not a cursor of this list; begin again with the first page',
  },
  unauthenticated: { 'zh-CN': '尚未登录或登录已过期', en: 'Not signed in, or the session has ended' },
  wrong_credentials: { 'zh-CN': '用户名或密码不正确', en: 'User name or password is wrong' },
  forbidden: { 'zh-CN': '您的角色或区域无权进行此操作', en: 'Your role or region does not allow this' },
  not_found: { 'zh-CN': '不存在,或不在您的区域内', en: 'There is none, or it is outside your region' },
  conflict: { 'zh-CN': '与现有状态冲突:{problem}', en: 'In conflict with what is there: {problem}' },
  transition_not_allowed: {
    'zh-CN': '任务处于“{state}”状态,不能进行“{action}”',
    en: 'A task that is “{state}” does not offer “{action}”',
  },
  payload_too_large: { 'zh-CN': '请求内容超过 {limit} 字节', en: 'The request is larger than {limit} bytes' },
  unsupported_media_type: {
    'zh-CN': '不支持的内容类型或编码,应为 {expected}',
    en: 'This content type or encoding is not understood; send {expected}',
  },
  rate_limited: { 'zh-CN': '尝试次数过多,请稍后再试', en: 'Too many attempts; try again later' },
  too_many_estimates: {
    'zh-CN': '您要求估计的台区已有 {limit} 个尚未完成,请等其中之一完成后再提交',
    en: '{limit} districts you asked for are still to be estimated; ask again when one of them is done',
  },
  internal: { 'zh-CN': '服务内部错误', en: 'The service failed' },
  unavailable: { 'zh-CN': '服务暂时不可用,请稍后再试', en: 'The service is not available now; try again later' },
  invalid_setting: {
    'zh-CN': '设置值“{value}”无效,应为 {expected}',
    en: 'The setting must not be “{value}”; expected {expected}',
  },
  unusable_setting: {
    'zh-CN': '设置值“{value}”无法使用:{problem}',
    en: 'The setting “{value}” cannot be used: {problem}',
  },
  invalid_config: { 'zh-CN': '配置有误:{problem}', en: 'The configuration is not right: {problem}' },
  database_not_started: {
    'zh-CN': '内置 PostgreSQL 无法启动:{problem}',
    en: 'The embedded PostgreSQL does not start: {problem}',
  },
  influx_unavailable: {
    'zh-CN': '{address} 的 InfluxDB 暂时不可用:{problem}',
    en: 'InfluxDB at {address} is not available now: {problem}',
  },
  influx_denied: {
    'zh-CN': 'InfluxDB 不接受此令牌,须对数据桶有读写权限:{problem}',
    en: 'InfluxDB does not accept the token, which must allow reading and writing the bucket: {problem}',
  },
  influx_no_org: {
    'zh-CN': 'InfluxDB 中没有组织“{org}”,或令牌不属于该组织:{problem}',
    en: 'InfluxDB has no organization “{org}”, or the token is not of it: {problem}',
  },
  influx_missing: {
    'zh-CN': 'InfluxDB 中没有数据桶“{bucket}”或其查询映射,请先运行 meterwarden influx-setup:{problem}',
    en: 'InfluxDB has no bucket “{bucket}”, or not its mapping for queries; run meterwarden influx-setup first: {problem}',
  },
  influx_unexpected: {
    'zh-CN': '该地址的回答不像 InfluxDB 1.8、2 或 3:{problem}',
    en: 'What answers there is no InfluxDB 1.8, 2 or 3: {problem}',
  },
  influx_by_hand: {
    'zh-CN': '本命令只能准备 InfluxDB 1.8 和 2,不能准备版本 {version},请用其自带工具建立保存 {days} 天的数据库',
    en: 'This command prepares InfluxDB 1.8 and 2, not {version}; create the database, kept for {days} days, with the tools of its own',
  },
  unidentified_client: {
    'zh-CN': '无法确认报文来自哪个客户端:“{client}”',
    en: 'Nobody known can have sent the message; it says “{client}”',
  },
  too_large: {
    'zh-CN': '报文 {bytes} 字节,超过上限 {limit} 字节',
    en: 'A message of {bytes} bytes; at most {limit} are taken',
  },
  too_deep: { 'zh-CN': '报文嵌套超过 {limit} 层', en: 'Nested deeper than {limit} levels' },
  unknown_topic: { 'zh-CN': '没有与主题“{topic}”对应的规约', en: 'No profile knows the topic “{topic}”' },
  wrong_shape: { 'zh-CN': '报文结构不符,应为 {expected}', en: 'The message has another shape than {expected}' },
  empty_message: { 'zh-CN': '报文中没有读数', en: 'The message holds no reading' },
  unknown_instrument: {
    'zh-CN': '台账中没有计量器具“{instrument}”',
    en: 'The ledger has no instrument “{instrument}”',
  },
  not_your_instrument: {
    'zh-CN': '台账中计量器具“{instrument}”不由“{client}”上报',
    en: 'By the ledger “{client}” does not report for the instrument “{instrument}”',
  },
  retired_instrument: { 'zh-CN': '计量器具“{instrument}”已停用', en: 'The instrument “{instrument}” is retired' },
  missing_timestamp: { 'zh-CN': '缺少测量时间 ts', en: 'The measurement time ts is missing' },
  invalid_timestamp: {
    'zh-CN': '测量时间“{ts}”无效,应为带时区的 RFC 3339 时间或以 {unit} 计的纪元时间',
    en: '“{ts}” is no measurement time: RFC 3339 with a zone, or {unit} since 1970',
  },
  future_timestamp: { 'zh-CN': '测量时间 {ts} 在未来', en: 'The measurement time {ts} lies in the future' },
  ancient_timestamp: {
    'zh-CN': '测量时间 {ts} 早于保存期限',
    en: 'The measurement time {ts} is older than readings are kept',
  },
  not_a_number: { 'zh-CN': '“{value}”不是数值', en: '“{value}” is not a number' },
  out_of_range: { 'zh-CN': '数值 {value} 超出可能范围 {min}…{max}', en: '{value} is not possible: {min} to {max}' },
  conflicting_values: {
    'zh-CN': '同一读数中 {quantity} 有两个不同的数值:{first} 和 {value}',
    en: 'Two different values of {quantity} in one reading: {first} and {value}',
  },
  no_known_quantity: { 'zh-CN': '没有“{kind}”类器具的已知量', en: 'Nothing an instrument of kind “{kind}” can report' },
  unknown_quantity: { 'zh-CN': '“{kind}”类器具没有量“{name}”', en: 'An instrument of kind “{kind}” has no “{name}”' },
  wrong_unit: { 'zh-CN': '单位“{unit}”无法换算为“{wanted}”', en: 'The unit “{unit}” does not convert to “{wanted}”' },
  bad_quality: { 'zh-CN': '器具自报数据质量为“{quality}”', en: 'The instrument itself calls the quality “{quality}”' },
  conflicting_reading: {
    'zh-CN': '同一时刻已有数值不同的读数',
    en: 'There is another reading of the same moment with other values',
  },
  not_stored: {
    'zh-CN': '读数库不接受器具“{instrument}”在 {ts} 的读数:{reason}',
    en: 'The readings store does not take the reading of “{instrument}” at {ts}: {reason}',
  },
  overloaded: { 'zh-CN': '服务繁忙,请稍后重试', en: 'The service is busy; try again later' },
  missing_folder: { 'zh-CN': '没有这个文件夹', en: 'There is no such folder' },
  missing_file: {
    'zh-CN': '没有这个文件,也没有压缩的 {file}.gz',
    en: 'There is no such file, nor {file}.gz, its compressed form',
  },
  invalid_line: { 'zh-CN': '该行有误:{problem}', en: 'The line is not right: {problem}' },
  duplicate_line: { 'zh-CN': '编号“{id}”与第 {first} 行重复', en: 'The id “{id}” stands in line {first} already' },
  unknown_kind: {
    'zh-CN': '没有器具类别“{kind}”,应为 {allowed} 之一',
    en: 'No instrument kind “{kind}”; known are {allowed}',
  },
  second_master: {
    'zh-CN': '台区“{district}”已有总表“{master}”',
    en: 'The district “{district}” has the master meter “{master}” already',
  },
  id_of_gateway: {
    'zh-CN': '编号“{id}”已属于集中器,客户端编号不得重复',
    en: 'The id “{id}” is that of a gateway; no two clients have one id',
  },
  gateway_is_instrument: {
    'zh-CN': '“{id}”是台账中的计量器具,不是集中器',
    en: '“{id}” is an instrument of the ledger and no gateway',
  },
  id_of_service: {
    'zh-CN': '“{id}”是本服务连接外部 MQTT 服务器所用的用户名,设备不得使用',
    en: 'By the name “{id}” the service itself connects to the external MQTT broker; no device may',
  },
};

/** What `problem` can say in both languages; anything else is shown as it is. */
export const PROBLEMS = {
  required: { 'zh-CN': '必填', en: 'required' },
  reserved_characters: { 'zh-CN': '不得含有 {characters}', en: 'must not contain any of {characters}' },
  control_characters: { 'zh-CN': '不得含有控制字符', en: 'must not contain control characters' },
  not_an_id: {
    'zh-CN': '不得含有空格、控制字符和 / + # $ % ? \\',
    en: 'must not contain spaces, control characters or / + # $ % ? \\',
  },
  not_a_region: {
    'zh-CN': '应为偶数位数字的区域代码,或为空',
    en: 'a region code of an even number of digits, or empty',
  },
  not_utf8: { 'zh-CN': '不是 UTF-8 编码', en: 'is not UTF-8' },
  too_long: { 'zh-CN': '最多 {limit} 个字符', en: 'at most {limit} characters' },
  too_short: { 'zh-CN': '至少 {limit} 个字符', en: 'at least {limit} characters' },
  too_many: { 'zh-CN': '最多 {limit} 项', en: 'at most {limit} of them' },
  too_few: { 'zh-CN': '至少 {limit} 项', en: 'at least {limit} of them' },
  too_high: { 'zh-CN': '不得大于 {limit}', en: 'at most {limit}' },
  too_low: { 'zh-CN': '不得小于 {limit}', en: 'at least {limit}' },
  not_a_page_size: { 'zh-CN': '应为 1 到 {limit} 的整数', en: 'must be a whole number from 1 to {limit}' },
  one_of: { 'zh-CN': '应为 {allowed} 之一', en: 'one of {allowed}' },
  not_text: { 'zh-CN': '应为文本', en: 'must be text' },
  not_a_number: { 'zh-CN': '应为数值', en: 'must be a number' },
  not_whole: { 'zh-CN': '应为整数', en: 'must be a whole number' },
  not_a_truth: { 'zh-CN': '应为 true 或 false', en: 'must be true or false' },
  not_an_object: { 'zh-CN': '应为 JSON 对象', en: 'must be a JSON object' },
  not_a_list: { 'zh-CN': '应为列表', en: 'must be a list' },
  not_above: { 'zh-CN': '应大于 {limit}', en: 'must be above {limit}' },
  not_below: { 'zh-CN': '应小于 {other},即小于 {limit}', en: 'must be below {other}, which is {limit}' },
  not_positive: { 'zh-CN': '应为正数', en: 'a number above zero' },
  not_a_date: { 'zh-CN': '应为 YYYY-MM-DD 格式的日期', en: 'a date as YYYY-MM-DD' },
  not_a_time: { 'zh-CN': '应为带时区的 RFC 3339 时间', en: 'a time by RFC 3339, with its zone' },
  not_a_query_time: {
    'zh-CN': '应为带时区的 RFC 3339 时间,例如 2024-05-01T08:00:00Z(网址中的 + 写作 %2B)',
    en: 'a time by RFC 3339 with its zone, such as 2024-05-01T08:00:00Z (in a URL, + is written %2B)',
  },
  before_from: { 'zh-CN': '不得早于 from', en: 'must not be earlier than from' },
  not_sorted: { 'zh-CN': '没有按时间排序', en: 'is not in order of time' },
  too_many_cells: { 'zh-CN': '有 {cells} 列,表头只有 {columns} 列', en: '{cells} cells under {columns} columns' },
  too_few_cells: { 'zh-CN': '只有 {cells} 列,表头有 {columns} 列', en: 'only {cells} cells under {columns} columns' },
  broken_quotes: { 'zh-CN': '引号不成对', en: 'the quotes do not close' },
  empty_file: { 'zh-CN': '没有表头行', en: 'there is no header line' },
  unknown_column: {
    'zh-CN': '没有列“{column}”,最接近的是“{nearest}”',
    en: 'no column “{column}”; the nearest is “{nearest}”',
  },
  repeated_column: { 'zh-CN': '列“{column}”重复', en: 'the column “{column}” stands twice' },
  missing_column: { 'zh-CN': '缺少列“{column}”', en: 'the column “{column}” is missing' },
  too_many_lines: { 'zh-CN': '最多 {limit} 行', en: 'at most {limit} lines' },
  broken_gzip: { 'zh-CN': '不是完整的 gzip 数据', en: 'not a complete gzip stream' },
  broken_upload: { 'zh-CN': '上传中断', en: 'the upload broke off' },
  unreadable: { 'zh-CN': '请求不完整或格式不对', en: 'it is incomplete or in a wrong form' },
  not_a_position: { 'zh-CN': '不是变更流中的位置', en: 'not a position of the stream' },
  unknown_field: {
    'zh-CN': '没有“{field}”这一项,最接近的是“{nearest}”,可用:{allowed}',
    en: 'there is no “{field}”; the nearest is “{nearest}”, known are {allowed}',
  },
  admin_region: { 'zh-CN': '管理员不限区域,此项应为空', en: 'an admin sees every region: leave it empty' },
  own_account: { 'zh-CN': '不能更改自己的角色或停用自己', en: 'nobody changes their own role or disables themselves' },
  last_admin: { 'zh-CN': '至少要有一名可登录的管理员', en: 'at least one admin must be able to sign in' },
  username_taken: { 'zh-CN': '用户名已被使用', en: 'the user name is taken' },
  master_circle: {
    'zh-CN': '总表的调换互相依赖,请分次导入',
    en: 'the masters trade places in too long a chain; import it in parts',
  },
  findings_open: {
    'zh-CN': '上报结果之后又有未恢复的发现,任务可重新打开,不能归档',
    en: 'a finding that came after the outcome is still open: the task can be reopened, not closed',
  },
  done_already: { 'zh-CN': '已经做过了', en: 'it is done already' },
  not_decisive: {
    'zh-CN': '不确定度过大,测得误差离最大允许误差 ±{mpe_pct} % 太近,无法判定,请用更准的标准器重测',
    en: 'with this uncertainty an error so near the MPE of ±{mpe_pct} % decides nothing: measure it with a better standard',
  },
  in_the_future: { 'zh-CN': '不得晚于现在', en: 'must not lie in the future' },
  not_in_its_place: {
    'zh-CN': '不是台区 {district} 在用的同类用户表',
    en: 'is no user meter of that kind in service in district {district}',
  },
  still_in_service: { 'zh-CN': '旧表 {instrument} 尚未停用', en: 'the old meter {instrument} is still in service' },
  not_an_inspector: { 'zh-CN': '不是在岗的检查员', en: 'is not an active inspector' },
  other_region: { 'zh-CN': '不负责区域 {region}', en: 'does not work in region {region}' },
  ...CONFIG_PROBLEMS,
  ...HANDOVER_PROBLEMS,
  ...START_PROBLEMS,
  ...TLS_PROBLEMS,
} as const satisfies Record<string, Text>;

export type Problem = keyof typeof PROBLEMS;

/** In place of what the thrower did not give: a placeholder would be read as a fault of the text. */
const LEFT_OPEN = '…';

export function sayError(error: { readonly code: string; readonly params: Params }, language: Language): string {
  const text: Text | undefined =
    error.params.because === 'findings' ? PROBLEMS.findings_open : ERRORS[error.code as ErrorCode];
  if (!text) return error.code;
  const params = {
    ...error.params,
    ...namedParams(error.params, language),
    problem: sayProblem(error.params, language),
  };
  return say(text, language, params, LEFT_OPEN).replace(/[::]\s*$/, '');
}

function sayProblem(params: Params, language: Language): string {
  const named = String(params.problem ?? '');
  const text: Text | undefined = PROBLEMS[named as Problem];
  return text ? say(text, language, params, LEFT_OPEN) : named;
}

function namedParams({ state, action }: Params, language: Language): Params {
  const stateName: Text | undefined = STATE_NAMES[state as TaskState];
  const actionName: Text | undefined = ACTION_NAMES[action as Action];
  return {
    ...(stateName && { state: say(stateName, language) }),
    ...(actionName && { action: say(actionName, language) }),
  };
}
