/** Payload shapes devices speak. A decoder walks a parsed payload and names every reading it finds; it judges no value. */

/** Where a value stands in the payload, written out only when something is refused. */
export type Path = () => string;

export interface Sink {
  /** One reading: `instrument` undefined = the connected client itself, `ts` undefined = time of receipt. */
  reading(instrument: string | undefined, ts: unknown, values: Record<string, unknown>, path: Path): void;
  /** One reading as registers that each carry a unit and a quality. */
  registers(instrument: string | undefined, ts: unknown, registers: readonly Register[], path: Path): void;
  refuse(code: 'wrong_shape' | 'empty_message', path: Path, params?: Record<string, string>): void;
}

export interface Register {
  readonly obis: string;
  readonly value: unknown;
  readonly unit: unknown;
  readonly quality: unknown;
}

type Decode = (payload: unknown, sink: Sink, topicInstrument: string | undefined) => void;

/** `{"<instrument>": [{"ts": …, "values": {…}}, …], …}`: ThingsBoard gateway telemetry. */
const telemetryByInstrument: Decode = (payload, sink) => {
  if (!isObject(payload))
    return sink.refuse('wrong_shape', whole, { expected: '{"<instrument>": [{"ts", "values"}]}' });
  let seen = 0;
  for (const instrument in payload) {
    const list = payload[instrument];
    if (!Array.isArray(list)) {
      seen++;
      sink.refuse('wrong_shape', () => instrument, { expected: '[{"ts", "values"}]' });
      continue;
    }
    for (let i = 0; i < list.length; i++) {
      seen++;
      const entry: unknown = list[i];
      const path = () => `${instrument}[${i}]`;
      if (isObject(entry) && isObject(entry.values)) sink.reading(instrument, entry.ts ?? null, entry.values, path);
      else sink.refuse('wrong_shape', path, { expected: '{"ts", "values"}' });
    }
  }
  if (seen === 0) sink.refuse('empty_message', whole);
};

/** `{"ts": …, "values": {…}}`, an array of those, or bare `{…}`: ThingsBoard device telemetry. */
const telemetry: Decode = (payload, sink) => {
  if (!Array.isArray(payload)) return telemetryEntry(payload, sink, '');
  if (payload.length === 0) return sink.refuse('empty_message', whole);
  for (let i = 0; i < payload.length; i++) telemetryEntry(payload[i], sink, `[${i}]`);
};

function telemetryEntry(entry: unknown, sink: Sink, at: string): void {
  const path = () => at;
  if (!isObject(entry)) return sink.refuse('wrong_shape', path, { expected: '{"ts", "values"} / {…}' });
  if (isObject(entry.values)) return sink.reading(undefined, entry.ts ?? null, entry.values, path);
  // A time stamp without values is a mistake; taking it for a bare reading of now would invent a measurement.
  if ('ts' in entry || 'values' in entry) return sink.refuse('wrong_shape', path, { expected: '{"ts", "values"}' });
  sink.reading(undefined, undefined, entry, path);
}

/** `{"ts": …, "registers": [{"obis", "value", "unit", "quality"}]}` or an array of those: the OBIS-shaped native payload. */
const registers: Decode = (payload, sink, topicInstrument) => {
  const list = Array.isArray(payload) ? payload : [payload];
  if (list.length === 0) return sink.refuse('empty_message', whole);
  for (const [i, entry] of list.entries())
    registersEntry(entry, sink, topicInstrument, Array.isArray(payload) ? `[${i}]` : '');
};

function registersEntry(entry: unknown, sink: Sink, topicInstrument: string | undefined, at: string): void {
  const expected = { expected: '{"ts", "registers": [{"obis", "value", "unit"}]}' };
  if (!isObject(entry) || !Array.isArray(entry.registers)) return sink.refuse('wrong_shape', () => at, expected);
  const found: Register[] = [];
  for (const [i, register] of entry.registers.entries()) {
    if (!isObject(register) || typeof register.obis !== 'string') {
      return sink.refuse('wrong_shape', () => `${at}.registers[${i}]`, expected);
    }
    found.push({ obis: register.obis, value: register.value, unit: register.unit, quality: register.quality });
  }
  sink.registers(topicInstrument, entry.ts ?? null, found, () => at);
}

export const DECODERS = {
  'telemetry-by-instrument': telemetryByInstrument,
  telemetry,
  registers,
} as const satisfies Record<string, Decode>;

export type DecoderName = keyof typeof DECODERS;

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const whole: Path = () => '';
