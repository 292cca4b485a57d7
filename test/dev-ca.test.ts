import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { MAIN, type Run, run } from './support/command-line.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'meterwarden-dev-ca-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const devCa = (...args: string[]): Promise<Run> => run(MAIN, ['dev-ca', '--out', join(folder, 'tls'), ...args]);
const read = (name: string) => readFileSync(join(folder, 'tls', name));

test('an authority, a server and gateways, with keys for nobody else, and a word on what they are for', async () => {
  const { code, out } = await devCa('--host', 'meters.example,::1', '--gateway', 'GW-1', '台区2');
  expect(code, out).toBe(0);
  expect(out).toMatch(
    /^For development only: .*825 days.*\nTLS_CERT=.*server\.pem\nTLS_KEY=.*\nTLS_CLIENT_CA=.*ca\.pem$/m,
  );

  const keys = ['server.key', 'gateway-GW-1.key', 'gateway-台区2.key'];
  const certificates = keys.map((name) => name.replace('.key', '.pem'));
  expect(readdirSync(join(folder, 'tls')).sort()).toEqual(['ca.pem', ...keys, ...certificates].sort());
  const ca = new X509Certificate(read('ca.pem'));
  expect(ca.ca).toBe(true);
  for (const [i, name] of keys.entries()) {
    expect(statSync(join(folder, 'tls', name)).mode & 0o777).toBe(0o600);
    const certificate = new X509Certificate(read(certificates[i]!));
    expect(certificate.verify(ca.publicKey) && certificate.checkIssued(ca)).toBe(true);
    expect(certificate.checkPrivateKey(createPrivateKey(read(name)))).toBe(true);
    expect(certificate.ca).toBe(false);
  }
  const server = new X509Certificate(read('server.pem'));
  expect(server.checkHost('meters.example')).toBe('meters.example');
  expect(server.checkIP('::1')).toBe('::1');
  expect(new X509Certificate(read('gateway-台区2.pem')).toLegacyObject().subject).toMatchObject({ CN: '台区2' });
});

test('nothing is overwritten, and nothing written beside what is there', async () => {
  await devCa();
  const before = read('server.pem');
  rmSync(join(folder, 'tls', 'ca.pem'));
  const { code, out } = await devCa();
  expect(code).toBe(1);
  expect(out).toMatch(/^--out: .*server\.pem exists and is not overwritten/);
  expect(read('server.pem')).toEqual(before);
  expect(readdirSync(join(folder, 'tls')).sort()).toEqual(['server.key', 'server.pem']);
});

test.each([
  [['--gateway', '../GW-1'], /^--gateway: .*“\.\.\/GW-1”.*1 to 64 characters/],
  [['--gateway', 'x'.repeat(65)], /^--gateway: /],
  [['--host', 'localhost,'], /^--host: .*“”.*host name/],
  [['--host', 'http://localhost'], /^--host: /],
])('%j is refused', async (args, said) => {
  const { code, out } = await devCa(...args);
  expect(code).toBe(1);
  expect(out).toMatch(said);
});

test('a folder that cannot be is refused', async () => {
  writeFileSync(join(folder, 'tls'), '');
  const { code, out } = await devCa();
  expect(code).toBe(1);
  expect(out).toMatch(/^--out: /);
});
