/** Estimates of running errors against the truth of hard districts, beside ridge regression on the same data. */
import { writeFile } from 'node:fs/promises';
import { readLondonProfiles } from '../../simulators/london.ts';
import { DEVELOPMENT_CASES, JUDGING_CASES, PRESET_NAMES, PRESETS, type PresetName } from '../../simulators/presets.ts';
import { estimateDistrict } from '../../src/accuracy/estimate.ts';
import { type Score, scoreOf } from '../../src/accuracy/score.ts';
import { loadDomain } from '../../src/config.ts';
import { renew, table } from '../markdown.ts';
import { districtOf, judged, strayOf } from './district.ts';
import { ridge } from './ridge.ts';

export interface AccuracyOptions {
  readonly presets: readonly PresetName[];
  /** Names of cases; undefined = those for judging. */
  readonly cases?: readonly string[];
  readonly large: boolean;
  readonly json?: string;
  readonly doc?: readonly string[];
}

interface Row {
  readonly preset: string;
  readonly name: string;
  readonly ours: Score;
  readonly ridge: Score;
  readonly seconds: number;
  readonly straysNamed: number;
  readonly strays: number;
}

export const CASES = { ...DEVELOPMENT_CASES, ...JUDGING_CASES };
const LARGE = { metersPerDistrict: 300, days: 60 } as const;
/** A city. */
const CITY_DISTRICTS = 3_500;

export async function accuracy(options: AccuracyOptions, progress: (line: string) => void): Promise<void> {
  const profiles = readLondonProfiles();
  const { accuracy: policy } = loadDomain();
  const rows: Row[] = [];
  const measure = (preset: PresetName, name: string, further: object = {}) => {
    const district = districtOf({ ...PRESETS[preset], ...CASES[name]!, ...further }, profiles);
    const cpu = process.cpuUsage();
    const { meters } = estimateDistrict(district.window, policy);
    const { user, system } = process.cpuUsage(cpu);
    const strays = strayOf(district.truth);
    const row: Row = {
      preset,
      name,
      ours: scoreOf(judged(district, meters)),
      ridge: scoreOf(judged(district, ridge(district.window))),
      seconds: (user + system) / 1e6,
      straysNamed: meters.filter((one) => strays.includes(one.instrument) && one.reason?.code === 'wrong_district')
        .length,
      strays: strays.length,
    };
    progress(cells(row).join('  '));
    return row;
  };
  measure(options.presets[0]!, Object.keys(CASES)[0]!); // the compiler has seen it then
  for (const preset of options.presets) {
    for (const name of options.cases ?? Object.keys(JUDGING_CASES)) rows.push(measure(preset, name));
  }
  const means = options.presets.map((preset) =>
    meanRow(
      preset,
      rows.filter((row) => row.preset === preset),
    ),
  );
  const large = options.large
    ? (['clean', 'field'] as const).map((preset) => measure(preset, 'development-1', LARGE))
    : [];
  const text = [
    table(HEAD, means.map(cells)),
    '',
    `Each line is the mean of ${rows.length / options.presets.length} districts. ${nightOf(means)}`,
    ...large.map(
      ({ preset, seconds }) =>
        `300 meters × 60 days (${preset}): ${seconds.toFixed(1)} s of one core; peak of the whole bench ${peakMb()} MB.`,
    ),
  ].join('\n');
  process.stdout.write(`${table(HEAD, rows.map(cells))}\n\n${text}\n`);
  if (options.json) await writeFile(options.json, `${JSON.stringify({ rows, large }, null, 2)}\n`);
  for (const page of options.doc ?? []) await renew(page, { 'bench accuracy': text });
}

const HEAD = [
  'district',
  'RMSE %',
  'ridge',
  '95 % covers',
  'ridge',
  'innocent accused',
  'ridge',
  'guilty suspect or worse',
  'inaccurate',
  'stray named',
  's',
];

function cells({ preset, name, ours, ridge: theirs, seconds, strays, straysNamed }: Row): string[] {
  const of = (part: number, whole: number) => `${round(part)} of ${round(whole)}`;
  return [
    name === preset ? preset : `${preset} ${name}`,
    ours.rmsePct.toFixed(2),
    theirs.rmsePct.toFixed(2),
    `${ours.coveragePct.toFixed(0)} %`,
    `${theirs.coveragePct.toFixed(0)} %`,
    of(ours.innocentAccused, ours.innocent),
    of(theirs.innocentAccused, theirs.innocent),
    of(ours.guiltyNoticed, ours.guilty),
    of(ours.guiltyCalled, ours.guilty),
    strays > 0 ? of(straysNamed, strays) : '–',
    seconds.toFixed(1),
  ];
}

const round = (value: number) => String(Math.round(value * 10) / 10);

function meanRow(preset: string, rows: readonly Row[]): Row {
  const over = (value: (row: Row) => number) => rows.reduce((sum, row) => sum + value(row), 0) / rows.length;
  const score = (of: (row: Row) => Score): Score =>
    Object.fromEntries(
      Object.keys(of(rows[0]!)).map((key) => [key, over((row) => of(row)[key as keyof Score])]),
    ) as unknown as Score;
  return {
    preset,
    name: preset,
    ours: score(({ ours }) => ours),
    ridge: score((row) => row.ridge),
    seconds: over(({ seconds }) => seconds),
    strays: over(({ strays }) => strays),
    straysNamed: over(({ straysNamed }) => straysNamed),
  };
}

function nightOf(means: readonly Row[]): string {
  const seconds = means.reduce((sum, row) => sum + row.seconds, 0) / means.length;
  const hours = (CITY_DISTRICTS * seconds) / 3600;
  return `${Math.round(3600 / seconds)} districts per core-hour; ${CITY_DISTRICTS} districts take ${hours.toFixed(1)} core-hours a night, all of their window anew.`;
}

function peakMb(): number {
  return Math.round(process.resourceUsage().maxRSS / 1024);
}

export function presetsNamed(text: string): PresetName[] | undefined {
  const names = text.split(',');
  return names.every((name) => PRESET_NAMES.includes(name as PresetName)) ? (names as PresetName[]) : undefined;
}
