/** Estimates of a folder's meters judged by its truth. */

import { mpePctOf } from '../accuracy/policy.ts';
import { type JudgedMeter, type Score, scoreGroups } from '../accuracy/score.ts';
import { isEstimated } from '../accuracy/window.ts';
import { loadDomain } from '../config.ts';
import { openFleetFolder } from '../store/fleet-folder.ts';
import { readEstimates, readTruth } from '../store/score-files.ts';
import { SCORE_COLUMNS, SCORE_GROUPS, SCORE_LEGEND } from '../texts/offline.ts';
import { table } from '../texts/table.ts';
import { type Language, say, type Text } from '../texts/text.ts';

export async function runScore(
  fleet: string,
  estimatesFile: string,
  options: { json?: boolean; config?: string },
  language: Language,
): Promise<void> {
  const { kinds, accuracy } = loadDomain(options.config);
  const { instruments } = await openFleetFolder(fleet, kinds, () => {});
  const truth = await readTruth(fleet);
  const estimates = await readEstimates(estimatesFile);
  const users = instruments.filter((one) => isEstimated(one) && one.role === 'user');
  const meters = users.flatMap((user): JudgedMeter[] => {
    const known = truth.get(user.id);
    const mpePct = mpePctOf(user, kinds, accuracy);
    return known ? [{ instrument: user.id, ...known, mpePct, estimate: estimates.get(user.id) }] : [];
  });
  const groups = scoreGroups(meters);
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ language, groups }, null, 1)}\n`);
    return;
  }
  const head = [say(SCORE_COLUMNS.group, language), ...CELLS.map(([text]) => say(text, language))];
  const rows = groups.map(({ group, score }) => {
    const name: Text | undefined = SCORE_GROUPS[group as keyof typeof SCORE_GROUPS];
    return [name ? say(name, language) : group, ...CELLS.map(([, cell]) => cell(score))];
  });
  process.stdout.write(`${table([head, ...rows], (column) => column > 0)}\n\n${say(SCORE_LEGEND, language)}\n`);
}

const CELLS: readonly (readonly [Text, (score: Score) => string])[] = [
  [SCORE_COLUMNS.meters, ({ meters }) => String(meters)],
  [SCORE_COLUMNS.rmse, ({ rmsePct }) => percent(rmsePct, 2)],
  [SCORE_COLUMNS.bias, ({ biasPct }) => percent(biasPct, 2)],
  [SCORE_COLUMNS.worst, ({ worstPct }) => percent(worstPct, 2)],
  [SCORE_COLUMNS.coverage, ({ coveragePct }) => percent(coveragePct, 0)],
  [SCORE_COLUMNS.sd, ({ meanSdPct }) => percent(meanSdPct, 2)],
  [SCORE_COLUMNS.guiltyNoticed, ({ guiltyNoticed, guilty }) => ofAll(guiltyNoticed, guilty)],
  [SCORE_COLUMNS.guiltyCalled, ({ guiltyCalled, guilty }) => ofAll(guiltyCalled, guilty)],
  [SCORE_COLUMNS.innocentSuspected, ({ innocentSuspected, innocent }) => ofAll(innocentSuspected, innocent)],
  [SCORE_COLUMNS.innocentAccused, ({ innocentAccused, innocent }) => ofAll(innocentAccused, innocent)],
  [SCORE_COLUMNS.undetermined, ({ undetermined }) => String(undetermined)],
  [SCORE_COLUMNS.missing, ({ missing }) => String(missing)],
];

function percent(value: number, digits: number): string {
  return Number.isFinite(value) ? value.toFixed(digits) : '–';
}

function ofAll(count: number, all: number): string {
  return all > 0 ? `${count}/${all}` : '–';
}
