/** Commands, options and their help, spoken in one language. */

import { Command, CommanderError, Option } from 'commander';
import { speak } from '../src/texts/command.ts';
import type { Language } from '../src/texts/text.ts';
import { VOLTAGES } from './district.ts';
import { SimulatorError } from './errors.ts';
import { FLEET_DEFAULTS, NETWORKS } from './fleet.ts';
import { HOUSEHOLDS } from './loads.ts';
import type { FleetWords, PublishWords } from './options.ts';
import { DEVELOPMENT_CASES, JUDGING_CASES, PRESET_NAMES } from './presets.ts';
import { PUBLISH_DEFAULTS } from './publish-mqtt.ts';
import { errorText, type Speaker, speaker, TEXTS, type TextKey } from './texts.ts';
import { VARIATIONS } from './variation.ts';

export interface Handlers {
  fleet(words: FleetWords & { out: string; gzip?: boolean }): Promise<void>;
  publish(words: FleetWords & PublishWords & { fleet?: string }): Promise<void>;
}

export function buildProgram(say: Speaker, language: Language, handlers: Handlers): Command {
  const program = speak(new Command('simulate'), language).description(say('program')).usage(say('commandUsage'));
  program.helpCommand('help [command]', say('helpCommand'));
  const fleet = speak(program.command('fleet'), language).description(say('fleetCommand'));
  fleet.requiredOption('--out <dir>', say('out')).option('--gzip', say('gzip'));
  const generator = generatorOptions(say);
  for (const option of generator) fleet.addOption(option);
  fleet.action((words: Parameters<Handlers['fleet']>[0]) => handlers.fleet(onlyGiven(words, generator, fleet)));

  const publish = speak(program.command('publish'), language).description(say('publishCommand'));
  publish.addOption(
    new Option('--fleet <dir>', say('fleet')).conflicts(generator.map((option) => option.attributeName())),
  );
  for (const option of [...publishOptions(say), ...generator]) publish.addOption(option);
  publish.action((words: Parameters<Handlers['publish']>[0]) => handlers.publish(onlyGiven(words, generator, publish)));
  return program;
}

/** Without the generator's defaults, which the help shows: a preset stands before them. */
function onlyGiven<T extends object>(words: T, generator: readonly Option[], command: Command): T {
  const defaults = generator
    .map((option) => option.attributeName())
    .filter((name) => command.getOptionValueSource(name) === 'default');
  return Object.fromEntries(Object.entries(words).filter(([name]) => !defaults.includes(name))) as T;
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
  const cases = [...Object.keys(DEVELOPMENT_CASES), ...Object.keys(JUDGING_CASES)];
  return [
    chosen(say, '--preset <name>', 'preset', PRESET_NAMES),
    chosen(say, '--case <name>', 'case', cases),
    valued(say, '--seed <n>', 'seed', FLEET_DEFAULTS.seed),
    valued(say, '--districts <n>', 'districts', FLEET_DEFAULTS.districts),
    valued(say, '--meters <n>', 'meters', FLEET_DEFAULTS.metersPerDistrict),
    valued(say, '--days <n>', 'days', FLEET_DEFAULTS.days),
    valued(say, '--until <time>', 'until'),
    valued(say, '--period <duration>', 'period', `${FLEET_DEFAULTS.periodMs / 60_000}m`),
    valued(say, '--faults <list>', 'faults', 'default'),
    chosen(say, '--network <name>', 'network', NETWORKS).default(FLEET_DEFAULTS.network),
    valued(say, '--loss <pct>', 'loss', 'natural'),
    valued(say, '--step <duration>', 'step'),
    chosen(say, '--variation <name>', 'variation', VARIATIONS).default(FLEET_DEFAULTS.variation),
    chosen(say, '--households <name>', 'households', HOUSEHOLDS).default(FLEET_DEFAULTS.households),
    valued(say, '--three-phase <pct>', 'threePhase', FLEET_DEFAULTS.threePhasePct),
    valued(say, '--solar <pct>', 'solar', FLEET_DEFAULTS.solarPct),
    valued(say, '--unmetered <watt>', 'unmetered', FLEET_DEFAULTS.unmeteredW),
    valued(say, '--theft <watt>', 'theft', FLEET_DEFAULTS.theftW),
    valued(say, '--meter-error <pct>', 'meterError', FLEET_DEFAULTS.meterErrorSdPct),
    valued(say, '--master-error <pct>', 'masterError', FLEET_DEFAULTS.masterErrorSdPct),
    valued(say, '--voltage-gain <pct>', 'voltageGain', FLEET_DEFAULTS.voltageGainSdPct),
    chosen(say, '--voltages <name>', 'voltages', VOLTAGES).default(FLEET_DEFAULTS.voltages),
    valued(say, '--register-step <kwh>', 'registerStep', FLEET_DEFAULTS.registerStepKwh),
    valued(say, '--voltage-step <volt>', 'voltageStep', FLEET_DEFAULTS.voltageStepV),
    valued(say, '--clock-offset <seconds>', 'clockOffset', FLEET_DEFAULTS.clockOffsetSdS),
    valued(say, '--missing <pct>', 'missing', FLEET_DEFAULTS.missingPct),
  ];
}

/** The choices stand in the help; options.ts refuses others in a sentence. */
function chosen(say: Speaker, flags: string, text: TextKey, choices: readonly string[]): Option {
  return new Option(flags, `${say(text)}${say('choices', { choices: choices.join(', ') })}`);
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
