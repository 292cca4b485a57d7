/** Certificates for development: an authority that signs once, the server's and those of gateways. */
import 'reflect-metadata'; // @peculiar/x509 looks for it when it is loaded
import type { webcrypto } from 'node:crypto';
import { mkdir, open, rm } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { MeterwardenError } from '../errors.ts';
import { type Language, say } from '../texts/text.ts';
import { DEV_CA } from '../texts/tls.ts';

/** Of servers' certificates some clients take none that is valid for longer (Apple, HT103769). */
const LIFETIME_DAYS = 825;
const DAY_MS = 86_400_000;
/** Clocks differ. */
const MARGIN_MS = 3_600_000;
const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const HOST_NAME = /^(?!.*\.\.)[A-Za-z0-9*][A-Za-z0-9.-]{0,252}$/;
/** As the ledger names them; no longer than a common name may be (RFC 5280, ub-common-name). */
const GATEWAY_ID = /^[^\s/+#$%?\\\p{C}]{1,64}$/u;

export interface Authority {
  readonly certificate: X509Certificate;
  readonly keys: webcrypto.CryptoKeyPair;
}

export interface Pem {
  readonly certificate: string;
  readonly key: string;
}

interface Validity {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** `hosts`: of a server; a client has none. */
export interface Subject extends Partial<Validity> {
  readonly commonName: string;
  readonly hosts?: readonly string[];
}

export async function createAuthority(commonName: string): Promise<Authority> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: [{ CN: [commonName] }],
    keys,
    signingAlgorithm: ALGORITHM,
    ...lifetime(),
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate, keys };
}

export async function issue(authority: Authority, subject: Subject): Promise<Pem> {
  const { commonName, hosts, ...validity } = subject;
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const extensions: Extension[] = [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension([hosts ? ExtendedKeyUsage.serverAuth : ExtendedKeyUsage.clientAuth]),
    await AuthorityKeyIdentifierExtension.create(authority.keys.publicKey),
    await SubjectKeyIdentifierExtension.create(keys.publicKey),
  ];
  if (hosts) {
    const names = hosts.map((value) => ({ type: isIP(value) ? ('ip' as const) : ('dns' as const), value }));
    extensions.push(new SubjectAlternativeNameExtension(names));
  }
  const certificate = await X509CertificateGenerator.create({
    subject: [{ CN: [commonName] }],
    issuer: authority.certificate.subjectName,
    publicKey: keys.publicKey,
    signingKey: authority.keys.privateKey,
    signingAlgorithm: ALGORITHM,
    ...lifetime(),
    ...validity,
    extensions,
  });
  const der = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey));
  const lines = der.toString('base64').match(/.{1,64}/g)!;
  const key = ['-----BEGIN PRIVATE KEY-----', ...lines, '-----END PRIVATE KEY-----', ''].join('\n');
  return { certificate: pemOf(certificate), key };
}

export async function runDevCa(
  options: { out: string; host: string; gateway?: readonly string[] },
  language: Language,
): Promise<void> {
  const { out } = options;
  const hosts = options.host.split(',').map((host) => host.trim());
  for (const host of hosts) mustBe('--host', host, isIP(host) !== 0 || HOST_NAME.test(host), 'not_a_host');
  const gateways = [...new Set(options.gateway ?? [])];
  for (const id of gateways) mustBe('--gateway', id, GATEWAY_ID.test(id), 'not_a_file_name');

  const suffix = Buffer.from(crypto.getRandomValues(new Uint8Array(4))).toString('hex'); // two of them are told apart
  const authority = await createAuthority(`meterwarden development ${suffix}`);
  const server = await issue(authority, { commonName: hosts[0]!, hosts });
  const files = new Map([
    ['ca.pem', pemOf(authority.certificate)],
    ['server.pem', server.certificate],
    ['server.key', server.key],
  ]);
  for (const id of gateways) {
    const { certificate, key } = await issue(authority, { commonName: id });
    files.set(`gateway-${id}.pem`, certificate).set(`gateway-${id}.key`, key);
  }
  await writeNew(out, files);
  const settings = [
    ['TLS_CERT', 'server.pem'],
    ['TLS_KEY', 'server.key'],
    ...(gateways.length > 0 ? [['TLS_CLIENT_CA', 'ca.pem']] : []),
  ].map(([name, file]) => `${name}=${join(out, file!)}`);
  process.stdout.write(`${say(DEV_CA.done, language, { days: LIFETIME_DAYS })}\n${settings.join('\n')}\n`);
}

function lifetime(): Validity {
  const nowMs = Date.now();
  return { notBefore: new Date(nowMs - MARGIN_MS), notAfter: new Date(nowMs - MARGIN_MS + LIFETIME_DAYS * DAY_MS) };
}

export function pemOf(certificate: X509Certificate): string {
  return `${certificate.toString('pem')}\n`;
}

function mustBe(path: string, value: string, right: boolean, problem: string): void {
  if (!right) throw new MeterwardenError('unusable_setting', { path, params: { value, problem } });
}

/** All or nothing: nothing is written when one of them is there. */
async function writeNew(out: string, files: ReadonlyMap<string, string>): Promise<void> {
  const opened: { handle: Awaited<ReturnType<typeof open>>; path: string; text: string }[] = [];
  try {
    await mkdir(out, { recursive: true });
    for (const [name, text] of files) {
      const path = join(out, name);
      opened.push({ handle: await open(path, 'wx', name.endsWith('.key') ? 0o600 : 0o644), path, text });
    }
    for (const { handle, text } of opened) await handle.writeFile(text);
  } catch (error) {
    for (const { path } of opened) await rm(path, { force: true });
    throw refusalOf(error, out);
  } finally {
    for (const { handle } of opened) await handle.close();
  }
}

function refusalOf(error: unknown, out: string): unknown {
  const { code, path: at } = error as NodeJS.ErrnoException;
  if (code === undefined) return error;
  const exists = code === 'EEXIST';
  return new MeterwardenError('unusable_setting', {
    path: '--out',
    params: { value: out, at: at ?? out, code, problem: exists ? 'file_exists' : 'folder_refused' },
    cause: error,
  });
}
