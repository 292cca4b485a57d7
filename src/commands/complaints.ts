/** What was wrong with the lines of a folder, each sort of it once with how often it was. */
import type { MeterwardenError } from '../errors.ts';
import { sayError } from '../texts/errors.ts';
import { OFFLINE } from '../texts/offline.ts';
import { type Language, say } from '../texts/text.ts';

/** Sorts told; more would be a page. */
const MAX_TOLD = 20;

export class Complaints {
  readonly #sorts = new Map<string, { readonly first: MeterwardenError; count: number }>();
  #isOpen = true;

  /** Of a file that is read again the same would be told again. */
  close(): void {
    this.#isOpen = false;
  }

  tell = (problem: MeterwardenError): void => {
    if (!this.#isOpen) return;
    // The path without its line.
    const sort = `${problem.code} ${problem.params.problem ?? ''} ${problem.path.replace(/:\d+/, '')}`;
    const told = this.#sorts.get(sort);
    if (told) told.count++;
    else this.#sorts.set(sort, { first: problem, count: 1 });
  };

  sentences(language: Language): string[] {
    const sorts = [...this.#sorts.values()];
    const told = sorts.slice(0, MAX_TOLD).map(({ first, count }) => {
      const sentence = `${first.path}: ${sayError(first, language)}`;
      return count === 1 ? sentence : sentence + say(OFFLINE.moreLikeIt, language, { count: count - 1 });
    });
    return sorts.length > MAX_TOLD
      ? [...told, say(OFFLINE.moreSorts, language, { count: sorts.length - MAX_TOLD })]
      : told;
  }
}
