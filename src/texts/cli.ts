/** What the service's command line says. */
import type { Text } from './text.ts';

export const CLI = {
  program: {
    'zh-CN': 'meterwarden:计量器具非现场监管服务',
    en: 'meterwarden: supervise measuring instruments without visiting them',
  },
  usage: { 'zh-CN': '<命令> [选项]', en: '<command> [options]' },
  helpCommand: { 'zh-CN': '显示某个命令的帮助', en: 'show help for a command' },
  serve: { 'zh-CN': '启动服务(一个进程包办一切)', en: 'start the service: everything in one process' },
  ingest: {
    'zh-CN': '只接收并保存读数,可有多个(需要 DATABASE_URL)',
    en: 'only take in and store readings, as many as needed (needs DATABASE_URL)',
  },
  ingestSignals: {
    'zh-CN':
      'SIGTERM:停止;外部 MQTT 服务器保留其会话,供下次启动或其他进程接手。\nSIGUSR2:不再回来;先取完外部 MQTT 服务器为它保留的报文并结束会话,再停止。',
    en: 'SIGTERM: stop; an external MQTT broker keeps its sessions, for the next start or for another process.\nSIGUSR2: leave for good; receive what an external MQTT broker keeps for it, end its sessions, then stop.',
  },
  work: {
    'zh-CN': '只运行规则、派发任务、清理过期读数(需要 DATABASE_URL)',
    en: 'only run the rules, dispatch tasks and drop old readings (needs DATABASE_URL)',
  },
  api: { 'zh-CN': '只提供 HTTP 接口(需要 DATABASE_URL)', en: 'only serve the HTTP API (needs DATABASE_URL)' },
  settings: {
    'zh-CN': '设置(环境变量,或工作目录中的 meterwarden.yaml):',
    en: 'Settings (environment, or meterwarden.yaml in the working folder):',
  },
  settingDefault: { 'zh-CN': '默认 {value}', en: 'default {value}' },
  backtest: {
    'zh-CN': '在表计文件夹的历史读数上离线运行规则',
    en: 'run the rules over the history of a fleet folder, offline',
  },
  backtestFleet: {
    'zh-CN': '表计文件夹(instruments.csv、readings.csv)',
    en: 'fleet folder (instruments.csv, readings.csv)',
  },
  backtestOut: { 'zh-CN': '写入的 findings.csv', en: 'findings.csv to write' },
  backtestRules: {
    'zh-CN': '规则文件夹,默认随附的 config',
    en: 'folder with rules.yaml, the shipped config if not given',
  },
  mosquittoFiles: {
    'zh-CN': '为台账中的集中器写出 Mosquitto 的密码与权限文件(需要 DATABASE_URL、MQTT_URL)',
    en: 'write the password and access files of Mosquitto for the gateways of the ledger (needs DATABASE_URL, MQTT_URL)',
  },
  mosquittoOut: { 'zh-CN': '写入 passwd 和 acl 的文件夹', en: 'folder for passwd and acl' },
  mosquittoDone: {
    'zh-CN': '{gateways} 个集中器 → {out}/passwd、{out}/acl;另有 {missing} 个的密钥设于旧版本,须重新设置',
    en: '{gateways} gateways → {out}/passwd, {out}/acl; {missing} more have secrets of an earlier release and need new ones',
  },
  mosquittoOwnName: {
    'zh-CN': '注意:台账中的客户端“{id}”与 MQTT_URL 的用户名相同,未写入:以该名连接的只能是本服务,该设备请改用其他编号',
    en: 'Note: the client “{id}” of the ledger has the user name of MQTT_URL and was left out: only the service connects by that name; give the device another id',
  },
  influxSetup: {
    'zh-CN': '准备 InfluxDB:存储桶、保留期限、每小时汇总',
    en: 'prepare InfluxDB: bucket, retention, hourly summaries',
  },
  influxHourly: {
    'zh-CN': '每小时汇总保留的天数,0 为永久',
    en: 'days that hourly summaries are kept, 0 = for ever',
  },
  backtestDone: {
    'zh-CN': '{readings} 条读数,{instruments} 台器具,{findings} 条发现 → {out}({seconds} 秒)',
    en: '{readings} readings of {instruments} instruments, {findings} findings → {out} ({seconds} s)',
  },
  unknownColumns: { 'zh-CN': '忽略未知的列:{columns}', en: 'ignored unknown columns: {columns}' },
  listening: {
    'zh-CN': '服务已启动:HTTP {http}(接口文档 /docs),MQTT {mqtt}',
    en: 'Ready: HTTP {http} (API at /docs), MQTT {mqtt}',
  },
  listeningHttp: {
    'zh-CN': '{role} 已启动:HTTP {http}',
    en: 'Ready ({role}): HTTP {http}',
  },
  adminPassword: {
    'zh-CN': '首次启动:管理员 admin 的密码为 {password}(只显示这一次)',
    en: 'First start: the password of admin is {password} (shown this once)',
  },
  stopping: { 'zh-CN': '正在停止…', en: 'stopping…' },
  left: {
    'zh-CN': '外部 MQTT 服务器上已没有本进程的会话',
    en: 'nothing of this process is left at the external MQTT broker',
  },
  sessionsStay: {
    'zh-CN': '本进程的会话仍在外部 MQTT 服务器上,由下一个接收读数的进程接手:没有其他进程在接收,或时间不够',
    en: 'the sessions of this process stay at the external MQTT broker for the next one that takes in readings: no other does now, or the time was not enough',
  },
  leftOut: {
    'zh-CN': '未计入的读数:台账中没有该器具或器具已停用 {unknownInstrument} 条,数值不可能 {impossibleValue} 条',
    en: 'readings left out: {unknownInstrument} of instruments that are not in the ledger or retired, {impossibleValue} with impossible values',
  },
  unexpected: {
    'zh-CN': '意外的错误:{problem}(在环境变量中设 LOG_LEVEL=debug 可看到出处)',
    en: 'Unexpected: {problem} (LOG_LEVEL=debug in the environment shows where)',
  },
  usageError: { 'zh-CN': '命令行有误:{problem}(见 --help)', en: 'usage: {problem} (see --help)' },
  describe: {
    HTTP_PORT: { 'zh-CN': 'HTTP 端口', en: 'HTTP port' },
    MQTT_PORT: { 'zh-CN': 'MQTT 端口,off = 不监听', en: 'MQTT port; off = none' },
    MQTTS_PORT: {
      'zh-CN': 'MQTT over TLS 端口,设置 TLS_CERT 后启用',
      en: 'port of MQTT over TLS, when TLS_CERT is set; off = none',
    },
    TLS_CERT: {
      'zh-CN': '服务器证书(PEM,含中间证书),HTTP 随之改为 https',
      en: 'certificate of the service with its intermediates (PEM); HTTP becomes https',
    },
    TLS_KEY: { 'zh-CN': '该证书的私钥(PEM)', en: 'its private key (PEM)' },
    TLS_CLIENT_CA: {
      'zh-CN': '签发设备证书的 CA(PEM),证书的 CN 即设备编号,无需密码',
      en: 'CAs of devices’ certificates (PEM), whose CN is the id of the device; no password then',
    },
    TLS_CLIENT_AUTH: { 'zh-CN': '设备是否必须出示证书', en: 'whether devices must show a certificate' },
    TLS_CRL: { 'zh-CN': '这些 CA 的吊销列表(PEM)', en: 'revocation lists of these CAs (PEM)' },
    HOST: { 'zh-CN': '监听地址', en: 'address to listen on' },
    METERWARDEN_DATA: { 'zh-CN': '数据文件夹', en: 'data folder' },
    DATABASE_URL: {
      'zh-CN': '外部 PostgreSQL(15 或更新),不设则用内置',
      en: 'external PostgreSQL (15 or newer); embedded if not set',
    },
    MQTT_URL: {
      'zh-CN': '外部 MQTT 服务器,不设则设备直接连接本服务',
      en: 'external MQTT broker; devices connect to this service if not set',
    },
    MQTT_TOPIC_PREFIX: {
      'zh-CN': '外部 MQTT 服务器上设备主题的前缀,含 {client}',
      en: 'what stands before the topics of devices at an external broker, with {client}',
    },
    MQTT_CLIENT_PROPERTY: {
      'zh-CN': '由外部 MQTT 服务器填写的设备身份用户属性(MQTT 5),设置后主题不带前缀',
      en: 'user property (MQTT 5) with the identity of a device, set by the external broker; topics then have no prefix',
    },
    MQTT_VERSION: { 'zh-CN': '与外部 MQTT 服务器通信的协议版本', en: 'protocol spoken with the external broker' },
    MQTT_CONNECTIONS: {
      'zh-CN': '每个进程在外部 MQTT 服务器上的连接数',
      en: 'connections of each process to the external broker',
    },
    MQTT_CA: { 'zh-CN': '外部 MQTT 服务器证书的 CA(PEM)', en: 'CA of the external broker (PEM)' },
    MQTT_CERT: { 'zh-CN': '连接外部 MQTT 服务器所用的证书(PEM)', en: 'our certificate for the external broker (PEM)' },
    MQTT_KEY: { 'zh-CN': '上述证书的私钥(PEM)', en: 'its key (PEM)' },
    REDIS_URL: {
      'zh-CN': '任务队列所用的 Redis,不设则用 PostgreSQL',
      en: 'Redis for the queue of tasks; PostgreSQL if not set',
    },
    INFLUX_URL: {
      'zh-CN': '保存读数的 InfluxDB,不设则用 PostgreSQL',
      en: 'InfluxDB for the readings; PostgreSQL if not set',
    },
    INFLUX_TOKEN: { 'zh-CN': 'InfluxDB 的令牌', en: 'token for InfluxDB' },
    INFLUX_ORG: { 'zh-CN': 'InfluxDB 的组织', en: 'organisation in InfluxDB' },
    INFLUX_BUCKET: { 'zh-CN': 'InfluxDB 的存储桶', en: 'bucket in InfluxDB' },
    HANDOVER_TO: {
      'zh-CN': '每晚把数据以 Parquet 移交到的文件夹或 S3 存储,不设则不移交',
      en: 'folder or S3 storage that data is handed over to every night, as Parquet; not at all if not set',
    },
    HANDOVER_ZONE: { 'zh-CN': '按哪个时区划分一天', en: 'whose days they are' },
    HANDOVER_GRACE: {
      'zh-CN': '一天结束后等待迟到读数的时间',
      en: 'how long after its end a day waits for late readings',
    },
    S3_ENDPOINT: { 'zh-CN': 'S3 存储的地址,不设为亚马逊', en: 'address of the S3 storage; Amazon’s if not set' },
    S3_REGION: { 'zh-CN': 'S3 存储的区域', en: 'its region' },
    S3_ACCESS_KEY: { 'zh-CN': 'S3 存储的访问密钥', en: 'its access key' },
    S3_SECRET_KEY: { 'zh-CN': 'S3 存储的私有密钥', en: 'its secret key' },
    S3_PATH_STYLE: {
      'zh-CN': '存储桶写在路径中(true)还是主机名中(false)',
      en: 'whether the bucket stands in the path (true) or in the host name (false)',
    },
    ADMIN_PASSWORD: {
      'zh-CN': 'admin 的密码,不设则首次启动时生成',
      en: 'password of admin; made up at the first start if not set',
    },
    METERWARDEN_LANG: { 'zh-CN': '语言', en: 'language' },
    METERWARDEN_CONFIG: {
      'zh-CN': '器具种类、规则、接入方式、期限的文件夹',
      en: 'folder of kinds, rules, profiles and deadlines',
    },
    RETENTION_DAYS: { 'zh-CN': '读数保留天数', en: 'days that readings are kept' },
    LOG_LEVEL: { 'zh-CN': '日志级别', en: 'log level' },
  },
} as const satisfies Record<string, Text | Record<string, Text>>;
