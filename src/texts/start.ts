/** What keeps the service from starting: addresses, the data folder, the database, Redis. */
import { REDIS_PROBLEMS } from './redis.ts';
import type { Text } from './text.ts';

export const START_PROBLEMS = {
  // an address, of ours or of the database
  unknown_host: { 'zh-CN': '找不到主机“{host}”', en: 'there is no host “{host}”' },
  no_name_service: { 'zh-CN': '暂时无法解析主机名“{host}”', en: 'the name “{host}” cannot be looked up now' },
  foreign_address: { 'zh-CN': '本机没有这个地址', en: 'this machine has no such address' },
  port_taken: { 'zh-CN': '该端口已被占用,请换一个', en: 'the port is taken; choose one that is not' },
  port_forbidden: {
    'zh-CN': '运行服务的用户无权监听该端口(1024 以下需要特权)',
    en: 'the user of the service may not listen on that port (below 1024 it takes a privilege)',
  },
  address_refused: { 'zh-CN': '系统不允许监听({code})', en: 'the system does not let it listen ({code})' },
  // the data folder
  not_a_folder: { 'zh-CN': '{at} 不是文件夹', en: '{at} is no folder' },
  not_writable: {
    'zh-CN': '运行服务的用户无权写入 {at}({code})',
    en: 'the user of the service may not write {at} ({code})',
  },
  read_only: { 'zh-CN': '{at} 所在的文件系统是只读的', en: '{at} lies on a read-only file system' },
  no_space: { 'zh-CN': '{at} 所在的磁盘已满', en: 'no space is left for {at}' },
  no_folder_there: { 'zh-CN': '不能在 {at} 建立文件夹({code})', en: 'no folder can be made at {at} ({code})' },
  folder_refused: { 'zh-CN': '系统拒绝访问 {at}({code})', en: 'the system refuses access to {at} ({code})' },
  folder_in_use: {
    'zh-CN': '进程 {pid} 正在使用该文件夹',
    en: 'process {pid} uses that folder',
  },
  no_cluster: {
    'zh-CN': '{at} 中有内容,却不是 PostgreSQL 数据;请先移走',
    en: '{at} holds something that is no PostgreSQL data; move it away first',
  },
  // the database of DATABASE_URL
  nobody_listens: { 'zh-CN': '{address} 上没有服务在监听', en: 'nothing listens at {address}' },
  no_answer: { 'zh-CN': '{address} 没有应答', en: '{address} does not answer' },
  no_way: { 'zh-CN': '网络上无法到达 {address}({code})', en: 'there is no way to {address} ({code})' },
  not_postgres: {
    'zh-CN': '{address} 中断了连接,或不是 PostgreSQL({reason})',
    en: '{address} breaks the connection off, or is no PostgreSQL ({reason})',
  },
  wrong_password: {
    'zh-CN': '没有用户“{user}”,或其密码不对',
    en: 'there is no user “{user}”, or its password is another',
  },
  password_missing: {
    'zh-CN': '用户“{user}”需要密码,地址中没有给出',
    en: 'the user “{user}” needs a password, and the address gives none',
  },
  not_admitted: {
    'zh-CN': '服务器不接纳用户“{user}”({answer})',
    en: 'the server does not admit the user “{user}” ({answer})',
  },
  no_database: { 'zh-CN': '没有数据库“{database}”', en: 'there is no database “{database}”' },
  used_otherwise: {
    'zh-CN': '另一个服务正以别的方式使用该数据库:serve 独占数据库,ingest、work、api 共用数据库',
    en: 'another service uses the database otherwise: serve has it alone, ingest, work and api share it',
  },
  no_tls: { 'zh-CN': '服务器不支持 TLS', en: 'the server does not speak TLS' },
  untrusted: {
    'zh-CN': '服务器的 TLS 证书不可信({code})',
    en: 'the TLS certificate of the server is not trusted ({code})',
  },
  not_permitted: {
    'zh-CN': '用户“{user}”权限不足({answer})',
    en: 'the user “{user}” has not the rights it needs ({answer})',
  },
  too_old: {
    'zh-CN': '服务器是 PostgreSQL {version},需要 {needed} 或更新',
    en: 'the server is PostgreSQL {version}; {needed} or newer is needed',
  },
  answered: { 'zh-CN': 'PostgreSQL 答复“{answer}”({code})', en: 'PostgreSQL answers “{answer}” ({code})' },
  unreadable_address: { 'zh-CN': '地址无法读懂({reason})', en: 'the address is not understood ({reason})' },
  unreadable_file: { 'zh-CN': '无法读取文件 {at}({code})', en: 'the file {at} cannot be read ({code})' },
  // the embedded database
  server_ended: {
    'zh-CN': '服务器进程退出,其日志的最后几行:\n{log}',
    en: 'its process ends; the end of its log:\n{log}',
  },
  server_silent: {
    'zh-CN': '{seconds} 秒内没有应答,其日志的最后几行:\n{log}',
    en: 'no answer within {seconds} s; the end of its log:\n{log}',
  },
  program_failed: { 'zh-CN': '{program} 运行失败:\n{log}', en: '{program} fails:\n{log}' },
  no_binaries: {
    'zh-CN': '没有适用于 {platform} 的版本,请设置 DATABASE_URL',
    en: 'there is none for {platform}; set DATABASE_URL',
  },
  no_server_user: {
    'zh-CN': '它不能以 root 运行,系统用户 postgres 也无法建立({reason});请以其他用户启动服务',
    en: 'it does not run as root, and the system user postgres cannot be made ({reason}); start the service as another user',
  },
  leftover_stays: {
    'zh-CN': '先前留下的服务器进程 {pid} 没有停止',
    en: 'the server process {pid} that an earlier run left behind does not stop',
  },
  lost_password: {
    'zh-CN': '{at} 中的密码不是该数据库的密码',
    en: 'the password in {at} is not the one of that database',
  },
  ...REDIS_PROBLEMS,
} as const satisfies Record<string, Text>;
