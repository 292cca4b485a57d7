import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { loadDomain } from '../../src/config.ts';
import { PostgresFindings } from '../../src/store/postgres-findings.ts';
import { PostgresLedger } from '../../src/store/postgres-ledger.ts';
import { type City, chief, city, cleared, HOUR_MS, opened, outage, T0 } from '../tasks/fixture.ts';

const { kinds } = loadDomain();
const HEADER = 'id,kind,role,district,region,state';
const at = new Date(T0);
const by = { actor: 'chief', at };

let here: City;
let ledger: PostgresLedger;
let changed: string[];

beforeAll(async () => {
  here = await city();
});
afterAll(() => here.close());
beforeEach(async () => {
  await here.clear();
  await here.pool.query(`DELETE FROM instruments WHERE id LIKE 'N-%'`);
  await here.pool.query(`UPDATE instruments SET state = 'in-service'`);
  changed = [];
  ledger = await PostgresLedger.open(here.pool, kinds, ({ id, state }) => changed.push(`${id} ${state}`));
});

async function importLines(...lines: string[]) {
  async function* chunks() {
    yield Buffer.from(lines.join('\n'));
  }
  return await ledger.importCsv(chunks(), by);
}

async function notes(): Promise<unknown[]> {
  return await here.sql(
    `SELECT t.subject, h.actor, h.action, h.from_state, h.to_state FROM task_history h JOIN tasks t ON t.id = h.task
     WHERE h.action IN ('retired', 'returned') ORDER BY h.id`,
  );
}

describe('the state of an instrument', () => {
  it('is changed once, kept, and told', async () => {
    expect(await ledger.changeState('M-2', 'retired', by)).toMatchObject({ id: 'M-2', key: 2, state: 'retired' });
    expect(await ledger.changeState('M-2', 'retired', by)).toMatchObject({ state: 'retired' });
    expect(changed).toEqual(['M-2 retired']);
    expect(ledger.ledger.byId('M-2')!.state).toBe('retired');
    const again = await PostgresLedger.open(here.pool, kinds);
    expect(again.ledger.byId('M-2')!.state).toBe('retired');
    expect((await ledger.list({ state: 'retired', limit: 10 })).items.map(({ id }) => id)).toEqual(['M-2']);
    await ledger.changeState('M-2', 'in-service', by);
    expect(changed).toEqual(['M-2 retired', 'M-2 in-service']);
  });

  it('is told as it is, also when another process has changed it', async () => {
    const other = await PostgresLedger.open(here.pool, kinds);
    await other.changeState('M-2', 'retired', by);
    expect(await ledger.changeState('M-2', 'retired', by)).toMatchObject({ state: 'retired' });
    await expect(ledger.changeState('M-99', 'retired', by)).rejects.toMatchObject({ code: 'not_found', path: 'id' });
  });

  it('of a master whose place was taken stays', async () => {
    await ledger.changeState('M-1', 'retired', by);
    await importLines(HEADER, 'N-1b,electricity,master,D-1,220302,in-service');
    await expect(ledger.changeState('M-1', 'in-service', by)).rejects.toMatchObject({
      code: 'second_master',
      path: 'state',
      params: { district: 'D-1', master: 'N-1b' },
    });
    expect(ledger.ledger.byId('M-1')!.state).toBe('retired');
    await ledger.changeState('N-1b', 'retired', by);
    expect(await ledger.changeState('M-1', 'in-service', by)).toMatchObject({ state: 'in-service', role: 'master' });
  });
});

describe('tasks of a retired instrument', () => {
  beforeEach(async () => {
    await here.findings.record([opened('silent', 2, T0), opened('rollback', 2, T0), opened('silent', 3, T0)], at);
    const closing = (await here.tasks.list({ kinds: ['verify-on-site'] })).rows[0]!.id;
    await here.tasks.act(closing, 'close', chief, { verdict: 'confirmed', note: 'seen' }, at);
  });

  it('stay as they are when they are open, and say so in their history', async () => {
    await ledger.changeState('M-2', 'retired', by);
    await ledger.changeState('M-2', 'in-service', { ...by, actor: 'root' });
    expect(await notes()).toEqual([
      { subject: 'instrument:2', actor: 'chief', action: 'retired', from_state: 'raised', to_state: 'raised' },
      { subject: 'instrument:2', actor: 'root', action: 'returned', from_state: 'raised', to_state: 'raised' },
    ]);
    expect((await here.tasks.list({ states: ['raised'] })).rows.map(({ instrument }) => instrument)).toEqual([
      'M-3',
      'M-2',
    ]);
  });

  it('are told of an import as well', async () => {
    await importLines(HEADER, 'M-2,electricity,user,D-1,220302,retired', 'M-3,electricity,user,D-1,220302,in-service');
    expect(await notes()).toMatchObject([{ subject: 'instrument:2', actor: 'chief', action: 'retired' }]);
  });

  it('are told to the stream in order with everything else that happens', async () => {
    const position = await here.tasks.latestChange();
    await Promise.all([
      ledger.changeState('M-2', 'retired', by),
      here.findings.record([cleared('silent', 2, T0, T0 + HOUR_MS)], at),
      ledger.changeState('M-3', 'retired', by),
    ]);
    const changes = await here.tasks.changesAfter(position, 10);
    expect(changes.map(({ entry }) => entry.action).sort()).toEqual(['cleared', 'retired', 'retired']);
    const ids = changes.map(({ entry }) => Number(entry.id));
    expect(ids).toEqual(ids.toSorted((a, b) => a - b));
  });
});

describe('the column state of instruments.csv', () => {
  it('retires, puts back and enters as retired; empty is in service', async () => {
    expect(
      await importLines(
        HEADER,
        'M-2,electricity,user,D-1,220302,retired',
        'M-3,electricity,user,D-1,220302,',
        'N-1,electricity,user,D-1,220302,retired',
      ),
    ).toMatchObject({ created: 1, updated: 1, unchanged: 1, rejectedTotal: 0 });
    expect(changed).toEqual(['M-2 retired', 'N-1 retired']);
    expect(await importLines(HEADER, 'M-2,electricity,user,D-1,220302,in-service')).toMatchObject({ updated: 1 });
    expect(ledger.ledger.byId('M-2')!.state).toBe('in-service');
  });

  it('refuses what it does not know, line by line', async () => {
    const { rejected, updated } = await importLines(
      HEADER,
      'M-2,electricity,user,D-1,220302,lost',
      'M-3,electricity,user,D-1,220302,retired',
    );
    expect(rejected).toEqual([
      { line: 2, code: 'invalid_line', path: 'state', params: { problem: 'one_of', allowed: 'in-service | retired' } },
    ]);
    expect(updated).toBe(1);
  });

  it('may be left out, which leaves every state as it is', async () => {
    await ledger.changeState('M-2', 'retired', by);
    expect(await importLines('id,kind,role,district,region', 'M-2,electricity,user,D-1,220303')).toMatchObject({
      updated: 1,
    });
    expect(ledger.ledger.byId('M-2')).toMatchObject({ state: 'retired', region: '220303' });
    await importLines('id,kind,role,district,region', 'M-2,electricity,user,D-1,220302');
  });

  it('lets a master follow one that leaves, in one file and after it', async () => {
    const [old, next] = ['M-11,electricity,master,D-2,220303', 'N-11,electricity,master,D-2,220303'];
    expect(await importLines(HEADER, `${next},in-service`, `${old},retired`)).toMatchObject({ rejectedTotal: 0 });
    // An export that knows no states names both as masters again.
    const without = await importLines('id,kind,role,district,region', old, next);
    expect(without).toMatchObject({ unchanged: 2, rejectedTotal: 0 });
    // The one in service stays, wherever the other stands in the file.
    const both = await importLines(HEADER, `${old},in-service`, `${next},in-service`);
    expect(both.rejected).toMatchObject([{ line: 2, code: 'second_master', params: { master: 'N-11' } }]);
    const back = await importLines(HEADER, `${old},in-service`, `${next},retired`);
    expect(back).toMatchObject({ updated: 2, rejectedTotal: 0 });
  });
});

it('an outage is placed and shown by the master that is in service', async () => {
  const findings = { ...here.options, ledger: ledger.ledger };
  await ledger.changeState('M-11', 'retired', by);
  await importLines(HEADER, 'N-12,electricity,master,D-2,220304,in-service');
  await new PostgresFindings(findings).record([outage('D-2', T0)], at);
  const { rows } = await here.tasks.list();
  expect(rows).toMatchObject([{ district: 'D-2', region: '220304' }]);
  expect((await here.tasks.get(rows[0]!.id)).evidence).toMatchObject([{ instrument: 'N-12' }]);
});
