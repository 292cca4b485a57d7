/** Machines and what they rest on, in words and tables. */
import { count, table } from '../markdown.ts';
import { type Costs, constantsOf } from './costs.ts';
import { ASSUMED, citiesOf, districtCost, type Machines, MODERATE_COMMIT, machinesFor, memoryOf } from './machines.ts';

const FLEETS = [
  { meters: 1_000_000, name: '1 million', zh: '100 万' },
  { meters: 15_000_000, name: '15 million (Jilin)', zh: '1500 万(吉林省)' },
  { meters: 600_000_000, name: '600 million (State Grid)', zh: '6 亿(国家电网)' },
] as const;

const us = (value: number) => `${value.toFixed(1)} µs`;
const ms = (value: number) => `${value.toFixed(1)} ms`;
/** Three figures are more than the assumptions carry. */
const rough = (value: number) =>
  value >= 100 ? count(Number(value.toPrecision(3))) : String(Number(value.toPrecision(2)));

/** A fleet as cities of equal size, each an installation. */
function sharded(meters: number, costs: Costs): { cities: number; city: Machines } {
  const cities = citiesOf(meters);
  return { cities, city: machinesFor(meters / cities, costs) };
}

export function machinesTable(costs: Costs): string {
  const fleets = FLEETS.map(({ meters }) => sharded(meters, costs));
  const row = (name: string, value: (city: Machines, cities: number) => string) => [
    name,
    ...fleets.map(({ city, cities }) => value(city, cities)),
  ];
  const total =
    (of: (city: Machines) => number, unit = '') =>
    (city: Machines, cities: number) => {
      const whole = `${rough(of(city) * cities)}${unit}`;
      return cities === 1 ? whole : `${whole} (${rough(of(city))}${unit} a city)`;
    };
  return table(
    ['', ...FLEETS.map(({ name }) => name)],
    [
      row('installations: a database and its processes', (_, cities) => count(cities)),
      row(
        'readings/s on average',
        total((city) => city.averagePerSecond),
      ),
      row(
        'readings/s while gateways report',
        total((city) => city.peakPerSecond),
      ),
      row(
        'ingest workers, a core each',
        total((city) => city.ingestWorkers),
      ),
      row(
        'PostgreSQL: cores',
        total((city) => city.postgresCores),
      ),
      row(
        "PostgreSQL: memory for the day's index",
        total((city) => city.postgresGb, ' GB'),
      ),
      row(
        'rules owner: cores',
        total((city) => city.rulesCores),
      ),
      row('memory of each process with a ledger', (city) => `${rough(city.processGb)} GB`),
      row(
        'disk per year',
        total((city) => city.tbPerYear, ' TB'),
      ),
      row(
        'disk for 800 days, PostgreSQL',
        total((city) => city.tbRetained, ' TB'),
      ),
      row(
        'the same in InfluxDB',
        total((city) => city.influxTb, ' TB'),
      ),
      row(
        'the same in VictoriaMetrics',
        total((city) => city.victoriaTb, ' TB'),
      ),
      row(
        'WAL, MB/s on average',
        total((city) => city.walMbPerSecond),
      ),
      row(
        'page writes/s of checkpoints',
        total((city) => city.pagesPerSecond),
      ),
      row(
        'commits/s (fsync) while gateways report, at most',
        total((city) => city.commitsPerSecond),
      ),
      row(
        'MQTT connections of gateways',
        total((city) => city.gateways),
      ),
      row(
        'their memory',
        total((city) => city.gatewaysGb, ' GB'),
      ),
      row(
        'memory if every meter connects',
        total((city) => city.directGb, ' GB'),
      ),
      row(
        'Redis',
        total((city) => city.redisGb, ' GB'),
      ),
    ],
  );
}

/** What one database for all of them would need. */
export function unshardedTable(costs: Costs): string {
  const all = FLEETS.map(({ meters }) => machinesFor(meters, costs));
  const row = (name: string, value: (machines: Machines) => string) => [name, ...all.map(value)];
  return table(
    ['as one installation', ...FLEETS.map(({ name }) => name)],
    [
      row(
        'ledger and rules in JavaScript',
        (m) => `${rough(m.heapGb)} GB${m.fitsHeap ? '' : ` (**V8 takes ${ASSUMED.heapGb}**)`}`,
      ),
      row('ingest workers', (m) => rough(m.ingestWorkers)),
      row('rules owner: cores (it has one)', (m) => rough(m.rulesCores)),
      row('PostgreSQL: cores', (m) => rough(m.postgresCores)),
      row("PostgreSQL: memory for the day's index", (m) => `${rough(m.postgresGb)} GB`),
      row('WAL, MB/s on average', (m) => rough(m.walMbPerSecond)),
      row('disk for 800 days', (m) => `${rough(m.tbRetained)} TB`),
    ],
  );
}

export function chineseSummary(costs: Costs): string {
  const c = constantsOf(costs);
  const memory = memoryOf(costs.fleet);
  const d = districtCost(costs);
  const lines = FLEETS.map(({ meters, zh }) => {
    const { cities, city } = sharded(meters, costs);
    return (
      `- **${zh}**:${count(cities)} 套(按市分库),共 ${rough(city.ingestWorkers * cities)} 个接入进程、` +
      `${rough(city.postgresCores * cities)} 个 PostgreSQL 核;800 天存储 ${rough(city.tbRetained * cities)} TB,` +
      `改用 InfluxDB 约 ${rough(city.influxTb * cities)} TB,VictoriaMetrics 约 ${rough(city.victoriaTb * cities)} TB。`
    );
  });
  return [
    `- 口径:每块表每 15 分钟上报一次,每次 4 个量,保存 800 天;集中器在 ${ASSUMED.windowS} 秒内报完,CPU 只计划用到 ${ASSUMED.utilisation * 100} %。`,
    `- 实测(2 核共用机器):每报文 ${us(c.messageUs)},每读数接入 ${us(c.readingUs)}、入库 ${us(c.storeUs)};每读数占盘 ${count(costs.disk.tableBytes + costs.disk.indexBytes)} 字节。`,
    `- 一个 100 户台区每刻钟:接入 ${ms(d.serviceMs)}、数据库 ${ms(d.postgresMs)}、规则 ${ms(d.rulesMs)} 的 CPU,${(d.diskBytes / 1000).toFixed(1)} kB 磁盘。`,
    `- 内存:每块表 ${count(memory.heapPerInstrument)} 字节(台账、规则、去重线索),每个带台账的进程各一份;每条空闲 MQTT 连接 ${(memory.bytesPerConnection / 1000).toFixed(0)} kB。`,
    ...lines,
    '- 先到的瓶颈依次是:V8 堆内的台账(约 350 万块表)、当日索引所需内存、日志锁与 fsync、WAL 整页写;对策是按市分库,而不是更大的单库。',
    '- 直连表多时由 EMQX 集群承接连接(共享订阅 hash_clientid);海量历史交给 InfluxDB 集群(VictoriaMetrics 目前只能写入,服务无法从中查询);Redis 只管任务唤醒,用量很小。',
    '- 以上机器数为推算,未在这样的规模上跑过;每条假设见下文。',
  ].join('\n');
}

/** One line for each. */
export function assumptions(): string {
  const a = ASSUMED;
  return [
    `Every meter sends one reading of 4 quantities every 15 minutes, and gateways pack ${a.readingsPerMessage} readings into a message.`,
    `A quarter of an hour's readings come evenly within ${a.windowS} s of its beginning; machines are for that rate, not for the average.`,
    `Cores are as fast as the one measured, and planned to be busy ${a.utilisation * 100} % of the time while gateways report.`,
    `At that rate a commit holds ${count(MODERATE_COMMIT)} readings; at lower rates commits are smaller and dearer, and there is time for them.`,
    `Processor time grows in proportion to readings. Not measured beyond 10 000 reporting instruments: an index that no longer fits memory would cost more, which is why it is planned to fit.`,
    `A city has at most ${count(a.metersPerCity)} meters; a larger fleet is that many cities of equal size, each with a database of its own.`,
    `A gateway (集中器) has ${a.metersPerGateway} meters behind it.`,
    `PostgreSQL holds the index of the current day in memory, beside ${a.postgresBaseGb} GB for everything else.`,
    `Disks stay ${a.diskReserve * 100} % free; replicas and backups come on top, a whole copy each.`,
    `A checkpoint comes at least every 15 minutes (as the embedded server is set), so every reading meets pages that are new to the WAL.`,
    `A number in InfluxDB takes three bytes (its sizing guide), five numbers to a reading; a sample in VictoriaMetrics two (its documentation counts on about one for ordinary metrics), four to a reading. VictoriaMetrics takes the writes but does not answer the queries of the service: its rows tell what its cluster would take, not what \`INFLUX_URL\` can be set to today. Neither was measured with real loads.`,
    `V8 takes a heap of ${a.heapGb} GB on a large machine, and is planned to ${a.heapShare * 100} % of it.`,
    `${a.tasksPerMeterDay * 1000} task a day per 1 000 meters, open for ${a.taskDays} days, ${a.stepsPerTask} steps each, ${count(a.jobBytes)} bytes of Redis to a step.`,
    `People, tasks, findings and queries are left out: they grow with what is wrong, not with what is measured.`,
  ]
    .map((line) => `- ${line}`)
    .join('\n');
}
