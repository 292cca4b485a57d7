import { writeFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { LiveCertificates } from '../src/app/certificates.ts';
import { type Certificates, checkCertificates, readTlsFiles, type TlsSettings } from '../src/certificates.ts';
import type { Pem } from '../src/commands/dev-ca.ts';
import type { MeterwardenError } from '../src/errors.ts';
import { sayError } from '../src/texts/errors.ts';
import {
  EXPIRED,
  MountedFolder,
  revoke,
  serverPem,
  type TestCertificates,
  testCertificates,
} from './support/certificates.ts';

const YEAR_MS = 365 * 86_400_000;
const NOT_YET = { notBefore: new Date(Date.now() + YEAR_MS), notAfter: new Date(Date.now() + 2 * YEAR_MS) };

let own: TestCertificates;
let other: Pem;
let expired: Pem;
let notYet: Pem;
let crl: string;
beforeAll(async () => {
  own = await testCertificates();
  other = await serverPem(own.authority);
  expired = await serverPem(own.authority, EXPIRED);
  notYet = await serverPem(own.authority, NOT_YET);
  crl = await revoke(own.authority, other);
});

let folder: MountedFolder;
beforeEach(() => {
  folder = new MountedFolder();
});
afterEach(() => folder.remove());

function settings(set: Partial<TlsSettings> = {}): TlsSettings {
  return {
    cert: folder.path('cert.pem'),
    key: folder.path('key.pem'),
    clientCa: folder.path('ca.pem'),
    clientAuth: 'optional',
    crl: folder.path('crl.pem'),
    ...set,
  };
}

function mount(set: Record<string, string> = {}): void {
  const { certificate, key } = own.server;
  folder.mount({ 'cert.pem': certificate, 'key.pem': key, 'ca.pem': own.ca, 'crl.pem': crl, ...set });
}

async function read(set: Partial<TlsSettings> = {}): Promise<Certificates> {
  return checkCertificates(settings(set), await readTlsFiles(settings(set)), Date.now());
}

async function refusal(set: Partial<TlsSettings> = {}): Promise<MeterwardenError> {
  return await read(set).then(
    () => expect.unreachable('it was not refused'),
    (error) => error,
  );
}

describe('the files of TLS', () => {
  it('that are right make contexts, for devices with the CAs and lists', async () => {
    mount({ 'crl.pem': `${crl}\n${crl}` });
    const { people, devices, expiresMs } = await read();
    expect(people).not.toHaveProperty('ca');
    expect(devices).toMatchObject({ ca: own.ca, crl: [crl.trim(), crl.trim()], minVersion: 'TLSv1.2' });
    expect(expiresMs).toBeGreaterThan(Date.now());
    for (const context of [people, devices]) createSecureContext(context);
  });

  it('may be one file for certificate, intermediates and key, and without those for devices', async () => {
    const all = `${own.server.key}${own.server.certificate}${own.ca}`;
    mount({ 'cert.pem': all });
    const { people, devices } = await read({ key: folder.path('cert.pem'), clientCa: undefined, crl: undefined });
    expect(devices).toBe(people);
  });

  const wrong: readonly [string, () => Record<string, string>, string, string, RegExp][] = [
    ['no certificate', () => ({ 'cert.pem': own.server.key }), 'TLS_CERT', 'no_certificate', /no certificate in PEM/],
    ['nonsense as certificate', () => ({ 'cert.pem': own.ca.replace(/M/g, 'A') }), 'TLS_CERT', 'no_certificate', /PEM/],
    [
      'an expired one',
      () => ({ 'cert.pem': expired.certificate }),
      'TLS_CERT',
      'certificate_expired',
      /expired on \d{4}/,
    ],
    [
      'one of the future',
      () => ({ 'cert.pem': notYet.certificate }),
      'TLS_CERT',
      'certificate_not_yet',
      /before \d{4}/,
    ],
    ['no key', () => ({ 'key.pem': own.ca }), 'TLS_KEY', 'no_private_key', /private key/],
    ['the key of another', () => ({ 'key.pem': other.key }), 'TLS_KEY', 'key_of_another', /does not belong/],
    ['no CA', () => ({ 'ca.pem': '' }), 'TLS_CLIENT_CA', 'no_certificate', /no certificate/],
    ['an expired CA', () => ({ 'ca.pem': expired.certificate }), 'TLS_CLIENT_CA', 'certificate_expired', /expired/],
    ['no list', () => ({ 'crl.pem': own.ca }), 'TLS_CRL', 'no_revocation_list', /no revocation list/],
    [
      'a broken list',
      () => ({ 'crl.pem': crl.replace(/\nM/, '\nA') }),
      'TLS_CRL',
      'certificate_refused',
      /TLS does not accept .*crl\.pem/,
    ],
  ];

  it.each(wrong)('with %s are refused by setting and sentence', async (_what, files, path, problem, said) => {
    mount(files());
    const error = await refusal();
    expect(error).toMatchObject({ code: 'unusable_setting', path, params: { problem } });
    expect(sayError(error, 'en')).toMatch(said);
    expect(sayError(error, 'zh-CN')).toMatch(/^设置值.*无法使用:.*\p{Script=Han}/u);
    expect(`${sayError(error, 'en')}${sayError(error, 'zh-CN')}`).not.toMatch(/[{}]/);
  });

  it('that cannot be read are refused', async () => {
    mount();
    const error = await refusal({ key: folder.path('nowhere.pem') });
    expect(error).toMatchObject({ path: 'TLS_KEY', params: { problem: 'unreadable_pem', code: 'ENOENT' } });
    writeFileSync(folder.path('ca.pem'), Buffer.alloc(16 * 1024 * 1024 + 1));
    expect(await refusal()).toMatchObject({ path: 'TLS_CLIENT_CA', params: { problem: 'pem_too_large' } });
  });

  it('may hold an expired CA beside the one that takes its place', async () => {
    mount({ 'ca.pem': `${expired.certificate}${own.ca}` });
    await read();
  });
});

describe('certificates in use', () => {
  afterEach(() => vi.useRealTimers());

  async function open() {
    const stops: (() => unknown)[] = [];
    const lines: string[] = [];
    const registry = new Registry();
    let said = () => {};
    const logger = pino({
      base: null,
      hooks: {
        logMethod: ([about, message], _method, level) => {
          const { setting = '', problem = '' } = about as unknown as Record<string, string>;
          lines.push([level, setting, problem, message].filter(Boolean).join(' '));
          said();
        },
      },
    });
    const parts = {
      registry,
      logger,
      nowMs: Date.now,
      onError: expect.unreachable,
      onStop: (s: () => unknown) => stops.push(s),
    };
    const live = await LiveCertificates.open(settings(), parts as never);
    const line = () => new Promise<void>((done) => (said = done));
    const seen: Certificates[] = [];
    live.use((certificates) => seen.push(certificates));
    return { live, lines, seen, registry, line, stop: async () => await Promise.all(stops.map((stop) => stop())) };
  }

  it('follow their files, keep what works, complain once, and tell when they end', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    mount();
    const { live, lines, seen, registry, line, stop } = await open();
    const changed = line();
    mount({ 'cert.pem': other.certificate, 'key.pem': other.key });
    vi.advanceTimersByTime(10_000);
    await changed;
    expect(seen.map(({ people }) => people.cert)).toEqual([own.server.certificate, other.certificate]);
    const metric = await registry.getSingleMetricAsString('meterwarden_tls_certificate_expires_seconds');
    expect(metric).toContain(` ${seen[1]!.expiresMs / 1000}`);

    mount({ 'key.pem': other.key });
    await live.reload();
    await live.reload();
    mount({ 'cert.pem': other.certificate, 'key.pem': other.key });
    await live.reload();
    mount({ 'key.pem': other.key });
    await live.reload();
    expect(seen).toHaveLength(2);
    expect(live.current.people.cert).toBe(other.certificate);
    const complaint = '50 TLS_KEY key_of_another new certificates cannot be used, the old ones stay';
    expect(lines).toEqual(['30 new certificates in use', complaint, complaint]);
    await stop();
  });
});
