import { describe, expect, it } from 'vitest';
import { csvCell } from '../src/fleet/csv-cell.ts';

describe('csvCell', () => {
  it.each([
    ['', ''],
    ['M-1', 'M-1'],
    ['一号表', '一号表'],
    ['a b', 'a b'],
    // quotes
    ['a,b', '"a,b"'],
    ['a"b', '"a""b"'],
    ['a\nb', '"a\nb"'],
    ['a\rb', '"a\rb"'],
    // what spreadsheets would calculate
    ['=1+1', "'=1+1"],
    ['=HYPERLINK("http://x";"y")', '"\'=HYPERLINK(""http://x"";""y"")"'],
    ["=cmd|'/c calc'!A1", "'=cmd|'/c calc'!A1"],
    ['+1+1', "'+1+1"],
    ['+5', "'+5"],
    ['-1+1', "'-1+1"],
    ['-M1', "'-M1"],
    ['-', "'-"],
    ['@SUM(A1:A9)', "'@SUM(A1:A9)"],
    ['\t=1', "'\t=1"],
    ['\r=1', '"\'\r=1"'],
    ['\n=1', '"\'\n=1"'],
    ['＝1+1', "'＝1+1"],
    ['＠SUM(A1)', "'＠SUM(A1)"],
    // numbers stay numbers
    ['-5', '-5'],
    ['-0.25', '-0.25'],
    ['-1e-7', '-1e-7'],
    ['12.5', '12.5'],
    ['2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z'],
    // and what is no beginning is left alone
    ['a=1', 'a=1'],
    ["'=1", "'=1"],
  ])('%j is written %j', (text, written) => {
    expect(csvCell(text)).toBe(written);
  });
});
