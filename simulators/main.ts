/** The simulators' command line. */

import { type Language, pickLanguage } from '../src/texts/text.ts';
import { buildProgram, runProgram } from './cli.ts';
import { SimulatorError } from './errors.ts';
import { type Fleet, simulateFleet } from './fleet.ts';
import { readFolder, timeText, writeFolder } from './folder.ts';
import { LONDON_CREDIT, readLondonProfiles } from './london.ts';
import { type FleetWords, type PublishWords, readFleetOptions, readFolderName, readPublishOptions } from './options.ts';
import { startProgress } from './progress.ts';
import { generatedSource, PUBLISH_DEFAULTS, type PublishOptions, publish, replayedSource } from './publish-mqtt.ts';
import type { PublishReport } from './publish-report.ts';
import type { Totals } from './supply.ts';
import { type Speaker, speaker } from './texts.ts';

const language: Language = pickLanguage(process.env.METERWARDEN_LANG);
const say: Speaker = speaker(language);

async function fleetCommand(words: FleetWords & { out: string; gzip?: boolean }): Promise<void> {
  const startedMs = performance.now();
  const dir = readFolderName('--out', words.out, say);
  const options = readFleetOptions(words, Date.now(), say);
  const fleet = simulateFleet(options, readLondonProfiles());
  const progress = startProgress('generating', fleet.instruments.length * fleet.stepCount, say);
  const run = fleet.start();
  const writing = writeFolder(dir, run, { gzip: words.gzip ?? false, onStep: progress.update });
  const readings = await writing.catch((error: unknown) => {
    progress.stop();
    throw refusedFolder(dir, error) ?? error;
  });
  progress.stop(readings);
  print(
    say('written', {
      dir,
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

function refusedFolder(dir: string, error: unknown): SimulatorError | undefined {
  const { code, syscall } = error as NodeJS.ErrnoException;
  return code !== undefined && syscall !== undefined
    ? new SimulatorError('unusable_folder', { dir, reason: code })
    : undefined;
}

async function publishCommand(words: FleetWords & PublishWords & { fleet?: string }): Promise<void> {
  const options = readPublishOptions(words, say);
  const fleet: Fleet | undefined =
    words.fleet === undefined
      ? simulateFleet(readFleetOptions(words, Date.now(), say), readLondonProfiles())
      : undefined;
  const source = fleet
    ? generatedSource(fleet)
    : replayedSource(await readFolder(readFolderName('--fleet', words.fleet!, say)));
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

await runProgram(buildProgram(say, language, { fleet: fleetCommand, publish: publishCommand }), language);
