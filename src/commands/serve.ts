/** Runs the service, or one role of it, until it is told to stop. */
import { type App, type Role, startApp } from '../app.ts';
import type { Settings } from '../config.ts';
import { leaveEarlyStop } from '../early-stop.ts';
import { CLI } from '../texts/cli.ts';
import { say, type Text } from '../texts/text.ts';

/** Longer than any orderly stop; what still runs then is cut off, which costs nothing that was acknowledged. */
const STOP_TIMEOUT_MS = 9_000;
/** To receive what the external broker keeps for this process; then it stops all the same, and others receive the rest. */
const LEAVE_TIMEOUT_MS = 60_000;

export async function runService(role: Role, settings: Settings): Promise<void> {
  const print = (text: Text, params: Record<string, string | number>) =>
    process.stdout.write(`${say(text, settings.language, params)}\n`);
  const tell = (text: Text) => process.stderr.write(`${say(text, settings.language)}\n`);
  const callOff = new AbortController();
  let running: App | undefined;
  let stopping = false;
  let leaving = false;
  const stop = async () => {
    if (stopping) return;
    stopping = true;
    tell(CLI.stopping);
    setTimeout(() => process.exit(1), STOP_TIMEOUT_MS).unref();
    callOff.abort();
    const started = await starting.catch(() => undefined);
    await started?.stop();
    process.exit(0);
  };
  const leave = async () => {
    if (stopping || leaving) return;
    leaving = true;
    const left = await running?.leave(LEAVE_TIMEOUT_MS).catch(() => false);
    if (left !== undefined) tell(left ? CLI.left : CLI.sessionsStay);
    await stop();
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  process.on('SIGUSR2', leave);
  leaveEarlyStop();
  const starting = startApp(settings, { role, signal: callOff.signal });
  // As other services do; without TLS there is nothing to read again, and the signal ends the process.
  if (settings.tls) process.on('SIGHUP', () => starting.then((app) => app.reloadCertificates()).catch(() => {}));
  const app = await starting.catch((error) => {
    if (!stopping) throw error;
  });
  if (!app || stopping) return;
  running = app;
  const { httpPort, mqttPort, mqttsPort, adminPassword } = app;
  if (adminPassword) print(CLI.adminPassword, { password: adminPassword });
  const address = (scheme: string, port: number | undefined) =>
    port === undefined ? [] : [`${scheme}://${settings.host}:${port}`];
  const http = address(settings.tls ? 'https' : 'http', httpPort).join();
  const mqtt = [...address('mqtt', mqttPort), ...address('mqtts', mqttsPort)].join(' ');
  if (mqtt === '') print(CLI.listeningHttp, { role, http });
  else print(CLI.listening, { http, mqtt });
}
