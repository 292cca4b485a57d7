/** Commands, options and their help, spoken in one language. */

import { Command, Option } from 'commander';
import { speak } from '../src/texts/command.ts';
import type { Language } from '../src/texts/text.ts';
import { FLEET_DEFAULTS } from './fleet.ts';
import type { FleetWords, PublishWords } from './options.ts';
import { PUBLISH_DEFAULTS } from './publish-mqtt.ts';
import type { Speaker, TextKey } from './texts.ts';

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
