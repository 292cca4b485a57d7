/** One reading together with what is known of its instrument: what a detector looks at. One object serves all readings. */
export class Moment {
  key = 0;
  values: readonly number[] = [];
  tsMs = Number.NaN;
  /** Row of the instrument. */
  row: Float64Array = new Float64Array(0);
  /** Without a reading for longer, nothing counts as lasting. */
  holeMs = Number.NaN;
  /** The reading before this one. */
  previousMs = Number.NaN;

  register = Number.NaN;
  unit = '';
  previousRegister = Number.NaN;
  previousRegisterMs = Number.NaN;
  /** Register minus the one before, rollovers undone; NaN when one of them is missing. */
  increment = Number.NaN;

  phases = 1;
  /** Nominal, between line and neutral. */
  phaseVoltageV = Number.NaN;
  maxCurrentA = Number.NaN;

  /** Since when the condition has held, where the detector knows better than the readings at which it fired. */
  sinceMs = Number.NaN;
}
