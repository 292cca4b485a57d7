/** The one error type: a code for programs, a sentence for people (src/texts), a path to the offending value. */

/** Every code there is, and the HTTP status it becomes. */
export const ERROR_STATUS = {
  // requests
  invalid_request: 400,
  malformed_json: 400,
  invalid_cursor: 400,
  unauthenticated: 401,
  wrong_credentials: 401,
  forbidden: 403,
  not_found: 404,
  conflict: 409,
  transition_not_allowed: 409,
  payload_too_large: 413,
  unsupported_media_type: 415,
  rate_limited: 429,
  too_many_estimates: 429,
  internal: 500,
  unavailable: 503,
  // settings
  invalid_setting: 400,
  unusable_setting: 400,
  invalid_config: 400,
  database_not_started: 503,
  // the readings store
  influx_unavailable: 503,
  influx_denied: 503,
  influx_missing: 503,
  influx_no_org: 503,
  influx_unexpected: 503,
  influx_by_hand: 400,
  // readings
  unidentified_client: 401,
  too_large: 413,
  too_deep: 400,
  unknown_topic: 400,
  wrong_shape: 400,
  empty_message: 400,
  unknown_instrument: 400,
  not_your_instrument: 403,
  retired_instrument: 400,
  missing_timestamp: 400,
  invalid_timestamp: 400,
  future_timestamp: 400,
  ancient_timestamp: 400,
  not_a_number: 400,
  out_of_range: 400,
  conflicting_values: 400,
  no_known_quantity: 400,
  unknown_quantity: 400,
  wrong_unit: 400,
  bad_quality: 400,
  conflicting_reading: 409,
  not_stored: 422,
  overloaded: 503,
  // fleet folders
  missing_folder: 400,
  missing_file: 400,
  // ledger lines
  invalid_line: 400,
  duplicate_line: 400,
  unknown_kind: 400,
  second_master: 409,
  id_of_gateway: 409,
  gateway_is_instrument: 409,
  id_of_service: 409,
} as const;

export type ErrorCode = keyof typeof ERROR_STATUS;

export class MeterwardenError extends Error {
  readonly code: ErrorCode;
  /** Where the offending value stands, e.g. `M-17[3].values.voltage_v`; empty when it is the whole. */
  readonly path: string;
  /** Fills the placeholders of the sentence. */
  readonly params: Readonly<Record<string, string | number>>;

  constructor(
    code: ErrorCode,
    options: { path?: string; params?: Record<string, string | number>; cause?: unknown } = {},
  ) {
    super(options.path ? `${code} at ${options.path}` : code, { cause: options.cause });
    this.name = 'MeterwardenError';
    this.code = code;
    this.path = options.path ?? '';
    this.params = options.params ?? {};
  }
}
