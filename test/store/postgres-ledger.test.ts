import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { parseKinds } from '../../src/kinds.ts';
import { PostgresLedger } from '../../src/store/postgres-ledger.ts';
import { type TestDatabase, testDatabase } from '../support/postgres.ts';

const kinds = parseKinds(parse(readFileSync('config/kinds.yaml', 'utf8')));
const HEADER =
  'id,kind,role,district,phase,accuracy_class,manufacturer,model,batch,installed_on,owner,region,nominal_voltage_v,max_current_a,gateway';
const line = (id: string, given: Partial<Record<string, string>> = {}) => {
  const values: Record<string, string> = {
    id,
    kind: 'electricity',
    role: 'user',
    district: 'D1',
    phase: 'L1',
    accuracy_class: 'A',
    region: '220302',
    nominal_voltage_v: '220',
    max_current_a: '60',
    gateway: 'GW1',
    ...given,
  };
  return HEADER.split(',')
    .map((name) => values[name] ?? '')
    .join(',');
};

let db: TestDatabase;
let ledger: PostgresLedger;
const changed: string[] = [];
beforeAll(async () => {
  db = await testDatabase();
  ledger = await PostgresLedger.open(db.pool, kinds, ({ id }) => changed.push(id));
});
afterAll(() => db.close());

async function importText(text: string) {
  async function* chunks() {
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; at += 100) yield bytes.subarray(at, at + 100);
  }
  return await ledger.importCsv(chunks());
}

test('created, then unchanged, then updated; keys are dense and stay', async () => {
  const file = [HEADER, line('A'), line('B', { role: 'master', phase: 'L123' }), line('C')].join('\r\n');
  expect(await importText(`\uFEFF${file}`)).toMatchObject({ created: 3, updated: 0, unchanged: 0, rejectedTotal: 0 });
  expect(changed.splice(0)).toEqual(['A', 'B', 'C']);
  expect(await importText(file)).toMatchObject({ created: 0, updated: 0, unchanged: 3 });
  expect(changed).toEqual([]);
  const key = ledger.ledger.byId('C')!.key;
  expect(await importText([HEADER, line('C', { district: 'D2' }), line('D')].join('\n'))).toMatchObject({
    created: 1,
    updated: 1,
    unchanged: 0,
  });
  expect(ledger.ledger.byId('C')).toMatchObject({ key, district: 'D2' });
  expect(ledger.ledger.ofDistrict('D1').map(({ id }) => id)).toEqual(['A', 'B', 'D']);
  expect([...ledger.ledger.all()].map(({ key }) => key)).toEqual([1, 2, 3, 4]);
  const reopened = await PostgresLedger.open(db.pool, kinds);
  expect([...reopened.ledger.all()]).toEqual([...ledger.ledger.all()]);
});

test('one bad line never spoils the rest, and says what is wrong with it', async () => {
  const result = await importText(
    [
      HEADER,
      line('E1'),
      line('E2', { kind: 'sundial' }),
      line('E3', { role: 'boss' }),
      line('bad id'),
      line('E4', { phase: 'L4' }),
      line('E5', { nominal_voltage_v: '-1' }),
      line('E6', { installed_on: '2026-02-30' }),
      `${line('E7')},one too many`,
      line('E1', { district: 'D9' }),
      line('E8', { role: 'master' }),
      line('E9', { district: 'D8', role: 'master' }),
      line('E10', { district: 'D8', role: 'master' }),
      '"E11","electricity","user","D1","","","a ""quoted"", maker","","","","","","","",""',
      '"E12","electricity","user","D1","the quote does not close',
      line('E13'),
    ].join('\n'),
  );
  expect(result).toMatchObject({ created: 4, updated: 0, unchanged: 0, rejectedTotal: 11 });
  expect(result.rejected.map(({ line, code, path }) => [line, code, path])).toEqual([
    [3, 'unknown_kind', 'kind'],
    [4, 'invalid_line', 'role'],
    [5, 'invalid_line', 'id'],
    [6, 'invalid_line', 'phase'],
    [7, 'invalid_line', 'nominal_voltage_v'],
    [8, 'invalid_line', 'installed_on'],
    [9, 'invalid_line', ''],
    [10, 'duplicate_line', 'id'],
    [11, 'second_master', 'role'],
    [13, 'second_master', 'role'],
    [15, 'invalid_line', ''],
  ]);
  expect(ledger.ledger.byId('E11')!.manufacturer).toBe('a "quoted", maker');
});

test('masters may trade places within one file', async () => {
  await importText(
    [
      HEADER,
      line('M1', { district: 'X1', role: 'master' }),
      line('M2', { district: 'X2', role: 'master' }),
      line('U1', { district: 'X1' }),
    ].join('\n'),
  );
  const swapped = [
    HEADER,
    line('M1', { district: 'X2', role: 'master' }),
    line('M2', { district: 'X2' }),
    line('U1', { district: 'X1', role: 'master' }),
  ];
  expect(await importText(swapped.join('\n'))).toMatchObject({ updated: 3, rejectedTotal: 0 });
  expect(ledger.ledger.byId('U1')!.role).toBe('master');
});

test('the master on record wins over a rival of the file, wherever it stands', async () => {
  await importText([HEADER, line('R1', { district: 'Y1', role: 'master' })].join('\n'));
  const { rejected } = await importText(
    [
      HEADER,
      line('R0', { district: 'Y1', role: 'master' }),
      line('R1', { district: 'Y1', role: 'master', owner: 'x' }),
    ].join('\n'),
  );
  expect(rejected.map(({ line, params }) => [line, params.master])).toEqual([[2, 'R1']]);
  expect(ledger.ledger.byId('R1')!.owner).toBe('x');
});

test.each<[string, readonly string[], readonly (readonly [number, string, string])[]]>([
  ['the id of a gateway with a secret', [line('GW-SECRET', { gateway: '' })], [[2, 'id_of_gateway', 'id']]],
  ['the id of a gateway that the ledger names', [line('GW-NAMED')], [[2, 'id_of_gateway', 'id']]],
  [
    'the id of a gateway that the file names',
    [line('GW-FILE'), line('I2', { gateway: 'GW-FILE' })],
    [[2, 'id_of_gateway', 'id']],
  ],
  [
    'an instrument on record as a gateway',
    [line('I3', { gateway: 'I1' }), line('I1', { gateway: 'GW-NAMED' })],
    [[2, 'gateway_is_instrument', 'gateway']],
  ],
  ['itself as its gateway', [line('I4', { gateway: 'I4' })], []],
  ['an instrument with its own secret', [line('OWN', { gateway: '', owner: 'x' })], []],
])('%s: no two clients have one id', async (_what, given, expected) => {
  await importText([HEADER, line('I1', { gateway: 'GW-NAMED' }), line('OWN', { gateway: '' })].join('\n'));
  await ledger.putGateway('GW-SECRET');
  await ledger.putGateway('OWN');
  const { rejected, rejectedTotal } = await importText([HEADER, ...given].join('\n'));
  expect(rejected.map(({ line, code, path }) => [line, code, path])).toEqual(expected);
  expect(rejectedTotal).toBe(expected.length);
  for (const id of ['GW-SECRET', 'GW-NAMED', 'GW-FILE']) expect(ledger.ledger.byId(id)).toBeUndefined();
});

test.each([
  ['an instrument behind a gateway', 'B1', { code: 'gateway_is_instrument', path: 'id', params: { id: 'B1' } }],
  ['an instrument that reports for itself', 'B2', undefined],
  ['one that got its secret before it got a gateway', 'B3', undefined],
])('a secret for %s', async (_what, id, refusal) => {
  await importText([HEADER, line('B1'), line('B2', { gateway: '' }), line('B3', { gateway: '' })].join('\n'));
  await ledger.putGateway('B3');
  await importText([HEADER, line('B3')].join('\n'));
  const put = ledger.putGateway(id);
  if (refusal) await expect(put).rejects.toMatchObject(refusal);
  else expect(await put).toMatchObject({ id });
  expect(ledger.verifyGateway(id, refusal ? 'none' : (await put).secret!)).toBe(!refusal);
});

test('a refused master stays, and refuses who counted on its place', async () => {
  await importText(
    [HEADER, line('C1', { district: 'Z1', role: 'master' }), line('C2', { district: 'Z2', role: 'master' })].join('\n'),
  );
  const chain = [
    HEADER,
    line('C1', { district: 'Z2', role: 'master' }),
    line('C3', { district: 'Z1', role: 'master' }),
    line('C4', { district: 'Z3', role: 'master' }),
  ];
  expect((await importText(chain.join('\n'))).rejected.map(({ line }) => line)).toEqual([2, 3]);
  expect(ledger.ledger.byId('C1')!.district).toBe('Z1');
});

test('a column the file lacks changes nothing', async () => {
  await importText([HEADER, line('K1', { owner: 'utility', max_current_a: '100' })].join('\n'));
  expect(await importText('id,kind,role,district\nK1,electricity,user,D1\n')).toMatchObject({ unchanged: 1 });
  expect(await importText('id,kind,role,district\nK1,electricity,user,D7\n')).toMatchObject({ updated: 1 });
  expect(ledger.ledger.byId('K1')).toMatchObject({ district: 'D7', owner: 'utility', maxCurrentA: 100 });
});

test.each([
  ['', 'empty_file'],
  ['id,kind,role,distrikt\n', 'unknown_column'],
  ['id,kind,role\n', 'missing_column'],
  ['id,kind,role,district,id\n', 'repeated_column'],
])('a file with the header %j is refused as a whole', async (text, problem) => {
  await expect(importText(text)).rejects.toMatchObject({ code: 'invalid_request', params: { problem } });
});

test('listing is filtered, paged by id, and ends', async () => {
  const all: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await ledger.list({ visibleRegion: '220300', cursor, limit: 3 });
    all.push(...page.items.map(({ id }) => id));
    cursor = page.next;
  } while (cursor);
  expect(all).toEqual([...all].sort());
  expect(all).toContain('A');
  expect(all).not.toContain('E11'); // has no region
  expect((await ledger.list({ district: 'X2', limit: 10 })).items.map(({ id }) => id)).toEqual(['M1', 'M2']);
  await expect(ledger.list({ cursor: 'nonsense', limit: 1 })).rejects.toMatchObject({ code: 'invalid_cursor' });
});

test('a gateway credential is created, rotated, generated, verified, kept', async () => {
  expect(await ledger.putGateway('GW1', 'first-secret')).toEqual({ id: 'GW1', created: true });
  expect(ledger.verifyGateway('GW1', 'first-secret')).toBe(true);
  expect(ledger.verifyGateway('GW1', 'other')).toBe(false);
  expect(ledger.verifyGateway('GW2', 'first-secret')).toBe(false);
  const { secret, created } = await ledger.putGateway('GW1');
  expect(created).toBe(false);
  expect(ledger.verifyGateway('GW1', 'first-secret')).toBe(false);
  const reopened = await PostgresLedger.open(db.pool, kinds);
  expect(reopened.verifyGateway('GW1', secret!)).toBe(true);
  expect((await ledger.listGateways({ limit: 10 })).items).toContainEqual(
    expect.objectContaining({ id: 'GW1', instruments: expect.any(Number) }),
  );
});

test('a city of 100 000 lines', async () => {
  async function* lines() {
    yield Buffer.from(`${HEADER}\n`);
    for (let i = 0; i < 100_000; i++) yield Buffer.from(`${line(`CITY-${i}`, { district: `C${i % 350}` })}\n`);
  }
  expect(await ledger.importCsv(lines())).toMatchObject({ created: 100_000, rejectedTotal: 0 });
});
