import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { fleetOptions, type Step, simulateFleet } from '../../simulators/fleet.ts';
import { readFolder, writeFolder } from '../../simulators/folder.ts';
import { readLondonProfiles } from '../../simulators/london.ts';

const fleet = simulateFleet(
  fleetOptions({ untilMs: Date.UTC(2026, 0, 31), metersPerDistrict: 20, districts: 2, days: 1, seed: 8 }),
  readLondonProfiles(),
);

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'fleet-'));
});
afterEach(() => rm(dir, { recursive: true }));

async function collect(steps: AsyncIterable<Step>): Promise<Step[]> {
  const all: Step[] = [];
  for await (const step of steps) all.push(step);
  return all;
}

test.each([false, true])('what is written is read again (gzip %s)', async (gzip) => {
  const run = fleet.start();
  const written = await writeFolder(dir, run, { gzip });
  const read = await readFolder(dir);
  const steps = await collect(read.steps());
  expect(read.instruments).toEqual(fleet.instruments);
  expect(steps).toEqual([...fleet.steps()]);
  expect(written).toBe(steps.reduce((sum, step) => sum + step.rows.length, 0));
  expect(read.truth()).toEqual(run.truth().map((one) => ({ ...one, errorPct: Number(one.errorPct.toFixed(4)) })));
});

test('columns are those of the fleet folder, and a second writing leaves nothing of the first', async () => {
  await writeFolder(dir, fleet.start(), { gzip: true });
  await writeFolder(dir, { ...fleet.start(), truth: () => [] });
  const head = async (name: string) => (await readFile(join(dir, name), 'utf8')).split('\n')[0];
  expect(await head('instruments.csv')).toBe(
    'id,kind,role,district,phase,accuracy_class,manufacturer,model,batch,installed_on,owner,region,nominal_voltage_v,max_current_a,gateway',
  );
  expect(await head('readings.csv')).toBe(
    'ts,instrument,active_import_kwh,voltage_v,current_a,active_power_w,voltage_l1_v,voltage_l2_v,voltage_l3_v',
  );
  await expect(readFile(join(dir, 'readings.csv.gz'))).rejects.toThrow('ENOENT');
  await expect(readFile(join(dir, 'truth.csv'))).rejects.toThrow('ENOENT');
});

test('roofs add a column, every digit and the clocks are kept', async () => {
  const solar = simulateFleet(
    fleetOptions({
      untilMs: Date.UTC(2026, 0, 31),
      metersPerDistrict: 20,
      days: 1,
      solarPct: 50,
      registerStepKwh: 0,
      clockOffsetSdS: 30,
      faults: {},
    }),
    readLondonProfiles(),
  );
  const run = solar.start();
  await writeFolder(dir, run);
  const head = (await readFile(join(dir, 'readings.csv'), 'utf8')).split('\n')[0];
  expect(head).toMatch(/,voltage_l3_v,active_export_kwh$/);
  expect((await readFile(join(dir, 'truth.csv'), 'utf8')).split('\n')[0]).toBe(
    'instrument,error_pct,fault,fault_from,fault_to,clock_offset_s',
  );
  const read = await readFolder(dir);
  expect(await collect(read.steps())).toEqual([...solar.steps()]);
  expect(read.truth().map(({ clockOffsetS }) => clockOffsetS)).toEqual(
    run.truth().map(({ clockOffsetS }) => clockOffsetS),
  );
});

test('the truth of others need not tell clocks', async () => {
  await writeFolder(dir, { ...fleet.start(), steps: () => [] });
  await writeFile(join(dir, 'truth.csv'), 'instrument,error_pct,fault,fault_from,fault_to\nD001-M001,1.5,,,\n');
  expect((await readFolder(dir)).truth()).toMatchObject([{ errorPct: 1.5, clockOffsetS: 0 }]);
});

test('quoted cells survive', async () => {
  const instruments = [{ ...fleet.instruments[0]!, owner: 'A, "B"\nC' }];
  await writeFolder(dir, { instruments, truth: () => [], steps: () => [] });
  const read = await readFolder(dir);
  expect(read.instruments).toEqual(instruments);
  expect(await collect(read.steps())).toEqual([]);
});

test('any of its files may be compressed', async () => {
  await writeFolder(dir, fleet.start());
  for (const name of ['instruments.csv', 'readings.csv', 'truth.csv']) {
    await writeFile(join(dir, `${name}.gz`), gzipSync(await readFile(join(dir, name))));
    await rm(join(dir, name));
  }
  const read = await readFolder(dir);
  expect(read.instruments).toEqual(fleet.instruments);
  expect(new Set(read.truth().map((one) => one.instrument)).size).toBe(fleet.instruments.length);
  expect(await collect(read.steps())).toEqual([...fleet.steps()]);
});

test.each([
  ['ts,instrument,colour\n', 'unknown_column'],
  ['ts,voltage_v\n', 'missing_column'],
  ['ts,instrument,voltage_v\n2026-01-01T00:00:00Z,D001-M001,x\n', 'invalid_cell'],
  ['ts,instrument,voltage_v\nyesterday,D001-M001,1\n', 'invalid_cell'],
  ['ts,instrument,voltage_v\n2026-01-01T00:00:00Z,NOBODY,1\n', 'unknown_instrument'],
  ['ts,instrument,voltage_v\n2026-01-01T00:00:00Z,D001-M001\n', 'invalid_cell'],
  ['ts,instrument\n2026-01-01T00:00:01Z,D001-M001\n2026-01-01T00:00:00Z,D001-M001\n', 'not_sorted'],
])('%j is refused', async (text, code) => {
  await writeFolder(dir, { ...fleet.start(), steps: () => [] });
  await writeFile(join(dir, 'readings.csv'), text);
  await expect(collect((await readFolder(dir)).steps())).rejects.toMatchObject({ code });
});

test('a folder without instruments is refused', async () => {
  await expect(readFolder(dir)).rejects.toMatchObject({ code: 'missing_file' });
});
