/** The service with TLS on every port: people, devices by certificate, and certificates that change while it runs. */
import { X509Certificate } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { request } from 'node:https';
import mqtt, { type MqttClient } from 'mqtt';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { freePort, Service } from '../../simulators/service.ts';
import { type App, startApp } from '../../src/app.ts';
import { issue, type Pem } from '../../src/commands/dev-ca.ts';
import { loadSettings } from '../../src/config.ts';
import {
  connectTls,
  EXPIRED,
  MountedFolder,
  revoke,
  serverPem,
  type TestCertificates,
  testCertificates,
} from '../support/certificates.ts';
import { MAIN, run } from '../support/command-line.ts';
import { type TestDatabase, testDatabase } from '../support/postgres.ts';

const ADMIN_PASSWORD = 'correct horse';
const POLL = { timeout: 15_000, interval: 20 };

let own: TestCertificates;
let next: Pem;
let gateway: Pem;
let expired: Pem;
beforeAll(async () => {
  own = await testCertificates();
  next = await serverPem(own.authority);
  gateway = await issue(own.authority, { commonName: 'GW-1' });
  expired = await serverPem(own.authority, EXPIRED);
});

let folder: MountedFolder;
const undo: (() => Promise<unknown> | unknown)[] = [];
beforeEach(() => {
  folder = new MountedFolder();
  undo.push(() => folder.remove());
});
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

async function database(): Promise<TestDatabase> {
  const db = await testDatabase();
  undo.push(() => db.close());
  return db;
}

function mount(server: Pem, crl: string): void {
  folder.mount({ 'cert.pem': server.certificate, 'key.pem': server.key, 'ca.pem': own.ca, 'crl.pem': crl });
}

const env = () => ({ TLS_CERT: folder.path('cert.pem'), TLS_KEY: folder.path('key.pem') });

async function serialAt(port: number | undefined): Promise<string> {
  const socket = await connectTls(port!, { ca: own.ca });
  const { serialNumber } = socket.getPeerX509Certificate()!;
  socket.destroy();
  return serialNumber;
}

const serialOf = ({ certificate }: Pem) => new X509Certificate(certificate).serialNumber;

async function call(app: App, method: string, path: string, body: string, headers = {}): Promise<string> {
  const options = { host: 'localhost', family: 4, port: app.httpPort, ca: own.ca, method, path, headers, agent: false };
  return await new Promise((done, fail) => {
    const asked = request(options, async (response) => {
      const chunks = await response.toArray();
      if (response.statusCode! < 300) done(chunks.join(''));
      else fail(new Error(`${method} ${path}: ${response.statusCode} ${chunks.join('')}`));
    });
    asked.once('error', fail);
    asked.end(body);
  });
}

async function connectGateway({ mqttsPort }: App): Promise<MqttClient> {
  const client = mqtt.connect({
    protocol: 'mqtts',
    host: 'localhost',
    family: 4,
    port: mqttsPort!,
    ca: own.ca,
    cert: gateway.certificate,
    key: gateway.key,
    reconnectPeriod: 0,
  } as mqtt.IClientOptions);
  undo.push(() => client.endAsync(true));
  await new Promise<void>((done, fail) => {
    client.once('connect', () => done());
    client.once('error', fail);
    client.once('close', () => fail(new Error('closed')));
  });
  return client;
}

describe('the service with TLS', { timeout: 60_000 }, () => {
  it('takes readings of a gateway by its certificate alone, and new certificates without a restart', async () => {
    mount(own.server, await revoke(own.authority));
    const settings = loadSettings({
      ...env(),
      TLS_CLIENT_CA: folder.path('ca.pem'),
      TLS_CLIENT_AUTH: 'required',
      TLS_CRL: folder.path('crl.pem'),
      HTTP_PORT: '0',
      MQTT_PORT: 'off',
      MQTTS_PORT: '0',
      DATABASE_URL: (await database()).url,
      ADMIN_PASSWORD,
      LOG_LEVEL: 'silent',
    });
    const app = await startApp(settings);
    undo.push(() => app.stop());
    expect(app.mqttPort).toBeUndefined();

    const json = { 'content-type': 'application/json' };
    const session = await call(
      app,
      'POST',
      '/api/v1/sessions',
      JSON.stringify({ username: 'admin', password: ADMIN_PASSWORD }),
      json,
    );
    const authorization = `Bearer ${(JSON.parse(session) as { token: string }).token}`;
    const ledger = 'id,kind,role,district,region,gateway\nM-1,electricity,user,D-1,220302,GW-1\n';
    await expect(connectGateway(app), 'not in the ledger').rejects.toThrow();
    await call(app, 'POST', '/api/v1/instruments/import', ledger, { authorization, 'content-type': 'text/csv' });
    const client = await connectGateway(app);
    const publish = (kwh: number) => {
      const values = { active_import_kwh: kwh };
      return client.publishAsync('v1/gateway/telemetry', JSON.stringify({ 'M-1': [{ ts: Date.now(), values }] }), {
        qos: 1,
      });
    };
    const stored = async () =>
      /^meterwarden_readings_stored_total (\d+)/m.exec(await call(app, 'GET', '/metrics', ''))![1];
    await publish(1);
    expect(await stored()).toBe('1');

    mount(next, await revoke(own.authority, gateway));
    await app.reloadCertificates();
    expect([await serialAt(app.httpPort), await serialAt(app.mqttsPort)]).toEqual([serialOf(next), serialOf(next)]);
    await publish(2);
    await expect(connectGateway(app), 'revoked').rejects.toThrow();

    mount(expired, '');
    await app.reloadCertificates();
    expect([await serialAt(app.httpPort), await serialAt(app.mqttsPort)]).toEqual([serialOf(next), serialOf(next)]);
    const ends = Date.parse(new X509Certificate(next.certificate).validTo) / 1000;
    expect(await call(app, 'GET', '/metrics', '')).toContain(`meterwarden_tls_certificate_expires_seconds ${ends}\n`);
    expect(await stored()).toBe('2');
  });

  it('says where it listens, and looks at its certificates when it is told to', async () => {
    mount(own.server, '');
    const mqttsPort = await freePort();
    const { url } = await database();
    const service = await Service.create({ ...env(), MQTTS_PORT: String(mqttsPort), DATABASE_URL: url }, 'ingest');
    undo.push(() => service.remove());
    await service.start();
    expect(service.output).toContain(`HTTP https://127.0.0.1:${service.httpPort} `);
    expect(service.output).toContain(`MQTT mqtt://127.0.0.1:${service.mqttPort} mqtts://127.0.0.1:${mqttsPort}`);
    mount(next, '');
    service.signal('SIGHUP');
    await expect.poll(() => serialAt(service.httpPort), POLL).toBe(serialOf(next));
    expect(await serialAt(mqttsPort)).toBe(serialOf(next));
    expect(await service.stop()).toBe(0);
  });

  it.each<[string, () => Record<string, string>, RegExp]>([
    ['a certificate without its key', () => ({ TLS_KEY: '' }), /^TLS_CERT: .* it needs TLS_KEY to be set too$/],
    ['an expired certificate', () => ({}), /^TLS_CERT: .*cert\.pem expired on \d{4}-/],
    [
      'a file that is not there',
      () => ({ TLS_KEY: '/nowhere/key' }),
      /^TLS_KEY: .*\/nowhere\/key cannot be read \(ENOENT\)$/,
    ],
  ])('does not start with %s, and says so by the setting', async (_what, set, said) => {
    mount(expired, '');
    const cwd = folder.path('');
    const files = readdirSync(cwd);
    const ports = { HTTP_PORT: '0', MQTT_PORT: '0', MQTTS_PORT: '0' };
    const { code, out } = await run(MAIN, ['serve'], { ...ports, ...env(), ...set() }, cwd);
    expect(code, out).toBe(1);
    expect(out.trimEnd()).toMatch(said);
    expect(out.trimEnd()).not.toContain('\n');
    expect(readdirSync(cwd), 'before anything was made').toEqual(files);
  });
});
