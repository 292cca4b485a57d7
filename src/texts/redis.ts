/** What keeps a Redis from being used. */
import type { Text } from './text.ts';

export const REDIS_PROBLEMS = {
  // how REDIS_URL is written
  redis_form: { 'zh-CN': '格式应为 {form}', en: 'its form is {form}' },
  redis_encode: {
    'zh-CN': '用户名、密码中的特殊字符须用百分号编码(@ 写作 %40,/ 写作 %2F,? 写作 %3F,# 写作 %23,% 写作 %25)',
    en: 'special characters of user and password are written with percent signs (@ is %40, / is %2F, ? is %3F, # is %23, % is %25)',
  },
  redis_user_alone: {
    'zh-CN': '有用户名而没有密码,应为 用户:密码@ 或 :密码@',
    en: 'a user without a password; write user:password@ or :password@',
  },
  redis_host: {
    'zh-CN': '第 {nth} 个主机不是主机名或地址,或其端口不在 1…65535 之间',
    en: 'host number {nth} is no name or address, or its port is not one of 1…65535',
  },
  redis_several_hosts: {
    'zh-CN': '多个主机须用 redis+sentinel:// 或 redis+cluster://',
    en: 'several hosts are written with redis+sentinel:// or redis+cluster://',
  },
  redis_master_missing: {
    'zh-CN': '缺少 Sentinel 中主节点的名称,格式应为 {form}',
    en: 'it lacks the name by which the Sentinels know the master; its form is {form}',
  },
  redis_database: {
    'zh-CN': '“{database}”不是数据库编号,应为 0…{limit}',
    en: '“{database}” is no number of a database, 0…{limit}',
  },
  redis_cluster_database: { 'zh-CN': 'Redis Cluster 只有数据库 0', en: 'a Redis Cluster has only the database 0' },
  redis_parameter: {
    'zh-CN': '没有参数“{name}”或其重复,可用:{allowed}',
    en: 'there is no parameter “{name}”, or it stands twice; known are {allowed}',
  },
  redis_prefix: {
    'zh-CN': '前缀“{prefix}”应由 1…64 个字母、数字或 . _ - 组成',
    en: 'the prefix “{prefix}” has to be 1…64 letters, digits or . _ -',
  },
  // what the server is
  redis_evicts: {
    'zh-CN': '{address} 的 maxmemory-policy 是 {policy},会丢弃队列中的数据,应为 noeviction',
    en: 'maxmemory-policy of {address} is {policy}, which throws data of the queue away; it must be noeviction',
  },
  redis_policy_untold: {
    'zh-CN': '{address} 不告知 maxmemory-policy,应为 noeviction',
    en: '{address} does not tell its maxmemory-policy, which must be noeviction',
  },
  redis_too_old: {
    'zh-CN': '{address} 是 Redis {version},需要 {needed} 或更新',
    en: '{address} is Redis {version}; {needed} or newer is needed',
  },
  redis_breaks_off: {
    'zh-CN': '{address} 中断了连接:不是 Redis,或一方使用 TLS 而另一方不使用({reason})',
    en: '{address} breaks the connection off: it is no Redis, or only one of both speaks TLS ({reason})',
  },
  redis_no_answer_by_tls: {
    'zh-CN': '{address} 没有以 TLS 应答;不用 TLS 时应写 redis://',
    en: '{address} does not answer by TLS; without TLS it is written redis://',
  },
  redis_answered: { 'zh-CN': '{address} 答复“{answer}”', en: '{address} answers “{answer}”' },
  redis_unknown_master: {
    'zh-CN': '{address} 上的 Sentinel 不认识主节点“{master}”',
    en: 'the Sentinel at {address} knows no master “{master}”',
  },
  redis_replica: {
    'zh-CN': '{address} 是副本,只读;应为主节点,或用 redis+sentinel://',
    en: '{address} is a replica, which is only read; name the master, or use redis+sentinel://',
  },
  redis_other_mode: {
    'zh-CN': '{address} 以 {mode} 方式运行,应使用 {scheme}',
    en: '{address} runs as {mode}, which is addressed with {scheme}',
  },
  redis_cluster_down: {
    'zh-CN': '{address} 所在的 Redis Cluster 不可用:有槽位没有节点负责',
    en: 'the Redis Cluster of {address} is down: no node has some of its slots',
  },
} as const satisfies Record<string, Text>;
