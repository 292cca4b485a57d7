import { type Instrument, MemoryLedger } from '../../src/fleet/instrument.ts';

/** An instrument with everything a test does not care about filled in. */
export function instrument(given: Partial<Instrument> & { key: number }): Instrument {
  return {
    id: `M-${given.key}`,
    kind: 'electricity',
    role: 'user',
    district: 'D-1',
    phase: 'L1',
    accuracyClass: 'A',
    manufacturer: '',
    model: '',
    batch: '',
    installedOn: '',
    owner: '',
    region: '220302',
    nominalVoltageV: 220,
    maxCurrentA: 60,
    gateway: 'GW-1',
    state: 'in-service',
    ...given,
  };
}

export function ledgerOf(...instruments: (Partial<Instrument> & { key: number })[]): MemoryLedger {
  return new MemoryLedger(instruments.map(instrument));
}
