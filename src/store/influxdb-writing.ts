/** Writes readings in bounded requests and finds out which of them InfluxDB does not take, so that the others are stored. */
import type { Reading } from '../fleet/reading.ts';
import { sameValues } from '../fleet/reading.ts';
import type { InfluxConnection } from './influxdb-connection.ts';
import { readingLine, tagOf, unstorable } from './influxdb-lines.ts';
import { type IdOf, type InfluxQueries, identity, inParallel } from './influxdb-queries.ts';

/** Lines and bytes of one request; InfluxDB advises 5 000 lines, and 3.x takes 10 MB. */
export const MAX_LINES = 5_000;
export const MAX_BYTES = 4 * 1024 * 1024;
/** Below that a request that is too large is not split by size any more, only by half. */
const MIN_BYTES = 64 * 1024;
/** Requests of one append under way at once; its readings differ in instrument or time, so their order does not matter. */
const WRITES_AT_ONCE = 3;
/** Requests and time spent on finding the readings of one append that are not taken. */
export const MAX_BISECTIONS = 256;
const BISECT_WITHIN_MS = 3_000;

interface Line {
  readonly reading: Reading;
  readonly text: string;
}

/** Why a reading was not stored. */
export type Refusals = Map<Reading, string>;

interface Search {
  readonly refused: Refusals;
  readonly deadlineMs: number;
  requestsLeft: number;
  endsMs: number | undefined;
}

export class InfluxWriter {
  readonly #connection: InfluxConnection;
  readonly #queries: InfluxQueries;
  readonly #idOf: IdOf;
  /** Smaller once the server has called a request too large. */
  #maxBytes = MAX_BYTES;

  constructor(connection: InfluxConnection, queries: InfluxQueries, idOf: IdOf) {
    this.#connection = connection;
    this.#queries = queries;
    this.#idOf = idOf;
  }

  /** When it resolves, every reading is on InfluxDB's disk but those it returns with the reason. Identities must differ. */
  async write(readings: readonly Reading[], receivedAtUs: number, deadlineMs: number): Promise<Refusals> {
    const refused: Refusals = new Map();
    const search: Search = { refused, deadlineMs, requestsLeft: MAX_BISECTIONS, endsMs: undefined };
    const requests = this.#requests(readings, receivedAtUs, refused);
    await inParallel(WRITES_AT_ONCE, requests, (lines) => this.#writePart(lines, search));
    return refused;
  }

  async #writePart(lines: readonly Line[], search: Search): Promise<void> {
    const answer = await this.#send(lines, search);
    if (answer.outcome === 'stored') return;
    if (answer.outcome === 'too_large') {
      if (lines.length === 1) return void search.refused.set(lines[0]!.reading, 'too large for one request');
      this.#maxBytes = Math.max(MIN_BYTES, Math.floor(Math.min(this.#maxBytes, bytesOf(lines)) / 2));
      for (const half of halves(lines)) await this.#writePart(half, search);
      return;
    }
    // 1.x, 2.x and 3.x store the rest of a partial write; 2.x stores nothing when a line cannot be read.
    const missing = await this.#missing(lines, search);
    const undecided: [Line, string][] = [];
    await this.#bisect(missing, answer.reason, search, undecided);
    if (undecided.length === 0) return;
    const still = new Set(
      await this.#missing(
        undecided.map(([line]) => line),
        search,
      ),
    );
    for (const [line, reason] of undecided) if (still.has(line)) search.refused.set(line.reading, reason);
  }

  /** These lines were refused together, for `reason`: which of them alone? */
  async #bisect(lines: readonly Line[], reason: string, search: Search, undecided: [Line, string][]): Promise<void> {
    if (lines.length === 0) return;
    search.endsMs ??= performance.now() + BISECT_WITHIN_MS;
    for (const half of halves(lines)) {
      if (search.requestsLeft-- <= 0 || performance.now() > search.endsMs) {
        undecided.push(...half.map((line): [Line, string] => [line, reason]));
        continue;
      }
      const answer = await this.#send(half, search);
      if (answer.outcome === 'stored') continue;
      const because = answer.outcome === 'refused' ? answer.reason : 'too large for one request';
      if (half.length === 1) search.refused.set(half[0]!.reading, because);
      else await this.#bisect(half, because, search, undecided);
    }
  }

  async #missing(lines: readonly Line[], { deadlineMs }: Search): Promise<Line[]> {
    const stored = await this.#queries.storedFor(
      lines.map(({ reading }) => reading),
      deadlineMs,
    );
    return lines.filter(({ reading }) => {
      const found = stored.get(identity(reading));
      return !found || !sameValues(found.values, reading.values);
    });
  }

  #send(lines: readonly Line[], { deadlineMs }: Search) {
    return this.#connection.write(lines.map(({ text }) => text).join('\n'), 'ms', deadlineMs);
  }

  /** Each is made when it can be sent, so that InfluxDB works on the one before. */
  *#requests(readings: readonly Reading[], receivedAtUs: number, refused: Refusals): Generator<Line[]> {
    let lines: Line[] = [];
    let bytes = 0;
    for (const reading of readings) {
      const id = this.#idOf(reading.key);
      const problem = id === undefined ? `no instrument has the key ${reading.key}` : unstorable(reading);
      if (problem !== undefined) {
        refused.set(reading, problem);
        continue;
      }
      const line = { reading, text: readingLine(tagOf(id!), reading, receivedAtUs) };
      bytes += bytesOfLine(line);
      if (lines.length >= MAX_LINES || (lines.length > 0 && bytes > this.#maxBytes)) {
        yield lines;
        lines = [];
        bytes = bytesOfLine(line);
      }
      lines.push(line);
    }
    if (lines.length > 0) yield lines;
  }
}

function halves(lines: readonly Line[]): Line[][] {
  const middle = Math.ceil(lines.length / 2);
  return [lines.slice(0, middle), lines.slice(middle)].filter((half) => half.length > 0);
}

function bytesOfLine({ text }: Line): number {
  return Buffer.byteLength(text) + 1;
}

function bytesOf(lines: readonly Line[]): number {
  return lines.reduce((sum, line) => sum + bytesOfLine(line), 0);
}
