/**
 * The candidate most like what was written, for "did you mean": Levenshtein distance (1965), case ignored. Who wrote only the
 * beginning left out one thing, however long.
 */
export function nearest(written: string, candidates: readonly string[]): string {
  let best = candidates[0] ?? '';
  let least = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const [asked, known] = [written.toLowerCase(), candidate.toLowerCase()];
    const edits = editDistance(asked, known);
    const distance = asked !== '' && known.startsWith(asked) ? Math.min(edits, 1) : edits;
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const substituted = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(substituted, previous[j]! + 1, row[j - 1]! + 1));
    }
    previous = row;
  }
  return previous[b.length]!;
}
