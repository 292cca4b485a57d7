/** The published schema, for people and for programs. */

import { SCHEMA_TEXTS } from '../texts/handover.ts';
import { LANGUAGES, type Language, say, type Text } from '../texts/text.ts';
import type { Column, Dataset } from './datasets.ts';
import { MANIFEST_PATTERN, NO_REGION, PARTITION_PATTERN } from './manifest.ts';

/** Rows of a Parquet row group: DuckDB's own choice, 60 of its vectors. Some megabytes decompressed. */
export const ROW_GROUP_ROWS = 122_880;

/** docs/parquet-schema.md, in both languages. */
export function schemaDocument(datasets: readonly Dataset[], zone: string): string {
  const parts = LANGUAGES.flatMap((language) => inLanguage(datasets, zone, language));
  return `${parts.join('\n\n')}\n`;
}

function inLanguage(datasets: readonly Dataset[], zone: string, language: Language): string[] {
  const tell = (text: Text) =>
    say(text, language, {
      zone,
      rowGroup: ROW_GROUP_ROWS,
      path: `\`${PARTITION_PATTERN}\``,
      manifest: `\`${MANIFEST_PATTERN}\``,
      noRegion: `\`${NO_REGION}\``,
    });
  const { title, files, region, again, types } = SCHEMA_TEXTS;
  return [
    `# ${tell(title)}`,
    ...[files, region, again, types].map(tell),
    ...datasets.flatMap((dataset) => [
      `## ${dataset.name} · ${say(SCHEMA_TEXTS.version, language, { version: dataset.version })}`,
      tell(dataset.about),
      table(dataset.columns, language),
    ]),
  ];
}

function table(columns: readonly Column[], language: Language): string {
  const { column, type, unit, empty, obis, values, meaning } = SCHEMA_TEXTS;
  const shown: readonly [Text, (column: Column) => string][] = [
    [column, ({ name }) => `\`${name}\``],
    [type, (one) => one.type],
    [unit, (one) => one.unit ?? ''],
    [empty, ({ nullable }) => (nullable ? '✓' : '')],
    [obis, (one) => list(one.obis)],
    [values, (one) => list(one.values)],
    [meaning, ({ about }) => say(about, language)],
  ];
  const used = shown.filter(([, cell], i) => i < 2 || columns.some((one) => cell(one) !== ''));
  const lines = [
    used.map(([head]) => say(head, language)),
    used.map(() => '---'),
    ...columns.map((one) => used.map(([, cell]) => cell(one))),
  ];
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function list(codes: readonly string[] = []): string {
  return codes.map((code) => `\`${code}\``).join(' ');
}

/** `_manifest/schema.json` beside the files. */
export function schemaJson(datasets: readonly Dataset[], zone: string): string {
  const described = {
    zone,
    partition: PARTITION_PATTERN,
    manifest: MANIFEST_PATTERN,
    datasets: Object.fromEntries(
      datasets.map(({ name, version, about, columns }) => [name, { version, about, columns }]),
    ),
  };
  return `${JSON.stringify(described, undefined, 2)}\n`;
}
