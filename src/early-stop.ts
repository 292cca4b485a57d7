/** Signals that come while the modules of the service are loaded, when there is nothing to stop yet. Imports next to nothing. */
import { CLI } from './texts/cli.ts';
import { pickLanguage, say } from './texts/text.ts';

/** A command that is to end by itself has failed when it is stopped. */
const SERVICES: readonly unknown[] = ['serve', 'ingest', 'work', 'api'];
const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGUSR2'] as const;

let language: string | undefined;

/** `wanted`: a language as the environment says it; what a file says is not known yet. */
export function hearEarlyStop(command: string | undefined, wanted: string | undefined): void {
  language = wanted;
  if (SERVICES.includes(command)) for (const signal of SIGNALS) process.on(signal, stop);
}

/** Somebody else hears them from now on. */
export function leaveEarlyStop(): void {
  for (const signal of SIGNALS) process.off(signal, stop);
}

function stop(): void {
  process.stderr.write(`${say(CLI.stopping, pickLanguage(language))}\n`);
  process.exit(0);
}
