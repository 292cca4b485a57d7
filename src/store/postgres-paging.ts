/** Pages newest first: ids only grow, so a cursor stays where it is while rows are added. */
import { MeterwardenError } from '../errors.ts';
import { regionExtent } from '../fleet/region.ts';

export const PAGE_DEFAULT = 50;
export const PAGE_MAX = 500;

export interface Page<Row> {
  readonly rows: Row[];
  /** Given when there are more. */
  readonly next?: string;
}

export interface PageRequest {
  readonly cursor?: string | undefined;
  /** 1 to 500, default 50. */
  readonly limit?: number | undefined;
}

/** Builds `a AND b` with numbered parameters, continuing a list of parameters when one is given. */
export class Conditions {
  readonly params: unknown[];
  readonly #conditions: string[] = [];

  constructor(params: readonly unknown[] = []) {
    this.params = [...params];
  }

  /** `sql` holds one `?` for the value; an undefined value adds nothing. */
  add(sql: string, value: unknown): this {
    if (value === undefined) return this;
    this.params.push(value);
    this.#conditions.push(sql.replace('?', `$${this.params.length}`));
    return this;
  }

  /** Rows that lie in one of these regions; undefined = anywhere. */
  within(column: string, regions: readonly string[] | undefined): this {
    if (!regions) return this;
    const any = regions.map((region) => {
      const { prefix, exact } = regionExtent(region);
      this.params.push(prefix);
      const param = `$${this.params.length}::text`;
      return exact ? `${column} = ${param}` : `starts_with(${column}, ${param})`;
    });
    this.#conditions.push(any.length > 0 ? `(${any.join(' OR ')})` : 'false');
    return this;
  }

  /** Rows after the cursor, when there is one. */
  before(column: string, cursor: string | undefined): this {
    return this.add(`${column} < ?::bigint`, cursor === undefined ? undefined : decodeCursor(cursor));
  }

  toString(): string {
    return this.#conditions.length > 0 ? this.#conditions.join(' AND ') : 'true';
  }
}

export function pageLimit(limit = PAGE_DEFAULT): number {
  if (Number.isInteger(limit) && limit >= 1 && limit <= PAGE_MAX) return limit;
  throw new MeterwardenError('invalid_request', {
    path: 'limit',
    params: { problem: 'not_a_page_size', limit: PAGE_MAX },
  });
}

/** `rows` were asked for with one more than `limit`, to see whether there are more. */
export function page<Row extends { readonly id: string }>(rows: Row[], limit: number): Page<Row> {
  if (rows.length <= limit) return { rows };
  const shown = rows.slice(0, limit);
  return { rows: shown, next: encodeCursor(shown.at(-1)!.id) };
}

/** Ids come from the outside as text: 18 digits fit a bigint. */
export function isId(text: string): boolean {
  return /^\d{1,18}$/.test(text);
}

function encodeCursor(id: string): string {
  return Buffer.from(`before ${id}`).toString('base64url');
}

function decodeCursor(cursor: string): string {
  const [, id] = /^before (\d{1,18})$/.exec(Buffer.from(cursor, 'base64url').toString()) ?? [];
  if (id === undefined) throw new MeterwardenError('invalid_cursor', { path: 'cursor' });
  return id;
}
