/** From the words of the command line to checked options. */

import { parseDurationMs } from '../src/fleet/duration.ts';
import { VOLTAGES } from './district.ts';
import { SimulatorError } from './errors.ts';
import { FAULT_KINDS, type FaultCounts, type FaultKind } from './faults.ts';
import { FLEET_DEFAULTS, type FleetOptions, fleetOptions, NETWORKS } from './fleet.ts';
import { HALF_HOUR_MS, HOUSEHOLDS } from './loads.ts';
import { DEVELOPMENT_CASES, JUDGING_CASES, PRESET_NAMES, PRESETS } from './presets.ts';
import type { PublishOptions } from './publish-mqtt.ts';
import type { Speaker } from './texts.ts';
import { VARIATIONS } from './variation.ts';

export interface SizeWords {
  readonly seed?: string;
  readonly districts?: string;
  readonly meters?: string;
  readonly days?: string;
}

/** Option values as commander gives them, before any check; undefined = not given. */
export interface FleetWords extends SizeWords {
  readonly preset?: string;
  readonly case?: string;
  readonly until?: string;
  readonly period?: string;
  readonly faults?: string;
  readonly network?: string;
  readonly loss?: string;
  readonly step?: string;
  readonly variation?: string;
  readonly households?: string;
  readonly threePhase?: string;
  readonly solar?: string;
  readonly meterError?: string;
  readonly masterError?: string;
  readonly voltageGain?: string;
  readonly voltages?: string;
  readonly registerStep?: string;
  readonly voltageStep?: string;
  readonly clockOffset?: string;
  readonly missing?: string;
  readonly unmetered?: string;
  readonly theft?: string;
}

export interface PublishWords {
  readonly mqtt: string;
  readonly secret: string;
  readonly topicPrefix?: string;
  readonly window: string;
  readonly readingsPerMessage: string;
  readonly live: string;
  readonly liveEvery: string;
}

/** Beyond these the generator would still work, but no folder or district of that size exists. */
const MAX_DISTRICTS = 5_000;
const MAX_METERS = 1_000;
const MAX_DAYS = 3_660;
/** What the service keeps by default (RETENTION_DAYS), less room for the hours the demo takes. */
export const MAX_DEMO_DAYS = 799;
const DAY_MS = 86_400_000;

/** What is not given comes from the case, then from the preset, then from the defaults. */
export function readFleetOptions(words: FleetWords, nowMs: number, say: Speaker): FleetOptions {
  const preset = words.preset === undefined ? {} : PRESETS[oneOf('--preset', words.preset, PRESET_NAMES, say)];
  const cases = { ...DEVELOPMENT_CASES, ...JUDGING_CASES };
  const from = words.case === undefined ? {} : cases[oneOf('--case', words.case, Object.keys(cases), say)]!;
  const base: typeof preset & Partial<FleetOptions> = { ...preset, ...from };
  const periodMs = words.period === undefined ? (base.periodMs ?? FLEET_DEFAULTS.periodMs) : period(words.period, say);
  const chosen = {
    ...base,
    ...readSize(words, periodMs, MAX_DAYS, say),
    ...given({
      stepMs: words.step === undefined ? undefined : step(words.step, say),
      faults: words.faults === undefined ? undefined : faults(words.faults, say),
    }),
    ...readHomes(words, say),
    ...readMeters(words, say),
  };
  const untilMs = words.until === undefined ? (base.untilMs ?? nowMs) : until(words.until, nowMs, say);
  return fleetOptions({ ...chosen, periodMs, untilMs: Math.floor(untilMs / periodMs) * periodMs });
}

/** Only what was given, so that it can be laid over a preset. */
function given<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as never;
}

export function readSize(words: SizeWords, periodMs: number, maxDays: number, say: Speaker) {
  return given({
    seed: integer('--seed', words.seed, 0, 2 ** 31 - 1, say),
    districts: integer('--districts', words.districts, 1, MAX_DISTRICTS, say),
    metersPerDistrict: integer('--meters', words.meters, 1, MAX_METERS, say),
    days: number('--days', words.days, Math.ceil((2 * periodMs * 1e4) / DAY_MS) / 1e4, maxDays, say),
  });
}

function readHomes(words: FleetWords, say: Speaker) {
  return given({
    network: oneOf('--network', words.network, NETWORKS, say),
    // As long as they are: null, where not given is undefined.
    lossPct: words.loss === 'natural' ? null : number('--loss', words.loss, 0.1, 20, say),
    variation: oneOf('--variation', words.variation, VARIATIONS, say),
    households: oneOf('--households', words.households, HOUSEHOLDS, say),
    threePhasePct: number('--three-phase', words.threePhase, 0, 100, say),
    solarPct: number('--solar', words.solar, 0, 100, say),
    unmeteredW: number('--unmetered', words.unmetered, 0, 20_000, say),
    theftW: number('--theft', words.theft, 0, 20_000, say),
  });
}

function readMeters(words: FleetWords, say: Speaker) {
  return given({
    meterErrorSdPct: number('--meter-error', words.meterError, 0, 20, say),
    masterErrorSdPct: number('--master-error', words.masterError, 0, 20, say),
    voltageGainSdPct: number('--voltage-gain', words.voltageGain, 0, 20, say),
    voltages: oneOf('--voltages', words.voltages, VOLTAGES, say),
    registerStepKwh: number('--register-step', words.registerStep, 0, 10, say),
    voltageStepV: number('--voltage-step', words.voltageStep, 0, 10, say),
    // Further off than this a reading would belong to another interval.
    clockOffsetSdS: number('--clock-offset', words.clockOffset, 0, 600, say),
    missingPct: number('--missing', words.missing, 0, 50, say),
  });
}

export function readPublishOptions(words: PublishWords, say: Speaker): PublishOptions {
  if (words.secret === '') throw invalid('--secret', words.secret, say('expectSecret'));
  return {
    url: url(words.mqtt, say),
    secret: words.secret,
    topicPrefix: topicPrefix(words.topicPrefix ?? '', say),
    // A PUBACK names its message by 16 bits; a gateway that needs a thousand has another problem.
    window: integer('--window', words.window, 1, 1_000, say),
    readingsPerMessage: integer('--readings-per-message', words.readingsPerMessage, 1, 10_000, say),
    liveMs: number('--live', words.live, 0, 30 * 86_400, say) * 1000,
    liveEveryMs: number('--live-every', words.liveEvery, 0.1, 86_400, say) * 1000,
  };
}

/** Of `--out` and `--fleet`: an empty one would be the folder one happens to stand in. */
export function readFolderName(option: string, value: string, say: Speaker): string {
  if (value.trim() === '') throw invalid(option, value, say('expectFolder'));
  return value;
}

function invalid(option: string, value: string, expected: string): SimulatorError {
  return new SimulatorError('invalid_option', { option, value, expected });
}

function number(option: string, value: string, min: number, max: number, say: Speaker): number;
function number(option: string, value: string | undefined, min: number, max: number, say: Speaker): number | undefined;
function number(option: string, value: string | undefined, min: number, max: number, say: Speaker): number | undefined {
  if (value === undefined) return undefined;
  const parsed = /^\d+(\.\d+)?$/.test(value) ? Number(value) : Number.NaN;
  if (!(parsed >= min && parsed <= max)) throw invalid(option, value, say('expectNumber', { min, max }));
  return parsed;
}

function integer(option: string, value: string, min: number, max: number, say: Speaker): number;
function integer(option: string, value: string | undefined, min: number, max: number, say: Speaker): number | undefined;
function integer(
  option: string,
  value: string | undefined,
  min: number,
  max: number,
  say: Speaker,
): number | undefined {
  if (value === undefined) return undefined;
  const parsed = /^\d+$/.test(value) ? Number(value) : Number.NaN;
  if (!(parsed >= min && parsed <= max)) throw invalid(option, value, say('expectInteger', { min, max }));
  return parsed;
}

function oneOf<T extends string>(option: string, value: string, choices: readonly T[], say: Speaker): T;
function oneOf<T extends string>(
  option: string,
  value: string | undefined,
  choices: readonly T[],
  say: Speaker,
): T | undefined;
function oneOf<T extends string>(
  option: string,
  value: string | undefined,
  choices: readonly T[],
  say: Speaker,
): T | undefined {
  if (value === undefined) return undefined;
  const found = choices.find((choice) => choice === value);
  if (found === undefined) throw invalid(option, value, say('expectChoice', { choices: choices.join(', ') }));
  return found;
}

function step(value: string, say: Speaker): number {
  const stepMs = parseDurationMs(value);
  if (stepMs === undefined || stepMs < 60_000 || stepMs % 60_000 !== 0 || HALF_HOUR_MS % stepMs !== 0) {
    throw invalid('--step', value, say('expectStep'));
  }
  return stepMs;
}

function period(value: string, say: Speaker): number {
  const periodMs = parseDurationMs(value);
  const isWhole = periodMs !== undefined && periodMs >= 60_000 && periodMs <= DAY_MS && periodMs % 60_000 === 0;
  if (!isWhole || (HALF_HOUR_MS % periodMs !== 0 && periodMs % HALF_HOUR_MS !== 0)) {
    throw invalid('--period', value, say('expectPeriod'));
  }
  return periodMs;
}

function until(value: string, nowMs: number, say: Speaker): number {
  const isRfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/i.test(value);
  const untilMs = isRfc3339 ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(untilMs)) throw invalid('--until', value, say('expectTime'));
  if (untilMs > nowMs) throw invalid('--until', value, say('expectPast'));
  return untilMs;
}

/** Default = the mix for the size. */
function faults(value: string, say: Speaker): FaultCounts | 'default' {
  if (value === 'default') return 'default';
  if (value === 'none') return {};
  const counts: Partial<Record<FaultKind, number>> = {};
  for (const part of value.split(',')) {
    const match = /^\s*([a-z-]+)=(\d{1,6})\s*$/.exec(part);
    const kind = FAULT_KINDS.find((one) => one === match?.[1]);
    if (!kind) throw invalid('--faults', value, say('expectFaults', { kinds: FAULT_KINDS.join(', ') }));
    counts[kind] = Number(match![2]);
  }
  return counts;
}

/** Empty = none; else levels that end with a slash, one of them the gateway. */
function topicPrefix(value: string, say: Speaker): string {
  const names = value.split('/').filter((level) => level === '{client}').length;
  if (value !== '' && !(value.endsWith('/') && names === 1 && !/[+#]/.test(value))) {
    throw invalid('--topic-prefix', value, say('expectTopicPrefix'));
  }
  return value;
}

function url(value: string, say: Speaker): string {
  const isMqtt = URL.canParse(value) && ['mqtt:', 'mqtts:', 'ws:', 'wss:'].includes(new URL(value).protocol);
  if (!isMqtt || new URL(value).hostname === '') throw invalid('--mqtt', value, say('expectUrl'));
  return value;
}
