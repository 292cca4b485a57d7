/**
 * CSV (RFC 4180) as a stream of lines. No cell of ours may hold a line break, so a quote that never closes costs its own
 * line only; a parser of the whole file would swallow everything behind it.
 */

/** Longer than any honest line. */
export const MAX_LINE_CHARS = 8_192;

export interface Line {
  /** From 1, the header being the first. */
  readonly number: number;
  /** Without the spaces around them; empty when there is a problem. */
  readonly cells: readonly string[];
  readonly problem?: 'too_long' | 'broken_quotes';
}

/** A block per chunk of bytes; empty lines are passed over. Throws a TypeError where the bytes are not UTF-8. */
export async function* lines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<readonly Line[]> {
  const decoder = new TextDecoder('utf-8', { fatal: true }); // drops a byte order mark
  let rest = '';
  let number = 0;
  const split = (text: string): Line[] => {
    const block: Line[] = [];
    for (const raw of text.split('\n')) {
      number++;
      const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
      if (line !== '') block.push(lineOf(number, line));
    }
    return block;
  };
  for await (const chunk of chunks) {
    rest += decoder.decode(chunk, { stream: true });
    const end = rest.lastIndexOf('\n');
    if (end < 0) {
      // What is kept of an endless line is enough to see that it is too long.
      rest = rest.slice(0, MAX_LINE_CHARS + 1);
      continue;
    }
    const block = split(rest.slice(0, end));
    rest = rest.slice(end + 1);
    if (block.length > 0) yield block;
  }
  const last = split(rest + decoder.decode());
  if (last.length > 0) yield last;
}

function lineOf(number: number, text: string): Line {
  if (text.length > MAX_LINE_CHARS) return { number, cells: [], problem: 'too_long' };
  const cells = cellsOf(text);
  return cells ? { number, cells } : { number, cells: [], problem: 'broken_quotes' };
}

function cellsOf(text: string): string[] | undefined {
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
