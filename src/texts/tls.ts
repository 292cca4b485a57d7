/** What is wrong with a file of certificates, and what the command that makes them says. */
import type { Text } from './text.ts';

export const TLS_PROBLEMS = {
  needs_other: { 'zh-CN': '还须设置 {other}', en: 'it needs {other} to be set too' },
  nobody_connects: {
    'zh-CN': '关闭它需要 TLS:请设置 TLS_CERT 和 TLS_KEY,且 MQTTS_PORT 不为 off',
    en: 'turning it off takes TLS: set TLS_CERT and TLS_KEY, and MQTTS_PORT to a port',
  },
  unreadable_pem: { 'zh-CN': '无法读取文件 {at}({code})', en: 'the file {at} cannot be read ({code})' },
  pem_too_large: { 'zh-CN': '文件 {at} 超过 {limit} 字节', en: 'the file {at} is larger than {limit} bytes' },
  no_certificate: { 'zh-CN': '{at} 中没有 PEM 格式的证书', en: '{at} holds no certificate in PEM form' },
  no_private_key: {
    'zh-CN': '{at} 中没有无口令的 PEM 格式私钥',
    en: '{at} holds no private key in PEM form without a passphrase',
  },
  no_revocation_list: { 'zh-CN': '{at} 中没有 PEM 格式的吊销列表', en: '{at} holds no revocation list in PEM form' },
  key_of_another: {
    'zh-CN': '{at} 中的私钥与 TLS_CERT 的证书不匹配',
    en: 'the key in {at} does not belong to the certificate of TLS_CERT',
  },
  certificate_expired: {
    'zh-CN': '{at} 中的证书已于 {date} 过期',
    en: 'the certificate in {at} expired on {date}',
  },
  certificate_not_yet: {
    'zh-CN': '{at} 中的证书自 {date} 起才有效',
    en: 'the certificate in {at} is not valid before {date}',
  },
  certificate_refused: {
    'zh-CN': 'TLS 不接受 {at}({reason})',
    en: 'TLS does not accept {at} ({reason})',
  },
  file_exists: {
    'zh-CN': '{at} 已存在,不会覆盖;请另选文件夹或先移走',
    en: '{at} exists and is not overwritten; choose another folder or move it away',
  },
  not_a_host: { 'zh-CN': '应为主机名或 IP 地址', en: 'must be a host name or an IP address' },
  not_a_file_name: {
    'zh-CN': '应为 1 至 64 个字符,不得含有空格、控制字符和 / + # $ % ? \\',
    en: 'must be 1 to 64 characters without spaces, control characters and / + # $ % ? \\',
  },
} as const satisfies Record<string, Text>;

export const DEV_CA = {
  about: {
    'zh-CN': '生成开发用的证书:CA、服务器和集中器各一份',
    en: 'make certificates for development: a CA, the server and gateways',
  },
  out: { 'zh-CN': '写入的文件夹,不覆盖已有文件', en: 'folder to write; no file is overwritten' },
  host: {
    'zh-CN': '服务器的主机名和地址,以逗号分隔',
    en: 'names and addresses of the server, separated by commas',
  },
  gateway: {
    'zh-CN': '需要客户端证书的集中器或器具编号',
    en: 'ids of gateways or instruments to make client certificates for',
  },
  done: {
    'zh-CN': '仅供开发使用:CA 的私钥未保存,证书 {days} 天后失效,生产环境请用自己的 CA。',
    en: 'For development only: the key of this CA was not kept, its certificates end after {days} days; use a CA of your own in service.',
  },
} as const satisfies Record<string, Text>;
