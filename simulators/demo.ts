/** The demo: the service, a fleet of real loads with seeded faults, and what was injected against what was found. */
import { Command } from 'commander';
import { speak } from '../src/texts/command.ts';
import { table } from '../src/texts/table.ts';
import { type Params, pickLanguage, say, type Text } from '../src/texts/text.ts';
import { runProgram } from './cli.ts';
import { type Comparison, compare, type FoundFinding, type FoundTask } from './demo-table.ts';
import { DEMO } from './demo-texts.ts';
import { type Fleet, fleetOptions, simulateFleet } from './fleet.ts';
import { LONDON_CREDIT, readLondonProfiles } from './london.ts';
import { MAX_DEMO_DAYS, readSize, type SizeWords } from './options.ts';
import { startProgress } from './progress.ts';
import { generatedSource, publish } from './publish-mqtt.ts';
import { ADMIN_PASSWORD, Service } from './service.ts';
import { speaker, TEXTS } from './texts.ts';

const language = pickLanguage(process.env.METERWARDEN_LANG);
const PERIOD_MS = 15 * 60_000;
const SECRET = 'demo-gateway-secret';
const LIVE_EVERY_MS = 5_000;
/** The rules give gateways a minute to reconnect after a start, and a quarter of one for stragglers. */
const LIVE_MS = 75_000;
const INSPECTORS = ['wang', 'li', 'zhao'];

interface Words extends SizeWords {
  readonly stay?: boolean;
}

const program = speak(new Command('demo'), language)
  .description(say(DEMO.program, language))
  .option('--seed <n>', say(TEXTS.seed, language), '1')
  .option('--districts <n>', say(TEXTS.districts, language), '4')
  .option('--meters <n>', say(TEXTS.meters, language), '60')
  .option('--days <n>', say(TEXTS.days, language), '14')
  .option('--stay', say(DEMO.stay, language))
  .action(run);

async function run(words: Words): Promise<void> {
  const startedMs = performance.now();
  const untilMs = Math.floor(Date.now() / PERIOD_MS) * PERIOD_MS;
  const options = fleetOptions({ ...readSize(words, PERIOD_MS, MAX_DEMO_DAYS, speaker(language)), untilMs });
  const fleet = simulateFleet(options, readLondonProfiles());
  const faults = compare(fleet, [], []).rows.length;
  print(DEMO.intro, {
    districts: options.districts,
    instruments: fleet.instruments.length,
    days: options.days,
    faults,
  });
  print(DEMO.starting);
  const service = await Service.create({ METERWARDEN_LANG: language });
  process.once('SIGINT', () => void service.remove().then(() => process.exit(130)));
  try {
    await service.start();
    await service.signIn();
    const url = `http://127.0.0.1:${service.httpPort}`;
    print(DEMO.started, { url, password: ADMIN_PASSWORD });
    await provision(service, fleet);
    await report(service, fleet);
    const comparison = await compareWith(service, fleet);
    printComparison(comparison, (performance.now() - startedMs) / 1000);
    process.stdout.write(`${LONDON_CREDIT}\n`);
    process.exitCode = comparison.found === comparison.expected ? 0 : 1;
    if (words.stay) {
      print(DEMO.stays, { url });
      await new Promise(() => {});
    }
  } finally {
    await service.remove();
  }
}

async function provision(service: Service, fleet: Fleet): Promise<void> {
  await service.provision(fleet.instruments, SECRET);
  for (const username of INSPECTORS) {
    await service.call('POST', '/api/v1/people', {
      username,
      password: `${username}-demo-1`,
      role: 'inspector',
      region: '220300',
    });
  }
}

async function report(service: Service, fleet: Fleet): Promise<void> {
  const progress = startProgress('publishing', fleet.instruments.length * fleet.stepCount, speaker(language));
  const source = generatedSource(fleet);
  const endpoint = { url: service.mqttUrl, secret: SECRET };
  const history = await publish(source, { ...endpoint, onProgress: progress.update }).finally(() => progress.stop());
  print(DEMO.published, {
    readings: history.acknowledgedReadings,
    rate: Math.round(history.readingsPerSecond),
    p99: history.ackP99Ms.toFixed(0),
    rejected: history.rejectedReadings,
  });
  print(DEMO.live, { seconds: LIVE_MS / 1000 });
  await publish({ ...source, history: () => [] }, { ...endpoint, liveMs: LIVE_MS, liveEveryMs: LIVE_EVERY_MS });
}

async function compareWith(service: Service, fleet: Fleet): Promise<Comparison> {
  const findings = await service.all<FoundFinding>('/api/v1/findings', 'findings');
  const tasks = await service.all<FoundTask>('/api/v1/tasks', 'tasks');
  return compare(fleet, findings, tasks);
}

function printComparison({ rows, others, expected, found, tasks }: Comparison, seconds: number): void {
  const head = [DEMO.injected, DEMO.subject, DEMO.since, DEMO.found, DEMO.task, DEMO.queue].map((text) =>
    say(text, language),
  );
  const cells = rows.map(({ fault, subject, fromMs, finding, task, byRules }) => [
    fault,
    subject,
    new Date(fromMs).toISOString().slice(0, 16).replace('T', ' '),
    finding?.ruleName ?? say(byRules ? DEMO.notFound : DEMO.forEstimator, language),
    task ? `#${task.id} ${task.kindName} · ${task.stateName}` : '',
    task?.assignee ?? '',
  ]);
  process.stdout.write(`\n${say(DEMO.heading, language)}\n${table([head, ...cells])}\n`);
  if (others.length > 0) {
    print(DEMO.other);
    for (const { ruleName, instrument, district, sentence } of others.slice(0, 10)) {
      process.stdout.write(`  ${ruleName} ${instrument ?? district}: ${sentence}\n`);
    }
  }
  print(DEMO.summary, { expected, found, extra: others.length, tasks, seconds: seconds.toFixed(0) });
}

function print(text: Text, params: Params = {}): void {
  process.stdout.write(`${say(text, language, params)}\n`);
}

await runProgram(program, language);
process.exit();
