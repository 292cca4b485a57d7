/** Runs the service, or one role of it, until it is told to stop. */
import { type Role, startApp } from '../app.ts';
import type { Settings } from '../config.ts';
import { CLI } from '../texts/cli.ts';
import { say, type Text } from '../texts/text.ts';

/** Longer than any orderly stop; what still runs then is cut off, which costs nothing that was acknowledged. */
const STOP_TIMEOUT_MS = 9_000;

export async function runService(role: Role, settings: Settings): Promise<void> {
  const print = (text: Text, params: Record<string, string | number>) =>
    process.stdout.write(`${say(text, settings.language, params)}\n`);
  const callOff = new AbortController();
  let stopping = false;
  const stop = async () => {
    if (stopping) return;
    stopping = true;
    process.stderr.write(`${say(CLI.stopping, settings.language)}\n`);
    setTimeout(() => process.exit(1), STOP_TIMEOUT_MS).unref();
    callOff.abort();
    const started = await starting.catch(() => undefined);
    await started?.stop();
    process.exit(0);
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  const starting = startApp(settings, { role, signal: callOff.signal });
  // As other services do; without TLS there is nothing to read again, and the signal ends the process.
  if (settings.tls) process.on('SIGHUP', () => starting.then((app) => app.reloadCertificates()).catch(() => {}));
  const app = await starting.catch((error) => {
    if (!stopping) throw error;
  });
  if (!app || stopping) return;
  const { httpPort, mqttPort, mqttsPort, adminPassword } = app;
  if (adminPassword) print(CLI.adminPassword, { password: adminPassword });
  const address = (scheme: string, port: number | undefined) =>
    port === undefined ? [] : [`${scheme}://${settings.host}:${port}`];
  const http = address(settings.tls ? 'https' : 'http', httpPort).join();
  const mqtt = [...address('mqtt', mqttPort), ...address('mqtts', mqttsPort)].join(' ');
  if (mqtt === '') print(CLI.listeningHttp, { role, http });
  else print(CLI.listening, { http, mqtt });
}
