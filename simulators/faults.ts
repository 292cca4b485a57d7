/** What goes wrong with meters and how it shows in the readings. */

export const FAULT_KINDS = [
  'silent',
  'rollback',
  'stopped',
  'runaway',
  'voltage-loss',
  'outage',
  'constant-error',
  'drift',
  'step',
  'light-load',
  'theft',
  'wrong-district',
  'wrong-phase',
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

export type FaultCounts = Readonly<Partial<Record<FaultKind, number>>>;

export interface Fault {
  readonly kind: FaultKind;
  /** The first affected reading, epoch ms. */
  readonly fromMs: number;
  /** The first reading no longer affected; null = for good. */
  readonly toMs: number | null;
  /** Percent for constant-error, step and light-load, percent per day for drift, kWh for rollback, otherwise a factor. */
  readonly size: number;
}

/** What one interval looks like to a meter. */
export interface Interval {
  readonly fromMs: number;
  readonly toMs: number;
  /** What √3·U·Imax·Δt·1.2 allows. */
  readonly limitKwh: number;
  /** 0 = the load was never light, 1 = there was almost none. */
  readonly lightLoadShare: number;
}

/** How a fault acts on a meter; each cause is one entry and says only what it changes. */
interface Effect {
  /** No reading leaves the meter. */
  readonly mutes?: true;
  /** Added to the meter's own error. */
  errorPct?(fault: Fault, interval: Interval): number;
  /** Share of the measured energy that the register counts. */
  energyShare?(fault: Fault): number;
  /** Counted without having passed. */
  addedKwh?(fault: Fault, interval: Interval): number;
  /** Taken off the register before it counts on. */
  setBackKwh?(fault: Fault, interval: Interval): number;
  /** Share of the voltage that reaches the measuring element. */
  voltageShare?(fault: Fault): number;
}

const EFFECTS: Readonly<Record<FaultKind, Effect>> = {
  silent: { mutes: true },
  outage: { mutes: true },
  rollback: { setBackKwh: (fault, interval) => (interval.fromMs < fault.fromMs ? fault.size : 0) },
  stopped: { energyShare: () => 0 },
  runaway: { addedKwh: (fault, interval) => fault.size * interval.limitKwh },
  // A measuring element without its voltage also counts that much less energy.
  'voltage-loss': { voltageShare: (fault) => fault.size, energyShare: (fault) => fault.size },
  'constant-error': { errorPct: (fault) => fault.size },
  drift: { errorPct: (fault, interval) => (fault.size * (interval.toMs - fault.fromMs)) / DAY_MS },
  step: { errorPct: (fault) => fault.size },
  'light-load': { errorPct: (fault, interval) => fault.size * interval.lightLoadShare },
  // What is wrong with the district and its ledger leaves the meters themselves in order.
  theft: {},
  'wrong-district': {},
  'wrong-phase': {},
};

const DAY_MS = 86_400_000;

export interface Distortion {
  muted: boolean;
  errorPct: number;
  energyShare: number;
  addedKwh: number;
  setBackKwh: number;
  voltageShare: number;
}

/** All that acts on a meter over one interval. */
export function distortion(faults: readonly Fault[], interval: Interval): Distortion {
  const sum = { muted: false, errorPct: 0, energyShare: 1, addedKwh: 0, setBackKwh: 0, voltageShare: 1 };
  for (const fault of faults) {
    if (!isActive(fault, interval.toMs)) continue;
    const effect = EFFECTS[fault.kind];
    sum.muted ||= effect.mutes ?? false;
    sum.errorPct += effect.errorPct?.(fault, interval) ?? 0;
    sum.energyShare *= effect.energyShare?.(fault) ?? 1;
    sum.addedKwh += effect.addedKwh?.(fault, interval) ?? 0;
    sum.setBackKwh += effect.setBackKwh?.(fault, interval) ?? 0;
    sum.voltageShare *= effect.voltageShare?.(fault) ?? 1;
  }
  return sum;
}

export function isActive(fault: Fault, tsMs: number): boolean {
  return fault.fromMs <= tsMs && (fault.toMs === null || tsMs < fault.toMs);
}
