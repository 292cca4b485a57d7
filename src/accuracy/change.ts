/** Errors that move inside the window: which meter, since when, how fast. A ramp or a step of its error is one more cause. */
import type { BalanceFit } from './balance.ts';
import type { Columns } from './matrix.ts';
import { whiten } from './noise.ts';

/** Blocks that onsets are told apart by; at least this many rows each. */
const MAX_BLOCKS = 48;
const MIN_BLOCK_ROWS = 24;
/** Twice the logarithm of how much likelier the change makes the data, that one of so many candidates must reach. */
const MIN_GAIN = 25;
/** Of what is known of the meter, that a change must leave to the time before and after it. */
const MIN_SHARE = 0.06;
/** Smaller changes over the window are no business of an inspector's. */
const MIN_SIZE = 0.008;

export interface Candidate {
  readonly meter: number;
  readonly kind: 'drift' | 'step';
  /** The row it begins with, and the rows its 95 % interval begins and ends with. */
  readonly onsetRow: number;
  readonly onsetLowRow: number;
  readonly onsetHighRow: number;
}

/** What a change adds to d in each row, for a size of one: at the end of the window for a drift. */
export function profileOf({ kind, onsetRow }: Pick<Candidate, 'kind' | 'onsetRow'>, rows: number): Float64Array {
  return Float64Array.from({ length: rows }, (_, t) => {
    if (t < onsetRow) return 0;
    return kind === 'step' ? 1 : (t + 1 - onsetRow) / (rows - onsetRow);
  });
}

/** The change that explains most of what the fit has left over; undefined = none that could not be chance. */
export function findChange(fit: BalanceFit, carried: Columns, exclude: ReadonlySet<number>): Candidate | undefined {
  const rows = fit.residual.length;
  const blocks = Math.min(MAX_BLOCKS, Math.floor(rows / MIN_BLOCK_ROWS));
  if (blocks < 4) return undefined;
  const blockOf = (t: number) => Math.min(blocks - 1, Math.floor((t * blocks) / rows));
  const white = whiten(fit.factor, fit.residual);
  let best: { gain: number; candidate: Candidate } | undefined;
  carried.forEach((column, meter) => {
    if (exclude.has(meter)) return;
    const own = whiten(fit.factor, column);
    const score = new Float64Array(blocks);
    const information = new Float64Array(blocks);
    for (let t = 0; t < rows; t++) {
      const block = blockOf(t);
      score[block]! += own[t]! * white[t]!;
      information[block]! += own[t]! ** 2;
    }
    for (const kind of ['step', 'drift'] as const) {
      const gains = gainsOf(kind, score, information);
      const top = gains.reduce((at, one, i) => (one.gain > gains[at]!.gain ? i : at), 0);
      const { gain, size } = gains[top]!;
      if (gain < MIN_GAIN || Math.abs(size) < MIN_SIZE || (best && gain <= best.gain)) continue;
      const likely = gains.flatMap((one, i) => (one.gain > gain - 3.84 ? [i] : []));
      const rowOf = (block: number) => Math.ceil((block * rows) / blocks);
      best = {
        gain,
        candidate: {
          meter,
          kind,
          onsetRow: rowOf(top),
          onsetLowRow: rowOf(Math.max(0, likely[0]! - 1)),
          onsetHighRow: rowOf(Math.min(blocks, likely.at(-1)! + 1)),
        },
      };
    }
  });
  return best?.candidate;
}

/** By block of onset: how much a change from there on explains, beside the constant error that is already fitted. */
function gainsOf(kind: Candidate['kind'], score: Float64Array, information: Float64Array) {
  const blocks = score.length;
  const total = information.reduce((sum, value) => sum + value, 0);
  return Array.from({ length: blocks }, (_, onset) => {
    let product = 0;
    let square = 0;
    let mean = 0;
    for (let b = onset; b < blocks; b++) {
      const height = kind === 'step' ? 1 : (b + 0.5 - onset) / (blocks - onset);
      product += height * score[b]!;
      square += height * height * information[b]!;
      mean += height * information[b]!;
    }
    const known = square - (mean * mean) / (total || 1);
    // At the very beginning a step is the constant error itself.
    if (!(known > MIN_SHARE * total)) return { gain: 0, size: 0 };
    return { gain: (product * product) / known, size: product / known };
  });
}
