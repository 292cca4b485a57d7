/** From the words of the command line to checked options. */

import { parseDurationMs } from '../src/fleet/duration.ts';
import { SimulatorError } from './errors.ts';
import { FAULT_KINDS, type FaultCounts, type FaultKind } from './faults.ts';
import { type FleetOptions, fleetOptions } from './fleet.ts';
import { HALF_HOUR_MS } from './loads.ts';
import type { PublishOptions } from './publish-mqtt.ts';
import type { Speaker } from './texts.ts';

/** Option values as commander gives them, before any check. */
export interface SizeWords {
  readonly seed: string;
  readonly districts: string;
  readonly meters: string;
  readonly days: string;
}

export interface FleetWords extends SizeWords {
  readonly until?: string;
  readonly period: string;
  readonly faults: string;
  readonly threePhase: string;
  readonly meterError: string;
  readonly masterError: string;
  readonly voltageGain: string;
  readonly unmetered: string;
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

export function readSize(
  words: SizeWords,
  periodMs: number,
  maxDays: number,
  say: Speaker,
): Pick<FleetOptions, 'seed' | 'districts' | 'metersPerDistrict' | 'days'> {
  return {
    seed: integer('--seed', words.seed, 0, 2 ** 31 - 1, say),
    districts: integer('--districts', words.districts, 1, MAX_DISTRICTS, say),
    metersPerDistrict: integer('--meters', words.meters, 1, MAX_METERS, say),
    days: number('--days', words.days, Math.ceil((2 * periodMs * 1e4) / DAY_MS) / 1e4, maxDays, say),
  };
}

export function readFleetOptions(words: FleetWords, nowMs: number, say: Speaker): FleetOptions {
  const periodMs = period(words.period, say);
  const choices = {
    ...readSize(words, periodMs, MAX_DAYS, say),
    untilMs: Math.floor(until(words.until, nowMs, say) / periodMs) * periodMs,
    periodMs,
    threePhasePct: number('--three-phase', words.threePhase, 0, 100, say),
    meterErrorSdPct: number('--meter-error', words.meterError, 0, 20, say),
    masterErrorSdPct: number('--master-error', words.masterError, 0, 20, say),
    voltageGainSdPct: number('--voltage-gain', words.voltageGain, 0, 20, say),
    unmeteredW: number('--unmetered', words.unmetered, 0, 20_000, say),
  };
  const counts = faults(words.faults, say);
  return fleetOptions(counts ? { ...choices, faults: counts } : choices);
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

function number(option: string, value: string, min: number, max: number, say: Speaker): number {
  const parsed = /^\d+(\.\d+)?$/.test(value) ? Number(value) : Number.NaN;
  if (!(parsed >= min && parsed <= max)) throw invalid(option, value, say('expectNumber', { min, max }));
  return parsed;
}

function integer(option: string, value: string, min: number, max: number, say: Speaker): number {
  const parsed = /^\d+$/.test(value) ? Number(value) : Number.NaN;
  if (!(parsed >= min && parsed <= max)) throw invalid(option, value, say('expectInteger', { min, max }));
  return parsed;
}

function period(value: string, say: Speaker): number {
  const periodMs = parseDurationMs(value);
  const isWhole = periodMs !== undefined && periodMs >= 60_000 && periodMs <= DAY_MS && periodMs % 60_000 === 0;
  if (!isWhole || (HALF_HOUR_MS % periodMs !== 0 && periodMs % HALF_HOUR_MS !== 0)) {
    throw invalid('--period', value, say('expectPeriod'));
  }
  return periodMs;
}

function until(value: string | undefined, nowMs: number, say: Speaker): number {
  if (value === undefined) return nowMs;
  const isRfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/i.test(value);
  const untilMs = isRfc3339 ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(untilMs)) throw invalid('--until', value, say('expectTime'));
  if (untilMs > nowMs) throw invalid('--until', value, say('expectPast'));
  return untilMs;
}

/** Undefined = the default mix. */
function faults(value: string, say: Speaker): FaultCounts | undefined {
  if (value === 'default') return undefined;
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
