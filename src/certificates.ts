/** The files TLS is set up with: read, checked before anybody relies on them, and in a sentence what is wrong with one. */
import { constants, createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { MeterwardenError } from './errors.ts';
import type { TLS_PROBLEMS } from './texts/tls.ts';

/** Paths, as they were set. */
export interface TlsSettings {
  readonly cert: string;
  readonly key: string;
  /** Whose certificates devices may show; undefined = they are not asked for one. */
  readonly clientCa: string | undefined;
  readonly clientAuth: 'optional' | 'required';
  readonly crl: string | undefined;
}

export interface Certificates {
  /** For those who are not asked for a certificate. */
  readonly people: SecureContextOptions;
  readonly devices: SecureContextOptions;
  readonly expiresMs: number;
}

export type TlsTexts = Readonly<Record<Name, string>>;

/** A revocation list of some 400 000 certificates. */
const MAX_PEM_BYTES = 16 * 1024 * 1024;
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
const REVOCATION_LIST = /-----BEGIN X509 CRL-----[^-]+-----END X509 CRL-----/g;
const FILES = { TLS_CERT: 'cert', TLS_KEY: 'key', TLS_CLIENT_CA: 'clientCa', TLS_CRL: 'crl' } as const;

type Name = keyof typeof FILES;
const NAMES = Object.keys(FILES) as Name[];
type Refuse = (name: Name, problem: keyof typeof TLS_PROBLEMS, params?: Record<string, string | number>) => never;

/** What the files hold; '' of one that is not set. Throws `unusable_setting` with the setting whose file cannot be read. */
export async function readTlsFiles(settings: TlsSettings): Promise<TlsTexts> {
  const read = async (name: Name): Promise<string> => {
    const path = settings[FILES[name]];
    if (path === undefined) return '';
    const { size } = await stat(path).catch((error) => refuseUnread(name, path, error));
    if (size > MAX_PEM_BYTES) throw refusal(name, path, 'pem_too_large', { limit: MAX_PEM_BYTES });
    return await readFile(path, 'utf8').catch((error) => refuseUnread(name, path, error));
  };
  const [TLS_CERT, TLS_KEY, TLS_CLIENT_CA, TLS_CRL] = await Promise.all(NAMES.map(read));
  return { TLS_CERT: TLS_CERT!, TLS_KEY: TLS_KEY!, TLS_CLIENT_CA: TLS_CLIENT_CA!, TLS_CRL: TLS_CRL! };
}

/** Throws `unusable_setting` with the setting whose file is not right. */
export function checkCertificates(settings: TlsSettings, texts: TlsTexts, nowMs: number): Certificates {
  const refuse: Refuse = (name, problem, params) => {
    throw refusal(name, settings[FILES[name]] ?? '', problem, params);
  };
  const { TLS_CERT: cert, TLS_KEY: key, TLS_CLIENT_CA: ca } = texts;
  const own = certificatesIn('TLS_CERT', cert, refuse)[0]!;
  if (!isValid(own, nowMs)) refuseInvalid('TLS_CERT', own, nowMs, refuse);
  if (!own.checkPrivateKey(privateKeyIn(key, refuse))) refuse('TLS_KEY', 'key_of_another');
  const secureOptions = constants.SSL_OP_NO_RENEGOTIATION; // nothing needs it, and it is work a client can ask for
  const people: SecureContextOptions = { cert, key, minVersion: 'TLSv1.2', secureOptions };
  attempt('TLS_CERT', people, refuse);

  let devices = people;
  if (settings.clientCa !== undefined) {
    const trusted = certificatesIn('TLS_CLIENT_CA', ca, refuse);
    // One of them may have ended while another takes its place.
    if (!trusted.some((one) => isValid(one, nowMs))) refuseInvalid('TLS_CLIENT_CA', trusted[0]!, nowMs, refuse);
    devices = { ...devices, ca };
    attempt('TLS_CLIENT_CA', devices, refuse);
  }
  if (settings.crl !== undefined) {
    const crl: string[] = texts.TLS_CRL.match(REVOCATION_LIST) ?? refuse('TLS_CRL', 'no_revocation_list');
    devices = { ...devices, crl };
    attempt('TLS_CRL', devices, refuse);
  }
  return { people, devices, expiresMs: own.validToDate.getTime() };
}

function refusal(
  path: Name,
  value: string,
  problem: keyof typeof TLS_PROBLEMS,
  params: Record<string, string | number> = {},
): MeterwardenError {
  return new MeterwardenError('unusable_setting', { path, params: { value, at: value, problem, ...params } });
}

function refuseUnread(name: Name, path: string, error: NodeJS.ErrnoException): never {
  throw refusal(name, path, 'unreadable_pem', { code: error.code ?? error.message });
}

function certificatesIn(name: Name, text: string, refuse: Refuse): X509Certificate[] {
  try {
    const found = (text.match(CERTIFICATE) ?? []).map((pem) => new X509Certificate(pem));
    if (found.length > 0) return found;
  } catch {}
  return refuse(name, 'no_certificate');
}

function privateKeyIn(text: string, refuse: Refuse): KeyObject {
  try {
    return createPrivateKey(text);
  } catch {
    return refuse('TLS_KEY', 'no_private_key');
  }
}

function isValid({ validFromDate, validToDate }: X509Certificate, nowMs: number): boolean {
  return validFromDate.getTime() <= nowMs && nowMs <= validToDate.getTime();
}

function refuseInvalid(
  name: Name,
  { validFromDate, validToDate }: X509Certificate,
  nowMs: number,
  refuse: Refuse,
): void {
  if (validToDate.getTime() < nowMs) refuse(name, 'certificate_expired', { date: validToDate.toISOString() });
  refuse(name, 'certificate_not_yet', { date: validFromDate.toISOString() });
}

/** What only TLS itself knows: keys and signatures it holds too weak, lists it cannot read. */
function attempt(name: Name, options: SecureContextOptions, refuse: Refuse): void {
  try {
    createSecureContext(options);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    refuse(name, 'certificate_refused', { reason: code ?? message });
  }
}
