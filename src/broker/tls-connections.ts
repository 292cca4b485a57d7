/** TLS in front of the broker: handshakes within bounded time, and who the certificate says the client is. */
import type { X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import { createServer, type SecureContextOptions, type Server, type TLSSocket } from 'node:tls';

export type ClientAuth = 'none' | 'optional' | 'required';

export interface TlsConnectionsParts {
  readonly clientAuth: ClientAuth;
  readonly context: SecureContextOptions;
  /** `client`: whom the certificate names; undefined = none was shown. */
  readonly onSecured: (socket: TLSSocket, client: string | undefined) => void;
  readonly onRefused: (address: string, reason: string) => void;
  /** Left out except in tests. */
  readonly handshakeTimeoutMs?: number;
}

/** From the connection to the end of the handshake, however busy the client seems. */
const HANDSHAKE_TIMEOUT_MS = 10_000;

export class TlsConnections {
  readonly #server: Server;
  readonly #parts: TlsConnectionsParts;

  constructor(parts: TlsConnectionsParts) {
    this.#parts = parts;
    this.#server = createServer({
      ...parts.context,
      handshakeTimeout: parts.handshakeTimeoutMs ?? HANDSHAKE_TIMEOUT_MS,
      requestCert: parts.clientAuth !== 'none',
      rejectUnauthorized: false, // Node would close the connection without a reason; `#secured` does it with one
    });
    this.#server.on('secureConnection', (socket) => this.#secured(socket));
    this.#server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
      this.#refuse(socket, reasonOf(error.code));
    });
  }

  accept(socket: Socket): void {
    this.#server.emit('connection', socket);
  }

  /** For connections from now on. Sessions of before cannot be resumed, so that nobody gets past a new revocation list. */
  setSecureContext(context: SecureContextOptions): void {
    this.#server.setSecureContext(context);
  }

  #secured(socket: TLSSocket): void {
    const { clientAuth, onSecured } = this.#parts;
    const certificate = clientAuth === 'none' ? undefined : socket.getPeerX509Certificate();
    if (certificate === undefined) {
      if (clientAuth === 'required') this.#refuse(socket, 'no-certificate');
      else onSecured(socket, undefined);
      return;
    }
    if (!socket.authorized) return this.#refuse(socket, String(socket.authorizationError));
    const client = commonName(certificate);
    if (client === undefined) return this.#refuse(socket, 'no-common-name');
    onSecured(socket, client);
  }

  #refuse(socket: TLSSocket, reason: string): void {
    const { remoteAddress = '' } = socket;
    socket.on('error', () => {}); // from here on it is nobody's
    socket.destroy();
    this.#parts.onRefused(remoteAddress, reason);
  }
}

/** Exactly one: of several, nobody could say which is meant. */
function commonName(certificate: X509Certificate): string | undefined {
  const { CN } = certificate.toLegacyObject().subject as { CN?: string | string[] };
  return typeof CN === 'string' && CN !== '' ? CN : undefined;
}

/** Few words, whatever a client sends. */
function reasonOf(code: string | undefined): string {
  if (code === 'ERR_TLS_HANDSHAKE_TIMEOUT') return 'handshake-timeout';
  if (code === 'ECONNRESET') return 'closed';
  return 'handshake-failed';
}
