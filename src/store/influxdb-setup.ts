/**
 * Prepares InfluxDB for the readings: where they are kept and how long, the name that InfluxQL finds them by, and an hourly
 * summary that is kept longer. Doing it again changes nothing; retention is never shortened here, since that deletes.
 */
import { MeterwardenError } from '../errors.ts';
import type { Quantity } from '../fleet/quantity.ts';
import { InfluxConnection, type InfluxOptions, type Series } from './influxdb-connection.ts';
import { INSTRUMENT_TAG, MEASUREMENT, quotedName } from './influxdb-lines.ts';

export interface InfluxSetupOptions extends InfluxOptions {
  readonly retentionDays: number;
  /** Of the hourly summary; 0 = for ever. */
  readonly hourlyRetentionDays: number;
}

export interface InfluxSetup {
  readonly version: string;
  readonly steps: readonly SetupStep[];
  readonly warnings: readonly SetupWarning[];
}

export interface SetupStep {
  readonly what: 'readings' | 'hourly' | 'mapping' | 'summary';
  readonly name: string;
  readonly became: 'created' | 'changed' | 'unchanged';
}

export type SetupWarning =
  | { readonly what: 'kept_longer'; readonly name: string; readonly days: number; readonly wanted: number }
  /** 0 = without end, in InfluxDB's own words. */
  | { readonly what: 'server_limit'; readonly setting: string; readonly value: string };

const DAY_S = 86_400;
const HOURLY = 'hourly';
const HOURLY_MEASUREMENT = `${MEASUREMENT}_hourly`;
const SUMMARY = 'meterwarden_hourly';
/** Readings that arrive later than that are in no summary. */
const LATE = '6h';
/** 7 days hold a few hundred readings of an instrument: enough to compress, and retention drops whole shards. */
const SHARD_DAYS = 7;
const REGISTERS: readonly Quantity[] = ['active_import_kwh', 'active_export_kwh', 'volume_m3', 'heat_kwh'];
const VOLTAGES: readonly Quantity[] = ['voltage_v', 'voltage_l1_v', 'voltage_l2_v', 'voltage_l3_v'];
const SPREADS = ['mean', 'min', 'max'] as const;

export async function setUpInflux({
  retentionDays,
  hourlyRetentionDays,
  ...options
}: InfluxSetupOptions): Promise<InfluxSetup> {
  const connection = new InfluxConnection(options);
  try {
    const version = await connection.version();
    const wanted = { retentionDays, hourlyRetentionDays };
    if (/^v?1\./.test(version)) return { version, ...(await setUp1(connection, wanted)) };
    if (/^v?2\./.test(version)) return { version, ...(await setUp2(connection, wanted)) };
    throw new MeterwardenError('influx_by_hand', { path: 'INFLUX_URL', params: { version, days: retentionDays } });
  } finally {
    connection.close();
  }
}

type Wanted = Pick<InfluxSetupOptions, 'retentionDays' | 'hourlyRetentionDays'>;
type Done = Omit<InfluxSetup, 'version'>;

/** InfluxDB 1.x: a database, its retention policies, a continuous query. */
async function setUp1(connection: InfluxConnection, wanted: Wanted): Promise<Done> {
  const { database } = connection;
  const db = quotedName(database);
  const steps: SetupStep[] = [];
  const warnings: SetupWarning[] = await limitsOf1(connection);
  const databases = columns(await connection.execute('SHOW DATABASES'), 'name').map(([name]) => name);
  const isNew = !databases.includes(database);
  if (isNew) {
    const policy = quotedName(connection.retentionPolicy || MEASUREMENT);
    await connection.execute(`CREATE DATABASE ${db} WITH ${duration(wanted.retentionDays)} NAME ${policy}`);
  }
  const policy = async (name: string | undefined, days: number, what: 'readings' | 'hourly'): Promise<string> => {
    const rows = columns(await connection.execute(`SHOW RETENTION POLICIES ON ${db}`), 'name', 'duration', 'default');
    const found = rows.find(([has, , isDefault]) => (name === undefined ? isDefault === true : has === name));
    const named = String(found?.[0] ?? name ?? MEASUREMENT);
    const target = `RETENTION POLICY ${quotedName(named)} ON ${db} ${duration(days)}`;
    if (!found) await connection.execute(`CREATE ${target}${name === undefined ? ' DEFAULT' : ''}`);
    const hasS = found ? secondsOf(String(found[1])) : days * DAY_S;
    const longer = (hasS === 0 && days !== 0) || (days !== 0 && hasS > days * DAY_S);
    if (longer) warnings.push({ what: 'kept_longer', name: named, days: hasS / DAY_S, wanted: days });
    const shorter = hasS !== days * DAY_S && !longer;
    if (shorter) await connection.execute(`ALTER ${target}`);
    const created = !found || (isNew && what === 'readings');
    steps.push({ what, name: named, became: created ? 'created' : shorter ? 'changed' : 'unchanged' });
    return named;
  };
  const readings = await policy(connection.retentionPolicy || undefined, wanted.retentionDays, 'readings');
  await policy(HOURLY, wanted.hourlyRetentionDays, 'hourly');

  const shown = await connection.execute('SHOW CONTINUOUS QUERIES');
  const before = columns(
    shown.filter((series) => series.name === database),
    'name',
    'query',
  );
  const statement = continuousQuery(db, quotedName(readings));
  const there = before.some(([name]) => name === SUMMARY);
  // The same query again is accepted and changes nothing; another one of the same name is refused.
  const same = await connection.execute(statement).then(
    () => true,
    (error) => {
      if (!there) throw error;
      return false;
    },
  );
  if (!same) {
    await connection.execute(`DROP CONTINUOUS QUERY ${quotedName(SUMMARY)} ON ${db}`);
    await connection.execute(statement);
  }
  steps.push({ what: 'summary', name: SUMMARY, became: !there ? 'created' : same ? 'unchanged' : 'changed' });
  return { steps, warnings };
}

/** Limits of a 1.x server that would refuse instruments beyond them. */
async function limitsOf1(connection: InfluxConnection): Promise<SetupWarning[]> {
  const shown = await connection.execute('SHOW DIAGNOSTICS').catch(() => []);
  return ['max-series-per-database', 'max-values-per-tag', 'max-row-limit'].flatMap((setting): SetupWarning[] => {
    const [cell] = columns(shown, setting).flat();
    return cell === undefined || Number(cell) === 0 ? [] : [{ what: 'server_limit', setting, value: String(cell) }];
  });
}

function duration(days: number): string {
  return `DURATION ${days === 0 ? 'INF' : `${days}d`} REPLICATION 1 SHARD DURATION ${Math.min(SHARD_DAYS, days || SHARD_DAYS)}d`;
}

/** `168h0m0s`; `0s` is without end. */
function secondsOf(duration: string): number {
  const [, hours = '0', minutes = '0', seconds = '0'] = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/.exec(duration) ?? [];
  return Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds);
}

function continuousQuery(db: string, policy: string): string {
  const fields = [
    ...REGISTERS.map((name) => `last("${name}") AS "${name}"`),
    ...VOLTAGES.flatMap((name) => SPREADS.map((of) => `${of}("${name}") AS "${name}_${of}"`)),
  ];
  return `CREATE CONTINUOUS QUERY ${quotedName(SUMMARY)} ON ${db} RESAMPLE EVERY 1h FOR ${LATE} BEGIN SELECT ${fields.join(', ')} INTO ${db}."${HOURLY}"."${HOURLY_MEASUREMENT}" FROM ${db}.${policy}."${MEASUREMENT}" GROUP BY time(1h), "${INSTRUMENT_TAG}" END`;
}

function columns(series: readonly Series[], ...names: readonly string[]): unknown[][] {
  return series
    .filter((one) => names.every((name) => one.columns.includes(name)))
    .flatMap((one) => one.values.map((cells) => names.map((name) => cells[one.columns.indexOf(name)])));
}

interface Bucket {
  readonly id: string;
  readonly name: string;
  readonly retentionRules: readonly { readonly everySeconds: number }[];
}

interface Task {
  readonly id: string;
  readonly name: string;
  readonly flux: string;
}

/** InfluxDB 2.x: two buckets, the mappings by which /query finds them, a task. */
async function setUp2(connection: InfluxConnection, wanted: Wanted): Promise<Done> {
  const { org, bucket } = connection.options;
  const steps: SetupStep[] = [];
  const warnings: SetupWarning[] = [];
  const { orgs = [] } = await found<{ orgs?: { id: string; name: string }[] }>(
    connection,
    `/api/v2/orgs?${new URLSearchParams({ org })}`,
  );
  const orgID = orgs.find(({ name }) => name === org)?.id;
  if (orgID === undefined) throw new MeterwardenError('influx_no_org', { path: 'INFLUX_ORG', params: { org } });

  const ensureBucket = async (name: string, days: number, what: 'readings' | 'hourly'): Promise<string> => {
    const query = new URLSearchParams({ orgID, name });
    const { buckets = [] } = await found<{ buckets?: Bucket[] }>(connection, `/api/v2/buckets?${query}`);
    const existing = buckets.find((one) => one.name === name);
    const retentionRules = [{ type: 'expire', everySeconds: days * DAY_S }];
    if (!existing) {
      const shard = { shardGroupDurationSeconds: Math.min(SHARD_DAYS, days || SHARD_DAYS) * DAY_S };
      const body = { orgID, name, retentionRules: [{ ...retentionRules[0], ...shard }] };
      const { id } = await connection.api<Bucket>('POST', '/api/v2/buckets', body);
      steps.push({ what, name, became: 'created' });
      return id;
    }
    const hasS = existing.retentionRules[0]?.everySeconds ?? 0;
    const longer = (hasS === 0 && days !== 0) || (days !== 0 && hasS > days * DAY_S);
    if (longer) warnings.push({ what: 'kept_longer', name, days: hasS / DAY_S, wanted: days });
    const shorter = hasS !== days * DAY_S && !longer;
    if (shorter) await connection.api('PATCH', `/api/v2/buckets/${existing.id}`, { retentionRules });
    steps.push({ what, name, became: shorter ? 'changed' : 'unchanged' });
    return existing.id;
  };
  const hourly = `${bucket}-${HOURLY}`;
  const bucketID = await ensureBucket(bucket, wanted.retentionDays, 'readings');
  const hourlyID = await ensureBucket(hourly, wanted.hourlyRetentionDays, 'hourly');

  const ensureMapping = async (id: string, retentionPolicy: string, isDefault: boolean): Promise<void> => {
    const { database } = connection;
    const name = `${database}/${retentionPolicy}`;
    const query = new URLSearchParams({ orgID, db: database, rp: retentionPolicy });
    const { content = [] } = await found<{ content?: { bucketID: string; virtual?: boolean }[] }>(
      connection,
      `/api/v2/dbrps?${query}`,
    );
    // A virtual mapping follows from the name of a bucket and gives way to one that is made.
    const existing = content.find(({ virtual }) => !virtual);
    if (existing && existing.bucketID !== id) {
      const params = { problem: `${name} is mapped to another bucket (${existing.bucketID})` };
      throw new MeterwardenError('conflict', { path: 'INFLUX_BUCKET', params });
    }
    const body = { orgID, bucketID: id, database, retention_policy: retentionPolicy, default: isDefault };
    if (!existing) await connection.api('POST', '/api/v2/dbrps', body);
    steps.push({ what: 'mapping', name, became: existing ? 'unchanged' : 'created' });
  };
  await ensureMapping(bucketID, connection.retentionPolicy || 'autogen', connection.retentionPolicy === '');
  await ensureMapping(hourlyID, HOURLY, false);

  const flux = task(bucket, hourly);
  const query = new URLSearchParams({ orgID, name: SUMMARY });
  const { tasks = [] } = await found<{ tasks?: Task[] }>(connection, `/api/v2/tasks?${query}`);
  const existing = tasks.find(({ name }) => name === SUMMARY);
  if (!existing) await connection.api('POST', '/api/v2/tasks', { orgID, flux, status: 'active' });
  const same = existing?.flux.trim() === flux.trim();
  if (existing && !same) await connection.api('PATCH', `/api/v2/tasks/${existing.id}`, { flux });
  steps.push({ what: 'summary', name: SUMMARY, became: !existing ? 'created' : same ? 'unchanged' : 'changed' });
  return { steps, warnings };
}

/** The answer, or nothing when there is none: 2.x answers 404 to a filter that matches nothing. */
async function found<T extends object>(connection: InfluxConnection, path: string): Promise<Partial<T>> {
  return await connection.api<T>('GET', path).catch((error): Partial<T> => {
    if (error instanceof MeterwardenError && error.code === 'influx_missing') return {};
    throw error;
  });
}

function task(bucket: string, hourly: string): string {
  const text = (value: string) => JSON.stringify(value).replaceAll('${', '\\${');
  const anyOf = (names: readonly string[]) => names.map((name) => `r._field == ${text(name)}`).join(' or ');
  const summary = (fields: readonly string[], of: string, rename: string) =>
    `source
  |> filter(fn: (r) => ${anyOf(fields)})
  |> aggregateWindow(every: 1h, fn: ${of}, createEmpty: false, timeSrc: "_start")
  |> map(fn: (r) => ({r with _measurement: ${text(HOURLY_MEASUREMENT)}${rename}}))
  |> to(bucket: ${text(hourly)})
  |> yield(name: ${text(of)})
`;
  return `option task = {name: ${text(SUMMARY)}, every: 1h, offset: 5m}

source = from(bucket: ${text(bucket)})
  |> range(start: -${LATE})
  |> filter(fn: (r) => r._measurement == ${text(MEASUREMENT)})

${[summary(REGISTERS, 'last', ''), ...SPREADS.map((of) => summary(VOLTAGES, of, `, _field: r._field + "_${of}"`))].join('\n')}`;
}
