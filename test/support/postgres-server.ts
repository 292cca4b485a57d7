/** One PostgreSQL cluster for the whole test run; every test file gets databases of its own on it. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { startEmbeddedPostgres } from '../../src/store/embedded-postgres.ts';
import { migrate, openPool } from '../../src/store/postgres.ts';
import { TEMPLATE } from './postgres.ts';

declare module 'vitest' {
  interface ProvidedContext {
    postgresUrl: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dataDir = mkdtempSync(join(tmpdir(), 'meterwarden-test-'));
  chmodSync(dataDir, 0o755); // as root the server runs as another user, who must reach it
  const server = await startEmbeddedPostgres({
    dataDir,
    onLog: () => {},
    // Durability is tested by scenarios that start the whole service; here only speed matters.
    settings: { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', max_connections: '200' },
  });
  const admin = new pg.Client({ connectionString: server.url });
  await admin.connect();
  await admin.query(`CREATE DATABASE ${TEMPLATE}`);
  await admin.end();
  const pool = openPool(server.url.replace(/\/meterwarden$/, `/${TEMPLATE}`), 1);
  await migrate(pool);
  await pool.end();
  project.provide('postgresUrl', server.url);
  return async () => {
    await server.stop();
    rmSync(dataDir, { recursive: true, force: true });
  };
}
