/** The instruments of a simulated district as its owner's ledger would list them. */

import type { Instrument, Phase } from '../src/fleet/instrument.ts';
import type { Random } from './random.ts';

/** An instrument as the fleet folder describes it: surrogate key and state belong to the service. */
export type SimulatedInstrument = Omit<Instrument, 'key' | 'state'>;

/** GB/T 2260: 铁西, 铁东, 梨树, 伊通, 双辽. */
const REGIONS = ['220302', '220303', '220322', '220323', '220382'];

/** Invented makers and their types. */
const MAKERS = [
  { manufacturer: 'Songliao', code: 'SL', single: 'SL-D10', threePhase: 'SL-S30' },
  { manufacturer: 'Yitong River', code: 'YR', single: 'YR-1', threePhase: 'YR-3' },
  { manufacturer: 'Changbai', code: 'CB', single: 'CB60', threePhase: 'CB60T' },
];

const OWNER = '示范供电公司';
const NOMINAL_VOLTAGE_V = 220;

/** Meters are rotated after 8 years, so none is older. */
const SERVICE_YEARS = 8;

/** Standard main currents of masters in ampere; a user is planned with 5 A per phase (2 kVA over three phases, doubled). */
const MASTER_CURRENTS_A = [100, 200, 400, 600, 1000, 1500, 2500, 5000];
const MASTER_CURRENT_PER_USER_A = 5;

export function districtName(index: number): string {
  return `D${String(index + 1).padStart(3, '0')}`;
}

/** `phases[i]` is the phase of user i; the master comes first. */
export function drawInstruments(
  random: Random,
  districtIndex: number,
  phases: readonly Phase[],
  untilMs: number,
): SimulatedInstrument[] {
  const district = districtName(districtIndex);
  const untilYear = new Date(untilMs).getUTCFullYear();
  const shared = {
    kind: 'electricity',
    district,
    owner: OWNER,
    region: REGIONS[districtIndex % REGIONS.length]!,
    nominalVoltageV: NOMINAL_VOLTAGE_V,
    gateway: `GW-${district}`,
  };
  const draw = (index: number, phase: Phase) => {
    const maker = random.pick(MAKERS);
    const year = untilYear - 1 - random.below(SERVICE_YEARS - 1);
    return {
      ...shared,
      id: `${district}-M${String(index).padStart(3, '0')}`,
      phase,
      manufacturer: maker.manufacturer,
      model: phase === 'L123' ? maker.threePhase : maker.single,
      batch: `${maker.code}-${year}-${1 + random.below(4)}`,
      installedOn: isoDay(Date.UTC(year, random.below(12), 1 + random.below(28))),
    };
  };
  const masterCurrentA = MASTER_CURRENTS_A.find((current) => current >= phases.length * MASTER_CURRENT_PER_USER_A);
  return [
    { ...draw(0, 'L123'), role: 'master', accuracyClass: '0.5S', maxCurrentA: masterCurrentA ?? 5000 },
    ...phases.map(
      (phase, i): SimulatedInstrument => ({
        ...draw(i + 1, phase),
        role: 'user',
        accuracyClass: phase === 'L123' ? '1' : '2',
        maxCurrentA: 60,
      }),
    ),
  ];
}

/** Single-phase users balanced over the phases in random order, `threePhaseCount` of them on all three. */
export function drawPhases(random: Random, userCount: number, threePhaseCount: number): Phase[] {
  const single: readonly Phase[] = ['L1', 'L2', 'L3'];
  const phases = Array.from({ length: userCount }, (_, i): Phase => (i < threePhaseCount ? 'L123' : single[i % 3]!));
  return random.shuffled(phases);
}

function isoDay(atMs: number): string {
  return new Date(atMs).toISOString().slice(0, 10);
}
