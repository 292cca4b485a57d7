/**
 * Publishes encoded once and patched in place, so that the load generator costs nearly nothing.
 * Only the message id, the timestamps and the registers change from one publish to the next, and all have fixed widths.
 */
import mqttPacket from 'mqtt-packet';

export const STEP_MS = 15 * 60_000;
export const GATEWAY_TOPIC = 'v1/gateway/telemetry';

/** Every instrument uses 1 kW all the time, so registers, power, voltage and current agree and no rule fires. */
const POWER_W = 1000;
const STEP_KWH_THOUSANDTHS = (POWER_W * STEP_MS) / 3_600_000;
const TS_WIDTH = 13;
/** `9999.999`; two fixed digits in front of it make the six whole digits of a household register. */
const REGISTER_WIDTH = 8;
const MAX_STEP = Math.floor(9_999_999 / STEP_KWH_THOUSANDTHS);

export type Shape = 'single' | 'gateway';

export interface Template {
  bytes: Buffer;
  messageIdAt: number;
  tsAt: number[];
  registerAt: number[];
}

/** One publish per instrument (`single`), or one publish with a reading of every instrument (`gateway`). */
export function encodeTemplates(shape: Shape, instruments: string[], topic = GATEWAY_TOPIC): Template[] {
  if (shape === 'gateway') return [encodeTemplate(topic, instruments)];
  // Whatever the shape, an instrument's registers go on where they were.
  const templates = instruments.map((id, index) => encodeTemplate(topic, [id], index));
  if (new Set(templates.map((t) => t.bytes.length)).size > 1)
    throw new Error('instrument ids differ in length, publishes cannot share slots');
  return templates;
}

function encodeTemplate(topic: string, instruments: string[], firstIndex = 0): Template {
  const payload = Buffer.from(`{${instruments.map((id, i) => encodeInstrument(id, firstIndex + i)).join(',')}}`);
  const bytes = mqttPacket.generate({
    cmd: 'publish',
    topic,
    qos: 1,
    messageId: 1,
    dup: false,
    retain: false,
    payload,
  });
  const payloadAt = bytes.length - payload.length;
  return {
    bytes,
    messageIdAt: payloadAt - 2,
    tsAt: positionsAfter(bytes, '"ts":', payloadAt),
    // past the two fixed digits
    registerAt: positionsAfter(bytes, '"active_import_kwh":', payloadAt).map((at) => at + 2),
  };
}

function encodeInstrument(id: string, index: number): string {
  const voltageV = 225 + (index % 100) / 10;
  const values = [
    `"active_import_kwh":${10 + (index % 90)}${'0'.repeat(4)}.${'0'.repeat(3)}`,
    `"voltage_v":${voltageV.toFixed(1)}`,
    `"current_a":${(POWER_W / voltageV).toFixed(3)}`,
    `"active_power_w":${POWER_W}`,
  ];
  return `${JSON.stringify(id)}:[{"ts":${'0'.repeat(TS_WIDTH)},"values":{${values.join(',')}}}]`;
}

function positionsAfter(bytes: Buffer, marker: string, from: number): number[] {
  const positions: number[] = [];
  for (let at = bytes.indexOf(marker, from); at >= 0; at = bytes.indexOf(marker, at + 1))
    positions.push(at + marker.length);
  return positions;
}

/** What changes from one 15 minute step to the next, as text, encoded once for all publishes of the step. */
export class StepText {
  readonly ts = Buffer.alloc(TS_WIDTH);
  readonly register = Buffer.alloc(REGISTER_WIDTH);
  readonly #startMs: number;
  #step = -1;

  constructor(startMs: number) {
    this.#startMs = startMs;
  }

  goTo(step: number, nowMs: number): void {
    if (step === this.#step) return;
    const tsMs = this.#startMs + step * STEP_MS;
    if (tsMs > nowMs) throw new Error('the load reached the present: start further in the past (--history-days)');
    if (step > MAX_STEP) throw new Error(`the registers are full after ${MAX_STEP} readings of each instrument`);
    this.#step = step;
    this.ts.write(String(tsMs), 'latin1');
    this.register.write(((step * STEP_KWH_THOUSANDTHS) / 1000).toFixed(3).padStart(REGISTER_WIDTH, '0'), 'latin1');
  }
}

/** Writes one publish into `target`, whose size is that of the template. */
export function writePublish(target: Buffer, at: number, template: Template, messageId: number, text: StepText): void {
  template.bytes.copy(target, at);
  target[at + template.messageIdAt] = messageId >> 8;
  target[at + template.messageIdAt + 1] = messageId & 0xff;
  for (const offset of template.tsAt) put(text.ts, target, at + offset);
  for (const offset of template.registerAt) put(text.register, target, at + offset);
}

// A loop over a dozen bytes beats Buffer.copy, whose call costs more than the copy.
function put(source: Buffer, target: Buffer, at: number): void {
  for (let i = 0; i < source.length; i++) target[at + i] = source[i]!;
}
