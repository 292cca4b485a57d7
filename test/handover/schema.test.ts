import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { loadDomain } from '../../src/config.ts';
import { allDatasets, DATASET_NAMES, type Row } from '../../src/handover/datasets.ts';
import { DuckdbParquet } from '../../src/handover/duckdb-parquet.ts';
import { ROW_GROUP_ROWS, schemaDocument, schemaJson } from '../../src/handover/schema.ts';
import { ROOT } from '../support/command-line.ts';
import { ask, removeFolders, temporaryFolder, ZONE } from './fixture.ts';

const DATASETS = allDatasets(loadDomain().kinds);
afterAll(removeFolders);

async function* pages(...rows: readonly (readonly Row[])[]) {
  yield* rows;
}

async function written(name: string, ...rows: readonly (readonly Row[])[]): Promise<string> {
  const folder = temporaryFolder();
  const file = join(folder, `it's ${name}.parquet`);
  const parquet = await DuckdbParquet.open(folder);
  const dataset = DATASETS.find((one) => one.name === name)!;
  try {
    const made = await parquet.write(file, dataset, pages(...rows));
    expect(made?.rows).toBe(rows.flat().length);
  } finally {
    parquet.close();
  }
  return file.replaceAll("'", "''");
}

it('docs/parquet-schema.md is what `export --schema` prints', () => {
  expect(readFileSync(join(ROOT, 'docs/parquet-schema.md'), 'utf8')).toBe(schemaDocument(DATASETS, ZONE));
});

it('the JSON beside the files describes the same columns', () => {
  const { datasets, zone } = JSON.parse(schemaJson(DATASETS, ZONE));
  expect(zone).toBe(ZONE);
  expect(Object.keys(datasets)).toEqual([...DATASET_NAMES]);
  for (const { name, columns } of DATASETS) expect(datasets[name].columns).toEqual(columns);
});

describe.each(DATASETS)('$name', ({ name, version, columns }) => {
  const row: Row = columns.map(({ type, nullable }) => (nullable ? null : type === 'VARCHAR' ? 'x' : 0));

  it('has the columns and types of its schema in its files, and says which', async () => {
    const file = await written(name, [row]);
    const inFile = await ask(
      `SELECT name, type, converted_type, logical_type FROM parquet_schema('${file}') WHERE num_children IS NULL`,
    );
    const expected = {
      VARCHAR: { type: 'BYTE_ARRAY', converted_type: 'UTF8' },
      DOUBLE: { type: 'DOUBLE', converted_type: null },
      BIGINT: { type: 'INT64', converted_type: 'INT_64' },
      TIMESTAMP: { type: 'INT64', converted_type: 'TIMESTAMP_MICROS' },
    };
    expect(inFile).toMatchObject(columns.map((column) => ({ name: column.name, ...expected[column.type] })));
    const times = inFile.filter(({ converted_type }) => converted_type === 'TIMESTAMP_MICROS');
    expect(times.length).toBeGreaterThan(0);
    for (const { logical_type } of times) expect(logical_type).toContain('isAdjustedToUTC=1');
    const metadata = await ask(
      `SELECT key::VARCHAR AS key, value::VARCHAR AS value FROM parquet_kv_metadata('${file}')`,
    );
    expect(metadata).toContainEqual({ key: 'schema', value: `meterwarden.${name}` });
    expect(metadata).toContainEqual({ key: 'version', value: String(version) });
  });

  it('says of every column what it means, and of every quantity its unit', () => {
    expect(new Set(columns.map((column) => column.name)).size).toBe(columns.length);
    for (const column of columns) {
      expect(column.about.en.length, column.name).toBeGreaterThan(1);
      if (column.type === 'DOUBLE') expect(column.unit, column.name).toBeTruthy();
    }
  });
});

describe('what DuckDB writes', () => {
  const [readings] = DATASETS;
  const nothing = readings!.columns.slice(5).map(() => Number.NaN);
  const reading = (i: number): Row => [`M-${i}`, 'electricity', 'user', 'D-1', i, i / 100, ...nothing.slice(1)];

  it('comes in the order of the rows, in groups, compressed by zstd', async () => {
    const count = ROW_GROUP_ROWS + 5000;
    const rows = Array.from({ length: count }, (_, i) => reading(i));
    const file = await written('readings', rows.slice(0, 3), [], rows.slice(3));
    const [answer] = await ask(
      `SELECT count(*)::INT AS rows, bool_and(instrument = 'M-' || file_row_number AND epoch_ms(ts) = file_row_number
         AND active_import_kwh = file_row_number / 100 AND voltage_v IS NULL) AS same
       FROM read_parquet('${file}', file_row_number = true)`,
    );
    expect(answer).toEqual({ rows: count, same: true });
    const groups = await ask(
      `SELECT DISTINCT row_group_id::INT AS id, row_group_num_rows::INT AS rows, compression FROM parquet_metadata('${file}') ORDER BY 1`,
    );
    expect(groups).toEqual([
      { id: 0, rows: ROW_GROUP_ROWS, compression: 'ZSTD' },
      { id: 1, rows: 5000, compression: 'ZSTD' },
    ]);
  });

  it('keeps every text and every number as it is', async () => {
    const texts = ["O'Brien", '四平市铁西区台区总表一号', '', '\u0000 \n "quoted" \\', 'x'.repeat(5000)];
    const numbers = [0, -0.1, 1e-300, Number.MAX_VALUE, 123456.789];
    const rows = texts.map(
      (text, i): Row => [text, 'water', 'user', text, 1_772_323_199_999, numbers[i]!, ...nothing.slice(1)],
    );
    const file = await written('readings', rows);
    const answer = await ask(
      `SELECT instrument, district, epoch_ms(ts)::VARCHAR AS ms, active_import_kwh FROM read_parquet('${file}')`,
    );
    expect(answer).toEqual(
      texts.map((text, i) => ({
        instrument: text,
        district: text,
        ms: '1772323199999',
        active_import_kwh: numbers[i],
      })),
    );
  });

  it('is nothing where there are no rows, and a row that cannot be written leaves nothing behind', async () => {
    const folder = temporaryFolder();
    mkdirSync(folder, { recursive: true });
    const parquet = await DuckdbParquet.open(folder);
    const file = join(folder, 'x.parquet');
    expect(await parquet.write(file, readings!, pages([], []))).toBeUndefined();
    const failing = async function* (): AsyncGenerator<Row[]> {
      yield [reading(1)];
      throw new Error('the store is gone');
    };
    await expect(parquet.write(file, readings!, failing())).rejects.toThrow('the store is gone');
    expect((await parquet.write(file, readings!, pages([reading(1), reading(2)])))?.rows).toBe(2);
    parquet.close();
  });
});
