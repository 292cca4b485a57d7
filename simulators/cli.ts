/** Commands, options and their help, spoken in one language. */

import { Command, CommanderError, Option } from 'commander';
import { speak } from '../src/texts/command.ts';
import type { Language } from '../src/texts/text.ts';
import { SimulatorError } from './errors.ts';
import { FLEET_DEFAULTS } from './fleet.ts';
import type { FleetWords, PublishWords } from './options.ts';
import { PUBLISH_DEFAULTS } from './publish-mqtt.ts';
import { errorText, type Speaker, speaker, TEXTS, type TextKey } from './texts.ts';

export interface Handlers {
  fleet(words: FleetWords & { out: string; gzip?: boolean }): Promise<void>;
  publish(words: FleetWords & PublishWords & { fleet?: string }): Promise<void>;
}

export function buildProgram(say: Speaker, language: Language, handlers: Handlers): Command {
  const program = speak(new Command('simulate'), language).description(say('program')).usage(say('commandUsage'));
  program.helpCommand('help [command]', say('helpCommand'));
  const fleet = speak(program.command('fleet'), language).description(say('fleetCommand'));
  fleet.requiredOption('--out <dir>', say('out')).option('--gzip', say('gzip'));
  for (const option of generatorOptions(say)) fleet.addOption(option);
  fleet.action(handlers.fleet);

  const publish = speak(program.command('publish'), language).description(say('publishCommand'));
  const generator = generatorOptions(say);
  publish.addOption(
    new Option('--fleet <dir>', say('fleet')).conflicts(generator.map((option) => option.attributeName())),
  );
  for (const option of [...publishOptions(say), ...generator]) publish.addOption(option);
  publish.action(handlers.publish);
  return program;
}

/** What is refused ends in a sentence and exit code 2; what is a defect is thrown. */
export async function runProgram(program: Command, language: Language): Promise<void> {
  try {
    await program.parseAsync();
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return;
    const sentence = explain(error, language);
    if (sentence === undefined && !(error instanceof CommanderError)) throw error;
    if (sentence !== undefined) process.stderr.write(`${sentence}\n`);
    process.exitCode = 2;
  }
}

/** The sentence for what went wrong; undefined when it is a defect and its stack says more. */
function explain(error: unknown, language: Language): string | undefined {
  const say = speaker(language);
  if (error instanceof SimulatorError) return errorText(language, error.code, error.params);
  if (error instanceof CommanderError && error.code in TEXTS) {
    const [first = '', second = ''] = [...error.message.matchAll(/'([^']*)'/g)].map((match) => match[1]!);
    const meant = /Did you mean (?:one of )?(.+)\?/.exec(error.message)?.[1];
    const sentence = say(error.code as TextKey, { first, second });
    return meant ? `${sentence}\n${say('didYouMean', { name: meant })}` : sentence;
  }
  return undefined;
}

function valued(say: Speaker, flags: string, text: TextKey, value?: number | string): Option {
  const option = new Option(flags, say(text));
  return value === undefined ? option : option.default(String(value));
}

function generatorOptions(say: Speaker): Option[] {
  return [
    valued(say, '--seed <n>', 'seed', FLEET_DEFAULTS.seed),
    valued(say, '--districts <n>', 'districts', FLEET_DEFAULTS.districts),
    valued(say, '--meters <n>', 'meters', FLEET_DEFAULTS.metersPerDistrict),
    valued(say, '--days <n>', 'days', FLEET_DEFAULTS.days),
    valued(say, '--until <time>', 'until'),
    valued(say, '--period <duration>', 'period', `${FLEET_DEFAULTS.periodMs / 60_000}m`),
    valued(say, '--faults <list>', 'faults', 'default'),
    valued(say, '--three-phase <pct>', 'threePhase', FLEET_DEFAULTS.threePhasePct),
    valued(say, '--meter-error <pct>', 'meterError', FLEET_DEFAULTS.meterErrorSdPct),
    valued(say, '--master-error <pct>', 'masterError', FLEET_DEFAULTS.masterErrorSdPct),
    valued(say, '--voltage-gain <pct>', 'voltageGain', FLEET_DEFAULTS.voltageGainSdPct),
    valued(say, '--unmetered <watt>', 'unmetered', FLEET_DEFAULTS.unmeteredW),
  ];
}

function publishOptions(say: Speaker): Option[] {
  return [
    valued(say, '--mqtt <url>', 'mqtt').makeOptionMandatory(),
    // The environment keeps the secret out of the process list.
    valued(say, '--secret <text>', 'secret').env('METERWARDEN_GATEWAY_SECRET').makeOptionMandatory(),
    valued(say, '--topic-prefix <levels>', 'topicPrefix'),
    valued(say, '--window <n>', 'window', PUBLISH_DEFAULTS.window),
    valued(say, '--readings-per-message <n>', 'readingsPerMessage', PUBLISH_DEFAULTS.readingsPerMessage),
    valued(say, '--live <seconds>', 'live', PUBLISH_DEFAULTS.liveMs / 1000),
    valued(say, '--live-every <seconds>', 'liveEvery', PUBLISH_DEFAULTS.liveEveryMs / 1000),
  ];
}
