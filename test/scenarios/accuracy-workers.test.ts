/** Several processes estimate; one is killed in the middle of a district, which another makes then. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Service } from '../../simulators/service.ts';
import { DAY_MS, DISTRICT, EstimatedDistrict, T0 } from '../support/estimated-district.ts';

let here: EstimatedDistrict;
const workers: Service[] = [];

beforeEach(async () => {
  here = await EstimatedDistrict.open();
  await here.read(0, 22);
});
afterEach(async () => {
  await Promise.all(workers.splice(0).map((worker) => worker.remove()));
  await here?.close();
});

async function work(): Promise<Service> {
  const worker = await Service.create({ DATABASE_URL: here.city.database.url }, 'work');
  workers.push(worker);
  await worker.start();
  return worker;
}

test('a district whose process was killed is estimated once, by another', { timeout: 180_000 }, async () => {
  const { runs, estimates } = here.city.parts.accuracy;
  const first = await work();
  // The night that is due has no readings here, and is over at once.
  const night = 'SELECT DISTINCT state FROM district_estimates';
  const { pool } = here.city.database;
  await expect.poll(async () => (await pool.query(night)).rows, { timeout: 30_000 }).toEqual([{ state: 'done' }]);
  const run = await runs.ask(DISTRICT, '220302', T0 + 21 * DAY_MS, 'chief', new Date());
  const state = async () => (await runs.get(DISTRICT, run.id)).state;
  await expect.poll(state, { timeout: 30_000, interval: 5 }).toBe('running');
  await first.kill();
  expect(await state()).toBe('running');
  await Promise.all([work(), work()]);
  await expect.poll(state, { timeout: 120_000 }).toBe('done');
  const meters = await estimates.metersOf(run.id);
  expect(meters).toHaveLength(25);
  expect(meters.filter(({ verdict }) => verdict === 'inaccurate')).toHaveLength(1);
});
