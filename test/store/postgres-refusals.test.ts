/** What a database of the operator can be refused for: said of DATABASE_URL, never with its password. */
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MeterwardenError } from '../../src/errors.ts';
import { migrate, openPool, requireServer } from '../../src/store/postgres.ts';
import { databaseRefusal } from '../../src/store/postgres-refusals.ts';
import { sayError } from '../../src/texts/errors.ts';
import { type TestDatabase, testDatabase } from '../support/postgres.ts';

const PASSWORD = 'hunter2hunter2';
const never = new AbortController().signal;

let db: TestDatabase;
const servers: Server[] = [];
beforeAll(async () => {
  db = await testDatabase();
});
afterAll(async () => {
  for (const server of servers) server.close();
  await db.close();
});

/** A server of its own protocol. */
async function serve(speak: (socket: Socket) => void): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    speak(socket);
  }).listen(0, '127.0.0.1');
  servers.push(server);
  await once(server, 'listening');
  return (server.address() as { port: number }).port;
}

function changed(change: (url: URL) => void): string {
  const url = new URL(db.url);
  change(url);
  return url.href;
}

async function refusal(url: string, work = requireServer(url, never)): Promise<MeterwardenError> {
  const error = await work.then(
    () => expect.unreachable('it was not refused'),
    (error) => databaseRefusal(error, url) ?? error,
  );
  expect(error).toMatchObject({ code: 'unusable_setting', path: 'DATABASE_URL' });
  for (const language of ['zh-CN', 'en'] as const) {
    expect(sayError(error, language)).not.toMatch(/hunter2|…|\n/);
    expect(sayError(error, language)).not.toContain(new URL(url).password || '…');
  }
  return error;
}

describe('a database is refused', () => {
  it('when nothing listens there', async () => {
    const port = await serve(() => {});
    await new Promise((done) => servers.pop()!.close(done));
    const error = await refusal(`postgres://me:${PASSWORD}@127.0.0.1:${port}/readings`);
    expect(sayError(error, 'en')).toBe(
      `The setting “postgres://me@127.0.0.1:${port}/readings” cannot be used: nothing listens at 127.0.0.1:${port}`,
    );
    expect((await refusal(`postgres://me:${PASSWORD}@localhost:${port}/readings`)).params.problem).toBe(
      'nobody_listens',
    );
    expect((await refusal(`postgres:///readings?host=/nowhere&user=me`)).params).toMatchObject({
      problem: 'nobody_listens',
      address: '/nowhere/.s.PGSQL.5432',
    });
  });

  it('when its host is not known', async () => {
    const { params } = await refusal(`postgres://me:${PASSWORD}@no-such-host.invalid/readings`);
    expect(params.problem).toMatch(/^(unknown_host|no_name_service)$/);
    expect(params.host).toBe('no-such-host.invalid');
  });

  it('when another program listens there', async () => {
    const port = await serve((socket) => socket.end('220 mail\r\n'));
    const url = `postgres://me:${PASSWORD}@127.0.0.1:${port}/readings`;
    expect((await refusal(url)).params.problem).toBe('not_postgres');
    expect((await refusal(`${url}?sslmode=verify-full`)).params.problem).toBe('not_postgres');
  });

  it('with a wrong or without a password, and for an unknown user', async () => {
    const wrong = await refusal(changed((url) => Object.assign(url, { password: PASSWORD })));
    expect(wrong.params).toMatchObject({ problem: 'wrong_password', user: 'meterwarden' });
    const unknown = changed((url) => Object.assign(url, { username: 'nobody', password: PASSWORD }));
    expect((await refusal(unknown)).params).toMatchObject({ problem: 'wrong_password', user: 'nobody' });
    const none = changed((url) => Object.assign(url, { password: '' }));
    expect((await refusal(none)).params.problem).toBe('password_missing');
  });

  it('when the server has no such database', async () => {
    const error = await refusal(changed((url) => Object.assign(url, { pathname: '/nowhere' })));
    expect(error.params).toMatchObject({ problem: 'no_database', database: 'nowhere' });
  });

  it('when the server does not speak TLS', async () => {
    const error = await refusal(changed((url) => Object.assign(url, { search: '?sslmode=verify-full' })));
    expect(error.params.problem).toBe('no_tls');
  });

  it('when the file of its certificate is not there', async () => {
    const url = changed((url) => Object.assign(url, { search: '?sslmode=verify-full&sslrootcert=/nowhere' }));
    const error = await requireServer(url, never).catch((error) => databaseRefusal(error, url)!);
    expect(error).toMatchObject({ params: { problem: 'unreadable_file', at: '/nowhere' } });
  });

  it('when it is too old', async () => {
    const error = await refusal(db.url, requireServer(db.url, never, 99));
    expect(sayError(error, 'en')).toMatch(/cannot be used: the server is PostgreSQL 18\S*; 99 or newer is needed$/);
  });

  it('when its user may not make tables', async () => {
    await db.pool.query(`CREATE ROLE guest LOGIN PASSWORD '${PASSWORD}'`);
    await db.pool.query('DROP TABLE migrations CASCADE');
    const url = changed((url) => Object.assign(url, { username: 'guest', password: PASSWORD }));
    await requireServer(url, never);
    const pool = openPool(url, 1);
    const error = await refusal(url, migrate(pool));
    expect(error.params).toMatchObject({ problem: 'not_permitted', user: 'guest' });
    await pool.end();
    await db.pool.query('DROP ROLE guest');
  });

  it('with what it answers, when that is about the server', async () => {
    const url = changed((url) => url.searchParams.set('options', '-c default_transaction_read_only=on'));
    const pool = openPool(url, 1);
    const error = await refusal(url, migrate(pool));
    await pool.end();
    expect(error.params).toMatchObject({ problem: 'answered', code: '25006' });
    expect(sayError(error, 'en')).toContain('read-only transaction');
  });
});

describe('a password', () => {
  it('that was not encoded is not told either', () => {
    const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
    const error = databaseRefusal(refused, `postgres://me:12/${PASSWORD}@db/readings`)!;
    expect(`${sayError(error, 'en')} ${error.stack} ${JSON.stringify(error)}`).not.toContain('hunter2');
  });
});

describe('other errors', () => {
  it('are left alone', async () => {
    expect(databaseRefusal(new TypeError('no function'), db.url)).toBeUndefined();
    const defect = await db.pool.query('SELECT 1/0').catch((error) => error);
    expect(databaseRefusal(defect, db.url)).toBeUndefined();
    expect(databaseRefusal(new MeterwardenError('internal'), db.url)).toBeUndefined();
    expect(databaseRefusal('a text', db.url)).toBeUndefined();
  });
});

describe('connections', () => {
  it('to a server that never answers are cut when the start is called off', async () => {
    const callOff = new AbortController();
    const port = await serve(() => callOff.abort());
    await expect(requireServer(`postgres://me@127.0.0.1:${port}/readings`, callOff.signal)).rejects.toThrow();
  });

  it('are cut under a running query, and no further one is opened', async () => {
    const callOff = new AbortController();
    const pool = openPool(db.url, 2, callOff.signal);
    const running = pool.query('SELECT pg_sleep(600)');
    const refused = expect(running).rejects.toThrow(/terminated/);
    const sleeping = `SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()`;
    await expect.poll(async () => (await db.pool.query(sleeping)).rowCount, { interval: 20 }).toBe(1);
    callOff.abort();
    await refused;
    await expect(pool.query('SELECT 1')).rejects.toThrow(/terminated/);
    await pool.end();
  });
});
