/** The running errors of a fleet folder's meters, offline. */
import { constants } from 'node:fs';
import { access, stat, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { dirname } from 'node:path';
import type { DistrictEstimate } from '../accuracy/district.ts';
import { failedEstimate } from '../accuracy/estimate.ts';
import {
  ESTIMATES_HEADER,
  estimateLine,
  estimateRows,
  reportDistrict,
  reportMeter,
  verdictCounts,
} from '../accuracy/estimate-rows.ts';
import type { EstimationPolicy } from '../accuracy/policy.ts';
import { type CollectedDistrict, isEstimated } from '../accuracy/window.ts';
import { type Domain, loadDomain } from '../config.ts';
import { MeterwardenError } from '../errors.ts';
import type { Instrument } from '../fleet/instrument.ts';
import { type FleetFolder, openFleetFolder } from '../store/fleet-folder.ts';
import { CLI } from '../texts/cli.ts';
import { OFFLINE } from '../texts/offline.ts';
import { type Language, type Params, say, type Text } from '../texts/text.ts';
import { collectDistricts } from './collect-districts.ts';
import { Complaints } from './complaints.ts';
import { type EstimateThreads, openEstimateThreads } from './estimate-threads.ts';
import { bar, ProgressLine } from './progress-line.ts';

export interface EstimateOptions {
  readonly out: string;
  readonly json?: string;
  readonly config?: string;
  readonly days?: string;
}

/** Districts told one by one; more would be a page. */
const MAX_TOLD = 10;

export async function runEstimate(fleet: string, options: EstimateOptions, language: Language): Promise<void> {
  const startedMs = performance.now();
  const put = (text: Text, params: Params = {}) => process.stdout.write(`${say(text, language, params)}\n`);
  const days = daysOf(options.days, language);
  await requireWritable('--out', options.out, language);
  if (options.json !== undefined) await requireWritable('--json', options.json, language);
  const domain = loadDomain(options.config);
  const complaints = new Complaints();
  const folder = await openFleetFolder(fleet, domain.kinds, complaints.tell);
  const found = await estimateFolder(folder, domain, days, complaints, language);

  const masters = mastersByDistrict(folder.instruments);
  const mastersOf = (district: string) => masters.get(district) ?? 0;
  const rows = estimateRows(folder.instruments, folder.unreadable, found.estimates, mastersOf);
  await write('--out', options.out, `${[ESTIMATES_HEADER, ...rows.map(estimateLine)].join('\n')}\n`);

  for (const sentence of complaints.sentences(language)) process.stdout.write(`${sentence}\n`);
  if (folder.unknownColumns.length > 0) put(CLI.unknownColumns, { columns: folder.unknownColumns.join(', ') });
  const { unknownInstrument, impossibleValue } = found.refused;
  if (unknownInstrument + impossibleValue > 0) put(CLI.leftOut, { unknownInstrument, impossibleValue });
  if (Object.values(found.leftOut).some((count) => count > 0)) put(OFFLINE.windowLeftOut, { ...found.leftOut });
  if (found.readings === 0) put(OFFLINE.noReadings);
  const wrong = found.estimates.filter(({ district }) => mastersOf(district) !== 1);
  for (const { district } of wrong.slice(0, MAX_TOLD))
    put(OFFLINE.wrongMasters, { district, masters: mastersOf(district) });
  if (wrong.length > MAX_TOLD) put(OFFLINE.moreWrongMasters, { count: wrong.length - MAX_TOLD });

  const summary = {
    districts: new Set(rows.map(({ district }) => district)).size,
    meters: rows.length,
    ...verdictCounts(rows),
    notes: found.estimates.reduce((sum, { notes }) => sum + notes.length, 0),
    seconds: Number(((performance.now() - startedMs) / 1000).toFixed(1)),
  };
  if (options.json !== undefined) {
    const byDistrict = Map.groupBy(rows, ({ district }) => district);
    const report = {
      language,
      summary,
      readings: { read: found.readings, ...found.refused, ...found.leftOut },
      problems: complaints.sentences(language),
      districts: found.estimates.map((one) => reportDistrict(one, byDistrict.get(one.district) ?? [], language)),
      others: rows.filter(({ estimate }) => !estimate).map((row) => reportMeter(row, language)),
    };
    await write('--json', options.json, `${JSON.stringify(report, null, 1)}\n`);
  }
  put(OFFLINE.estimateDone, { ...summary, out: options.out });
}

async function estimateFolder(
  folder: FleetFolder,
  { kinds, accuracy: policy }: Domain,
  days: number | undefined,
  complaints: Complaints,
  language: Language,
) {
  const progress = new ProgressLine();
  const names = [...new Set(folder.instruments.filter(isEstimated).map(({ district }) => district))];
  const estimates = new Map<string, DistrictEstimate>();
  const leftOut = { offGrid: 0, outside: 0, repeated: 0, contradicting: 0 };
  let refused = { ...folder.leftOut };
  let readings = 0;
  const collected = collectDistricts(
    folder.instruments,
    () => folder.readings(),
    { kinds, policy, days },
    {
      onBlock(seen) {
        readings = Math.max(readings, seen);
        progress.show(() => say(OFFLINE.reading, language, { readings: seen }));
      },
      onFirstPass() {
        complaints.close();
        refused = { ...folder.leftOut };
      },
    },
  );
  const threads = openEstimateThreads(Math.min(availableParallelism(), Math.max(1, names.length)));
  const lane = async () => {
    for (let next = await collected.next(); !next.done; next = await collected.next()) {
      for (const name of ['offGrid', 'outside', 'repeated', 'contradicting'] as const)
        leftOut[name] += next.value.leftOut[name];
      const estimate = await estimateCollected(next.value, threads, policy, language);
      estimates.set(estimate.district, estimate);
      const [done, districts] = [estimates.size, names.length];
      progress.show(() => say(OFFLINE.estimating, language, { bar: bar(done / districts), done, districts }));
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(availableParallelism(), Math.max(1, names.length)) }, lane));
  } finally {
    progress.clear();
    await threads.stop();
  }
  return { estimates: names.map((name) => estimates.get(name)!), leftOut, refused, readings };
}

/** A district on which the estimator fails is told, and nothing is said of its meters; the others have theirs. */
async function estimateCollected(
  { window }: CollectedDistrict,
  threads: EstimateThreads,
  policy: EstimationPolicy,
  language: Language,
): Promise<DistrictEstimate> {
  try {
    return await threads.estimate(window, policy);
  } catch (error) {
    const [problem = ''] = (error as Error).message.split('\n');
    process.stderr.write(`${say(OFFLINE.failed, language, { district: window.district, problem })}\n`);
    return failedEstimate(window);
  }
}

function mastersByDistrict(instruments: readonly Instrument[]): Map<string, number> {
  const masters = instruments.filter((one) => isEstimated(one) && one.role === 'master');
  return new Map([...Map.groupBy(masters, ({ district }) => district)].map(([name, { length }]) => [name, length]));
}

function daysOf(text: string | undefined, language: Language): number | undefined {
  if (text === undefined) return undefined;
  const days = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (days >= 1 && days <= 3650) return days;
  const expected = say(OFFLINE.expectDays, language);
  throw new MeterwardenError('invalid_setting', { path: '--days', params: { value: text, expected } });
}

/** Before minutes of work, not after them. */
async function requireWritable(option: string, file: string, language: Language): Promise<void> {
  if (file.trim() === '') {
    const expected = say(OFFLINE.expectFile, language);
    throw new MeterwardenError('invalid_setting', { path: option, params: { value: file, expected } });
  }
  try {
    const there = await stat(file).catch(() => undefined);
    if (there?.isDirectory()) throw Object.assign(new Error(), { code: 'EISDIR' });
    await access(there ? file : dirname(file), constants.W_OK);
  } catch (error) {
    throw unwritable(option, file, error);
  }
}

async function write(option: string, file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text);
  } catch (error) {
    throw unwritable(option, file, error);
  }
}

function unwritable(option: string, file: string, cause: unknown): MeterwardenError {
  const { code = '' } = cause as NodeJS.ErrnoException;
  const params = { value: file, problem: 'folder_refused', at: file, code };
  return new MeterwardenError('unusable_setting', { path: option, params, cause });
}
