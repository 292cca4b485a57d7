import { describe, expect, it } from 'vitest';
import { compare, type FoundFinding, type FoundTask } from '../../simulators/demo-table.ts';
import type { FaultKind } from '../../simulators/faults.ts';
import type { Fleet } from '../../simulators/fleet.ts';

const T0 = Date.UTC(2026, 2, 1, 8);
const HOUR_MS = 3_600_000;

type Injected = Fleet['faults'][number];

function fleet(instruments: Readonly<Record<string, string>>, faults: readonly [string, FaultKind, number?][]) {
  const injected = faults.map(
    ([instrument, fault, fromMs = T0]): Injected => ({ instrument, fault, fromMs, toMs: null }),
  );
  const listed = Object.entries(instruments).map(([id, district]) => ({ id, district }));
  return { instruments: listed as unknown as Fleet['instruments'], faults: injected };
}

function finding(id: string, given: Partial<FoundFinding>): FoundFinding {
  const from = new Date(T0).toISOString();
  return {
    id,
    rule: 'silent',
    ruleName: 'silent',
    instrument: null,
    district: 'D1',
    from,
    task: null,
    sentence: '',
    ...given,
  };
}

const task = (id: string): FoundTask => ({ id, kindName: 'repair', stateName: 'assigned', assignee: 'wang' });

describe('compare', () => {
  it('puts a fault beside its finding and the task that was raised', () => {
    const { rows, expected, found, tasks, others } = compare(
      fleet({ A: 'D1', B: 'D1' }, [['A', 'rollback']]),
      [finding('1', { rule: 'rollback', instrument: 'A', task: '7' })],
      [task('6'), task('7')],
    );
    expect(rows).toMatchObject([
      { fault: 'rollback', subject: 'A', byRules: true, finding: { id: '1' }, task: { id: '7' } },
    ]);
    expect({ expected, found, tasks, others }).toEqual({ expected: 1, found: 1, tasks: 2, others: [] });
  });

  it('does not take a finding of another rule or another instrument for it', () => {
    const wrong = [
      finding('1', { rule: 'stopped', instrument: 'A' }),
      finding('2', { rule: 'rollback', instrument: 'B' }),
      finding('3', { rule: 'rollback', instrument: null }),
    ];
    const { rows, found, others } = compare(fleet({ A: 'D1', B: 'D1' }, [['A', 'rollback']]), wrong, []);
    expect(rows).toMatchObject([{ subject: 'A', finding: undefined, task: undefined }]);
    expect(found).toBe(0);
    expect(others.map(({ id }) => id)).toEqual(['1', '2', '3']);
  });

  it('takes the finding that began nearest to the fault, and counts the others of it as its own', () => {
    const at = (id: string, offsetMs: number) =>
      finding(id, { rule: 'runaway', instrument: 'A', from: new Date(T0 + offsetMs).toISOString() });
    const { rows, others } = compare(
      fleet({ A: 'D1' }, [['A', 'runaway']]),
      [at('late', 9 * HOUR_MS), at('near', -HOUR_MS), at('early', -3 * HOUR_MS)],
      [],
    );
    expect(rows[0]!.finding!.id).toBe('near');
    expect(others).toEqual([]);
  });

  it('counts an outage once per district, found by a finding about the district', () => {
    const { rows, expected, found, others } = compare(
      fleet({ A: 'D1', B: 'D1', C: 'D2' }, [
        ['A', 'outage'],
        ['B', 'outage'],
        ['C', 'outage'],
      ]),
      [
        finding('1', { rule: 'outage', instrument: null, district: 'D1' }),
        finding('2', { rule: 'outage', instrument: 'C', district: 'D2' }),
      ],
      [],
    );
    expect(rows.map(({ subject, finding }) => [subject, finding?.id])).toEqual([
      ['D1', '1'],
      ['D2', undefined],
    ]);
    expect({ expected, found, others: others.map(({ id }) => id) }).toEqual({ expected: 2, found: 1, others: ['2'] });
  });

  it('lists errors of the measurement last and expects no rule to find them', () => {
    const { rows, expected, found } = compare(
      fleet({ A: 'D1', B: 'D1', C: 'D1' }, [
        ['A', 'drift'],
        ['B', 'constant-error'],
        ['C', 'silent'],
      ]),
      [],
      [],
    );
    expect(rows.map(({ fault, byRules }) => [fault, byRules])).toEqual([
      ['silent', true],
      ['drift', false],
      ['constant-error', false],
    ]);
    expect({ expected, found }).toEqual({ expected: 1, found: 0 });
  });

  it('keeps a finding whose task is not in the list, without a task', () => {
    const found = [finding('1', { instrument: 'A', task: '9' })];
    const [row] = compare(fleet({ A: 'D1' }, [['A', 'silent']]), found, [task('8')]).rows;
    expect(row).toMatchObject({ finding: { id: '1' }, task: undefined });
  });

  it('has nothing to say about a fleet without faults', () => {
    expect(compare(fleet({ A: 'D1' }, []), [], [])).toEqual({
      rows: [],
      others: [],
      expected: 0,
      found: 0,
      tasks: 0,
    });
  });
});
