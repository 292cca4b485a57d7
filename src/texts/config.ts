/** What is wrong with a file of the configuration, and what would be right. */
import type { Text } from './text.ts';

export const CONFIG_PROBLEMS = {
  not_a_mapping: { 'zh-CN': '应为“名称: 值”的形式', en: 'must hold names with their values (name: value)' },
  not_a_duration: {
    'zh-CN': '应为 90s、15m、24h、7d 这样的时长',
    en: 'must be a duration such as 90s, 15m, 24h or 7d',
  },
  too_long_a_time: { 'zh-CN': '不得长于 {limit}', en: 'must not be longer than {limit}' },
  not_a_word: {
    'zh-CN': '名称只能由小写字母、数字和连字符组成',
    en: 'a name here is made of lower case letters, digits and hyphens',
  },
  // kinds.yaml
  not_a_code: { 'zh-CN': '不得为空,不得含有空格', en: 'must not be empty or hold spaces' },
  code_taken: {
    'zh-CN': '“{code}”已表示 {quantity},每个编码只能表示一个量',
    en: '“{code}” means {quantity} already; a code means one quantity',
  },
  unit_of_name: {
    'zh-CN': '应为“{unit}”,即该量名称末尾的单位',
    en: 'must be “{unit}”, the unit at the end of its name',
  },
  register_from_zero: {
    'zh-CN': '不得大于 0:示度从 0 开始,满度翻转后也回到 0',
    en: 'must not be above 0: a register begins at 0, and again after it rolls over',
  },
  register_does_not_fit: {
    'zh-CN': '应大于 {limit}:{digits} 位示度可以显示到那里',
    en: 'must be above {limit}: a register of {digits} digits shows as much',
  },
  // profiles.yaml
  id_taken: { 'zh-CN': '已有规约“{other}”', en: 'there is a profile “{other}” already' },
  topic_taken: {
    'zh-CN': '规约“{other}”已接收该主题上的报文',
    en: 'the profile “{other}” takes the messages of this topic already',
  },
  topic_wildcards: {
    'zh-CN': '不得含有通配符 + 和 #,也不得含有控制字符;随器具而变的一层写作 {capture}',
    en: 'must not contain the wildcards + and # or control characters; the level that names the instrument is written {capture}',
  },
  topic_reserved: { 'zh-CN': '不得以 $ 开头', en: 'must not begin with $' },
  topic_capture: {
    'zh-CN': '可变的一层只能整层写作 {capture},且至多一层',
    en: 'only a whole level may vary, written {capture}, and only one',
  },
  topic_not_exact: { 'zh-CN': '应为固定的主题,不得含有花括号', en: 'must be an exact topic, without braces' },
  // rules.yaml
  all_or_list: { 'zh-CN': '应为 all,或器具种类的列表', en: 'must be all, or a list of instrument kinds' },
  below_or_above: { 'zh-CN': '应有 below 和 above 中的一个,且只有一个', en: 'needs one of below and above, not both' },
  second_outage_rule: {
    'zh-CN': '台区失联的规则只能有一条,已有“{rule}”',
    en: 'there may be one outage rule, and “{rule}” is one',
  },
  second_silent_rule: {
    'zh-CN': '每种器具的失联只由一条规则判断,已有“{rule}”',
    en: 'the silence of a kind is judged by one rule, and “{rule}” does already',
  },
  second_estimate_rule: {
    'zh-CN': '同一结论只能有一条规则,已有“{rule}”',
    en: 'one rule says what becomes of it, and “{rule}” does already',
  },
  // tasks.yaml
  not_shorter: { 'zh-CN': '应短于 {other}', en: 'must be shorter than {other}' },
  not_longer: { 'zh-CN': '不得长于 {other}', en: 'must not be longer than {other}' },
} as const satisfies Record<string, Text>;
