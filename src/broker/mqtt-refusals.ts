/** The address of an external broker, and why it cannot be used, in a sentence that never names the password. */
import { MeterwardenError } from '../errors.ts';
import type { START_PROBLEMS } from '../texts/start.ts';
import type { MqttAddress } from './mqtt-link.ts';

interface Given {
  readonly url: string;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
}

const PROTOCOLS = ['mqtt', 'mqtts', 'ws', 'wss'] as const;

export function addressOf({ url, username, password }: Given): MqttAddress {
  const parsed = new URL(url);
  const protocol = PROTOCOLS.find((one) => parsed.protocol === `${one}:`);
  if (!protocol) throw new TypeError(`${parsed.protocol}// is none of ${PROTOCOLS.join(', ')}`);
  const isWeb = protocol.startsWith('ws');
  return {
    protocol,
    // A socket wants an IPv6 address without the brackets that a URL needs.
    hostname: isWeb ? parsed.hostname : parsed.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: parsed.port === '' ? undefined : Number(parsed.port),
    path: `${parsed.pathname || '/'}${parsed.search}`,
    username: username ?? (decodeURIComponent(parsed.username) || undefined),
    password: password ?? (decodeURIComponent(parsed.password) || undefined),
  };
}

/** CONNACK: return codes of MQTT 3.1.1 (table 3.1) and reason codes of MQTT 5 (table 3.1) that waiting will not cure. */
const WRONG_PASSWORD = [4, 134];
const NOT_ADMITTED = [1, 2, 5, 128, 132, 133, 135, 138, 140];
const TLS_DISTRUST = /CERT|SELF_SIGNED|UNABLE_TO_(GET|VERIFY)|HOSTNAME_MISMATCH|INVALID_CA/;

/** undefined = the broker may come, or come back, and then take us. */
export function refusedAtStart(error: unknown, { url, username }: Given): MeterwardenError | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code } = error as { code?: unknown };
  const parsed = new URL(url);
  const params = {
    value: `${parsed.protocol}//${parsed.host}`,
    address: parsed.host,
    host: parsed.hostname,
    user: username ?? decodeURIComponent(parsed.username),
    answer: error.message,
    code: typeof code === 'string' || typeof code === 'number' ? code : '',
  };
  const problem = problemOf(code, error.message);
  return (
    problem &&
    new MeterwardenError('unusable_setting', { path: 'MQTT_URL', params: { ...params, problem }, cause: error })
  );
}

function problemOf(code: unknown, message: string): keyof typeof START_PROBLEMS | undefined {
  if (/^Subscribe error/.test(message)) return 'not_permitted';
  if (typeof code === 'number') {
    if (WRONG_PASSWORD.includes(code)) return 'wrong_password';
    return NOT_ADMITTED.includes(code) ? 'not_admitted' : undefined;
  }
  if (typeof code !== 'string') return undefined;
  if (/^ERR_SSL_.*ALERT/.test(code)) return 'not_admitted'; // what it has against our certificate
  return TLS_DISTRUST.test(code) ? 'untrusted' : undefined;
}
