/** config/kinds.yaml: which instruments there are, what they may report, and which values are possible. */
import { z } from 'zod';
import { checked, duration, names, sentence, word, wrongConfig } from './config-part.ts';
import type { Kind, KindQuantity, Kinds } from './fleet/kind.ts';
import { isQuantity, QUANTITIES, type Quantity, unitOf } from './fleet/quantity.ts';
import { oneOf } from './problems.ts';

/** The rules keep a kind in a byte, in which two values mean something else. */
const MAX_KINDS = 254;

const quantitySchema = z.strictObject({
  obis: z.array(z.string().regex(/^[^\s\p{Cc}]+$/u, 'not_a_code')),
  unit: z.string(),
  min: z.number(),
  max: z.number(),
});

const kindSchema = z.strictObject({
  name: names,
  report_period: duration.refine((ms) => ms > 0, { message: 'not_above', params: { limit: '0s' } }),
  register: z.enum(QUANTITIES),
  digits: z.int().min(3).max(12),
  quantities: z
    .partialRecord(z.enum(QUANTITIES), quantitySchema)
    .refine((quantities) => Object.keys(quantities).length > 0, { message: 'too_few', params: { limit: 1 } }),
  mpe_pct: z.record(z.string(), z.number().positive()),
  source: sentence,
});

const schema = z
  .record(word, kindSchema)
  .refine((kinds) => Object.keys(kinds).length > 0, { message: 'too_few', params: { limit: 1 } })
  .refine((kinds) => Object.keys(kinds).length <= MAX_KINDS, { message: 'too_many', params: { limit: MAX_KINDS } });

type RawKind = z.output<typeof kindSchema>;
type Path = readonly string[];

/** config/kinds.yaml as parsed YAML; throws invalid_config naming the path. */
export function parseKinds(raw: unknown): Kinds {
  const kinds = Object.entries(checked(schema, raw, 'kinds'));
  return new Map(kinds.map(([id, entry]) => [id, kindOf(id, entry, ['kinds', id])]));
}

function kindOf(id: string, raw: RawKind, at: Path): Kind {
  const entries = Object.entries(raw.quantities) as [Quantity, KindQuantity & { readonly obis: readonly string[] }][];
  const quantities = new Map<Quantity, KindQuantity>();
  for (const [name, { unit, min, max }] of entries) {
    requirePossible(name, { unit, min, max }, [...at, 'quantities', name]);
    quantities.set(name, { unit, min, max });
  }
  requireRegister(raw, quantities, at);
  const obis = entries.map(([name, { obis }]) => [name, obis] as const);
  return {
    id,
    name: raw.name,
    reportPeriodMs: raw.report_period,
    register: raw.register,
    digits: raw.digits,
    quantities,
    names: namesOf(obis, [...at, 'quantities']),
    mpePct: new Map(Object.entries(raw.mpe_pct)),
  };
}

function requirePossible(name: Quantity, { unit, min, max }: KindQuantity, at: Path): void {
  const right = unitOf(name);
  if (unit !== right) throw wrongConfig([...at, 'unit'], { problem: 'unit_of_name', unit: right });
  if (min >= max) throw wrongConfig([...at, 'min'], { problem: 'not_below', other: 'max', limit: max });
}

/** A register counts from 0 to 10^digits and begins again: a value it shows must not be an impossible one. */
function requireRegister({ register, digits }: RawKind, quantities: Kind['quantities'], at: Path): void {
  const limits = quantities.get(register);
  if (!limits) throw wrongConfig([...at, 'register'], oneOf(register, [...quantities.keys()]));
  const path = [...at, 'quantities', register];
  if (limits.min > 0) throw wrongConfig([...path, 'min'], { problem: 'register_from_zero' });
  const highest = 10 ** digits - 1;
  if (limits.max <= highest)
    throw wrongConfig([...path, 'max'], { problem: 'register_does_not_fit', digits, limit: highest });
}

/** Every name a value may come under; no name means two quantities. */
function namesOf(obis: readonly (readonly [Quantity, readonly string[]])[], at: Path): Map<string, Quantity> {
  const names = new Map<string, Quantity>(obis.map(([name]) => [name, name]));
  for (const [name, codes] of obis) {
    for (const [i, code] of codes.entries()) {
      const meaning = names.get(code) ?? (isQuantity(code) ? code : undefined);
      if (meaning !== undefined) {
        throw wrongConfig([...at, name, 'obis', i], { problem: 'code_taken', code, quantity: meaning });
      }
      names.set(code, name);
    }
  }
  return names;
}
