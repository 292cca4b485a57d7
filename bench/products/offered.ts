/** The load that every combination is offered. */
import type { BenchFleet } from '../fleet.ts';
import type { LoadFill, LoadRun } from '../load.ts';
import type { Shape } from '../publishes.ts';
import type { Combination } from './combinations.ts';

export const FLEET: BenchFleet = { gateways: 100, instrumentsPerGateway: 100 };
export const HISTORY_DAYS = 300;
export const SHAPES: readonly Shape[] = ['single', 'gateway'];

/** Before anything is measured: a store learns an instrument when it first hears of it, which costs InfluxDB a question. */
export const FIRST: LoadFill = { window: 1, publishesPerConnection: 3 };

/** In flight per connection, as in `bench ingest`. */
export const WINDOW: Record<Shape, number> = { single: 20, gateway: 4 };
/**
 * At an external broker. The sessions of a worker share the messages, and what a gateway sends close together may overtake
 * itself there, which it does not do in service: it sends once in a quarter of an hour.
 */
export const WINDOW_OUTSIDE: Record<Shape, number> = { single: 20, gateway: 1 };
/** Per connection, acknowledged by the broker and not stored yet: enough to keep every worker busy between two counts. */
export const AHEAD: Record<Shape, number> = { single: 150, gateway: 4 };

export const offered = ({ broker }: Combination, shape: Shape): Pick<LoadRun, 'shape' | 'window' | 'ahead'> =>
  broker === 'embedded'
    ? { shape, window: WINDOW[shape] }
    : { shape, window: WINDOW_OUTSIDE[shape], ahead: AHEAD[shape] };
