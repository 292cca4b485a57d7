/** Runs the rules over a fleet folder, offline. */
import { writeFile } from 'node:fs/promises';
import { loadDomain } from '../config.ts';
import { MeterwardenError } from '../errors.ts';
import { backtest, FINDINGS_HEADER, findingLine } from '../rules/backtest.ts';
import { openFleetFolder } from '../store/fleet-folder.ts';
import { CLI } from '../texts/cli.ts';
import { type Language, say, type Text } from '../texts/text.ts';

export async function runBacktest(
  fleet: string,
  options: { out: string; config?: string },
  language: Language,
): Promise<void> {
  const print = (text: Text, params: Record<string, string | number>) =>
    process.stdout.write(`${say(text, language, params)}\n`);
  const startedMs = performance.now();
  const domain = loadDomain(options.config);
  const folder = await openFleetFolder(fleet, domain.kinds);
  let readings = 0;
  async function* counted() {
    for await (const batch of folder.readings()) {
      readings += batch.length;
      yield batch;
    }
  }
  const rows = await backtest(folder.instruments, counted(), domain.rules, domain.kinds);
  const lines = [FINDINGS_HEADER, ...rows.map((row) => findingLine(row, language))];
  try {
    await writeFile(options.out, `${lines.join('\n')}\n`);
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    throw new MeterwardenError('unusable_setting', {
      path: '--out',
      params: { value: options.out, problem: 'folder_refused', at: options.out, code },
      cause: error,
    });
  }
  const { unknownInstrument, impossibleValue } = folder.leftOut;
  if (unknownInstrument + impossibleValue > 0) print(CLI.leftOut, { unknownInstrument, impossibleValue });
  if (folder.unknownColumns.length > 0) print(CLI.unknownColumns, { columns: folder.unknownColumns.join(', ') });
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  print(CLI.backtestDone, {
    readings,
    instruments: folder.instruments.length,
    findings: rows.length,
    out: options.out,
    seconds,
  });
}
