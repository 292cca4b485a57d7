import { describe, expect, it } from 'vitest';
import { emptyValues, type Reading } from '../../src/fleet/reading.ts';
import { type LogEntry, Reorder } from '../../src/rules/reorder.ts';

const HOLD_MS = 1000;
/** a, b and c are of one district, all others of another. */
const districtOf = (key: number) => (key < 100 ? 'abc' : 'other');

/** `a5` is what instrument a measured at 5. */
const readings = (text: string): Reading[] =>
  text
    .split(' ')
    .filter((word) => word !== '')
    .map((word) => ({ key: word.charCodeAt(0), tsMs: Number(word.slice(1)), values: emptyValues() }));

const shown = (list: readonly Reading[]) => list.map(({ key, tsMs }) => `${String.fromCharCode(key)}${tsMs}`).join(' ');

function run(log: readonly [atMs: number, text: string][], upToMs: number, maxReadings = 100): string[] {
  const reorder = new Reorder(HOLD_MS, maxReadings, districtOf);
  const left: string[] = [];
  for (const [i, [atMs, text]] of log.entries()) {
    const due = reorder.push({ id: i + 1, atMs, readings: readings(text) });
    left.push(...due.map((entry) => `${entry.id}: ${shown(entry.readings)}`));
  }
  left.push(...reorder.due(upToMs).map((entry) => `${entry.id}: ${shown(entry.readings)}`));
  return left;
}

describe('readings of several writers', () => {
  it.each([
    {
      name: 'in order as they are',
      log: [
        [0, 'a1 b1'],
        [10, 'a2 b2'],
      ],
      upToMs: 1010,
      left: ['1: a1 b1', '2: a2 b2'],
    },
    {
      name: 'nothing before its time',
      log: [
        [0, 'a1'],
        [10, 'a2'],
      ],
      upToMs: 1009,
      left: ['1: a1'],
    },
    {
      name: 'overtaken within the time held',
      log: [
        [0, 'a3'],
        [500, 'a1'],
        [900, 'a2 b1'],
      ],
      upToMs: 1000,
      left: ['1: a1 b1 a2 a3'],
    },
    {
      name: 'what left with an earlier entry leaves once',
      log: [
        [0, 'a3'],
        [500, 'a1 b4'],
      ],
      upToMs: 1500,
      left: ['1: a1 a3', '2: b4'],
    },
    {
      name: 'another district stays where it is',
      log: [
        [0, 'a2'],
        [100, 'b1 x1'],
      ],
      upToMs: 1000,
      left: ['1: b1 a2'],
    },
    {
      name: 'too late comes too late',
      log: [
        [0, 'a2'],
        [1001, 'a1'],
      ],
      upToMs: 2001,
      left: ['1: a2', '2: a1'],
    },
    {
      name: 'of equal times the first logged comes first',
      log: [
        [0, 'a1'],
        [1, 'a1'],
      ],
      upToMs: 1001,
      left: ['1: a1 a1', '2: '],
    },
    {
      name: 'an empty entry is a sign of life',
      log: [
        [0, ''],
        [1, 'a1'],
      ],
      upToMs: 1001,
      left: ['1: ', '2: a1'],
    },
  ] as const)('$name', ({ log, upToMs, left }) => {
    expect(run(log as unknown as [number, string][], upToMs)).toEqual(left);
  });

  it('are held up to a number', () => {
    expect(
      run(
        [
          [0, 'a1 a2'],
          [1, 'b1 b2'],
          [2, 'c1'],
        ],
        2,
        3,
      ),
    ).toEqual(['1: a1 b1 a2 b2']);
  });

  it('are in order for every shuffle that stays within the time held', () => {
    for (let seed = 1; seed <= 20; seed++) {
      let random = seed;
      const next = () => {
        random = (random * 48_271) % 2_147_483_647;
        return random / 2_147_483_647;
      };
      const sent = Array.from({ length: 300 }, (_, i) => ({
        atMs: i * 20 + next() * (HOLD_MS - 1),
        key: 97 + (i % 3),
        tsMs: i,
      }));
      const reorder = new Reorder(HOLD_MS, 1e6, districtOf);
      const newest = new Map<number, number>();
      let count = 0;
      const take = (due: LogEntry[]) => {
        for (const entry of due)
          for (const { key, tsMs } of entry.readings) {
            expect(tsMs, `seed ${seed}`).toBeGreaterThan(newest.get(key) ?? -1);
            newest.set(key, tsMs);
            count++;
          }
      };
      for (const [i, { atMs, key, tsMs }] of sent.toSorted((a, b) => a.atMs - b.atMs).entries()) {
        take(reorder.push({ id: i, atMs, readings: [{ key, tsMs, values: emptyValues() }] }));
      }
      take(reorder.due(1e9));
      expect(count).toBe(300);
    }
  });
});
