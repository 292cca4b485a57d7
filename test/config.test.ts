import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { loadDomain, loadSettings, parseKinds, SETTINGS, SETTINGS_FILE, startLanguage } from '../src/config.ts';
import { MeterwardenError } from '../src/errors.ts';
import { parseProfiles } from '../src/ingest/profile.ts';
import { parseRules } from '../src/rules/ruleset.ts';
import { parseTaskPolicies } from '../src/tasks/policy.ts';
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
      host: '127.0.0.1',
      dataDir: join(folder, 'data'),
      databaseUrl: undefined,
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
    HOST: ['0.0.0.0', { host: '0.0.0.0' }],
    METERWARDEN_DATA: ['/srv/meterwarden', { dataDir: '/srv/meterwarden' }],
    DATABASE_URL: [
      'postgresql://me:secret@db:5432/readings',
      { databaseUrl: 'postgresql://me:secret@db:5432/readings' },
    ],
    ADMIN_PASSWORD: ['eight888', { adminPassword: 'eight888' }],
    METERWARDEN_LANG: ['en', { language: 'en' }],
    METERWARDEN_CONFIG: [SHIPPED, { configDir: SHIPPED }],
    RETENTION_DAYS: ['3650', { retentionDays: 3650 }],
    LOG_LEVEL: ['silent', { logLevel: 'silent' }],
  } as const satisfies Record<keyof typeof SETTINGS, readonly [string, object]>;

  it.each(Object.entries(given))('%s is read from the environment and from the file', (name, [text, expected]) => {
    expect(loadSettings({ [name]: text }, folder)).toMatchObject(expected);
    settingsFile(`${name}: ${JSON.stringify(text)}\n`);
    expect(loadSettings({}, folder)).toMatchObject(expected);
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
    ['MQTT_PORT', 'mqtt', '0…65535'],
    ['MQTT_PORT', '1883 ', '0…65535'],
    ['METERWARDEN_LANG', 'de', 'zh-CN | en'],
    ['METERWARDEN_CONFIG', '/nowhere', 'DIR/{kinds,rules,profiles,tasks}.yaml'],
    ['RETENTION_DAYS', '0', '1…3650'],
    ['RETENTION_DAYS', '3651', '1…3650'],
    ['RETENTION_DAYS', '1.5', '1…3650'],
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
    const uncommented = example.replace(/^# ([A-Z_]+: )/gm, '$1');
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
      path: 'rules.stopped.kinds',
      params: { nearest: 'electricity' },
    });
  });
});

/** A shipped file with one thing changed. */
function changed(file: string, change: (raw: Loose) => void): unknown {
  const raw = parse(readFileSync(join(SHIPPED, file), 'utf8'));
  change(raw);
  return raw;
}

// biome-ignore lint/suspicious/noExplicitAny: YAML as it was written
type Loose = any;

describe('a broken file names the path', () => {
  it.each<[string, (raw: Loose) => void, string]>([
    ['an unknown key', (raw) => Object.assign(raw.electricity, { digit: 6 }), 'kinds.electricity'],
    ['no period', (raw) => delete raw.water.report_period, 'kinds.water.report_period'],
    ['a period without unit', (raw) => Object.assign(raw.water, { report_period: '60' }), 'kinds.water.report_period'],
    ['a register nobody knows', (raw) => Object.assign(raw.gas, { register: 'volume' }), 'kinds.gas.register'],
    ['half a digit', (raw) => Object.assign(raw.gas, { digits: 5.5 }), 'kinds.gas.digits'],
    ['a name in one language', (raw) => delete raw.heat.name.en, 'kinds.heat.name.en'],
    [
      'a quantity nobody knows',
      (raw) => Object.assign(raw.heat.quantities, { heat: { obis: [], unit: 'kWh', min: 0, max: 1 } }),
      'kinds.heat.quantities',
    ],
    [
      'a limit that is text',
      (raw) => Object.assign(raw.electricity.quantities.voltage_v, { max: '1000' }),
      'kinds.electricity.quantities.voltage_v.max',
    ],
    ['an error limit of nothing', (raw) => Object.assign(raw.gas.mpe_pct, { '1.5': 0 }), 'kinds.gas.mpe_pct.1.5'],
    ['a name that is no word', (raw) => Object.assign(raw, { 'E V': raw.gas }), 'kinds.E V'],
  ])('kinds.yaml with %s', (_what, change, path) => {
    expect(refusal(() => parseKinds(changed('kinds.yaml', change)))).toMatchObject({ code: 'invalid_config', path });
  });

  it.each<[string, (raw: Loose) => void, string, RegExp]>([
    [
      'a misspelt key',
      (raw) => Object.assign(raw.rules.silent, { missed_period: 4 }),
      'rules.silent.missed_period',
      /missed_periods/,
    ],
    ['no share', (raw) => delete raw.rules.outage.share, 'rules.outage.share', /./],
    ['a share above one', (raw) => Object.assign(raw.rules.outage, { share: 80 }), 'rules.outage.share', /1/],
    ['an unknown task', (raw) => Object.assign(raw.rules.silent, { task: 'repare' }), 'rules.silent.task', /repair/],
  ])('rules.yaml with %s', (_what, change, path, problem) => {
    const error = refusal(() => parseRules(changed('rules.yaml', change)));
    expect(error).toMatchObject({ code: 'invalid_config', path });
    expect(error.params.problem).toMatch(problem);
  });

  it.each<[string, (raw: Loose) => void, string]>([
    ['an unknown decoder', (raw) => Object.assign(raw[1], { decoder: 'telemetri' }), 'profiles[1][decoder]'],
    ['no topic', (raw) => delete raw[0].topic, 'profiles[0][topic]'],
    ['a version of nothing', (raw) => Object.assign(raw[2], { version: 0 }), 'profiles[2][version]'],
    ['an unknown key', (raw) => Object.assign(raw[3], { decode: 'registers' }), 'profiles[3]'],
    ['a unit of time nobody speaks', (raw) => Object.assign(raw[0], { time: 'us' }), 'profiles[0][time]'],
  ])('profiles.yaml with %s', (_what, change, path) => {
    expect(refusal(() => parseProfiles(changed('profiles.yaml', change)))).toMatchObject({
      code: 'invalid_config',
      path,
    });
  });

  it.each<[string, (raw: Loose) => void, string]>([
    ['a kind left out', (raw) => delete raw.replace, 'tasks.replace'],
    ['an unknown kind', (raw) => Object.assign(raw, { repairs: raw.repair }), 'tasks'],
    ['no deadline', (raw) => delete raw.repair.done_within, 'tasks.repair.done_within'],
    [
      'a deadline without unit',
      (raw) => Object.assign(raw.repair, { accept_within: '24' }),
      'tasks.repair.accept_within',
    ],
    [
      'a reminder after the deadline',
      (raw) => Object.assign(raw.repair, { remind_before: '24h' }),
      'tasks.repair.remind_before',
    ],
    [
      'an end before the beginning',
      (raw) => Object.assign(raw.repair, { done_within: '1h' }),
      'tasks.repair.accept_within',
    ],
  ])('tasks.yaml with %s', (_what, change, path) => {
    expect(refusal(() => parseTaskPolicies(changed('tasks.yaml', change)))).toMatchObject({
      code: 'invalid_config',
      path,
    });
  });

  it.each([
    ['kinds', () => parseKinds(null), 'kinds'],
    ['profiles', () => parseProfiles({}), 'profiles'],
    ['tasks', () => parseTaskPolicies([]), 'tasks'],
  ])('%s.yaml of another shape', (_what, work, path) => {
    expect(refusal(work)).toMatchObject({ code: 'invalid_config', path });
  });

  it('rules.yaml of another shape', () => {
    for (const raw of [null, [], 'rules']) expect(refusal(() => parseRules(raw)).code).toBe('invalid_config');
  });
});
