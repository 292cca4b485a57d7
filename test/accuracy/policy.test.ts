import { describe, expect, it } from 'vitest';
import { mpePctOf, parseEstimationPolicy } from '../../src/accuracy/policy.ts';
import { parseKinds } from '../../src/kinds.ts';
import { changed, refusalOf, shipped } from '../support/broken-config.ts';

const KEYS =
  'window_days | nightly_hour | min_rows | min_collection | min_energy_kwh | inaccurate_from | suspect_from | confirmations | master_uncertainty_pct | default_mpe_pct | horizon_days';

describe('config/accuracy.yaml', () => {
  it('as shipped asks for what an accusation needs', () => {
    expect(parseEstimationPolicy(shipped('accuracy.yaml'))).toEqual({
      windowDays: 49,
      nightlyHour: 2,
      minRows: 300,
      minCollection: 0.99,
      minEnergyKwh: 5,
      inaccurateFrom: 0.95,
      suspectFrom: 0.5,
      confirmations: 2,
      masterUncertaintyPct: 0.2,
      defaultMpePct: 2,
      horizonDays: 180,
    });
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['a missing value', { min_rows: undefined }, 'accuracy.min_rows: required'],
    [
      'an unknown name',
      { min_row: 1 },
      `accuracy.min_row: there is no “min_row”; the nearest is “min_rows”, known are ${KEYS}`,
    ],
    ['half a row', { min_rows: 0.5 }, 'accuracy.min_rows: must be a whole number'],
    ['one row', { min_rows: 1 }, 'accuracy.min_rows: at least 2'],
    ['no days', { window_days: 0 }, 'accuracy.window_days: at least 1'],
    ['more days than are kept', { window_days: 4000 }, 'accuracy.window_days: at most 3650'],
    ['a day of 25 hours', { nightly_hour: 24 }, 'accuracy.nightly_hour: at most 23'],
    ['a share in percent', { min_collection: 99 }, 'accuracy.min_collection: at most 1'],
    ['a probability of nothing', { suspect_from: 0 }, 'accuracy.suspect_from: must be above 0'],
    ['a probability in percent', { inaccurate_from: 95 }, 'accuracy.inaccurate_from: at most 1'],
    [
      'suspicion that needs more than a verdict',
      { suspect_from: 0.97 },
      'accuracy.suspect_from: must be below inaccurate_from, which is 0.95',
    ],
    ['no estimate in a row', { confirmations: 0 }, 'accuracy.confirmations: at least 1'],
    ['text', { horizon_days: '180d' }, 'accuracy.horizon_days: must be a number'],
    ['energy below nothing', { min_energy_kwh: -1 }, 'accuracy.min_energy_kwh: at least 0'],
    ['no limit', { default_mpe_pct: 0 }, 'accuracy.default_mpe_pct: must be above 0'],
    ['no end', { min_energy_kwh: Number.POSITIVE_INFINITY }, 'accuracy.min_energy_kwh: must be a number'],
  ])('is refused with %s', (_what, set, refusal) => {
    expect(refusalOf(() => parseEstimationPolicy(changed('accuracy.yaml', set)))).toBe(refusal);
  });

  it.each([[null], [[]], ['estimate']])('of another shape is refused: %j', (raw) => {
    expect(refusalOf(() => parseEstimationPolicy(raw))).toBe(
      'accuracy: must hold names with their values (name: value)',
    );
  });
});

describe('the limit of a meter', () => {
  const kinds = parseKinds(shipped('kinds.yaml'));
  it.each([
    ['electricity', '1', 1],
    ['electricity', 'B', 1],
    ['electricity', '0.5S', 0.5],
    ['electricity', '', 2],
    ['electricity', 'IV', 2],
    ['steam', '1', 2],
  ])('of kind %s and class “%s” is %d %%', (kind, accuracyClass, mpePct) => {
    expect(mpePctOf({ kind, accuracyClass }, kinds, { defaultMpePct: 2 })).toBe(mpePct);
  });
});
