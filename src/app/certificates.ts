/** Certificates change while the service runs: new connections get the new ones, those that are there stay. */
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import { Gauge, type Registry } from 'prom-client';
import type { ClientAuth } from '../broker/tls-connections.ts';
import {
  type Certificates,
  checkCertificates,
  readTlsFiles,
  type TlsSettings,
  type TlsTexts,
} from '../certificates.ts';
import { MeterwardenError } from '../errors.ts';
import { every, type OnStop } from './timers.ts';

/** Contents are compared, so that it does not matter how a file was replaced: written, renamed, or a folder swapped by a link. */
const RELOAD_MS = 10_000;

interface Parts {
  readonly registry: Registry;
  readonly logger: Logger;
  readonly nowMs: () => number;
  readonly onError: (stage: string, error: unknown) => void;
  readonly onStop: OnStop;
}

export class LiveCertificates {
  readonly #settings: TlsSettings;
  readonly #parts: Parts;
  readonly #users: ((certificates: Certificates) => void)[] = [];
  #texts: TlsTexts;
  #current: Certificates;
  #complaint = '';

  private constructor(settings: TlsSettings, parts: Parts, texts: TlsTexts) {
    this.#settings = settings;
    this.#parts = parts;
    this.#texts = texts;
    this.#current = checkCertificates(settings, texts, parts.nowMs());
  }

  static async open(settings: TlsSettings, parts: Parts): Promise<LiveCertificates> {
    const live = new LiveCertificates(settings, parts, await readTlsFiles(settings));
    new Gauge({
      name: 'meterwarden_tls_certificate_expires_seconds',
      help: 'When the certificate of TLS_CERT in use expires, in seconds since 1970',
      registers: [parts.registry],
      collect() {
        this.set(live.#current.expiresMs / 1000);
      },
    });
    every(RELOAD_MS, () => live.reload(), parts.onError, parts.onStop);
    return live;
  }

  get clientAuth(): ClientAuth {
    return this.#settings.clientCa === undefined ? 'none' : this.#settings.clientAuth;
  }

  get current(): Certificates {
    return this.#current;
  }

  /** Now, and again whenever they have changed. */
  use(user: (certificates: Certificates) => void): void {
    this.#users.push(user);
    user(this.#current);
  }

  /** What cannot be used is told once; what is in use stays. */
  async reload(): Promise<void> {
    const { logger, nowMs } = this.#parts;
    try {
      const texts = await readTlsFiles(this.#settings);
      const changed = !isDeepStrictEqual(texts, this.#texts);
      if (changed) {
        this.#current = checkCertificates(this.#settings, texts, nowMs());
        this.#texts = texts;
        for (const user of this.#users) user(this.#current);
        logger.info({ expires: new Date(this.#current.expiresMs) }, 'new certificates in use');
      }
      this.#complaint = '';
    } catch (error) {
      if (!(error instanceof MeterwardenError)) throw error;
      const refused = { setting: error.path, ...error.params };
      const complaint = JSON.stringify(refused);
      if (complaint !== this.#complaint) logger.error(refused, 'new certificates cannot be used, the old ones stay');
      this.#complaint = complaint;
    }
  }
}
