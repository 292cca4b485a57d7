/**
 * One hand-over: what is due goes from the datasets to the target, a file for each dataset, day and region. A file is put first,
 * then the list of the day, then how far the dataset has come; a run that follows on a broken one does what is missing.
 */
import { MeterwardenError } from '../errors.ts';
import type { HANDOVER_PROBLEMS } from '../texts/handover.ts';
import type { Calendar, Day } from './calendar.ts';
import type { Dataset, Row } from './datasets.ts';
import {
  type Manifest,
  manifestPath,
  type Partition,
  type Progress,
  parseManifest,
  parseProgress,
  partitionPath,
  progressPath,
  recordText,
  SCHEMA_PATH,
  withDay,
} from './manifest.ts';
import { type Change, dueRegions, type LedgerRegions, spanOf } from './plan.ts';
import { schemaJson } from './schema.ts';
import type { Target } from './target.ts';

/** Where the rows of a dataset come from. */
export interface Source {
  readonly dataset: Dataset;
  /** The earliest moment of which there is anything; Infinity = nothing, undefined = unknown. */
  firstMs(): Promise<number | undefined>;
  /** What was received or changed at or after a moment on these days, which follow on each other; -Infinity = all there may be. */
  changes(days: readonly Day[], sinceMs: number): Promise<Change[]>;
  /** Where `rows` and `changes` find instruments from here on; undefined = rows name their region themselves. */
  ledger(): Promise<LedgerRegions | undefined>;
  rows(day: Day, region: string): AsyncIterable<readonly Row[]>;
}

export interface ParquetFile {
  readonly rows: number;
  readonly bytes: number;
  readonly sha256: string;
}

/** Makes files out of rows. */
export interface ParquetWriter {
  /** undefined = there was no row, and no file. */
  write(file: string, dataset: Dataset, rows: AsyncIterable<readonly Row[]>): Promise<ParquetFile | undefined>;
}

export interface HandoverParts {
  readonly sources: readonly Source[];
  readonly target: Target;
  readonly parquet: ParquetWriter;
  readonly calendar: Calendar;
  readonly graceMs: number;
  /** From when on days are complete. */
  readonly keptSinceMs: () => number;
  readonly nowMs: () => number;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: HandoverProgress) => void;
}

export interface HandoverOptions {
  /** Only this day, whatever was handed over before. */
  readonly day?: string | undefined;
  /** Nothing earlier, in this run and later ones. */
  readonly from?: string | undefined;
}

/** Of one day of one dataset, while it is done and when it is. */
export interface HandoverProgress {
  readonly dataset: string;
  readonly day: string;
  readonly done: boolean;
  readonly regions: number;
  readonly rows: number;
  readonly bytes: number;
  /** Files that came out as they were and stayed in place. */
  readonly unchanged: number;
}

export interface HandoverSummary {
  readonly files: number;
  readonly unchanged: number;
  readonly rows: number;
  readonly bytes: number;
}

/** A change may become visible so long after the moment it bears: waiting for a lock or a slow disk, clocks that differ. */
export const SETTLE_MS = 300_000;

export async function handOver(parts: HandoverParts, options: HandoverOptions): Promise<HandoverSummary> {
  const { sources, target, calendar } = parts;
  if (options.day !== undefined) requireClosed(parts, options.day);
  const summary = { files: 0, unchanged: 0, rows: 0, bytes: 0 };
  await target.write(
    SCHEMA_PATH,
    schemaJson(
      sources.map(({ dataset }) => dataset),
      calendar.zone,
    ),
  );
  for (const source of sources) {
    const run = new DatasetRun(parts, source, summary);
    await (options.day === undefined ? run.catchUp(options.from) : run.again(calendar.day(options.day)));
  }
  return summary;
}

function requireClosed({ calendar, graceMs, keptSinceMs, nowMs }: HandoverParts, name: string): void {
  const { fromMs, toMs } = calendar.day(name);
  const closesMs = toMs + graceMs;
  const refuse = (problem: keyof typeof HANDOVER_PROBLEMS, params: Record<string, string> = {}) =>
    new MeterwardenError('unusable_setting', { path: '--day', params: { value: name, problem, ...params } });
  if (closesMs > nowMs()) throw refuse('day_open', { closes: new Date(closesMs).toISOString() });
  if (fromMs < keptSinceMs()) throw refuse('day_gone');
}

type Sums = { -readonly [Name in keyof HandoverSummary]: number };

class DatasetRun {
  readonly #parts: HandoverParts;
  readonly #source: Source;
  readonly #sums: Sums;
  #ledger: LedgerRegions | undefined;

  constructor(parts: HandoverParts, source: Source, sums: Sums) {
    this.#parts = parts;
    this.#source = source;
    this.#sums = sums;
  }

  async catchUp(givenFrom: string | undefined): Promise<void> {
    const { calendar, graceMs, keptSinceMs, nowMs } = this.#parts;
    const { dataset } = this.#source;
    const before = await this.#progress();
    const from = givenFrom ?? before?.from ?? null;
    const changesBefore = nowMs() - SETTLE_MS;
    const wanted = {
      nowMs: nowMs(),
      graceMs,
      keptSinceMs: keptSinceMs(),
      firstMs: await this.#source.firstMs(),
      from,
    };
    const { settled, fresh } = spanOf(calendar, wanted, before?.schemaVersion === dataset.version ? before : undefined);
    let progress: Progress | undefined;
    if (before && settled.length > 0) {
      const changes = await this.#source.changes(settled, before.changesBefore);
      // Only now: an instrument that moves after the changes were looked up is seen to have moved.
      this.#ledger = await this.#source.ledger();
      for (const day of settled) {
        const ofDay = changes.filter((change) => change.day === day.name);
        if (ofDay.length > 0) await this.#exportDay(day, await this.#manifest(day), ofDay, false);
      }
      progress = {
        ...before,
        from,
        firstDay: settled[0]!.name,
        closedThrough: settled.at(-1)!.name,
        changesBefore,
      };
      await this.#keep(progress);
    }
    for (const day of fresh) {
      const manifest = await this.#manifest(day);
      const changes = await this.#changesOfFresh(day, manifest);
      await this.#exportDay(day, manifest, changes, false);
      progress = progress
        ? withDay(progress, day.name)
        : {
            dataset: dataset.name,
            zone: calendar.zone,
            schemaVersion: dataset.version,
            from,
            firstDay: day.name,
            closedThrough: day.name,
            changesBefore,
          };
      await this.#keep(progress);
    }
  }

  async again(day: Day): Promise<void> {
    await this.#progress(); // of the same zone?
    const manifest = await this.#manifest(day);
    await this.#exportDay(day, manifest, await this.#changesOfFresh(day, manifest), true);
  }

  /** Whatever the day may hold, and what came late to files that a broken run has written. */
  async #changesOfFresh(day: Day, manifest: Manifest | undefined): Promise<Change[]> {
    const written = manifest?.partitions ?? [];
    const sinceMs = Math.min(...written.map((partition) => partition.changesBefore));
    const late = written.length > 0 ? await this.#source.changes([day], sinceMs) : [];
    this.#ledger = await this.#source.ledger();
    return [...late, ...(await this.#source.changes([day], Number.NEGATIVE_INFINITY))];
  }

  async #exportDay(day: Day, before: Manifest | undefined, changes: readonly Change[], again: boolean): Promise<void> {
    const { name: dataset, version } = this.#source.dataset;
    const { calendar, target, signal, onProgress } = this.#parts;
    const regions = dueRegions({ manifest: before, changes, schemaVersion: version, ledger: this.#ledger, again });
    const partitions = new Map((before?.partitions ?? []).map((partition) => [partition.region, partition]));
    const sums = { ...this.#sums };
    const tell = (done: boolean, rows = this.#sums.rows) =>
      onProgress({
        dataset,
        day: day.name,
        done,
        regions: partitions.size,
        rows: rows - sums.rows,
        bytes: this.#sums.bytes - sums.bytes,
        unchanged: this.#sums.unchanged - sums.unchanged,
      });
    let touched = false;
    for (const region of regions) {
      signal.throwIfAborted();
      const partition = await this.#export(day, region, partitions.get(region), (rows) =>
        tell(false, this.#sums.rows + rows),
      );
      if (!partition && !partitions.has(region)) continue;
      touched = true;
      if (partition) partitions.set(region, partition);
      else partitions.delete(region);
      const manifest: Manifest = {
        dataset,
        day: day.name,
        zone: calendar.zone,
        from: day.fromMs,
        to: day.toMs,
        partitions: [...partitions.values()].sort((a, b) => (a.region < b.region ? -1 : 1)),
      };
      await target.write(manifestPath(dataset, day.name), recordText(manifest));
    }
    if (touched) tell(true);
  }

  async #export(
    day: Day,
    region: string,
    before: Partition | undefined,
    onRows: (rows: number) => void,
  ): Promise<Partition | undefined> {
    const { target, parquet, nowMs, signal } = this.#parts;
    const { dataset } = this.#source;
    const changesBefore = nowMs() - SETTLE_MS;
    const path = partitionPath(dataset.name, day.name, region);
    const file = `${target.workDir}/${dataset.name}.parquet`;
    const rows = counted(this.#source.rows(day, region), signal, onRows);
    const made = await parquet.write(file, dataset, rows);
    if (!made) {
      if (before) await target.remove(path);
      return undefined;
    }
    const same = before?.sha256 === made.sha256 && (await target.has(path, made.bytes));
    if (!same) await target.put(path, file);
    this.#sums.files++;
    this.#sums.unchanged += Number(same);
    this.#sums.rows += made.rows;
    this.#sums.bytes += made.bytes;
    const ledger = this.#ledger?.mark(Number.POSITIVE_INFINITY);
    return { region, path, ...made, schemaVersion: dataset.version, changesBefore, ...(ledger && { ledger }) };
  }

  async #progress(): Promise<Progress | undefined> {
    const path = progressPath(this.#source.dataset.name);
    const text = await this.#parts.target.read(path);
    if (text === undefined) return undefined;
    return this.#ofOurZone(parseProgress(path, text));
  }

  async #manifest(day: Day): Promise<Manifest | undefined> {
    const path = manifestPath(this.#source.dataset.name, day.name);
    const text = await this.#parts.target.read(path);
    return text === undefined ? undefined : this.#ofOurZone(parseManifest(path, text));
  }

  /** Days of another zone overlap ours. */
  #ofOurZone<T extends { readonly zone: string }>(record: T): T {
    const { zone } = this.#parts.calendar;
    if (record.zone === zone) return record;
    const problem: keyof typeof HANDOVER_PROBLEMS = 'other_zone';
    throw new MeterwardenError('unusable_setting', {
      path: 'HANDOVER_ZONE',
      params: { value: zone, problem, was: record.zone },
    });
  }

  async #keep(progress: Progress): Promise<void> {
    await this.#parts.target.write(progressPath(progress.dataset as Dataset['name']), recordText(progress));
  }
}

async function* counted(
  pages: AsyncIterable<readonly Row[]>,
  signal: AbortSignal,
  onRows: (rows: number) => void,
): AsyncIterable<readonly Row[]> {
  let rows = 0;
  for await (const page of pages) {
    signal.throwIfAborted();
    rows += page.length;
    onRows(rows);
    yield page;
  }
}
