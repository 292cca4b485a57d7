import { describe, expect, it } from 'vitest';
import { collectDistricts } from '../../src/commands/collect-districts.ts';
import type { Instrument } from '../../src/fleet/instrument.ts';
import { orderedValues, type Reading } from '../../src/fleet/reading.ts';
import { parseKinds } from '../../src/kinds.ts';
import { shipped } from '../support/broken-config.ts';

const kinds = parseKinds(shipped('kinds.yaml'));
const QUARTER_MS = 900_000;
const instruments = ['A', 'B', 'C'].flatMap((district, i) =>
  (['master', 'user'] as const).map(
    (role, j) =>
      ({
        key: 2 * i + j + 1,
        id: `${district}-${role}`,
        district,
        role,
        kind: 'electricity',
        phase: '',
        state: 'in-service',
      }) as Instrument,
  ),
);

/** Sorted by time, as folders are; ten moments. */
function* readings(): Generator<readonly Reading[]> {
  for (let k = 0; k < 10; k++)
    yield instruments.map(({ key }) => ({
      key,
      tsMs: k * QUARTER_MS,
      values: orderedValues({ active_import_kwh: k }),
    }));
}

async function collect(maxHeld: number) {
  const passes: number[] = [];
  let firstPasses = 0;
  const districts = [];
  const calls = {
    onBlock: (seen: number) => void (seen === 6 && passes.push(seen)),
    onFirstPass: () => void firstPasses++,
  };
  const found = collectDistricts(
    instruments,
    async function* () {
      yield* readings();
    },
    { kinds, policy: { defaultMpePct: 2 } },
    calls,
    maxHeld,
  );
  for await (const { window } of found) districts.push(window);
  return { districts, passes: passes.length, firstPasses };
}

describe('the districts of a folder', () => {
  it.each([
    ['all at once when they fit', 60, 1],
    ['one less when they do not', 59, 2],
    ['one by one', 20, 3],
    ['one by one even when none fits', 5, 3],
  ])('come %s', async (_, maxHeld, passes) => {
    const found = await collect(maxHeld);
    expect(found.passes).toBe(passes);
    expect(found.firstPasses).toBe(1);
    expect(found.districts.map(({ district }) => district)).toEqual(['A', 'B', 'C']);
    for (const { master, users, moments } of found.districts) {
      expect(moments).toBe(10);
      expect(master!.importKwh).toEqual(Float64Array.from({ length: 10 }, (__, k) => k));
      expect(users[0]!.importKwh).toEqual(master!.importKwh);
    }
  });
});
