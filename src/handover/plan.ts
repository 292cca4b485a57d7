/** Which days, and which regions of a day, are due. What is known of changes is a moment, never the rows themselves. */
import { type Calendar, type Day, dayAfter, dayBefore } from './calendar.ts';
import type { LedgerMark, Manifest, Partition, Progress } from './manifest.ts';

/** Something was received or changed in a region of a day. */
export interface Change {
  readonly day: string;
  readonly region: string;
  /** The newest of them; -Infinity = nobody asked, there may be rows. */
  readonly changedAtMs: number;
}

export interface Wanted {
  readonly nowMs: number;
  /** A day closes so long after its end. */
  readonly graceMs: number;
  /** A day that began earlier may have been dropped in part: it stays as it was handed over. */
  readonly keptSinceMs: number;
  /** The earliest moment of which there is anything; Infinity = there is nothing, undefined = unknown. */
  readonly firstMs: number | undefined;
  /** Nothing earlier is wanted; null = all there is. */
  readonly from: string | null;
}

export interface Span {
  /** Handed over before; only what has changed since is due. Oldest first. */
  readonly settled: readonly Day[];
  /** Not handed over yet, in the order in which to do it: each lies at an end of what is settled by then. */
  readonly fresh: readonly Day[];
}

/** `progress`: undefined = nothing was handed over yet, or with other columns. */
export function spanOf(calendar: Calendar, wanted: Wanted, progress: Progress | undefined): Span {
  if (wanted.firstMs === Number.POSITIVE_INFINITY) return { settled: [], fresh: [] };
  const last = calendar.lastClosed(wanted.nowMs, wanted.graceMs);
  const kept = dayAfter(calendar.nameAt(wanted.keptSinceMs));
  const known = wanted.firstMs === undefined ? kept : calendar.nameAt(wanted.firstMs);
  const first = latest(kept, known, wanted.from ?? kept);
  const settled = progress
    ? calendar.days(latest(first, progress.firstDay), earliest(last, progress.closedThrough))
    : [];
  if (settled.length === 0) return { settled, fresh: calendar.days(first, last) };
  const before = calendar.days(first, dayBefore(settled[0]!.name)).reverse();
  return { settled, fresh: [...before, ...calendar.days(dayAfter(settled.at(-1)!.name), last)] };
}

export interface DueOptions {
  readonly manifest: Manifest | undefined;
  readonly changes: readonly Change[];
  readonly schemaVersion: number;
  /** undefined = rows name their region themselves. */
  readonly ledger: LedgerRegions | undefined;
  /** Whatever was handed over before. */
  readonly again: boolean;
}

/** Where instruments lie now, for datasets whose rows do not say it. */
export interface LedgerRegions {
  readonly all: readonly string[];
  /** Of the first so many instruments. */
  mark(instruments: number): LedgerMark;
}

/**
 * Regions of a day to be exported, in that order. A file is due when there is none, when something of it changed after it was
 * written, or when its columns are others. Where an instrument has moved to another region since, and anything of the day is
 * due, every region is, so that its readings of a day lie in one. New files come first: as long as an old one stands, it tells
 * a run that follows on a broken one what has moved.
 */
export function dueRegions({ manifest, changes, schemaVersion, ledger, again }: DueOptions): string[] {
  const written = new Map((manifest?.partitions ?? []).map((partition) => [partition.region, partition]));
  const moved = ({ ledger: then }: Partition) =>
    ledger !== undefined && ledger.mark(then?.instruments ?? 0).digest !== then?.digest;
  const due = new Set<string>();
  for (const { region, changedAtMs } of changes) {
    const partition = written.get(region);
    if (again || !partition || changedAtMs >= partition.changesBefore) due.add(region);
  }
  for (const [region, partition] of written) {
    if (again || partition.schemaVersion !== schemaVersion || (changes.length > 0 && moved(partition))) due.add(region);
  }
  if (ledger && changes.length > 0 && [...written.values()].some(moved)) {
    for (const region of ledger.all) if (!written.has(region)) due.add(region);
  }
  return [...due].sort((a, b) => Number(written.has(a)) - Number(written.has(b)) || (a < b ? -1 : 1));
}

function latest(...names: string[]): string {
  return names.sort().at(-1)!;
}

function earliest(...names: string[]): string {
  return names.sort()[0]!;
}
