/** Current drawn without a meter, for an hour or two at a time. */

import { unitAt } from './random.ts';

/** One chance of a burst in every such span. */
const SPAN_MS = 3 * 3_600_000;
const BURST_CHANCE = 0.4;
const SHORTEST_MS = 20 * 60_000;

/** `burstW` or nothing. */
export function stolenW(seed: number, burstW: number, atMs: number): number {
  const span = Math.floor(atMs / SPAN_MS);
  if (unitAt(seed, span, 0) >= BURST_CHANCE) return 0;
  const lengthMs = SHORTEST_MS + unitAt(seed, span, 1) * (SPAN_MS - SHORTEST_MS);
  const sinceMs = atMs - span * SPAN_MS - unitAt(seed, span, 2) * (SPAN_MS - lengthMs);
  return sinceMs >= 0 && sinceMs < lengthMs ? burstW : 0;
}
