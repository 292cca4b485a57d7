/** Rows as a table on a terminal. */

/** The first row is the head; `right` says which columns end at the right, as numbers do. */
export function table(rows: readonly (readonly string[])[], right: (column: number) => boolean = () => false): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => width(row[column]!))));
  const padded = (cell: string, column: number) => {
    const space = ' '.repeat(widths[column]! - width(cell));
    return right(column) ? space + cell : cell + space;
  };
  return rows.map((row) => `  ${row.map(padded).join('  ')}`.trimEnd()).join('\n');
}

/** Chinese characters take two columns of a terminal. */
function width(text: string): number {
  return [...text].reduce(
    (sum, char) =>
      sum + (/[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60]/.test(char) ? 2 : 1),
    0,
  );
}
