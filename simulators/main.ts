/** The simulators' command line. */

import { type Command, CommanderError } from 'commander';
import { type Language, pickLanguage } from '../src/texts/text.ts';
import { buildProgram } from './cli.ts';
import { SimulatorError } from './errors.ts';
import { type Fleet, simulateFleet } from './fleet.ts';
import { readFolder, timeText, writeFolder } from './folder.ts';
import { LONDON_CREDIT, readLondonProfiles } from './london.ts';
import { type FleetWords, type PublishWords, readFleetOptions, readPublishOptions } from './options.ts';
import { startProgress } from './progress.ts';
import { generatedSource, PUBLISH_DEFAULTS, type PublishOptions, publish, replayedSource } from './publish-mqtt.ts';
import type { PublishReport } from './publish-report.ts';
import type { Totals } from './supply.ts';
import { errorText, type Speaker, speaker, TEXTS, type TextKey } from './texts.ts';

const language: Language = pickLanguage(process.env.METERWARDEN_LANG);
const say: Speaker = speaker(language);

async function fleetCommand(words: FleetWords & { out: string; gzip?: boolean }): Promise<void> {
  const startedMs = performance.now();
  const options = readFleetOptions(words, Date.now(), say);
  const fleet = simulateFleet(options, readLondonProfiles());
  const progress = startProgress('generating', fleet.instruments.length * fleet.stepCount, say);
  const run = fleet.start();
  const readings = await writeFolder(words.out, run, { gzip: words.gzip ?? false, onStep: progress.update });
  progress.stop(readings);
  print(
    say('written', {
      dir: words.out,
      instruments: fleet.instruments.length,
      readings,
      from: timeText(options.untilMs - (fleet.stepCount - 1) * options.periodMs),
      to: timeText(options.untilMs),
      faults: fleet.faults.length,
      lossPct: lossPct(run.totals()).toFixed(2),
      seconds: ((performance.now() - startedMs) / 1000).toFixed(1),
    }),
  );
  print(say('credit', { credit: LONDON_CREDIT }));
}

function lossPct(totals: readonly Totals[]): number {
  const sum = (key: keyof Totals) => totals.reduce((kwh, one) => kwh + one[key], 0);
  return (100 * sum('lossKwh')) / sum('busKwh');
}

async function publishCommand(words: FleetWords & PublishWords & { fleet?: string }): Promise<void> {
  const options = readPublishOptions(words, say);
  const fleet: Fleet | undefined =
    words.fleet === undefined
      ? simulateFleet(readFleetOptions(words, Date.now(), say), readLondonProfiles())
      : undefined;
  const source = fleet ? generatedSource(fleet) : replayedSource(await readFolder(words.fleet!));
  const progress = startProgress('publishing', fleet && fleet.instruments.length * stepsToPublish(fleet, options), say);
  const sending = publish(source, { ...options, onProgress: progress.update, signal: stopSignal() });
  const report = await sending.catch((error: unknown) => {
    progress.stop();
    throw error;
  });
  progress.stop(report.acknowledgedReadings);
  printReport(report);
  if (report.unacknowledgedMessages > 0) process.exitCode = 1;
}

function stepsToPublish(fleet: Fleet, options: PublishOptions): number {
  const { liveMs, liveEveryMs } = { ...PUBLISH_DEFAULTS, ...options };
  return fleet.stepCount + Math.ceil(liveMs / liveEveryMs);
}

/** Aborts at the first Ctrl-C or SIGTERM; the second leaves at once. */
function stopSignal(): AbortSignal {
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (stop.signal.aborted) process.exit(130);
      process.stderr.write(`\n${say('stopping')}\n`);
      stop.abort();
    });
  }
  return stop.signal;
}

function printReport(report: PublishReport): void {
  print(
    say('report', {
      messages: report.acknowledgedMessages,
      readings: report.acknowledgedReadings,
      seconds: (report.durationMs / 1000).toFixed(1),
      rate: Math.round(report.readingsPerSecond),
      rejectedMessages: report.rejectedMessages,
      rejectedReadings: report.rejectedReadings,
      resent: report.resentMessages,
      reconnects: report.reconnects,
      p50: report.ackP50Ms.toFixed(1),
      p99: report.ackP99Ms.toFixed(1),
    }),
  );
  if (report.unacknowledgedMessages > 0) print(say('unacknowledged', { count: report.unacknowledgedMessages }));
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** The sentence for what went wrong; undefined when it is a defect and its stack says more. */
function explain(error: unknown): string | undefined {
  if (error instanceof SimulatorError) return errorText(language, error.code, error.params);
  if (error instanceof CommanderError && error.code in TEXTS) {
    const [first = '', second = ''] = [...error.message.matchAll(/'([^']*)'/g)].map((match) => match[1]!);
    const meant = /Did you mean (?:one of )?(.+)\?/.exec(error.message)?.[1];
    const sentence = say(error.code as TextKey, { first, second });
    return meant ? `${sentence}\n${say('didYouMean', { name: meant })}` : sentence;
  }
  return undefined;
}

async function run(program: Command): Promise<void> {
  try {
    await program.parseAsync();
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return;
    const sentence = explain(error);
    if (sentence === undefined && !(error instanceof CommanderError)) throw error;
    if (sentence !== undefined) process.stderr.write(`${sentence}\n`);
    process.exitCode = 2;
  }
}

await run(buildProgram(say, language, { fleet: fleetCommand, publish: publishCommand }));
