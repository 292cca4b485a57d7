/** CSV (RFC 4180) as a stream of lines; quoted cells may not span lines. */

export interface Line {
  /** From 1, the header being the first. */
  readonly number: number;
  readonly cells: readonly string[];
}

/** A block per chunk of bytes; empty lines are passed over. */
export async function* lines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<readonly Line[]> {
  const decoder = new TextDecoder('utf-8');
  let rest = '';
  let number = 0;
  const split = (text: string): Line[] => {
    const block: Line[] = [];
    for (const raw of text.split('\n')) {
      number++;
      const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
      if (line !== '') block.push({ number, cells: cellsOf(line) });
    }
    return block;
  };
  for await (const chunk of chunks) {
    rest += decoder.decode(chunk, { stream: true });
    const end = rest.lastIndexOf('\n');
    if (end < 0) continue;
    const block = split(rest.slice(0, end));
    rest = rest.slice(end + 1);
    if (block.length > 0) yield block;
  }
  const last = split(rest + decoder.decode());
  if (last.length > 0) yield last;
}

function cellsOf(line: string): string[] {
  if (!line.includes('"')) return line.split(',');
  const cells: string[] = [];
  const cell = /(?:"((?:[^"]|"")*)"|([^,]*))(,|$)/y;
  for (let more = true; more; ) {
    const match = cell.exec(line);
    if (!match) return line.split(','); // a quote inside an unquoted cell: taken as it stands
    cells.push(match[1] === undefined ? match[2]! : match[1].replaceAll('""', '"'));
    more = match[3] === ',';
  }
  return cells;
}
