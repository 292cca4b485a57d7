import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { loadDomain, loadSettings, SETTINGS, SETTINGS_FILE, startLanguage } from '../src/config.ts';
import { MeterwardenError } from '../src/errors.ts';
import { sayError } from '../src/texts/errors.ts';

const ROOT = resolve(import.meta.dirname, '..');
const SHIPPED = join(ROOT, 'config');

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'meterwarden-config-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function settingsFile(text: string): void {
  writeFileSync(join(folder, SETTINGS_FILE), text);
}

function refusal(work: () => unknown): MeterwardenError {
  try {
    work();
  } catch (error) {
    if (error instanceof MeterwardenError) return error;
    throw error;
  }
  throw new Error('it was not refused');
}

describe('settings', () => {
  it('have defaults that need nobody to set anything', () => {
    expect(loadSettings({}, folder)).toEqual({
      httpPort: 8080,
      mqttPort: 1883,
      mqttsPort: 'off',
      tls: undefined,
      host: '127.0.0.1',
      dataDir: join(folder, 'data'),
      databaseUrl: undefined,
      mqttUrl: undefined,
      mqttTopicPrefix: 'devices/{client}/',
      mqttClientProperty: undefined,
      mqttVersion: '5',
      mqttConnections: 4,
      mqttCa: undefined,
      mqttCert: undefined,
      mqttKey: undefined,
      redisUrl: undefined,
      influx: undefined,
      handover: {
        to: undefined,
        zone: 'Asia/Shanghai',
        graceMs: 4 * 3_600_000,
        s3: { endpoint: undefined, region: 'us-east-1', accessKey: undefined, secretKey: undefined, pathStyle: true },
      },
      adminPassword: undefined,
      language: 'zh-CN',
      retentionDays: 800,
      logLevel: 'info',
      configDir: SHIPPED,
    });
  });

  const given = {
    HTTP_PORT: ['8081', { httpPort: 8081 }],
    MQTT_PORT: ['0', { mqttPort: 0 }],
    MQTTS_PORT: ['8884', { mqttsPort: 8884 }],
    TLS_CERT: ['/tls/cert.pem', { mqttsPort: 8883, tls: { cert: '/tls/cert.pem' } }],
    TLS_KEY: ['/tls/cert.key', { tls: { key: '/tls/cert.key', clientCa: undefined, crl: undefined } }],
    TLS_CLIENT_CA: ['/tls/ca.pem', { tls: { clientCa: '/tls/ca.pem', clientAuth: 'optional' } }],
    TLS_CLIENT_AUTH: ['required', { tls: { clientAuth: 'required' } }],
    TLS_CRL: ['/tls/crl.pem', { tls: { crl: '/tls/crl.pem' } }],
    HOST: ['0.0.0.0', { host: '0.0.0.0' }],
    METERWARDEN_DATA: ['/srv/meterwarden', { dataDir: '/srv/meterwarden' }],
    DATABASE_URL: [
      'postgresql://me:secret@db:5432/readings',
      { databaseUrl: 'postgresql://me:secret@db:5432/readings' },
    ],
    MQTT_URL: ['mqtts://me:secret@broker:8883', { mqttUrl: 'mqtts://me:secret@broker:8883' }],
    MQTT_TOPIC_PREFIX: ['city/{client}/up/', { mqttTopicPrefix: 'city/{client}/up/' }],
    MQTT_CLIENT_PROPERTY: ['identity', { mqttClientProperty: 'identity' }],
    MQTT_VERSION: ['3.1.1', { mqttVersion: '3.1.1' }],
    MQTT_CONNECTIONS: ['8', { mqttConnections: 8 }],
    MQTT_CA: ['tls/own.pem', { mqttCa: 'tls/own.pem' }],
    MQTT_CERT: ['tls/own.pem', { mqttCert: 'tls/own.pem' }],
    MQTT_KEY: ['tls/own.pem', { mqttKey: 'tls/own.pem' }],
    REDIS_URL: ['rediss://redis:6379/1', { redisUrl: 'rediss://redis:6379/1' }],
    INFLUX_URL: ['https://influx:8086', { influx: { url: 'https://influx:8086', org: 'meterwarden' } }],
    INFLUX_TOKEN: ['a token', { influx: { token: 'a token' } }],
    INFLUX_ORG: ['bureau', { influx: { org: 'bureau' } }],
    INFLUX_BUCKET: ['readings', { influx: { bucket: 'readings' } }],
    HANDOVER_TO: ['s3://lake/meters', { handover: { to: 's3://lake/meters' } }],
    HANDOVER_ZONE: ['Asia/Urumqi', { handover: { zone: 'Asia/Urumqi' } }],
    HANDOVER_GRACE: ['90m', { handover: { graceMs: 90 * 60_000 } }],
    S3_ENDPOINT: ['https://minio:9000', { handover: { s3: { endpoint: 'https://minio:9000' } } }],
    S3_REGION: ['cn-north-1', { handover: { s3: { region: 'cn-north-1' } } }],
    S3_ACCESS_KEY: ['a key', { handover: { s3: { accessKey: 'a key' } } }],
    S3_SECRET_KEY: ['a secret', { handover: { s3: { secretKey: 'a secret' } } }],
    S3_PATH_STYLE: ['false', { handover: { s3: { pathStyle: false } } }],
    ADMIN_PASSWORD: ['eight888', { adminPassword: 'eight888' }],
    METERWARDEN_LANG: ['en', { language: 'en' }],
    METERWARDEN_CONFIG: [SHIPPED, { configDir: SHIPPED }],
    RETENTION_DAYS: ['3650', { retentionDays: 3650 }],
    LOG_LEVEL: ['silent', { logLevel: 'silent' }],
  } as const satisfies Record<keyof typeof SETTINGS, readonly [string, object]>;

  /** What one of them is nothing without. */
  const besides = (name: string): Record<string, string> => {
    const others: Record<string, string> = {};
    if (/^(TLS|MQTTS)_/.test(name)) Object.assign(others, { TLS_CERT: 'x', TLS_KEY: 'x' });
    if (/AUTH|CRL/.test(name)) others.TLS_CLIENT_CA = 'x';
    if (/^INFLUX_/.test(name)) Object.assign(others, { INFLUX_URL: 'http://x', INFLUX_TOKEN: 'x' });
    if (/^S3_.*_KEY$/.test(name)) Object.assign(others, { S3_ACCESS_KEY: 'x', S3_SECRET_KEY: 'x' });
    delete others[name];
    return others;
  };

  it.each(Object.entries(given))('%s is read from the environment and from the file', (name, [text, expected]) => {
    expect(loadSettings({ ...besides(name), [name]: text }, folder)).toMatchObject(expected);
    settingsFile(`${name}: ${JSON.stringify(text)}\n`);
    expect(loadSettings(besides(name), folder)).toMatchObject(expected);
  });

  it('name files of TLS from the folder they stand in', () => {
    const tls = { TLS_CERT: 'a/cert.pem', TLS_KEY: 'a/key.pem', TLS_CLIENT_CA: 'ca.pem' };
    expect(loadSettings({ ...tls, MQTT_PORT: 'off' }, folder)).toMatchObject({
      mqttPort: 'off',
      mqttsPort: 8883,
      tls: { cert: join(folder, 'a/cert.pem'), key: join(folder, 'a/key.pem'), clientCa: join(folder, 'ca.pem') },
    });
  });

  const TLS = { TLS_CERT: 'x', TLS_KEY: 'x' };
  it.each<[string, Record<string, string>, string]>([
    ['TLS_CERT', { TLS_CERT: 'x' }, 'TLS_KEY'],
    ['TLS_KEY', { TLS_KEY: 'x' }, 'TLS_CERT'],
    ['TLS_CLIENT_CA', { TLS_CLIENT_CA: 'x' }, 'TLS_CERT'],
    ['MQTTS_PORT', { MQTTS_PORT: '8884' }, 'TLS_CERT'],
    ['TLS_CLIENT_AUTH', { ...TLS, TLS_CLIENT_AUTH: 'required' }, 'TLS_CLIENT_CA'],
    ['TLS_CRL', { ...TLS, TLS_CRL: 'x' }, 'TLS_CLIENT_CA'],
    ['INFLUX_URL', { INFLUX_URL: 'http://influx:8086' }, 'INFLUX_TOKEN'],
    ['S3_ACCESS_KEY', { S3_ACCESS_KEY: 'x' }, 'S3_SECRET_KEY'],
    ['S3_SECRET_KEY', { S3_SECRET_KEY: 'x' }, 'S3_ACCESS_KEY'],
    ['MQTT_PORT', { MQTT_PORT: 'off' }, 'TLS_CERT'],
    ['MQTT_PORT', { ...TLS, MQTT_PORT: 'off', MQTTS_PORT: 'off' }, 'MQTTS_PORT'],
  ])('%s without what it needs is refused', (path, env, other) => {
    const error = refusal(() => loadSettings(env, folder));
    expect(error).toMatchObject({ code: 'unusable_setting', path });
    for (const language of ['zh-CN', 'en'] as const) expect(sayError(error, language)).toContain(other);
  });

  it('that are the default need nothing else', () => {
    expect(loadSettings({ MQTTS_PORT: '8883', TLS_CLIENT_AUTH: 'optional' }, folder)).toMatchObject({
      mqttsPort: 'off',
      tls: undefined,
    });
  });

  it('of the environment win over the file, which wins over the default; an empty variable is none', () => {
    settingsFile('HTTP_PORT: 8081\nMQTT_PORT: 1884\n');
    expect(loadSettings({ HTTP_PORT: '8082', MQTT_PORT: '' }, folder)).toMatchObject({
      httpPort: 8082,
      mqttPort: 1884,
      retentionDays: 800,
    });
  });

  it('are frozen', () => {
    expect(Object.isFrozen(loadSettings({}, folder))).toBe(true);
  });

  it.each([
    ['HTTP_PORT', '65536', '0…65535'],
    ['HTTP_PORT', '-1', '0…65535'],
    ['HTTP_PORT', '80.5', '0…65535'],
    ['HTTP_PORT', '0x50', '0…65535'],
    ['MQTT_PORT', 'mqtt', '0…65535 | off'],
    ['MQTT_PORT', '1883 ', '0…65535 | off'],
    ['TLS_CLIENT_AUTH', 'yes', 'optional | required'],
    ['METERWARDEN_LANG', 'de', 'zh-CN | en'],
    ['METERWARDEN_CONFIG', '/nowhere', 'DIR/{kinds,rules,profiles,tasks}.yaml'],
    ['RETENTION_DAYS', '0', '1…3650'],
    ['RETENTION_DAYS', '3651', '1…3650'],
    ['RETENTION_DAYS', '1.5', '1…3650'],
    ['MQTT_TOPIC_PREFIX', 'devices/', 'devices/{client}/'],
    ['MQTT_VERSION', '3.1', '5 | 3.1.1'],
    ['MQTT_CONNECTIONS', '0', '1…64'],
    ['HANDOVER_TO', 'ftp://host/folder', 'DIR | s3://BUCKET/PREFIX'],
    ['HANDOVER_TO', 's3://a b/c', 'DIR | s3://BUCKET/PREFIX'],
    ['HANDOVER_ZONE', 'Beijing', 'Asia/Shanghai'],
    ['HANDOVER_GRACE', '4', '30m | 4h | 1d'],
    ['S3_PATH_STYLE', 'yes', 'true | false'],
    ['LOG_LEVEL', 'verbose', 'fatal | error | warn | info | debug | trace | silent'],
  ])('%s %s is refused with name, value and what would be right', (name, value, expected) => {
    const error = refusal(() => loadSettings({ [name]: value }, folder));
    expect(error).toMatchObject({ code: 'invalid_setting', path: name, params: { value, expected } });
    for (const language of ['zh-CN', 'en'] as const) {
      expect(sayError(error, language)).toContain(value);
      expect(sayError(error, language)).toContain(expected);
    }
  });

  it.each([
    ['DATABASE_URL', 'mysql://me:hunter2hunter2@db/x'],
    ['DATABASE_URL', 'postgres://me:hunter2hunter2@db:port/x'],
    ['DATABASE_URL', 'hunter2hunter2'],
    ['MQTT_URL', 'amqp://me:hunter2@broker'],
    ['REDIS_URL', 'http://:hunter2@redis'],
    ['INFLUX_URL', 'influx://:hunter2@influx'],
    ['ADMIN_PASSWORD', 'hunter2'],
    ['ADMIN_PASSWORD', 'hunter2'.repeat(20)],
  ])('%s %s is refused without telling the secret', (name, value) => {
    const error = refusal(() => loadSettings({ [name]: value }, folder));
    expect(error).toMatchObject({ code: 'invalid_setting', path: name });
    expect(error.params.expected).toBe(SETTINGS[name as keyof typeof SETTINGS].expected);
    expect(`${sayError(error, 'en')} ${error.stack} ${JSON.stringify(error)}`).not.toContain('hunter2');
  });

  it('that do not exist are refused with the nearest that does, and without their value', () => {
    settingsFile('HTTP_PROT: 8081\n');
    expect(refusal(() => loadSettings({}, folder))).toMatchObject({
      code: 'invalid_setting',
      path: 'HTTP_PROT',
      params: { expected: 'HTTP_PORT' },
    });
    settingsFile('ADMIN_PASSWROD: hunter2hunter2\n');
    const error = refusal(() => loadSettings({}, folder));
    expect(error).toMatchObject({ path: 'ADMIN_PASSWROD', params: { expected: 'ADMIN_PASSWORD' } });
    expect(JSON.stringify(error.params)).not.toContain('hunter2');
  });

  it.each([
    ['a list', '- HTTP_PORT\n'],
    ['a text', 'HTTP_PORT\n'],
    ['no YAML', 'HTTP_PORT: [\n'],
    ['a name twice', 'HTTP_PORT: 1\nHTTP_PORT: 2\n'],
  ])('in a file that is %s are refused with the file', (_what, text) => {
    settingsFile(text);
    expect(refusal(() => loadSettings({}, folder))).toMatchObject({
      code: 'invalid_config',
      path: join(folder, SETTINGS_FILE),
    });
  });

  it('may be none in the file', () => {
    settingsFile('# nothing yet\n');
    expect(loadSettings({}, folder).httpPort).toBe(8080);
  });

  it('of meterwarden.example.yaml are all there are, with their defaults', () => {
    const example = readFileSync(join(ROOT, 'meterwarden.example.yaml'), 'utf8');
    settingsFile(example);
    expect(loadSettings({}, folder)).toMatchObject({ httpPort: 8080, mqttPort: 1883, dataDir: join(folder, 'data') });

    // With every line taken in, as its comments say how to.
    const uncommented = example.replace(/^# ([A-Z\d_]+: )/gm, '$1');
    const values = parse(uncommented) as Record<string, unknown>;
    expect(Object.keys(values).sort()).toEqual(Object.keys(SETTINGS).sort());
    for (const [name, { fallback }] of Object.entries(SETTINGS)) {
      if (name !== 'METERWARDEN_CONFIG' && fallback !== undefined) expect(values[name], name).toBe(fallback);
    }
    settingsFile(uncommented.replace('./config', SHIPPED));
    expect(loadSettings({}, folder)).toMatchObject({ httpPort: 8080, retentionDays: 800, language: 'zh-CN' });
  });
});

describe('the language of the first error', () => {
  it.each<[string, string | undefined, string]>([
    ['HTTP_PORT: nonsense\nMETERWARDEN_LANG: en\n', undefined, 'en'],
    ['METERWARDEN_LANG: en\nHTTP_PROT: 1\n', undefined, 'en'],
    ['METERWARDEN_LANG: en\n', 'zh-CN', 'zh-CN'],
    ['METERWARDEN_LANG: zh-CN\n', 'en', 'en'],
    ['METERWARDEN_LANG: en\n', '', 'en'],
    ['METERWARDEN_LANG: [en]\n', undefined, 'zh-CN'],
    ['METERWARDEN_LANG: [\n', undefined, 'zh-CN'],
    ['- METERWARDEN_LANG\n', undefined, 'zh-CN'],
    ['', undefined, 'zh-CN'],
  ])('with the file %j and the variable %j is %s', (text, variable, expected) => {
    settingsFile(text);
    expect(startLanguage({ METERWARDEN_LANG: variable }, folder)).toBe(expected);
  });

  it('needs no file', () => {
    expect(startLanguage({}, folder)).toBe('zh-CN');
    expect(startLanguage({ METERWARDEN_LANG: 'en' }, folder)).toBe('en');
  });
});

describe('the folder of configuration', () => {
  it('as shipped has kinds, rules, profiles and deadlines that fit together', () => {
    const { kinds, rules, profiles, tasks } = loadDomain();
    expect([...kinds.keys()]).toEqual(['electricity', 'water', 'gas', 'heat', 'ev-charger']);
    expect(kinds.get('electricity')).toMatchObject({
      register: 'active_import_kwh',
      reportPeriodMs: 900_000,
      digits: 6,
    });
    expect(kinds.get('electricity')!.names.get('1-0:1.8.0')).toBe('active_import_kwh');
    expect(kinds.get('electricity')!.names.get('voltage_v')).toBe('voltage_v');
    expect([...rules.rules.keys()]).toEqual([
      'silent',
      'outage',
      'rollback',
      'stopped',
      'runaway',
      'voltage-loss',
      'conflicting-reading',
      'inaccurate',
      'crossing-mpe',
      'wrong-district',
      'wrong-phase',
      'unmetered-energy',
      'master-off',
      'stuck-register',
      'register-reset',
      'confirmed-inaccurate',
    ]);
    expect(profiles.match('meterwarden/v1/M-1/registers')).toMatchObject({ instrument: 'M-1' });
    expect(profiles.match('v1/gateway/telemetry')!.profile.id).toBe('thingsboard-gateway');
    expect(tasks.repair.acceptWithinMs).toBe(86_400_000);
    for (const kind of kinds.values()) {
      expect(kind.quantities.has(kind.register), `${kind.id}: its register is a quantity it reports`).toBe(true);
      for (const { min, max } of kind.quantities.values()) expect(min).toBeLessThan(max);
    }
    for (const { task } of rules.rules.values()) if (task) expect(tasks[task]).toBeDefined();
  });

  it('takes a file it lacks from the shipped ones, but not its rules', () => {
    writeFileSync(join(folder, 'rules.yaml'), readFileSync(join(SHIPPED, 'rules.yaml'), 'utf8').replace('0.78', '0.7'));
    writeFileSync(
      join(folder, 'tasks.yaml'),
      readFileSync(join(SHIPPED, 'tasks.yaml'), 'utf8').replace('accept_within: 24h', 'accept_within: 12h'),
    );
    const domain = loadDomain(folder);
    expect(domain.tasks.repair.acceptWithinMs).toBe(12 * 3_600_000);
    expect(domain.kinds).toEqual(loadDomain().kinds);
    rmSync(join(folder, 'rules.yaml'));
    expect(refusal(() => loadDomain(folder))).toMatchObject({ code: 'invalid_setting', params: { value: folder } });
  });

  it('names the file that is no YAML', () => {
    writeFileSync(join(folder, 'rules.yaml'), 'rules: {\n');
    expect(refusal(() => loadDomain(folder))).toMatchObject({
      code: 'invalid_config',
      path: join(folder, 'rules.yaml'),
    });
  });

  it('refuses rules for kinds that are not there', () => {
    const { electricity } = parse(readFileSync(join(SHIPPED, 'kinds.yaml'), 'utf8')) as Record<string, unknown>;
    writeFileSync(join(folder, 'rules.yaml'), readFileSync(join(SHIPPED, 'rules.yaml')));
    writeFileSync(join(folder, 'kinds.yaml'), JSON.stringify({ electricity }));
    expect(refusal(() => loadDomain(folder))).toMatchObject({
      code: 'invalid_config',
      path: 'rules.stopped.kinds[1]',
      params: { nearest: 'electricity' },
    });
  });
});
