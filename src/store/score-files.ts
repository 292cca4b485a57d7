/** What is true of a folder's meters, and what was estimated of them. */
import { basename, dirname } from 'node:path';
import { VERDICTS, type Verdict } from '../accuracy/district.ts';
import type { JudgedMeter } from '../accuracy/score.ts';
import { csvBlocks, presentFile, requireColumns, wrongLine } from './csv-files.ts';
import type { Line } from './csv-lines.ts';

export interface Truth {
  readonly truePct: number;
  readonly faults: readonly string[];
}

/** By instrument; those whose error is left open are not in it. A meter has a line for each of its faults. */
export async function readTruth(dir: string): Promise<Map<string, Truth>> {
  const truth = new Map<string, Truth>();
  const file = presentFile(dir, 'truth.csv');
  for await (const cell of records(dir, file, ['instrument', 'error_pct'])) {
    const truePct = cell.number('error_pct');
    if (Number.isNaN(truePct)) continue;
    const known = truth.get(cell.text('instrument'));
    const fault = cell.text('fault');
    const faults = fault === '' ? [] : [fault];
    truth.set(cell.text('instrument'), {
      truePct: known?.truePct ?? truePct,
      faults: [...(known?.faults ?? []), ...faults],
    });
  }
  return truth;
}

/** By instrument. Of anybody's estimator: only its errors are asked for, what else it leaves out is not judged. */
export async function readEstimates(path: string): Promise<Map<string, NonNullable<JudgedMeter['estimate']>>> {
  const estimates = new Map<string, NonNullable<JudgedMeter['estimate']>>();
  const dir = dirname(path);
  const file = presentFile(dir, basename(path));
  for await (const cell of records(dir, file, ['instrument', 'error_pct'])) {
    estimates.set(cell.text('instrument'), {
      errorPct: cell.number('error_pct'),
      sdPct: cell.number('sd_pct'),
      lowPct: cell.number('low_pct'),
      highPct: cell.number('high_pct'),
      verdict: cell.verdict('verdict'),
    });
  }
  return estimates;
}

class Cells {
  readonly #file: string;
  readonly #header: readonly string[];
  readonly #line: Line;

  constructor(file: string, header: readonly string[], line: Line) {
    this.#file = file;
    this.#header = header;
    this.#line = line;
  }

  text(column: string): string {
    return this.#line.cells[this.#header.indexOf(column)] ?? '';
  }

  /** NaN = empty. */
  number(column: string): number {
    const text = this.text(column);
    const value = text === '' || text.toLowerCase() === 'nan' ? Number.NaN : Number(text);
    if (text === '' || text.toLowerCase() === 'nan' || Number.isFinite(value)) return value;
    throw wrongLine(this.#file, this.#line, column, 'not_a_number', { value: text });
  }

  verdict(column: string): Verdict | undefined {
    const text = this.text(column);
    const found = VERDICTS.find((verdict) => verdict === text);
    if (found || text === '') return found;
    throw wrongLine(this.#file, this.#line, column, 'invalid_line', {
      problem: 'one_of',
      allowed: VERDICTS.join(' | '),
    });
  }
}

async function* records(dir: string, file: string, required: readonly string[]): AsyncGenerator<Cells> {
  let header: readonly string[] | undefined;
  for await (const block of csvBlocks(dir, file)) {
    for (const line of block) {
      if (header) {
        yield new Cells(file, header, line);
      } else {
        requireColumns(file, line, required);
        header = line.cells;
      }
    }
  }
}
