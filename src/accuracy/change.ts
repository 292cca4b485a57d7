/** Errors that move inside the window: which meter, since when, how fast. A ramp or a step of its error is one more cause. */
import type { BalanceFit } from './balance.ts';
import { type Columns, dot, solve } from './matrix.ts';
import { whiten } from './noise.ts';

/** Blocks that onsets are told apart by; at least this many rows each. */
const MAX_BLOCKS = 48;
const MIN_BLOCK_ROWS = 24;
/** Twice the logarithm of how much likelier the change makes the data, that one of so many candidates must reach. */
const MIN_GAIN = 30;
/** Of what is known of the meter, that a change must leave to the time before and after it. */
const MIN_SHARE = 0.06;
/** Places that are looked at with all other meters free to move. */
const LOOKED_AT = 16;
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
  const rowOf = (block: number) => Math.ceil((block * rows) / blocks);
  const white = whiten(fit.equations.factor, fit.residual);
  const gainOf = ({ meter, kind, block }: Place) => exactGain(fit, white, carried[meter]!, kind, rowOf(block));
  let best: { place: Place; gain: number } | undefined;
  for (const place of promising(fit, white, blocks, exclude)) {
    const gain = gainOf(place);
    if (gain >= MIN_GAIN && gain > (best?.gain ?? 0)) best = { place, gain };
  }
  if (!best) return undefined;
  const { meter } = best.place;
  const places = (['step', 'drift'] as const).flatMap((kind) =>
    Array.from({ length: blocks - 1 }, (_, block) => ({ meter, kind, block })),
  );
  const gains = places.map(gainOf);
  const top = gains.reduce((at, gain, i) => (gain > gains[at]! ? i : at), 0);
  const { kind, block } = places[top]!;
  // Twice the logarithm of a likelihood falls by 3.84 at the ends of its 95 % interval.
  const likely = places
    .filter((place, i) => place.kind === kind && gains[i]! > gains[top]! - 3.84)
    .map((one) => one.block);
  return {
    meter,
    kind,
    onsetRow: rowOf(block),
    onsetLowRow: rowOf(Math.max(0, Math.min(...likely) - 1)),
    onsetHighRow: rowOf(Math.min(blocks, Math.max(...likely) + 1)),
  };
}

interface Place {
  readonly meter: number;
  readonly kind: Candidate['kind'];
  readonly block: number;
}

/** Meters and onsets that look best when all other meters are held. */
function promising(fit: BalanceFit, white: Float64Array, blocks: number, exclude: ReadonlySet<number>): Place[] {
  const rows = white.length;
  const found: (Place & { gain: number })[] = [];
  for (let meter = 0; meter < fit.meters.length; meter++) {
    if (exclude.has(meter)) continue;
    const own = fit.equations.white[meter]!;
    const score = new Float64Array(blocks);
    const information = new Float64Array(blocks);
    for (let t = 0; t < rows; t++) {
      const block = Math.min(blocks - 1, Math.floor((t * blocks) / rows));
      score[block]! += own[t]! * white[t]!;
      information[block]! += own[t]! ** 2;
    }
    for (const kind of ['step', 'drift'] as const) {
      const gains = gainsOf(kind, score, information);
      const block = gains.reduce((at, one, i) => (one.gain > gains[at]!.gain ? i : at), 0);
      const { gain, size } = gains[block]!;
      if (Math.abs(size) >= MIN_SIZE) found.push({ meter, kind, block, gain });
    }
  }
  return found.sort((a, b) => b.gain - a.gain).slice(0, LOOKED_AT);
}

/** How much a change explains when all meters and causes may give way to it. */
function exactGain(
  fit: BalanceFit,
  white: Float64Array,
  carried: Float64Array,
  kind: Candidate['kind'],
  onsetRow: number,
): number {
  const profile = profileOf({ kind, onsetRow }, carried.length);
  const column = whiten(
    fit.equations.factor,
    carried.map((kwh, t) => kwh * profile[t]!),
  );
  const links = Float64Array.from(fit.equations.white, (other) => dot(other, column));
  const whole = dot(column, column);
  const known = whole - dot(links, solve(fit.lower, links));
  if (!(known > MIN_SHARE * whole)) return 0;
  return dot(column, white) ** 2 / known;
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
