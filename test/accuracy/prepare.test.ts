import { expect, it } from 'vitest';
import { parseEstimationPolicy } from '../../src/accuracy/policy.ts';
import { prepare } from '../../src/accuracy/prepare.ts';
import { shipped } from '../support/broken-config.ts';

const policy = parseEstimationPolicy(shipped('accuracy.yaml'));
const MOMENTS = 401;

function series(id: string, isRead: (k: number) => boolean) {
  const importKwh = Float64Array.from({ length: MOMENTS }, (_, k) => (isRead(k) ? k * 0.1 : Number.NaN));
  return { id, phase: undefined, importKwh, exportKwh: undefined, voltagesV: [] };
}

it.each<[string, (k: number) => boolean, string | undefined]>([
  ['always', () => true, undefined],
  ['never', () => false, 'no_readings'],
  ['once', (k) => k === 7, 'no_readings'],
  ['every other time, so that no row has both ends', (k) => k % 2 === 0, 'no_readings'],
  ['in the last hours only', (k) => k > 360, 'too_few_rows'],
  ['now and then not', (k) => k % 10 > 0, 'low_collection'],
])('a meter that was read %s', (_, isRead, code) => {
  const window = { district: 'D', fromMs: 0, periodMs: 900_000, moments: MOMENTS, mpePct: [2], siteResults: [] };
  const meters = { master: series('M', () => true), users: [series('U', isRead)] };
  expect(prepare({ ...window, ...meters }, policy).reasons[0]?.code).toBe(code);
});
