/**
 * Changes of tasks for everybody who follows them, read once for all. Whoever comes with an old position first catches up
 * alone, page by page as fast as they take it, and then joins the others at a position that leaves nothing out.
 */
import { regionCovers } from '../fleet/region.ts';
import type { TaskChange } from '../store/postgres-tasks.ts';
import type { InspectorParts } from './parts.ts';

export interface Follower {
  /** What they may see. */
  readonly region: string;
  readonly gone: boolean;
  take(change: TaskChange): void;
  /** Resolves when they can take more, or are gone. */
  drained(): Promise<unknown>;
}

/** About 200 KiB of messages. */
const PAGE_CHANGES = 100;

type Source = Pick<InspectorParts['tasks'], 'changesAfter' | 'latestChange'>;

export class TaskStream {
  readonly #source: Source;
  readonly #onError: (stage: string, error: unknown) => void;
  /** Everything up to here has been handed to those who follow; ids grow in the order in which they become visible. */
  #position = 0n;
  readonly #followers = new Map<Follower, bigint>();
  #reading: Promise<void> | undefined;
  #again = false;

  constructor(source: Source, onError: (stage: string, error: unknown) => void) {
    this.#source = source;
    this.#onError = onError;
  }

  async start(): Promise<void> {
    this.#position = await this.#latest();
  }

  /** Waits for a read under way. */
  async stop(): Promise<void> {
    this.#followers.clear();
    this.#again = false;
    await this.#reading;
  }

  /** There may be something new. */
  wake(): void {
    this.#again = true;
    this.#reading ??= this.#readAll().finally(() => {
      this.#reading = undefined;
    });
  }

  /** From after `lastId` on; without it, or beyond the newest, from now on. Resolves when they have caught up. */
  async follow(follower: Follower, lastId: string | undefined): Promise<void> {
    const latest = await this.#latest();
    let position = lastId === undefined || BigInt(lastId) > latest ? latest : BigInt(lastId);
    while (!follower.gone) {
      const before = this.#position;
      if (position >= before) {
        this.#followers.set(follower, position);
        return this.wake();
      }
      const page = await this.#source.changesAfter(String(position), PAGE_CHANGES, follower.region);
      for (const change of page) follower.take(change);
      const last = BigInt(page.at(-1)?.entry.id ?? 0);
      position = page.length < PAGE_CHANGES && last < before ? before : last;
      await follower.drained();
    }
  }

  leave(follower: Follower): void {
    this.#followers.delete(follower);
  }

  async #readAll(): Promise<void> {
    try {
      while (this.#again) {
        this.#again = false;
        if (this.#followers.size === 0) await this.#skip();
        else await this.#handOn();
      }
    } catch (error) {
      // What was missed is read at the next wake.
      this.#onError('stream', error);
    }
  }

  async #skip(): Promise<void> {
    const latest = await this.#latest();
    if (this.#followers.size === 0) this.#position = latest;
    else this.#again = true;
  }

  async #handOn(): Promise<void> {
    const page = await this.#source.changesAfter(String(this.#position), PAGE_CHANGES);
    for (const change of page) {
      const id = BigInt(change.entry.id);
      for (const [follower, position] of this.#followers) {
        if (id > position && regionCovers(follower.region, change.task.region)) follower.take(change);
      }
      this.#position = id;
    }
    if (page.length === PAGE_CHANGES) this.#again = true;
  }

  async #latest(): Promise<bigint> {
    return BigInt(await this.#source.latestChange());
  }
}
