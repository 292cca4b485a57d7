/** The simulators' one error type: a code that texts.ts turns into a sentence. */

export type SimulatorErrorCode =
  | 'invalid_option'
  | 'too_many_faults'
  | 'unusable_folder'
  | 'missing_file'
  | 'missing_column'
  | 'unknown_column'
  | 'invalid_cell'
  | 'not_sorted'
  | 'unknown_instrument'
  | 'network_overloaded'
  | 'history_in_future'
  | 'broker_refused'
  | 'broker_unreachable';

export class SimulatorError extends Error {
  readonly code: SimulatorErrorCode;
  readonly params: Readonly<Record<string, string | number>>;

  constructor(code: SimulatorErrorCode, params: Readonly<Record<string, string | number>> = {}) {
    super(`${code} ${JSON.stringify(params)}`);
    this.name = 'SimulatorError';
    this.code = code;
    this.params = params;
  }
}
