/** The command line. */

import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { runBacktest } from './commands/backtest.ts';
import { runEstimate } from './commands/estimate.ts';
import { runInfluxSetup } from './commands/influx-setup.ts';
import { runMosquittoFiles } from './commands/mosquitto-files.ts';
import { runScore } from './commands/score.ts';
import { runService } from './commands/serve.ts';
import { loadSettings, SETTINGS, startLanguage } from './config.ts';
import { MeterwardenError } from './errors.ts';
import { CLI } from './texts/cli.ts';
import { speak } from './texts/command.ts';
import { sayError } from './texts/errors.ts';
import { EXPORT } from './texts/handover.ts';
import { OFFLINE } from './texts/offline.ts';
import { type Language, say, type Text } from './texts/text.ts';
import { DEV_CA } from './texts/tls.ts';

const language: Language = startLanguage(process.env);
/** Levels of LOG_LEVEL. */
const DEBUGGING = /^(debug|trace)$/;

function buildProgram(): Command {
  const text = (key: Text) => say(key, language);
  const program = speak(new Command('meterwarden'), language).description(text(CLI.program)).usage(text(CLI.usage));
  program.helpCommand('help [command]', text(CLI.helpCommand));
  speak(program.command('serve'), language)
    .description(text(CLI.serve))
    .addHelpText('after', settingsHelp())
    .action(() => runService('serve', loadSettings(process.env)));
  for (const role of ['ingest', 'work', 'api'] as const) {
    const command = speak(program.command(role), language)
      .description(text(CLI[role]))
      .action(() => runService(role, loadSettings(process.env)));
    if (role === 'ingest') command.addHelpText('after', `\n${text(CLI.ingestSignals)}`);
  }
  speak(program.command('backtest'), language)
    .description(text(CLI.backtest))
    .argument('<fleet>', text(CLI.backtestFleet))
    .usage('FLEET --out findings.csv')
    .requiredOption('--out <file>', text(CLI.backtestOut))
    .option('--config <dir>', text(CLI.backtestRules))
    .action((fleet, options) => runBacktest(fleet, options, language));
  speak(program.command('estimate'), language)
    .description(text(OFFLINE.estimate))
    .argument('<fleet>', text(CLI.backtestFleet))
    .usage('FLEET --out estimates.csv')
    .requiredOption('--out <file>', text(OFFLINE.estimateOut))
    .option('--json <file>', text(OFFLINE.estimateJson))
    .option('--days <n>', text(OFFLINE.estimateDays))
    .option('--config <dir>', text(OFFLINE.config))
    .action((fleet, options) => runEstimate(fleet, options, language));
  speak(program.command('score'), language)
    .description(text(OFFLINE.score))
    .argument('<fleet>', text(OFFLINE.scoreFleet))
    .argument('<estimates>', text(OFFLINE.scoreEstimates))
    .usage('FLEET estimates.csv')
    .option('--json', text(OFFLINE.scoreJson))
    .option('--config <dir>', text(OFFLINE.config))
    .action((fleet, estimates, options) => runScore(fleet, estimates, options, language));
  speak(program.command('dev-ca'), language)
    .description(text(DEV_CA.about))
    .usage('--out DIR [--host localhost,127.0.0.1] [--gateway ID …]')
    .requiredOption('--out <dir>', text(DEV_CA.out))
    .option('--host <names>', text(DEV_CA.host), 'localhost,127.0.0.1')
    .option('--gateway <id...>', text(DEV_CA.gateway))
    .action(async (options) => {
      const { runDevCa } = await import('./commands/dev-ca.ts'); // nobody else waits for its libraries
      await runDevCa(options, language);
    });
  speak(program.command('influx-setup'), language)
    .description(text(CLI.influxSetup))
    .option('--hourly-days <n>', text(CLI.influxHourly), wholeDays, 3650)
    .action((options) => runInfluxSetup(loadSettings(process.env), options, language));
  speak(program.command('mosquitto-files'), language)
    .description(text(CLI.mosquittoFiles))
    .requiredOption('--out <dir>', text(CLI.mosquittoOut))
    .action((options) => runMosquittoFiles(loadSettings(process.env), options, language));
  speak(program.command('export'), language)
    .description(text(EXPORT.about))
    .usage('[--to DIR|s3://BUCKET/PREFIX] [--day YYYY-MM-DD] [--from YYYY-MM-DD] | --schema')
    .option('--to <place>', text(EXPORT.to))
    .option('--day <day>', text(EXPORT.onlyDay))
    .option('--from <day>', text(EXPORT.from))
    .option('--schema', text(EXPORT.schema))
    .action(async (options) => {
      const { runExport } = await import('./commands/export.ts'); // nobody else waits for its libraries
      await runExport(options, loadSettings(process.env));
    });
  return program;
}

function wholeDays(text: string): number {
  if (/^\d{1,5}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('0…99999');
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

/** A sentence for people; the stack of what is a defect is for those who debug. */
function explain(error: unknown): string {
  if (error instanceof MeterwardenError)
    return error.path ? `${error.path}: ${sayError(error, language)}` : sayError(error, language);
  if (error instanceof CommanderError) return say(CLI.usageError, language, { problem: error.message });
  const { message, code, stack } = error as NodeJS.ErrnoException;
  const sentence = say(CLI.unexpected, language, { problem: message || code || String(error) });
  return DEBUGGING.test(process.env.LOG_LEVEL ?? '') ? `${sentence}\n${stack}` : sentence;
}

export async function runCommandLine(): Promise<void> {
  try {
    await buildProgram().parseAsync();
  } catch (error) {
    const shown = error instanceof CommanderError && error.exitCode === 0;
    if (!shown) process.stderr.write(`${explain(error)}\n`);
    process.exit(shown ? 0 : 1);
  }
}
