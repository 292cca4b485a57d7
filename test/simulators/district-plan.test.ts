import { expect, it } from 'vitest';
import { drawHomes } from '../../simulators/district-plan.ts';
import { readLondonProfiles } from '../../simulators/london.ts';
import { Random } from '../../simulators/random.ts';

const profiles = readLondonProfiles();
const weeks = Math.floor(profiles.dayCount / 7);

it.each([
  ['of one household, as many users as it has weeks', 1, weeks, weeks],
  ['more users than weeks: some are alike, and all are drawn', 1, weeks + 5, weeks],
  ['of many households', profiles.halfHourKwh.length, 300, 300],
])('no two live the same weeks: %s', (_, households, users, different) => {
  const some = { ...profiles, halfHourKwh: profiles.halfHourKwh.slice(0, households) };
  const homes = drawHomes(new Random(1), new Random(2), some, Array(users).fill('L1'), 0);
  const lives = homes.map(({ occupants: [one] }) => `${some.halfHourKwh.indexOf(one!.halfHourKwh)} ${one!.shiftDays}`);
  expect(lives).toHaveLength(users);
  expect(new Set(lives).size).toBe(different);
});
