/**
 * CSV by physical lines. No cell of ours may hold a line break, so a quote that never closes costs its own line only;
 * a parser of the whole file would swallow everything behind it.
 */

/** Longer than any honest line; what is longer is skipped without being held in memory. */
export const MAX_LINE_CHARS = 8_192;

export interface CsvLine {
  /** From 1, as an editor shows it. */
  readonly line: number;
  /** Without its line end; undefined = longer than MAX_LINE_CHARS. */
  readonly text: string | undefined;
}

export async function* csvLines(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<CsvLine> {
  const decoder = new TextDecoder(); // drops a byte order mark
  let line = 1;
  let rest = '';
  let overlong = false;
  for await (const chunk of bytes) {
    const text = rest + decoder.decode(chunk, { stream: true });
    let start = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
      yield { line: line++, text: overlong || end - start > MAX_LINE_CHARS ? undefined : text.slice(start, end).trim() };
      overlong = false;
      start = end + 1;
    }
    rest = text.slice(start);
    if (rest.length > MAX_LINE_CHARS) {
      overlong = true;
      rest = '';
    }
  }
  rest += decoder.decode();
  if (overlong) yield { line, text: undefined };
  else if (rest !== '') yield { line, text: rest.trim() };
}

/** The cells of one line by RFC 4180, spaces around them dropped; undefined when its quotes do not close. */
export function csvCells(text: string): string[] | undefined {
  if (!text.includes('"')) return text.split(',').map((cell) => cell.trim());
  const cells: string[] = [];
  const cell = /\s*(?:"((?:[^"]|"")*)"|([^",]*))\s*(,|$)/y;
  for (;;) {
    const match = cell.exec(text);
    if (!match) return undefined;
    cells.push((match[1]?.replaceAll('""', '"') ?? match[2] ?? '').trim());
    if (match[3] === '') return cells;
  }
}
