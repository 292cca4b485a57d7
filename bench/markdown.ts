/** Pieces of a page of markdown. */
import { readFile, writeFile } from 'node:fs/promises';

export const count = (value: number) =>
  Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ' ');

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** The text between `<!-- name -->` and `<!-- /name -->`. */
export function marked(page: string, name: string): string {
  return /^\n([\s\S]*)\n$/.exec(between(page, name).inner)?.[1] ?? '';
}

export function withMarked(page: string, name: string, text: string): string {
  const { before, after } = between(page, name);
  return `${before}\n${text}\n${after}`;
}

function between(page: string, name: string): { before: string; inner: string; after: string } {
  const [opening, closing] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const from = page.indexOf(opening) + opening.length;
  const to = page.indexOf(closing);
  if (from < opening.length || to < from) throw new Error(`the page has no ${opening} … ${closing}`);
  return { before: page.slice(0, from), inner: page.slice(from, to), after: page.slice(to) };
}

/** Renews every marked part of a page. */
export async function renew(path: string, parts: Readonly<Record<string, string>>): Promise<void> {
  const page = await readFile(path, 'utf8');
  await writeFile(
    path,
    Object.entries(parts).reduce((text, [name, part]) => withMarked(text, name, part), page),
  );
}
