import { describe, expect, it } from 'vitest';
import { emptyValues, orderedValues } from '../../src/fleet/reading.ts';
import {
  MAX_TIME_MS,
  MIN_TIME_MS,
  quotedName,
  quotedTag,
  readingLine,
  tagOf,
  unstorable,
} from '../../src/store/influxdb-lines.ts';

const reading = (values: Parameters<typeof orderedValues>[0], tsMs = 1_772_323_200_000) => ({
  key: 1,
  tsMs,
  values: orderedValues(values),
});

describe('an id as tag', () => {
  it.each([
    ['D001-M001', 'D001-M001'],
    ['电表-一', '电表-一'],
    ['a,b=c d', 'a,b=c d'],
    ['it\'s "quoted"', 'it\'s "quoted"'],
    ['two\nlines', 'two%0Alines'],
    ['tab\tcr\rnul\0del\u007f', 'tab%09cr%0Dnul%00del%7F'],
    ['ends with \\', 'ends with %5C'],
    ['two\\nlines', 'two%5Cnlines'],
    ['two%0Alines', 'two%250Alines'],
  ])('%j is %j', (id, tag) => {
    expect(tagOf(id)).toBe(tag);
  });

  it('is another one for another id', () => {
    const ids = ['a\nb', 'a\\nb', 'a%0Ab', 'a%0ab', 'a%250Ab', 'a\rb', 'a b', 'ab'];
    expect(new Set(ids.map(tagOf)).size).toBe(ids.length);
  });
});

describe('a string of InfluxQL', () => {
  it.each([
    ['M-1', "'M-1'"],
    ["it's", "'it\\'s'"],
    ["' OR ''='", "'\\' OR \\'\\'=\\''"],
    ["\\' OR 1=1 --", "'%5C\\' OR 1=1 --'"],
    ["'; DROP MEASUREMENT readings; --", "'\\'; DROP MEASUREMENT readings; --'"],
  ])('of the id %j is %s', (id, quoted) => {
    expect(quotedTag(tagOf(id))).toBe(quoted);
  });

  it.each([
    ['city', '"city"'],
    ['a "b" \\ c', '"a \\"b\\" \\\\ c"'],
    ['a\nb', '"a\\nb"'],
  ])('naming %j is %s', (name, quoted) => {
    expect(quotedName(name)).toBe(quoted);
  });
});

describe('a line', () => {
  it('holds what was reported and the receipt', () => {
    expect(readingLine('M-1', reading({ voltage_v: 0, active_import_kwh: 5 }), 1_772_323_201_000_001)).toBe(
      'readings,instrument=M-1 active_import_kwh=5,voltage_v=0,received_us=1772323201000001i 1772323200000',
    );
    expect(readingLine('M-1', { ...reading({}), values: emptyValues() }, 1)).toBe(
      'readings,instrument=M-1 received_us=1i 1772323200000',
    );
  });

  it.each([
    ['a,b', 'a\\,b'],
    ['a b', 'a\\ b'],
    ['a=b', 'a\\=b'],
    ['"a"', '"a"'],
    ['a\nb voltage_v=1 1\nreadings,instrument=c', 'a%0Ab\\ voltage_v\\=1\\ 1%0Areadings\\,instrument\\=c'],
  ])('of the id %j begins with %s', (id, escaped) => {
    expect(readingLine(tagOf(id), reading({ voltage_v: 1 }), 1)).toBe(
      `readings,instrument=${escaped} voltage_v=1,received_us=1i 1772323200000`,
    );
  });
});

it('says what InfluxDB can hold in no state', () => {
  expect(unstorable(reading({ voltage_v: 1 }))).toBeUndefined();
  expect(unstorable(reading({ voltage_v: 1 }, MIN_TIME_MS))).toBeUndefined();
  expect(unstorable(reading({ voltage_v: 1 }, MAX_TIME_MS))).toBeUndefined();
  expect(unstorable(reading({ voltage_v: 1 }, MAX_TIME_MS + 1))).toMatch(/outside/);
  expect(unstorable(reading({ voltage_v: 1 }, MIN_TIME_MS - 1))).toMatch(/outside/);
  expect(unstorable(reading({ voltage_v: 1 }, 0.5))).toMatch(/outside/);
  expect(unstorable(reading({ voltage_v: Number.NEGATIVE_INFINITY }))).toBe('voltage_v is not finite');
});
