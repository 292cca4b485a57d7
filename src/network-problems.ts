/** What stands between us and a server of the operator's, by the code of the error: shared by all that connect to one. */
import type { START_PROBLEMS } from './texts/start.ts';

export const NETWORK_PROBLEMS: Readonly<Record<string, keyof typeof START_PROBLEMS>> = {
  ECONNREFUSED: 'nobody_listens',
  ENOTFOUND: 'unknown_host',
  EAI_AGAIN: 'no_name_service',
  ETIMEDOUT: 'no_answer',
  EHOSTUNREACH: 'no_way',
  ENETUNREACH: 'no_way',
  EADDRNOTAVAIL: 'no_way',
  EACCES: 'no_way',
};

/** Codes of certificates that are not trusted. */
export const TLS_DISTRUST = /CERT|SELF_SIGNED|UNABLE_TO_(GET|VERIFY)|HOSTNAME_MISMATCH|INVALID_CA/;
