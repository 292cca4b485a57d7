/** Authorities, certificates and revocation lists of a test, made by the code of `dev-ca`. */
import 'reflect-metadata'; // @peculiar/x509 looks for it when it is loaded
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { X509Certificate, X509CrlGenerator } from '@peculiar/x509';
import { type Authority, createAuthority, issue, type Pem, pemOf } from '../../src/commands/dev-ca.ts';

export interface TestCertificates {
  readonly authority: Authority;
  readonly ca: string;
  readonly server: Pem;
}

const DAY_MS = 86_400_000;
/** A certificate that was right until yesterday. */
export const EXPIRED = { notBefore: new Date(Date.now() - 30 * DAY_MS), notAfter: new Date(Date.now() - DAY_MS) };

export async function testCertificates(name = 'test'): Promise<TestCertificates> {
  const authority = await createAuthority(name);
  return { authority, ca: pemOf(authority.certificate), server: await serverPem(authority) };
}

export async function serverPem(authority: Authority, validity = {}): Promise<Pem> {
  return await issue(authority, { commonName: 'localhost', hosts: ['localhost', '127.0.0.1'], ...validity });
}

export async function revoke({ certificate, keys }: Authority, ...revoked: Pem[]): Promise<string> {
  const crl = await X509CrlGenerator.create({
    issuer: certificate.subject,
    entries: revoked.map((pem) => ({ serialNumber: new X509Certificate(pem.certificate).serialNumber })),
    thisUpdate: new Date(Date.now() - DAY_MS),
    nextUpdate: new Date(Date.now() + DAY_MS),
    signingKey: keys.privateKey,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
  });
  return crl.toString('pem').replaceAll(' CRL-', ' X509 CRL-'); // as RFC 7468 calls it
}

/** Resolves when the handshake is through on this side. */
export async function connectTls(port: number, options: ConnectionOptions): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', servername: 'localhost', port, ...options });
  socket.on('error', () => {});
  await new Promise<void>((done, fail) => {
    socket.once('secureConnect', done);
    socket.once('error', fail);
    socket.once('close', () => fail(new Error('closed')));
  });
  return socket;
}

/** Files behind a link, as an orchestrator mounts secrets: all of them change at once. */
export class MountedFolder {
  readonly #root = mkdtempSync(join(tmpdir(), 'meterwarden-tls-'));
  #version = 0;

  path(name: string): string {
    return join(this.#root, 'now', name);
  }

  mount(files: Readonly<Record<string, string>>): void {
    const folder = `v${++this.#version}`;
    mkdirSync(join(this.#root, folder));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(this.#root, folder, name), text);
    symlinkSync(folder, join(this.#root, 'next'));
    renameSync(join(this.#root, 'next'), join(this.#root, 'now'));
  }

  remove(): void {
    rmSync(this.#root, { recursive: true, force: true });
  }
}
