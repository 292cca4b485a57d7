/** Rows become Parquet by DuckDB: appended to a table that spills to disk when memory ends, then copied into one file. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DOUBLE, type DuckDBConnection, DuckDBDataChunk, DuckDBInstance, VARCHAR } from '@duckdb/node-api';
import type { Column, Dataset, Row } from './datasets.ts';
import type { ParquetFile, ParquetWriter } from './run.ts';
import { ROW_GROUP_ROWS } from './schema.ts';

/** Of DuckDB's own: 1 million readings; beyond it a table spills to disk. */
const MEMORY_LIMIT = '256MB';
/** Each holds a row group or two while a file is written. */
const THREADS = 2;
/** Appended at once: DuckDB's vector size, the most a chunk takes. */
const CHUNK_ROWS = 2048;
/** zstd's own default: higher levels cost much and gain little on numbers. */
const ZSTD_LEVEL = 3;

export class DuckdbParquet implements ParquetWriter {
  readonly #instance: DuckDBInstance;
  readonly #connection: DuckDBConnection;

  private constructor(instance: DuckDBInstance, connection: DuckDBConnection) {
    this.#instance = instance;
    this.#connection = connection;
  }

  /** `workDir`: where to spill. */
  static async open(workDir: string): Promise<DuckdbParquet> {
    const instance = await DuckDBInstance.create(':memory:', {
      memory_limit: MEMORY_LIMIT,
      threads: String(THREADS),
      temp_directory: join(workDir, 'spill'),
      // Parquet is built in; nothing is ever downloaded.
      autoinstall_known_extensions: 'false',
      autoload_known_extensions: 'false',
    });
    return new DuckdbParquet(instance, await instance.connect());
  }

  async write(file: string, dataset: Dataset, pages: AsyncIterable<readonly Row[]>): Promise<ParquetFile | undefined> {
    const { columns } = dataset;
    const table = columns.map(({ name, type }) => `"${name}" ${type === 'VARCHAR' ? type : 'DOUBLE'}`);
    await this.#connection.run(`CREATE TABLE part (${table.join(', ')})`);
    try {
      const rows = await this.#append(columns, pages);
      if (rows === 0) return undefined;
      await this.#connection.run(copyStatement(file, dataset));
      await this.#requireRows(file, rows);
      return { rows, bytes: (await stat(file)).size, sha256: await sha256(file) };
    } finally {
      await this.#connection.run('DROP TABLE part');
    }
  }

  async #append(columns: readonly Column[], pages: AsyncIterable<readonly Row[]>): Promise<number> {
    const appender = await this.#connection.createAppender('part');
    // One for all: chunks hold memory of DuckDB's that only the garbage collector would give back.
    const chunk = DuckDBDataChunk.create(columns.map(({ type }) => (type === 'VARCHAR' ? VARCHAR : DOUBLE)));
    let total = 0;
    for await (const page of pages) {
      for (let at = 0; at < page.length; at += CHUNK_ROWS) {
        fill(chunk, columns, page.slice(at, at + CHUNK_ROWS));
        appender.appendDataChunk(chunk);
      }
      total += page.length;
    }
    appender.closeSync();
    return total;
  }

  async #requireRows(file: string, rows: number): Promise<void> {
    const { num_rows: written } = (
      await this.#connection.runAndReadAll(`SELECT num_rows FROM parquet_file_metadata(${quoted(file)})`)
    ).getRowObjects()[0]!;
    if (Number(written) !== rows) throw new Error(`${file} holds ${written} rows instead of ${rows}`);
  }

  close(): void {
    this.#connection.closeSync();
    this.#instance.closeSync();
  }
}

function fill(chunk: DuckDBDataChunk, columns: readonly Column[], rows: readonly Row[]): void {
  chunk.reset();
  chunk.rowCount = rows.length;
  for (const [i, { type }] of columns.entries()) {
    const vector = chunk.getColumnVector(i);
    // A NaN costs nothing, a null of DuckDB's binding much: `stored` turns it into null.
    for (let row = 0; row < rows.length; row++)
      vector.setItem(row, rows[row]![i] ?? (type === 'VARCHAR' ? null : Number.NaN));
    vector.flush();
  }
}

function copyStatement(file: string, { name, version, columns }: Dataset): string {
  const selected = columns.map((column) => `${stored(column)} AS "${column.name}"`);
  const options = [
    'FORMAT parquet',
    // What every reader understands.
    'PARQUET_VERSION V1',
    'COMPRESSION zstd',
    `COMPRESSION_LEVEL ${ZSTD_LEVEL}`,
    `ROW_GROUP_SIZE ${ROW_GROUP_ROWS}`,
    `KV_METADATA {schema: ${quoted(`meterwarden.${name}`)}, version: ${quoted(String(version))}}`,
  ];
  return `COPY (SELECT ${selected.join(', ')} FROM part) TO ${quoted(file)} (${options.join(', ')})`;
}

function stored({ name, type }: Column): string {
  const value = type === 'VARCHAR' ? `"${name}"` : `nullif("${name}", 'NaN'::DOUBLE)`;
  switch (type) {
    case 'BIGINT':
      return `${value}::BIGINT`;
    case 'TIMESTAMP':
      return `make_timestamptz(${value}::BIGINT * 1000)`;
    default:
      return value;
  }
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
