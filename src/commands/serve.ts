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
  const app = await starting.catch((error) => {
    if (!stopping) throw error;
  });
  if (!app || stopping) return;
  const { host } = settings;
  const { httpPort, mqttPort, adminPassword } = app;
  if (adminPassword) print(CLI.adminPassword, { password: adminPassword });
  if (mqttPort === undefined) print(CLI.listeningHttp, { role, host, httpPort });
  else print(CLI.listening, { host, httpPort, mqttPort });
}
