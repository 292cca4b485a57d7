import { expect, test } from 'vitest';
import { instrument, ledgerOf } from './support/fleet.ts';

test('a ledger knows its instruments, and the gateways they name for as long as one does', () => {
  const ledger = ledgerOf({ key: 1, gateway: 'GW-1' }, { key: 2, gateway: 'GW-1' }, { key: 3, gateway: '' });
  const known = () => ['M-1', 'M-3', 'GW-1', 'GW-2', ''].filter((id) => ledger.knows(id));
  expect(known()).toEqual(['M-1', 'M-3', 'GW-1']);
  ledger.put(instrument({ key: 1, gateway: 'GW-2' }));
  expect(known()).toEqual(['M-1', 'M-3', 'GW-1', 'GW-2']);
  ledger.put(instrument({ key: 2, gateway: 'GW-2' }));
  ledger.put(instrument({ key: 2, gateway: 'GW-2' }));
  expect(known()).toEqual(['M-1', 'M-3', 'GW-2']);
});
