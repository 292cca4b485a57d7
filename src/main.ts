/** The command line. */

import { writeFile } from 'node:fs/promises';
import { Command, CommanderError } from 'commander';
import { startApp } from './app.ts';
import { loadDomain, loadSettings, SETTINGS, startLanguage } from './config.ts';
import { MeterwardenError } from './errors.ts';
import { backtest, FINDINGS_HEADER, findingLine } from './rules/backtest.ts';
import { openFleetFolder } from './store/fleet-folder.ts';
import { CLI } from './texts/cli.ts';
import { speak } from './texts/command.ts';
import { sayError } from './texts/errors.ts';
import { type Language, say, type Text } from './texts/text.ts';

const language: Language = startLanguage(process.env);
/** Longer than any orderly stop; what still runs then is cut off, which costs nothing that was acknowledged. */
const STOP_TIMEOUT_MS = 9_000;
/** Levels of LOG_LEVEL. */
const DEBUGGING = /^(debug|trace)$/;

async function serve(): Promise<void> {
  const settings = loadSettings(process.env);
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
  const starting = startApp(settings, { signal: callOff.signal });
  const app = await starting.catch((error) => {
    if (!stopping) throw error;
  });
  if (!app || stopping) return;
  const { httpPort, mqttPort, adminPassword } = app;
  if (adminPassword)
    process.stdout.write(`${say(CLI.adminPassword, settings.language, { password: adminPassword })}\n`);
  process.stdout.write(`${say(CLI.listening, settings.language, { host: settings.host, httpPort, mqttPort })}\n`);
}

async function runBacktest(fleet: string, options: { out: string; config?: string }): Promise<void> {
  const startedMs = performance.now();
  const domain = loadDomain(options.config);
  const folder = await openFleetFolder(fleet, domain.kinds);
  let readings = 0;
  async function* counted() {
    for await (const batch of folder.readings()) {
      readings += batch.length;
      yield batch;
    }
  }
  const rows = await backtest(folder.instruments, counted(), domain.rules, domain.kinds);
  const lines = [FINDINGS_HEADER, ...rows.map((row) => findingLine(row, language))];
  try {
    await writeFile(options.out, `${lines.join('\n')}\n`);
  } catch (error) {
    throw new MeterwardenError('invalid_setting', {
      path: '--out',
      params: { value: options.out, expected: (error as Error).message },
    });
  }
  const { unknownInstrument, impossibleValue } = folder.leftOut;
  if (unknownInstrument + impossibleValue > 0) print(CLI.leftOut, { unknownInstrument, impossibleValue });
  if (folder.unknownColumns.length > 0) print(CLI.unknownColumns, { columns: folder.unknownColumns.join(', ') });
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  print(CLI.backtestDone, {
    readings,
    instruments: folder.instruments.length,
    findings: rows.length,
    out: options.out,
    seconds,
  });
}

function buildProgram(): Command {
  const text = (key: Text) => say(key, language);
  const program = speak(new Command('meterwarden'), language).description(text(CLI.program)).usage(text(CLI.usage));
  program.helpCommand('help [command]', text(CLI.helpCommand));
  speak(program.command('serve'), language)
    .description(text(CLI.serve))
    .addHelpText('after', settingsHelp())
    .action(serve);
  speak(program.command('backtest'), language)
    .description(text(CLI.backtest))
    .argument('<fleet>', text(CLI.backtestFleet))
    .usage('FLEET --out findings.csv')
    .requiredOption('--out <file>', text(CLI.backtestOut))
    .option('--config <dir>', text(CLI.backtestRules))
    .action(runBacktest);
  return program;
}

function settingsHelp(): string {
  const lines = Object.entries(SETTINGS).map(([name, { fallback, expected }]) => {
    const about = say(CLI.describe[name as keyof typeof SETTINGS], language);
    const value = name === 'METERWARDEN_CONFIG' ? './config' : fallback;
    const note =
      value === undefined ? expected : `${expected}; ${say(CLI.settingDefault, language, { value: String(value) })}`;
    return `  ${name.padEnd(18)} ${about} (${note})`;
  });
  return `\n${say(CLI.settings, language)}\n${lines.join('\n')}`;
}

function print(text: Text, params: Record<string, string | number>): void {
  process.stdout.write(`${say(text, language, params)}\n`);
}

/** A sentence for people; the stack of what is a defect is for those who debug. */
function explain(error: unknown): string {
  if (error instanceof MeterwardenError)
    return error.path ? `${error.path}: ${sayError(error, language)}` : sayError(error, language);
  if (error instanceof CommanderError) return say(CLI.usageError, language, { problem: error.message });
  const { message, code, stack } = error as NodeJS.ErrnoException;
  const sentence = say(CLI.unexpected, language, { problem: message || code || String(error) });
  return DEBUGGING.test(process.env.LOG_LEVEL ?? '') ? `${sentence}\n${stack}` : sentence;
}

try {
  await buildProgram().parseAsync();
} catch (error) {
  const shown = error instanceof CommanderError && error.exitCode === 0;
  if (!shown) process.stderr.write(`${explain(error)}\n`);
  process.exit(shown ? 0 : 1);
}
